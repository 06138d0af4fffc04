/* SPDX-License-Identifier: MIT */
/* All of it is compiled for each kind of leaf: @kind is a constant. */
#include "tree/edit.h"

#include "mem/retire.h"
#include "tree/gap.h"
#include "tree/splice.h"
#include "tree/write.h"

/* ---- Bounds, as a leaf has them ---- */

/* Where range @i begins, which is not the first. */
smr_inline int64_t bound_of(const struct smr_node *node, enum smr_kind kind, unsigned int i)
{
	return smr_kind_bound(node, kind, i - 1);
}

smr_inline void set_bound(struct smr_node *node, enum smr_kind kind, unsigned int i, int64_t bound)
{
	smr_kind_set_bound(node, kind, i - 1, bound);
}

/* ---- Planning ---- */

/* False if one of the store's ends cannot be written as a bound of @node. */
smr_inline bool set_ends(struct smr_edit *e, const struct smr_node *node, enum smr_kind kind,
			 unsigned long max, unsigned long first, unsigned long last)
{
	unsigned long from = first - node->base, to = last + 1 - node->base;

	if (smr_kind_wide(kind)) {
		e->from = (int64_t)(first ^ SMR_WIDE_SIGN);
		e->to = (int64_t)((last + 1) ^ SMR_WIDE_SIGN);
		return last < ULONG_MAX;
	}
	/* All of the leaf's keys can be written so, but for their alignment. */
	if (smr_kind_short(kind)) {
		e->from = (int16_t)(from >> node->shift);
		e->to = (int16_t)(to >> node->shift);
		return ((from | to) & ((1UL << node->shift) - 1)) == 0 && last <= max;
	}
	e->from = (int64_t)(from >> node->shift);
	e->to = (int64_t)(to >> node->shift);
	return first >= node->base && ((from | to) & ((1UL << node->shift) - 1)) == 0 &&
	       to >> node->shift <= SMR_NARROW_MAX && from < to;
}

smr_inline bool amid(const struct smr_edit *e, const struct ma_state *mas)
{
	return e->i > 0 && e->j < mas->end;
}

/* Is it the same range again? */
smr_inline bool swaps(const struct smr_edit *e)
{
	return e->i == e->j && !e->front && !e->behind;
}

/* The first, and the last, key of range @i, which may be the leaf's first or last. */
smr_inline unsigned long first_of(const struct ma_state *mas, enum smr_kind kind, unsigned int i)
{
	struct smr_node *node = smr_kind_node(mas->node, kind);

	return i > 0 ? smr_kind_start(node, kind, i) : mas->min;
}

smr_inline unsigned long last_of(const struct ma_state *mas, enum smr_kind kind, unsigned int i)
{
	return i < mas->end ? first_of(mas, kind, i + 1) - 1 : mas->max;
}

/*
 * What NULL meets of gaps is NULL already, so only entries count. One of them, all of it, between
 * gaps that it may share a run with, is a slot that changes; so is nothing at all. Else one range
 * takes in what is beside it, too. False: not amid the leaf.
 */
smr_inline bool join_gaps(struct smr_edit *e, const struct ma_state *mas, enum smr_kind kind)
{
	struct smr_node *node = smr_kind_node(mas->node, kind);
	void *const *slots = smr_kind_slots(node, kind);
	unsigned int from, to;

	e->front &= slots[e->i] != NULL;
	e->behind &= slots[e->j] != NULL;
	while (e->i < e->j && !slots[e->i])
		e->i++;
	while (e->i < e->j && !slots[e->j])
		e->j--;
	from = e->front ? e->i : smr_run_from(slots, e->i);
	to = e->behind ? e->j : smr_run_to(slots, e->j, mas->end);
	e->first = e->front ? e->first : first_of(mas, kind, from);
	e->last = e->behind ? e->last : last_of(mas, kind, to);
	e->stand = to;
	if (swaps(e) && (!slots[e->i] || smr_may_run(mas->tree, from, to, mas->end)))
		return true;
	e->i = from;
	e->j = to;
	if (!amid(e, mas))
		return false;
	e->from = e->front ? e->from : bound_of(node, kind, from);
	e->to = e->behind ? e->to : bound_of(node, kind, to + 1);
	e->stand = from + e->front;
	return true;
}

/*
 * What is known now, i, j, front and behind, says the rest. False: the leaf is too small for it, or
 * would be too empty.
 */
smr_inline bool fits(struct smr_edit *e, const struct ma_state *mas, enum smr_kind kind)
{
	e->swap = swaps(e);
	e->nodes = !e->swap && !smr_editable(mas->tree, mas->node);
	e->ranges = mas->end + 1u - (e->j - e->i) + e->front + e->behind;
	return e->ranges <= smr_kind_cap(kind) && (e->ranges >= SMR_LEAF_MIN || mas->depth == 0);
}

/* Does an entry take the place of a run, all of it? That may be better than an edit (plan.c). */
smr_inline bool fills_run(const struct smr_edit *e, const struct ma_state *mas, enum smr_kind kind)
{
	void *const *slots = smr_kind_slots(smr_kind_node(mas->node, kind), kind);

	return e->i < e->j && !e->front && !e->behind && !slots[e->i] &&
	       smr_run_to(slots, e->i, e->j) == e->j;
}

smr_inline bool plan_store(enum smr_kind kind, struct smr_edit *e, const struct ma_state *mas,
			   unsigned long first, unsigned long last, const void *entry)
{
	const struct smr_node *node = smr_kind_node(mas->node, kind);

	if (!set_ends(e, node, kind, mas->max, first, last))
		return false;
	e->first = first;
	e->last = last;
	e->i = e->j = (unsigned int)mas->offset;
	while (e->j < mas->end && bound_of(node, kind, e->j + 1) < e->to)
		e->j++;
	if (!amid(e, mas))
		return false;
	e->front = bound_of(node, kind, e->i) < e->from;
	e->behind = bound_of(node, kind, e->j + 1) > e->to;
	e->stand = e->i + e->front;
	if (!entry)
		return join_gaps(e, mas, kind) && fits(e, mas, kind);
	return !fills_run(e, mas, kind) && fits(e, mas, kind);
}

smr_inline bool plan_erase(enum smr_kind kind, struct smr_edit *e, const struct ma_state *mas)
{
	e->i = e->j = (unsigned int)mas->offset;
	e->front = e->behind = false;
	return amid(e, mas) && join_gaps(e, mas, kind) && fits(e, mas, kind);
}

/*
 * A transaction copies leaves that are not its own with all that is above them: that is more than
 * an edit. So is to put the pieces of joined ranges together.
 */
smr_inline bool may_edit(const struct ma_state *mas)
{
	return smr_likely(!mas->tree->ma_txn || smr_editable(mas->tree, mas->node)) &&
	       smr_likely(!smr_has_joined(mas->node));
}

bool smr_edit_store(struct smr_edit *e, const struct ma_state *mas, unsigned long first,
		    unsigned long last, const void *entry)
{
	if (!may_edit(mas))
		return false;
	return SMR_FOR_LEAF(mas->node, plan_store, e, mas, first, last, entry);
}

bool smr_edit_erase(struct smr_edit *e, const struct ma_state *mas)
{
	if (!may_edit(mas))
		return false;
	return SMR_FOR_LEAF(mas->node, plan_erase, e, mas);
}

/* ---- Gap figures: what smr_update_gaps() does for any store ---- */

/* To be called before the leaf changes. */
smr_inline void update_gaps(const struct smr_edit *e, struct ma_state *mas, enum smr_kind kind,
			    const void *entry)
{
	struct smr_node *node = smr_kind_node(mas->node, kind);
	void *const *slots = smr_kind_slots(node, kind);
	unsigned long begin, last;
	unsigned int d = mas->depth;
	uint32_t before, figure;

	if (!smr_tracks_gaps(mas->tree) || d == 0) /* nobody keeps the figure of the top */
		return;
	if (!entry) {
		smr_raise_gap(mas->path, mas->slot, d, smr_gap_figure(e->last - e->first));
		return;
	}
	before = *smr_kept_gap(mas->path, mas->slot, d);
	if (before == 0 || (e->i == e->j && slots[e->i]))
		return;
	begin = first_of(mas, kind, slots[e->i] ? e->i : smr_run_from(slots, e->i));
	last = last_of(mas, kind, slots[e->j] ? e->j : smr_run_to(slots, e->j, mas->end));
	if (smr_gap_figure(last - begin) < before)
		return;
	figure = smr_gap_beside(mas->node, mas->min, mas->max, e->i, e->j);
	if (e->front && !slots[e->i])
		figure = smr_gap_larger(figure, smr_gap_figure(e->first - 1 - begin));
	if (e->behind && !slots[e->j])
		figure = smr_gap_larger(figure, smr_gap_figure(last - 1 - e->last));
	if (figure != before)
		smr_set_gap(mas->path, mas->slot, d, figure);
}

/* ---- The edit ---- */

/* Puts @leaf in the place of the cursor's, which is retired. */
smr_inline void replace(struct ma_state *mas, void *leaf)
{
	struct maple_tree *mt = mas->tree;
	struct smr_node *old = smr_node_of(mas->node);
	struct smr_nodes one = { old, 1 };
	unsigned int d = mas->depth;

	smr_node_of(leaf)->txn = 0;
	smr_mark_dead(old);
	smr_publish(d ? smr_slots(mas->path[d - 1]) + mas->slot[d - 1] : &mt->ma_root, leaf);
	smr_advance(mt);
	mas->path[d] = leaf;
	mt->ma_nodes_retired++;
	if (smr_unlikely(mas->mas_flags & SMR_MAS_CREDIT))
		smr_cursor_keep(mas, &one);
	else
		smr_mem_retire_one(smr_mem_of(mt), (enum mt_rcu_flavor)mt->ma_rcu, old);
}

/* Makes @to, which may be @from, what the leaf becomes. */
smr_inline void build(const struct smr_edit *e, struct smr_node *to, struct smr_node *from,
		      enum smr_kind kind, void *entry)
{
	unsigned int x = e->i + e->front;

	smr_shift(to, from, kind, x + e->behind, e->j);
	set_bound(to, kind, x, e->from);
	set_bound(to, kind, x + 1, e->to);
	smr_kind_slots(to, kind)[x] = entry;
}

smr_inline void commit(enum smr_kind kind, const struct smr_edit *e, struct ma_state *mas,
		       void *entry)
{
	struct smr_node *old = smr_kind_node(mas->node, kind), *node;

	mas->index = e->first;
	mas->last = e->last;
	mas->status = ma_active;
	mas->offset = e->stand;
	mas->slot[mas->depth] = (unsigned char)e->stand;
	if (e->nodes) {
		node = smr_own_node(mas);
		build(e, node, old, kind, entry);
		update_gaps(e, mas, kind, entry);
		replace(mas, smr_enode_make(node, kind));
		smr_cursor_on(mas, smr_enode_make(node, kind), e->ranges);
	} else if (e->swap) {
		if (!entry)
			smr_mark_pieces(old);
		update_gaps(e, mas, kind, entry);
		smr_publish(smr_kind_slots(old, kind) + e->i, entry);
		return;
	} else {
		update_gaps(e, mas, kind, entry);
		build(e, old, old, kind, entry);
		smr_advance(mas->tree);
		smr_cursor_on(mas, smr_enode_make(old, kind), e->ranges);
	}
	mas->seq = mas->tree->ma_seq;
}

void smr_edit_commit(const struct smr_edit *e, struct ma_state *mas, void *entry)
{
	SMR_FOR_LEAF(mas->node, commit, e, mas, entry);
}

smr_inline bool within(enum smr_kind kind, struct ma_state *mas, unsigned long first,
		       unsigned long last, void *entry)
{
	struct smr_edit e;

	if (!plan_store(kind, &e, mas, first, last, entry))
		return false;
	if (entry)
		mas->tree->ma_newest = first;
	commit(kind, &e, mas, entry);
	return true;
}

bool smr_edit_within(struct ma_state *mas, unsigned long first, unsigned long last, void *entry)
{
	if (!smr_editable(mas->tree, mas->node) || smr_has_joined(mas->node))
		return false;
	return SMR_FOR_LEAF(mas->node, within, mas, first, last, entry);
}
