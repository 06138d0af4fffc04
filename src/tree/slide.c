/* SPDX-License-Identifier: MIT */
/*
 * Slides: NULL stores that merge gaps of two leaves, which stay two leaves. A gap lies in one leaf,
 * so ranges move from one leaf to the other. Both leaves and their parent, which has the key where
 * they meet, keep their encoding: each is copied, or changed in place if it may be. To deal both
 * out anew, as plan.c does, takes several times as long.
 *
 * Most slides are over one entry that its leaf begins or ends with, where the adjoining leaf ends
 * or begins with a gap: in a tree of small mappings one erase in twenty is of this kind. That gap
 * comes over as one piece, so the erased range and the gaps next to it form a run (run.h), and
 * storing the same range again changes one slot. Others are over several ranges, to the end of a
 * leaf and beyond: then the first leaf ends with one gap.
 */
#include "tree/gap.h"
#include "tree/splice.h"
#include "tree/write.h"

/* ---- Planning ---- */

/*
 * Returns true if the parent of the cursor's leaf may change: in a transaction only if it is the
 * transaction's own, for otherwise all nodes above it would have to be copied, too.
 */
smr_inline bool can_change_parent(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;

	return mas->depth > 0 && smr_can_publish(w, mas->path, mas->depth);
}

/* Makes the plan a slide, with a node for each of the three that must not be changed in place. */
static void plan_nodes(struct smr_write *w, const void *from)
{
	const struct ma_state *mas = w->mas;

	w->form = SMR_SLIDE;
	w->nodes = !smr_editable(w->mt, mas->path[mas->depth - 1]) +
		   !smr_editable(w->mt, mas->node) + !smr_editable(w->mt, from);
}

/* The slot in the parent of the leaf next to the cursor's: beyond its children if there is none. */
smr_inline unsigned int sibling_slot(const struct ma_state *mas, bool right)
{
	return mas->slot[mas->depth - 1] + (right ? 1u : -1u);
}

/* Returns true if the store ends in the leaf after the cursor's, and both have the same parent. */
static bool are_siblings(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth - 1;

	return w->right.node[d] == mas->path[d] && w->right.slot[d] == sibling_slot(mas, true);
}

/*
 * Returns true if, of ranges [@i..@j] of the cursor's leaf, the store takes all of one entry, which
 * is the leaf's first range or (*@at_end) its last, and otherwise nothing but gaps.
 */
static bool erases_end(const struct smr_write *w, unsigned int i, unsigned int j, bool *at_end)
{
	const struct ma_state *mas = w->mas;
	void *const *slots = smr_slots(mas->node);

	if (smr_has_joined(mas->node))
		return false;
	while (i < j && !slots[i])
		i++;
	while (i < j && !slots[j])
		j--;
	*at_end = i > 0;
	return i == j && i == (*at_end ? mas->end : 0) && slots[i] &&
	       smr_leaf_first(mas->node, i, mas->min) >= w->first &&
	       smr_leaf_last(mas->node, i, mas->end, mas->max) <= w->last;
}

/* The same for a store that goes on into the next leaf; @moved if the cursor has moved there. */
static bool erases_end_across(const struct smr_write *w, bool moved, bool *at_end)
{
	void *const *right = smr_slots(w->right.node[w->mas->depth]);

	if (moved)
		return erases_end(w, 0, w->j, at_end) && !*at_end;
	return erases_end(w, w->i, w->mas->end, at_end) && *at_end && !right[w->j] &&
	       smr_run_from(right, w->j) == 0;
}

/* In how many pieces the gap is that @leaf begins (@front) or ends with: 0 if there is none. */
static unsigned int pieces_at(const void *leaf, bool front)
{
	void *const *slots = smr_slots(leaf);
	unsigned int end = smr_count(leaf) - 1;

	if (slots[front ? 0 : end])
		return 0;
	return front ? smr_run_to(slots, 0, end) + 1 : end - smr_run_from(slots, end) + 1;
}

/* Returns true if the result can be written in the three nodes without changing their encodings. */
static bool can_slide(const struct ma_state *mas, const struct smr_slide *s)
{
	const void *leaf = mas->node;

	if (!smr_can_start(mas->path[mas->depth - 1], s->separator))
		return false;
	if (s->from_right)
		return smr_can_start(leaf, mas->max + 1) &&
		       smr_can_hold(leaf, mas->min, s->separator - 1);
	return smr_can_start(leaf, mas->min) && smr_can_hold(leaf, s->separator, mas->max);
}

/*
 * The cursor's leaf begins or ends with an entry, with a gap of @near pieces next to it. Returns
 * true if the gap of @from may come over, too, and sets s->lost_ranges to its pieces, and
 * s->separator.
 */
static bool find_separator(const struct smr_write *w, struct smr_slide *s, const void *from,
			   unsigned int near)
{
	const struct ma_state *mas = w->mas;
	unsigned int count = smr_count(from);

	if (smr_has_joined(from))
		return false;
	smr_prefetch_node(from); /* all of it is copied, if anything is */
	s->lost_ranges = pieces_at(from, s->from_right);
	if (s->lost_ranges == 0 || count < SMR_LEAF_MIN + s->lost_ranges ||
	    near + 2 > smr_run_max(w->mt) ||
	    mas->end + 1u == smr_leaf_cap(smr_enode_kind(mas->node)))
		return false;
	smr_assert(near < mas->end); /* no leaf below another node is that small */
	s->separator = smr_start(from, s->from_right ? s->lost_ranges : count - s->lost_ranges);
	return can_slide(mas, s);
}

/*
 * With the cursor in the leaf of the entry, plans a slide that brings the gap there as part of a
 * run. Returns false if that is not possible.
 */
static bool plan_run(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	struct smr_slide *s = &w->slide;
	void *const *slots = smr_slots(mas->node);
	const void *parent = mas->path[mas->depth - 1], *from;
	unsigned int at = sibling_slot(mas, s->from_right), near;

	near = s->from_right ? mas->end - smr_run_from(slots, mas->end)
			     : smr_run_to(slots, 0, mas->end);
	if (at >= smr_count(parent))
		return false;
	from = smr_slots(parent)[at];
	if (!find_separator(w, s, from, near))
		return false;
	s->as_run = true;
	s->new_offset = s->from_right ? mas->end + 1u : near + 1;
	w->first = s->from_right ? smr_leaf_first(mas->node, mas->end - near, mas->min)
				 : s->separator;
	w->last = s->from_right ? s->separator - 1
				: smr_leaf_last(mas->node, near, mas->end, mas->max);
	plan_nodes(w, from);
	return true;
}

bool smr_plan_slide(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	void *const *slots = smr_slots(mas->node);
	bool moved, *at_end = &w->slide.from_right;

	if (!can_change_parent(w))
		return false;
	if (w->spans && !are_siblings(w))
		return false;
	moved = w->spans && !slots[w->i] && smr_run_to(slots, w->i, mas->end) == mas->end;
	if (moved)
		smr_range_up(mas, 0, ULONG_MAX);
	if ((w->spans ? erases_end_across(w, moved, at_end) : erases_end(w, w->i, w->j, at_end)) &&
	    plan_run(w))
		return true;
	if (moved)
		smr_range_down(mas, ULONG_MAX, 0); /* widening sets the offset */
	return false;
}

bool smr_plan_slide_across(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	struct smr_slide *s = &w->slide;
	unsigned int d = mas->depth, x = w->i + (w->first > w->begin);
	const void *leaf = mas->node, *right = w->right.node[d];

	if (w->entry || smr_has_edges(w->edges) || !can_change_parent(w) || !are_siblings(w) ||
	    smr_has_joined(leaf) || smr_has_joined(right))
		return false;
	*s = (struct smr_slide){ .from_right = true, .separator = w->last + 1, .new_offset = x };
	s->lost_ranges = w->j + (w->last == w->end);
	if (x + 1 < SMR_LEAF_MIN || x == smr_leaf_cap(smr_enode_kind(leaf)) ||
	    smr_count(right) < SMR_LEAF_MIN + s->lost_ranges ||
	    !smr_can_start(mas->path[d - 1], s->separator) ||
	    !smr_can_hold(leaf, mas->min, w->last) || !smr_can_start(leaf, w->first))
		return false;
	plan_nodes(w, right);
	return true;
}

/* ---- The three nodes ---- */

/* Returns the enode to write what @enode becomes: @enode itself, or a node that the cursor owns. */
static void *target_of(const struct smr_write *w, void *enode)
{
	struct smr_node *node;

	if (smr_editable(w->mt, enode))
		return enode;
	node = smr_pop_own_node(w->mas);
	return smr_enode_make(node, smr_enode_kind(enode));
}

static void copy(struct smr_node *to, const struct smr_node *from)
{
	if (to != from)
		smr_node_copy(to, from);
}

/* Writes the cursor's leaf, with the gap as its last range, into @leaf. */
static void end_with_gap(const struct smr_write *w, void *leaf)
{
	const struct ma_state *mas = w->mas;
	struct smr_node *node = smr_node_of(leaf);
	enum smr_kind kind = smr_enode_kind(leaf);
	unsigned int x = w->slide.new_offset;

	copy(node, smr_node_of(mas->node));
	smr_kind_set_start(node, node, kind, x, w->first);
	smr_bounds_pad(node, kind, x, mas->end);
	node->count = (uint8_t)(x + 1);
	node->txn = w->mt->ma_txn;
	smr_slots(leaf)[x] = NULL;
}

/* Writes the cursor's leaf, with the gap as a run, into @leaf. */
static void add_piece(const struct smr_write *w, void *leaf)
{
	const struct ma_state *mas = w->mas;
	struct smr_node *node = smr_node_of(leaf), *old = smr_node_of(mas->node);
	enum smr_kind kind = smr_enode_kind(leaf);
	unsigned int end = mas->end + 1u;
	void **slots = smr_slots(leaf);

	if (w->slide.from_right) {
		copy(node, old);
		node->count = (uint8_t)(end + 1);
		smr_kind_set_start(node, node, kind, end, mas->max + 1);
		slots[end - 1] = slots[end] = NULL;
	} else {
		smr_shift(node, old, kind, 1, 0);
		smr_kind_set_start(node, old, kind, 1, mas->min);
		slots[0] = slots[1] = NULL;
	}
	node->txn = w->mt->ma_txn;
	smr_mark_pieces(node);
}

/* Writes the leaf @from, without the ranges that it loses, into @leaf. */
static void remove_ranges(const struct smr_write *w, void *leaf, void *from)
{
	const struct smr_slide *s = &w->slide;
	struct smr_node *node = smr_node_of(leaf), *old = smr_node_of(from);
	enum smr_kind kind = smr_enode_kind(leaf);
	unsigned int count = old->count;

	if (s->from_right) {
		smr_shift(node, old, kind, 0, s->lost_ranges);
	} else {
		copy(node, old);
		node->count = (uint8_t)(count - s->lost_ranges);
		smr_bounds_pad(node, kind, node->count - 1u, count - 1);
	}
	node->txn = w->mt->ma_txn;
}

/* Writes the parent of both, except for gap figures, into @parent. */
static void write_parent(const struct smr_write *w, void *parent, void *leaf, void *from)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth - 1, at = mas->slot[d],
		     by = sibling_slot(mas, w->slide.from_right);
	struct smr_node *node = smr_node_of(parent), *old = smr_node_of(mas->path[d]);

	copy(node, old);
	node->mark = SMR_UNMARKED;
	node->txn = w->mt->ma_txn;
	smr_kind_set_start(node, node, smr_enode_kind(parent), at > by ? at : by,
			   w->slide.separator);
	smr_slots(parent)[at] = leaf;
	smr_slots(parent)[by] = from;
}

/* ---- Gap figures ---- */

/*
 * The gap figure of the leaf in slot @at of the parent without the ranges that it loses, worked out
 * from the leaf as it was.
 */
static uint32_t remaining_gap(const struct smr_write *w, unsigned int at)
{
	const struct ma_state *mas = w->mas;
	const struct smr_slide *s = &w->slide;
	unsigned int d = mas->depth - 1, i = 0;
	const void *parent = mas->path[d], *from = smr_slots(parent)[at];
	uint32_t figure = smr_gaps(parent)[at];
	unsigned long min, max,
		length = s->from_right ? s->separator - mas->max - 1 : mas->min - s->separator;

	if (s->lost_ranges == 0 || smr_gap_figure(length - 1) < figure)
		return figure;
	min = smr_leaf_first(parent, at, smr_path_min(mas->path, mas->slot, d));
	max = smr_leaf_last(parent, at, smr_count(parent) - 1,
			    smr_path_max(mas->path, mas->slot, d));
	if (!s->from_right)
		i = smr_count(from) - s->lost_ranges;
	return smr_gap_beside(from, min, max, i, i + s->lost_ranges - 1);
}

/*
 * Sets the gap figures in the parent and above; must be called before the cursor's path changes.
 * @stays: the figure of the leaf that loses ranges.
 */
static void set_figures(const struct smr_write *w, void *parent, uint32_t stays)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth - 1;
	uint32_t *gap = smr_gaps(parent), *grown = &gap[mas->slot[d]];

	*grown = smr_gap_larger(*grown, smr_gap_figure(w->last - w->first));
	gap[sibling_slot(mas, w->slide.from_right)] = stays;
	if (d > 0)
		smr_set_gap(mas->path, mas->slot, d, smr_gap_inner(parent));
}

/* ---- The commit ---- */

/* Puts up to three new nodes in the place of the old; the first leads to the other two. */
static void swap_nodes(const struct smr_write *w, void *const *old, void *const *new)
{
	struct ma_state *mas = w->mas;
	struct maple_tree *mt = w->mt;
	struct smr_nodes dropped = { NULL, 0 };
	unsigned int d = mas->depth - 1;

	for (unsigned int i = 0; i < 3; i++) {
		if (new[i] == old[i])
			continue;
		smr_count_node(mt, new[i], 1);
		smr_drop_node(mt, old[i], &dropped);
	}
	smr_publish(d ? smr_slots(mas->path[d - 1]) + mas->slot[d - 1] : &mt->ma_root, new[0]);
	smr_advance_seq(mt);
	smr_free_dropped(mt, mas, &dropped);
}

/* Puts the cursor on the gap, in the leaf that now has it. */
static void place_cursor(const struct smr_write *w, void *parent, void *leaf)
{
	const struct smr_slide *s = &w->slide;
	struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;

	mas->path[d - 1] = parent;
	mas->path[d] = leaf;
	smr_cursor_on(mas, leaf, smr_count(leaf));
	mas->offset = mas->slot[d] = (unsigned char)s->new_offset;
	if (s->from_right)
		mas->max = s->separator - 1;
	else
		mas->min = s->separator;
	mas->seq = w->mt->ma_seq;
}

void smr_commit_slide(struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth - 1, by = sibling_slot(mas, w->slide.from_right);
	void *old[3] = { mas->path[d], mas->node, smr_slots(mas->path[d])[by] }, *new[3];
	bool tracks = smr_tracks_gaps(w->mt);
	uint32_t stays = tracks ? remaining_gap(w, by) : 0;

	for (unsigned int i = 0; i < 3; i++)
		new[i] = target_of(w, old[i]);
	write_parent(w, new[0], new[1], new[2]);
	if (w->slide.as_run)
		add_piece(w, new[1]);
	else
		end_with_gap(w, new[1]);
	remove_ranges(w, new[2], old[2]);
	if (tracks)
		set_figures(w, new[0], stays);
	swap_nodes(w, old, new);
	place_cursor(w, new[0], new[1]);
}
