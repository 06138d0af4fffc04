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
 * ORDER publish: everything the new value leads to has been written. PARTNER node.h, smr_slot_read() and
 * smr_root(). WITHOUT a reader follows an uninitialised node, or sees an object before its contents.
 */
static void publish(void **slot, void *value)
{
	smr_store(slot, value, ORDER(publish, release));
}

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
	publish(&mt->ma_root, root);
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

	if (d == 0)
		return false; /* nobody keeps the figure of the top */
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

	publish(slot, w->entry);
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

/*
 * Makes @to, a copy of @from, the new leaf: the old items [0, i), a left piece of i, the new range, a right piece
 * of j, and (j, end]. The offset of the new range.
 */
static unsigned int splice(struct smr_write *w, void *from, void *to)
{
	const struct smr_node *old = smr_node_of(from);
	struct smr_node *node = smr_node_of(to);
	enum smr_kind kind = smr_enode_kind(from);
	void **src = smr_slots(from), **dst = smr_slots(to);
	unsigned int i = w->i, j = w->j, count = old->count;
	unsigned int x = i + (w->first > w->begin);
	bool right_piece = w->last < w->end;
	unsigned int y = x + right_piece; /* the last new item */
	unsigned int rest = count - 1 - j;

	node->count = (uint8_t)(y + 1 + rest);
	dst[x] = w->entry;
	if (right_piece)
		dst[y] = src[j];
	memcpy(dst + y + 1, src + j + 1, rest * sizeof(void *));
	if (smr_kind_wide(kind)) {
		if (x > i)
			node->b64[i] = (int64_t)(w->first ^ SMR_WIDE_SIGN);
		if (right_piece)
			node->b64[x] = (int64_t)((w->last + 1) ^ SMR_WIDE_SIGN);
		memcpy(node->b64 + y, old->b64 + j, rest * sizeof(int64_t));
	} else {
		if (x > i)
			node->b32[i] = (int32_t)((w->first - old->base) >> old->shift);
		if (right_piece)
			node->b32[x] = (int32_t)((w->last + 1 - old->base) >> old->shift);
		memcpy(node->b32 + y, old->b32 + j, rest * sizeof(int32_t));
	}
	smr_bounds_pad(node, kind, node->count - 1u);
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
	_Alignas(MT_NODE_SIZE) struct smr_node before;
	void *leaf = w->mas->node;
	bool largest_went = smr_tracks_gaps(w->mt) && covers_largest(w);
	unsigned int x;

	copy_node(&before, smr_node_of(leaf));
	x = splice(w, smr_enode_make(&before, smr_enode_kind(leaf)), leaf);
	leaf_changed(w, leaf, x, largest_went);
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

	copy_node(node, smr_node_of(old));
	node->fresh = w->mt->ma_txn != 0;
	node->replaced = 0;
	smr_census(w->mt, leaf, 1);
	x = splice(w, old, leaf);
	smr_drop_node(w->mt, old, &dropped);
	publish(d ? smr_slots(mas->path[d - 1]) + mas->slot[d - 1] : &w->mt->ma_root, leaf);
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
		publish(&mt->ma_root, top->node[0]);
		set_height(mt, w->top + 1);
	} else {
		smr_drop_window(w, w->left.node[d], w->top, top->min, top->max, &dropped);
		publish(smr_slots(w->left.node[d - 1]) + w->left.slot[d - 1], top->node[0]);
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
