/* SPDX-License-Identifier: MIT */
/*
 * Publication. A change becomes visible by one release store, into the root or into the lowest slot that covers all
 * of it. A reader that has read that slot before goes on in the old nodes, one that reads it later in
 * the new ones; no reader sees a mixture, and none waits.
 *
 * Before that the old nodes are marked dead, so that a reader inside them who has met the new ones, by another look-up,
 * does not go on in the old: the marks are ordered by publish too. Until the new ones are there such a reader just
 * looks its place up again, and finds the old.
 *
 * Then the sequence number moves on, so that cursors under the lock look up their place again, and the old nodes are
 * retired, to be used again after a grace period, or at once in a tree that has no lock-free readers.
 */
#include "tree/gap.h"
#include "tree/write.h"

#include <string.h>

/*
 * ORDER seq: the new number comes after the new nodes. PARTNER walk.c, smr_walk(). WITHOUT a cursor takes the
 * number of nodes it has not seen.
 */
static void advance(struct maple_tree *mt)
{
	smr_store(&mt->ma_seq, mt->ma_seq + 1, ORDER(seq, release));
}

static void set_height(struct maple_tree *mt, unsigned int height)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK;

	smr_store(&mt->ma_flags, flags | height << MT_FLAGS_HEIGHT_OFFSET, RELAXED);
}

/* ---- The forms of a commit ---- */

void smr_replace_root(struct maple_tree *mt, void *root, unsigned int height)
{
	smr_publish(&mt->ma_root, root);
	set_height(mt, height);
	advance(mt);
}

/*
 * Brings the figures above a node at depth @d up to date; its own has become @figure. A node's own figure is the
 * largest of its children's, so it is looked for only where the largest has become smaller.
 */
static void raise_gap(void *const *node, const unsigned char *slot, unsigned int d, uint32_t figure)
{
	while (d-- > 0) {
		uint32_t *gap = &smr_gaps(node[d])[slot[d]];
		uint32_t before = *gap, own;

		if (before == figure)
			return;
		*gap = figure;
		if (d == 0)
			return;
		own = smr_gaps(node[d - 1])[slot[d - 1]];
		if (figure < own) {
			if (before < own)
				return;
			figure = smr_gap_inner(node[d]);
		}
	}
}

/*
 * The figure of the cursor's leaf, which has become @leaf by what @w did to it. It can only have fallen if one of
 * the gaps that went was the largest; only then are all looked at.
 */
static uint32_t new_figure(const struct smr_write *w, const void *leaf, bool largest_went)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;
	uint32_t before = d ? smr_gaps(mas->path[d - 1])[mas->slot[d - 1]] : 0;
	uint32_t made = w->entry ? 0 : smr_gap_figure(w->last - w->first);

	if (largest_went && made < before)
		return smr_gap_leaf(leaf, mas->min, mas->max);
	return made > before ? made : before;
}

/* Is one of the gaps in the leaf that the store covers, wholly or partly, the leaf's largest? */
static bool covers_largest(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;
	void *const *slots = smr_slots(mas->node);

	/* Nobody keeps the figure of the top; and a gap that is made is at least as large as those that go. */
	if (d == 0 || !w->entry)
		return false;
	for (unsigned int i = w->i; i <= w->j; i++) {
		unsigned long first = smr_leaf_first(mas->node, i, mas->min);
		unsigned long last = smr_leaf_last(mas->node, i, mas->end, mas->max);

		if (!slots[i] &&
		    smr_gap_figure(last - first) == smr_gaps(mas->path[d - 1])[mas->slot[d - 1]])
			return true;
	}
	return false;
}

static void commit_root(struct smr_write *w)
{
	smr_replace_tree(w->mt, w->entry);
}

static void commit_slot(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	void **slot = smr_slots(mas->node) + w->i;
	bool gaps = smr_tracks_gaps(w->mt);
	bool largest_went = gaps && covers_largest(w);

	smr_publish(slot, w->entry);
	if (gaps)
		raise_gap(mas->path, mas->slot, mas->depth, new_figure(w, mas->node, largest_went));
}

/* In lines: for a copy of this size the compiler would use a string instruction, which starts slowly. */
static void copy_node(struct smr_node *to, const struct smr_node *from)
{
	struct line {
		uint64_t word[8];
	};
	const struct line *src = (const struct line *)(const void *)from;
	struct line *dst = (struct line *)(void *)to;

	for (unsigned int i = 0; i < MT_NODE_SIZE / sizeof(struct line); i++)
		dst[i] = src[i];
}

/* Ranges begin where @w has it: the new one, at @x, if a left piece stays before it, and a right piece behind it. */
static void splice_bounds(const struct smr_write *w, struct smr_node *node, bool wide,
			  unsigned int x, bool right_piece)
{
	if (wide) {
		if (x > w->i)
			node->b64[w->i] = (int64_t)(w->first ^ SMR_WIDE_SIGN);
		if (right_piece)
			node->b64[x] = (int64_t)((w->last + 1) ^ SMR_WIDE_SIGN);
	} else {
		if (x > w->i)
			node->b32[w->i] = (int32_t)((w->first - node->base) >> node->shift);
		if (right_piece)
			node->b32[x] = (int32_t)((w->last + 1 - node->base) >> node->shift);
	}
}

/*
 * Makes @to, a copy of @from or the same, the new leaf: the old items [0, i), a left piece of i, the new range, a right
 * piece of j, and (j, end]. The offset of the new range.
 */
static unsigned int splice(const struct smr_write *w, void *from, void *to)
{
	const struct smr_node *old = smr_node_of(from);
	struct smr_node *node = smr_node_of(to);
	bool wide = smr_kind_wide(smr_enode_kind(from));
	void **src = smr_slots(from), **dst = smr_slots(to), *split = src[w->j];
	unsigned int j = w->j, count = old->count, rest = count - 1 - j;
	unsigned int x = w->i + (w->first > w->begin);
	bool right_piece = w->last < w->end;
	unsigned int y = x + right_piece; /* the last new item */

	memmove(dst + y + 1, src + j + 1, rest * sizeof(void *));
	dst[y] = split;
	dst[x] = w->entry;
	if (wide)
		memmove(node->b64 + y, old->b64 + j, rest * sizeof(int64_t));
	else
		memmove(node->b32 + y, old->b32 + j, rest * sizeof(int32_t));
	splice_bounds(w, node, wide, x, right_piece);
	node->count = (uint8_t)(y + 1 + rest);
	smr_bounds_pad(node, smr_enode_kind(from), node->count - 1u, count - 1);
	return x;
}

/* The cursor's leaf has become @leaf, with the new range at @x; @largest_went as for new_figure(). */
static void leaf_changed(struct smr_write *w, void *leaf, unsigned int x, bool largest_went)
{
	struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;

	advance(w->mt);
	if (smr_tracks_gaps(w->mt))
		raise_gap(mas->path, mas->slot, d, new_figure(w, leaf, largest_went));
	mas->node = mas->path[d] = leaf;
	mas->offset = mas->slot[d] = (unsigned char)x;
	mas->end = (unsigned char)(smr_count(leaf) - 1);
	mas->seq = w->mt->ma_seq;
}

static void commit_edit(struct smr_write *w)
{
	void *leaf = w->mas->node;
	bool largest_went = smr_tracks_gaps(w->mt) && covers_largest(w);

	leaf_changed(w, leaf, splice(w, leaf, leaf), largest_went);
}

/*
 * In a transaction: copies those above the cursor's leaf that are not the transaction's own yet. Nobody sees the slots
 * that lead to the copies. Below each all is as it was, so the copies are twins, by which txn.c finds its way.
 */
static void own_way(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	struct smr_nodes dropped = { NULL, 0 };
	void **above = &w->mt->ma_root;

	for (unsigned int d = 0; d < mas->depth; d++) {
		void *old = mas->path[d];

		if (!smr_editable(w->mt, old)) {
			struct smr_node *node = smr_own_node(mas);

			copy_node(node, smr_node_of(old));
			node->fresh = node->twin = 1;
			smr_drop_node(w->mt, old, &dropped);
			mas->path[d] = smr_enode_make(node, smr_enode_kind(old));
			smr_census(w->mt, mas->path[d], 1);
			smr_publish(above, mas->path[d]);
		}
		above = smr_slots(mas->path[d]) + mas->slot[d];
	}
}

static void commit_leaf(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	unsigned int d = mas->depth;
	void *old = mas->node;
	bool largest_went = smr_tracks_gaps(w->mt) && covers_largest(w);
	struct smr_nodes dropped = { NULL, 0 };
	struct smr_node *node = smr_own_node(mas);
	void *leaf = smr_enode_make(node, smr_enode_kind(old));
	unsigned int x;

	if (smr_unlikely(w->mt->ma_txn))
		own_way(w);
	copy_node(node, smr_node_of(old));
	node->fresh = w->mt->ma_txn != 0;
	smr_census(w->mt, leaf, 1);
	x = splice(w, old, leaf);
	smr_drop_node(w->mt, old, &dropped);
	smr_publish(d ? smr_slots(mas->path[d - 1]) + mas->slot[d - 1] : &w->mt->ma_root, leaf);
	leaf_changed(w, leaf, x, largest_went);
	smr_dispose(w->mt, mas, &dropped);
}

static void commit_subtree(struct smr_write *w)
{
	struct maple_tree *mt = w->mt;
	struct ma_state *mas = w->mas;
	const struct smr_level *top = &w->level[w->top];
	struct smr_nodes dropped = { NULL, 0 };
	unsigned int d = mas->depth - w->top;
	void *root;

	smr_build(w);
	if (w->to_root) {
		if (!w->compact)
			smr_drop_window(w, mt->ma_root, mas->depth, 0, ULONG_MAX, &dropped);
		smr_publish(&mt->ma_root, top->node[0]);
		set_height(mt, w->top + 1);
	} else {
		smr_drop_window(w, w->left.node[d], w->top, top->min, top->max, &dropped);
		smr_publish(smr_slots(w->left.node[d - 1]) + w->left.slot[d - 1], top->node[0]);
		if (smr_tracks_gaps(mt))
			raise_gap(w->left.node, w->left.slot, d, top->gap[0]);
	}
	advance(mt);
	smr_dispose(mt, mas, &dropped);
	smr_walk(mas, w->first, &root);
}

void smr_commit(struct smr_write *w)
{
	smr_assert(w->mas->alloc_nr >= w->nodes);
	w->mt->ma_nodes_built += w->nodes;
	switch (w->what) {
	case SMR_NOTHING:
		break;
	case SMR_ROOT:
		commit_root(w);
		break;
	case SMR_SLOT:
		commit_slot(w);
		break;
	case SMR_EDIT:
		commit_edit(w);
		break;
	case SMR_LEAF:
		commit_leaf(w);
		break;
	case SMR_SUBTREE:
		commit_subtree(w);
		break;
	}
}
