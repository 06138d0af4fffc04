/* SPDX-License-Identifier: MIT */
/*
 * What plan.c works out for any store is told here for those that stay amid a narrow leaf of the transaction's own, and
 * touch neither its first nor its last range. Then no other leaf has to be looked at, no nodes are needed, what holders of
 * credits are owed stays the same, and all can be compared as bounds are, in units of the leaf.
 *
 * What a store meets is anybody's guess, the processor's too. So there are sums where branches would depend on it.
 */
#include "tree/edit.h"

#include "tree/check.h"
#include "tree/splice.h"
#include "tree/write.h"

/* An edit: ranges [i..j] of a leaf go, but for what they have in front of bound @from and from bound @to on. */
struct edit {
	unsigned int i, j;
	int32_t from, to;
	bool front, behind; /* is that anything? */
};

/* Do the cursor's place and the leaf there allow it? */
smr_inline bool may_edit(const struct ma_state *mas, unsigned long first, unsigned long last)
{
	return mas->node && mas->seq == mas->tree->ma_seq && first > mas->min && last < mas->max &&
	       smr_enode_kind(mas->node) == SMR_NLEAF && smr_editable(mas->tree, mas->node);
}

/* False if one of the store's ends cannot be written as a bound of @node. */
smr_inline bool set_ends(struct edit *e, const struct smr_node *node, unsigned long first,
			 unsigned long last)
{
	unsigned long from = first - node->base, to = last + 1 - node->base;

	e->from = (int32_t)(from >> node->shift);
	e->to = (int32_t)(to >> node->shift);
	return first >= node->base && ((from | to) & ((1UL << node->shift) - 1)) == 0 &&
	       to >> node->shift <= SMR_NARROW_MAX;
}

/* Bounds behind the cursor that are counted all at once. */
#define BOUNDS_BEHIND 3

/* The ranges in which the store begins and ends: most often the same, close behind the cursor. */
smr_inline void find_ranges(struct edit *e, const struct ma_state *mas, const int32_t *bound)
{
	unsigned int i = (unsigned int)mas->offset, end = mas->end;

	while (i > 0 && bound[i - 1] > e->from)
		i--;
	if (smr_likely(i + BOUNDS_BEHIND <= end))
		i += (unsigned int)(bound[i] <= e->from) + (bound[i + 1] <= e->from) +
		     (bound[i + 2] <= e->from);
	while (i < end && bound[i] <= e->from)
		i++;
	e->i = e->j = i;
	while (e->j < end && bound[e->j] < e->to)
		e->j++;
	e->front = i > 0 && bound[i - 1] < e->from;
	e->behind = e->j < end && bound[e->j] > e->to;
}

/* Gaps are always whole: NULL takes in what is left of those that it cuts, and those beside it. */
smr_inline void join_gaps(struct edit *e, void *const *slots, bool null)
{
	e->front &= !(null & !slots[e->i]);
	e->behind &= !(null & !slots[e->j]);
	e->i -= null & !e->front & !slots[e->i - 1];
	e->j += null & !e->behind & !slots[e->j + 1];
}

smr_inline bool amid(const struct edit *e, unsigned int end)
{
	return e->i > 0 && e->j < end;
}

/* To be called before the leaf changes. */
static smr_noinline void update_gaps(struct ma_state *mas, const struct edit *e, void *entry)
{
	const struct smr_node *node = smr_node_of(mas->node);
	struct smr_write w;

	w.mas = mas;
	w.mt = mas->tree;
	w.entry = entry;
	w.i = e->i;
	w.j = e->j;
	w.former = smr_slots(mas->node)[e->i];
	w.begin = smr_start(mas->node, e->i);
	w.end = smr_start(mas->node, e->j + 1) - 1;
	w.first = node->base + ((unsigned long)e->from << node->shift);
	w.last = node->base + ((unsigned long)e->to << node->shift) - 1;
	smr_update_gaps(&w);
}

/* The leaf has @ranges ranges then. */
smr_inline void do_edit(struct ma_state *mas, const struct edit *e, unsigned int ranges)
{
	struct smr_node *node = smr_node_of(mas->node);
	unsigned int x = e->i + e->front;

	mas->offset = x;
	if (e->i == e->j && !e->front && !e->behind)
		return;
	smri_leaf_shift_any(node, node, SMR_NLEAF, x + e->behind, e->j);
	node->b32[x - 1] = e->from;
	node->b32[x] = e->to;
	smr_cursor_on(mas, mas->node, ranges);
	mas->seq = ++mas->tree->ma_seq;
}

bool smr_edit_amid(struct ma_state *mas, unsigned long first, unsigned long last, void *entry)
{
	unsigned int end = mas->end, ranges;
	struct smr_node *node;
	struct edit e;
	void **slots;

	if (!may_edit(mas, first, last))
		return false;
	node = smr_node_of(mas->node);
	slots = smr_kind_slots(node, SMR_NLEAF);
	if (!set_ends(&e, node, first, last))
		return false;
	smr_check_cursor(mas);
	find_ranges(&e, mas, node->b32);
	if (!amid(&e, end))
		return false;
	join_gaps(&e, slots, !entry);
	if (!amid(&e, end))
		return false;
	e.from = e.front ? e.from : node->b32[e.i - 1];
	e.to = e.behind ? e.to : node->b32[e.j];
	ranges = end + 1 - (e.j - e.i) + e.front + e.behind;
	if (ranges > SMR_NLEAF_CAP || (ranges < SMR_LEAF_MIN && mas->depth > 0))
		return false;
	if (smr_tracks_gaps(mas->tree))
		update_gaps(mas, &e, entry);
	do_edit(mas, &e, ranges);
	slots[mas->offset] = entry;
	return true;
}
