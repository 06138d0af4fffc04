/* SPDX-License-Identifier: MIT */
/*
 * Gap figures. An inner node keeps, for each child, a figure for the largest gap below it, so that
 * a search for free space skips subtrees that cannot serve it.
 *
 * A figure is a 32-bit float of the gap's last key minus its first, rounded up: 0 stands for "no
 * gap", gaps of up to 2^26 keys are exact, larger ones to 25 bits (page-aligned ones are exact up
 * to 2^37). Figures compare like the gaps they stand for, so a subtree whose figure is below the
 * request's surely has no such gap, and one that passes nearly always has; the leaf decides.
 *
 * Only trees with MT_FLAGS_ALLOC_RANGE keep the figures up to date. In others they stay as they
 * were built.
 */
#ifndef SMR_TREE_GAP_H
#define SMR_TREE_GAP_H

#include "tree/walk.h"

/* Returns the figure of a gap whose last key is @span above its first. */
smr_inline uint32_t smr_gap_figure(unsigned long span)
{
	unsigned int bits, exponent;
	unsigned long mantissa;

	if (smr_likely(span < 1UL << 26))
		return (uint32_t)span + 1;
	bits = 64 - (unsigned int)__builtin_clzl(span);
	exponent = bits - 26;
	mantissa = (span >> exponent) + ((span & ((1UL << exponent) - 1)) != 0);
	return (uint32_t)((exponent << 25) + mantissa + 1);
}

smr_inline uint32_t smr_gap_larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Returns the figure of a leaf whose keys are [min..max], leaving out its ranges @i to @j. */
uint32_t smr_gap_beside(const void *leaf, unsigned long min, unsigned long max, unsigned int i,
			unsigned int j);

/* Returns the figure of a leaf whose keys are [min..max]. */
smr_inline uint32_t smr_gap_leaf(const void *leaf, unsigned long min, unsigned long max)
{
	return smr_gap_beside(leaf, min, max, 1, 0);
}

/* Returns the figure of an inner node: the largest of its children's. */
uint32_t smr_gap_inner(const void *enode);

/* ---- Search ---- */

/* A place found by the search. */
struct smr_gap {
	unsigned long first;    /* key */
	unsigned long min, max; /* keys of the leaf */
	/* The path to that key; in a tree without nodes, path.node[0] is what it has instead. */
	struct smr_path path;
};

/*
 * Finds the lowest (@high: highest) gap of @size keys in [min..max]. Returns 0, or an error as
 * mas_empty_area(). CONTEXT: HOLDS tree lock.
 */
int smr_gap_find(const struct maple_tree *mt, unsigned long min, unsigned long max,
		 unsigned long size, bool high, struct smr_gap *gap);
/* Puts the cursor on @size keys there. */
void smr_gap_set_cursor(struct ma_state *mas, const struct smr_gap *gap, unsigned long size);

#endif
