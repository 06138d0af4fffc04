/* SPDX-License-Identifier: MIT */
/*
 * Encoding consecutive ranges (or children) as a node: choosing its kind, base and shift, and
 * writing it.
 */
#ifndef SMR_TREE_ENCODE_H
#define SMR_TREE_ENCODE_H

#include "tree/node.h"

/*
 * The most that the rewrite of one level gathers: a node cut in two places with something new in
 * between, and a neighbour (see deal.c); or what is left of two nodes and something new.
 */
#define SMR_ITEMS_MAX 96

/*
 * Room after the items, with arbitrary contents, for as many as a node has: loops of constant
 * length read and write there.
 */
#define SMR_ITEMS_SPARE 60

/* Decoded ranges in ascending order. start[0] is where the first node made of them begins. */
struct smr_items {
	unsigned int n;
	bool pieces; /* whether any are from a node marked SMR_PIECES */
	unsigned long start[SMR_ITEMS_MAX + SMR_ITEMS_SPARE];
	void *slot[SMR_ITEMS_MAX + SMR_ITEMS_SPARE];
	uint32_t gap[SMR_ITEMS_MAX + SMR_ITEMS_SPARE]; /* of children; unused for ranges */
};

/* Keys are addresses of pages more often than not. */
#define SMR_COMMON_SHIFT 12

/* An encoding: how a node's bounds are stored. */
struct smr_code {
	enum smr_kind kind;
	uint8_t shift;
	unsigned long base;
};

smr_inline void smr_items_add(struct smr_items *it, unsigned long start, void *slot, uint32_t gap)
{
	smr_assert(it->n < SMR_ITEMS_MAX);
	it->start[it->n] = start;
	it->slot[it->n] = slot;
	it->gap[it->n] = gap;
	it->n++;
}

/* Appends items [from, to) of a node; @min is the start of its item 0. */
void smr_items_add_node(struct smr_items *it, const void *enode, unsigned int from, unsigned int to,
			unsigned long min);

/* Makes one item of each range in pieces (run.h), if there are any. */
void smr_items_join(struct smr_items *it);

/*
 * Chooses how to write @n items beginning at @start[0], starts of a struct smr_items, into a node
 * whose last key is @max, with room for @slack more. Returns false if they are too many for a node.
 */
bool smr_code_choose(struct smr_code *code, const unsigned long *start, unsigned int n,
		     unsigned long max, bool leaf, unsigned int slack);

/*
 * Guesses what smr_code_choose() would choose for a leaf of @n ranges from the starts of three of
 * them: the first, the second and the last. False is certain. Otherwise *@code is right if all the
 * ranges can be written that way, which the caller has to check.
 */
bool smr_code_guess(struct smr_code *code, const unsigned long start[3], unsigned int n,
		    unsigned long max, unsigned int slack);

/*
 * Writes items [from, from + n) into the unpublished @node. Returns the enode, in which the caller
 * sets the transaction.
 */
void *smr_encode(struct smr_node *node, const struct smr_code *code, const struct smr_items *it,
		 unsigned int from, unsigned int n);

/* Fills bounds [@used, @end) with the padding that searches rely on. */
smr_inline void smr_bounds_pad(struct smr_node *node, enum smr_kind kind, unsigned int used,
			       unsigned int end)
{
	for (unsigned int i = used; i < end; i++)
		smr_kind_set_bound(node, kind, i, smr_kind_padding(kind));
}

/* Whether a range of a narrow node with this base and shift can start at @key. */
smr_inline bool smr_narrow_can_start(unsigned long base, unsigned int shift, unsigned long key)
{
	unsigned long units = (key - base) >> shift;

	return key >= base && base + (units << shift) == key && units <= SMR_NARROW_MAX;
}

/*
 * Whether an item of @leaf, which may also be an inner node, can start at @key, one of its keys,
 * without a new encoding.
 */
smr_inline bool smr_can_start(const void *leaf, unsigned long key)
{
	const struct smr_node *node = smr_node_of(leaf);

	if ((uintptr_t)leaf & SMR_ENODE_WIDE)
		return true;
	if (smr_enode_is(leaf, SMR_SLEAF))
		return (key & ((1UL << node->shift) - 1)) == 0;
	return smr_narrow_can_start(node->base, node->shift, key);
}

/* Whether @leaf could have keys [@min..@max], some of which it has, without a new encoding. */
smr_inline bool smr_can_hold(const void *leaf, unsigned long min, unsigned long max)
{
	const struct smr_node *node = smr_node_of(leaf);
	unsigned long half;

	if (!smr_enode_is(leaf, SMR_SLEAF))
		return true;
	half = 1UL << (SMR_SHORT_BITS - 1 + node->shift);
	return min >= node->base - half && max < node->base + half - (1UL << node->shift);
}

#endif
