/* SPDX-License-Identifier: MIT */
/*
 * Deals the items of a window out to new nodes.
 *
 * How many parts a level can come to. The items of a window are at most
 *
 *   one node cut in two places, 45 + 2 ranges or 31 - 2 + 3 children, and a neighbour of 45 or 31;
 *   or what is left of two nodes, at most 44 + 44 ranges or 30 + 30 children, and 3 new ones;
 *
 * that is, 92 ranges or 63 children. Dealt out evenly to three nodes these are 31 or 21 each, which
 * fit a node of any kind (wide ones hold 31 and 25). So three nodes a level are enough, and the
 * next level again gets at most three. At the top there is no neighbour: at most two parts, and a
 * new top. So a store builds at most 3h nodes. (Three leaves may become four, with one node above
 * them, in a tree of three levels or more: share.c.)
 */
#include "tree/write.h"

/* ---- Evenly ---- */

static unsigned long part_max(const struct smr_items *it, unsigned int to, unsigned long max)
{
	return to < it->n ? it->start[to] - 1 : max;
}

/* Makes items [from, to) part @c. Returns false if they do not fit into one node. */
static bool deal_part(struct smr_level *lev, const struct smr_items *it, unsigned int c,
		      unsigned int from, unsigned int to, bool leaf, unsigned int slack)
{
	if (!smr_code_choose(&lev->code[c], it->start + from, to - from, part_max(it, to, lev->max),
			     leaf, slack))
		return false;
	lev->start[c] = it->start[from];
	lev->cut[c] = (unsigned char)from;
	lev->cut[c + 1] = (unsigned char)to;
	lev->parts = (unsigned char)(c + 1);
	return true;
}

bool smr_deal_to_one(struct smr_level *lev, const struct smr_items *it, bool leaf)
{
	return deal_part(lev, it, 0, 0, it->n, leaf, 0);
}

static bool deal_evenly(struct smr_level *lev, const struct smr_items *it, unsigned int parts,
			bool leaf, unsigned int slack)
{
	unsigned int from = 0, to;

	for (unsigned int c = 0; c < parts; c++) {
		to = it->n * (c + 1) / parts;
		if (!deal_part(lev, it, c, from, to, leaf, slack))
			return false;
		from = to;
	}
	return true;
}

/*
 * Deals to as few parts as have the room. If these are several, each gets at least as many items as
 * a node should have. Returns false if that is not possible.
 */
static bool deal_few(struct smr_level *lev, const struct smr_items *it, bool leaf,
		     unsigned int slack)
{
	unsigned int least = leaf ? SMR_LEAF_MIN : SMR_INNER_MIN, parts = 1;

	do {
		if (deal_evenly(lev, it, parts, leaf, slack))
			return true;
	} while (++parts <= SMR_PARTS_MAX && parts * least <= it->n);
	return false;
}

void smr_deal(struct smr_level *lev, const struct smr_items *it, bool leaf, unsigned int slack)
{
	if (deal_few(lev, it, leaf, slack) || deal_few(lev, it, leaf, 0))
		return;
	smr_assert(!"three nodes hold any window");
}

/* ---- For stores that follow one another ---- */

/*
 * Returns true if the range stored last is next to ranges [@i..@j] of a leaf whose keys begin with
 * @min, with at most one range between.
 */
static bool is_near_newest(const struct maple_tree *mt, const void *leaf, unsigned long min,
			   unsigned int i, unsigned int j)
{
	unsigned int end = smr_count(leaf) - 1, c = i > 2 ? i - 2 : 0, to = j + 2;
	unsigned long first = smr_leaf_first(leaf, c, min);
	unsigned long behind = to < end ? smr_start(leaf, to + 1) : ULONG_MAX;

	/* One compare: no processor can predict on which side it is, if on any. */
	if (mt->ma_newest - first >= behind - first)
		return false;
	for (; c <= end && c <= to; c++)
		if (smr_value(smr_slots(leaf), c) && smr_leaf_first(leaf, c, min) == mt->ma_newest)
			return true;
	return false;
}

enum smr_side smr_full_side(const struct maple_tree *mt, const void *leaf, unsigned long min,
			    unsigned int i, unsigned int j)
{
	unsigned int behind = smr_count(leaf) - 1 - j;

	if (behind > 0 && !is_near_newest(mt, leaf, min, i, j))
		return SMR_EITHER;
	return i >= behind ? SMR_LEFT : SMR_RIGHT;
}

bool smr_sibling_is_full(const void *parent, unsigned int at, enum smr_side full)
{
	const void *sibling;

	if (full == SMR_EITHER || (full == SMR_LEFT ? at == 0 : at + 1 == smr_count(parent)))
		return false;
	sibling = smr_slots(parent)[full == SMR_LEFT ? at - 1 : at + 1];
	return smr_count(sibling) == smr_kind_cap(smr_enode_kind(sibling));
}

/* Deals to parts of these sizes, which add up to all items; a size of 0 makes no part. */
static bool deal_sizes(struct smr_level *lev, const struct smr_items *it, const unsigned int *size)
{
	unsigned int from = 0, c = 0;

	for (unsigned int i = 0; i < SMR_PARTS_MAX; from += size[i++])
		if (size[i] && !deal_part(lev, it, c++, from, from + size[i], true, 0))
			return false;
	return true;
}

/*
 * Counts the items on @side of the new one, which begins at @first, without what is left there of a
 * gap that it cuts. Searches from the other side, where there are few.
 */
static unsigned int count_side(const struct smr_items *it, unsigned long first, enum smr_side side)
{
	unsigned int x = side == SMR_LEFT ? it->n - 1 : 0;

	if (side == SMR_LEFT) {
		while (it->start[x] > first)
			x--;
		return x > 0 && !it->slot[x - 1] ? x - 1 : x;
	}
	while (it->start[x] < first)
		x++;
	return it->n - (x + 1 < it->n && !it->slot[x + 1] ? x + 2 : x + 1);
}

bool smr_deal_sequential(struct smr_level *lev, const struct smr_items *it, unsigned long first,
			 enum smr_side full)
{
	static const unsigned int caps[] = { SMR_SLEAF_CAP, SMR_NLEAF_CAP, SMR_WLEAF_CAP };
	unsigned int n, most, more;

	if (smr_deal_to_one(lev, it, true))
		return true;
	n = count_side(it, first, full);
	if (n + SMR_LEAF_MIN > it->n)
		n = it->n - SMR_LEAF_MIN;
	if (n < SMR_LEAF_MIN)
		return false;
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		most = n < caps[i] ? n : caps[i];
		more = n - most < SMR_LEAF_MIN ? 0 : n - most;
		if (deal_sizes(lev, it,
			       full == SMR_LEFT
				       ? (unsigned int[]){ most, more, it->n - most - more }
				       : (unsigned int[]){ it->n - most - more, more, most }))
			return true;
	}
	return false;
}

void smr_deal_leaves(struct smr_level *lev, const struct smr_items *it, unsigned long first,
		     enum smr_side full)
{
	if (full != (lev->neighbour_left ? SMR_LEFT : SMR_RIGHT) ||
	    !smr_deal_sequential(lev, it, first, full))
		smr_deal(lev, it, true, SMR_DEAL_SLACK);
}
