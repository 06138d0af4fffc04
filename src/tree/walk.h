/* SPDX-License-Identifier: MIT */
/*
 * Paths from the top of a tree to a leaf, and moving a cursor by them. There are no parent
 * pointers: a cursor keeps the nodes and slots it came down through, the top at depth 0, its leaf
 * at mas->depth. Bounds never change in a node, so a path is valid as long as its nodes are in the
 * tree; smr_path_fresh() checks that.
 */
#ifndef SMR_TREE_WALK_H
#define SMR_TREE_WALK_H

#include "tree/run.h"
#include "tree/search.h"

struct smr_path {
	unsigned int depth;
	void *node[MT_PATH_MAX];
	unsigned char slot[MT_PATH_MAX];
};

/* Return the first and the last key of the node at depth @d of a path. */
smr_inline unsigned long smr_path_min(void *const *node, const unsigned char *slot, unsigned int d)
{
	for (; d > 0; d--)
		if (slot[d - 1] > 0)
			return smr_child_start(node[d - 1], slot[d - 1]);
	return 0;
}

smr_inline unsigned long smr_path_max(void *const *node, const unsigned char *slot, unsigned int d)
{
	for (; d > 0; d--)
		if (slot[d - 1] + 1u < smr_count(node[d - 1]))
			return smr_child_start(node[d - 1], slot[d - 1] + 1u) - 1;
	return ULONG_MAX;
}

/* Gets both. For most nodes, only the parent is looked at. */
smr_inline void smr_path_limits(void *const *node, const unsigned char *slot, unsigned int d,
				unsigned long *min, unsigned long *max)
{
	const void *above = d ? node[d - 1] : NULL;
	unsigned int i = d ? slot[d - 1] : 0;

	if (smr_likely(i > 0 && i + 1 < smr_count(above))) {
		*min = smr_child_start(above, i);
		*max = smr_child_start(above, i + 1) - 1;
	} else {
		*min = smr_path_min(node, slot, d);
		*max = smr_path_max(node, slot, d);
	}
}

/* Return the first and the last key of range @i of a leaf with keys [min..max]. */
smr_inline unsigned long smr_leaf_first(const void *leaf, unsigned int i, unsigned long min)
{
	return i ? smr_start(leaf, i) : min;
}

smr_inline unsigned long smr_leaf_last(const void *leaf, unsigned int i, unsigned int end,
				       unsigned long max)
{
	return i < end ? smr_start(leaf, i + 1) - 1 : max;
}

/*
 * Puts the cursor on @leaf, which has @count ranges, and sets what the header's inlines read: end,
 * and reach, which is how far they may go: nowhere, if the lock checker has to see each step.
 */
smr_inline void smr_cursor_on(struct ma_state *mas, void *leaf, unsigned int count)
{
	mas->node = leaf;
	mas->end = (unsigned char)(count - 1);
#ifdef SMR_LOCKCHECK
	mas->reach = 0;
#else
	mas->reach = mas->end;
#endif
}

smr_inline void smr_cursor_off(struct ma_state *mas)
{
	mas->node = NULL;
	mas->reach = 0;
}

/*
 * Whether the cursor stands in a leaf. The node alone does not tell: it is an errno after an error,
 * and stays as it was when a user assigns the status.
 */
smr_inline bool smr_stands(const struct ma_state *mas)
{
	const unsigned int standing = 1u << ma_active | 1u << ma_overflow | 1u << ma_underflow;

	return mas->node && standing >> mas->status & 1;
}

/*
 * Brings the cursor to the leaf and offset of @key: node, path, min, max, offset, end, seq. Leaves
 * index, last and status alone. Returns false if the tree has no nodes; *@root is then what it has
 * instead. CONTEXT: HOLDS tree lock or read section. ALLOC no. SLEEP no.
 */
bool smr_walk(struct ma_state *mas, unsigned long key, void **root);

/*
 * smr_walk() that searches only the cursor's leaf if that is still valid and has @key, as when a
 * caller erases in a loop. CONTEXT: HOLDS tree lock. ALLOC no. SLEEP no.
 */
bool smr_walk_from(struct ma_state *mas, unsigned long key, void **root);

/*
 * Brings the cursor to the range of @key, from its place if that is fresh and not far. Returns
 * false if the tree has no nodes. CONTEXT: HOLDS tree lock.
 */
bool smr_walk_to(struct ma_state *mas, unsigned long key);

/* Fills a path with the way from @top, which is a node, to @key. Returns the leaf's depth. */
unsigned int smr_descend(void **node, unsigned char *slot, void *top, unsigned long key);

smr_inline void smr_path_to(struct smr_path *path, void *top, unsigned long key)
{
	path->depth = smr_descend(path->node, path->slot, top, key);
}

/* Puts a new cursor at the end of @path, which has just been found. CONTEXT: HOLDS tree lock. */
void smr_cursor_follow(struct ma_state *mas, const struct smr_path *path);
/* The same if the cursor's min and max are the leaf's already. */
void smr_cursor_take(struct ma_state *mas, const struct smr_path *path);

/* Return the first and the last key of the piece that the cursor stands on. */
smr_inline unsigned long smr_piece_first(const struct ma_state *mas)
{
	return smr_leaf_first(mas->node, (unsigned int)mas->offset, mas->min);
}

smr_inline unsigned long smr_piece_last(const struct ma_state *mas)
{
	return smr_leaf_last(mas->node, (unsigned int)mas->offset, mas->end, mas->max);
}

/*
 * Move the cursor from the last (first) range of its leaf to the following (preceding) range. The
 * cursor's range must end below @max (begin above @min), so the range moved to begins at @max or
 * below (ends at @min or above). A lock-free reader may also be moved to a range that has replaced
 * the cursor's, if it has an entry and begins at @from or above (ends at @to or below). Return
 * false if there is no such range, or, for a reader, none any more; the cursor is then on the range
 * that has the last (first) key of that leaf, or in no leaf if the tree has lost its nodes.
 */
bool smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max);
bool smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min);

smr_inline bool smr_node_dead(const void *enode)
{
	return smr_load(&smr_node_of(enode)->dead, RELAXED) & SMR_DEAD;
}

/*
 * Returns the leaf after the cursor's, or NULL if it has another parent or the parent was replaced.
 */
smr_inline void *smr_next_leaf(const struct ma_state *mas)
{
	unsigned int d = mas->depth, next;
	const void *inner;

	if (d == 0)
		return NULL;
	inner = mas->path[d - 1];
	next = mas->slot[d - 1] + 1u;
	if (next >= smr_count(inner) || smr_node_dead(inner))
		return NULL;
	return smr_slot_read(smr_slots(inner) + next);
}

/* Prefetches that leaf. */
smr_inline void smr_prefetch_next_leaf(const struct ma_state *mas)
{
	const void *leaf = smr_next_leaf(mas);

	if (leaf)
		smr_prefetch_node(leaf);
}

/* How many leaves ahead an iteration prefetches nodes. */
#define SMR_AHEAD 3

void smri_prefetch_sibling(const struct ma_state *mas, unsigned int d, unsigned int i);

/*
 * Prefetches what an iteration will soon reach: child @i of the inner node at depth @d of the path,
 * or, past the last child, first the inner node's next sibling, then the children of that.
 */
smr_inline void smr_prefetch_ahead(const struct ma_state *mas, unsigned int d, unsigned int i)
{
	const void *inner = mas->path[d];
	unsigned int count = smr_count(inner);

	if (smr_likely(i < count))
		smr_prefetch_node(smr_slot_read(smr_slots(inner) + i));
	else
		smri_prefetch_sibling(mas, d, i - count);
}

/*
 * Moves the cursor to the first range of @leaf, which smr_next_leaf() has returned. Prefetches
 * last: requested before this leaf's lines, what lies ahead would delay them.
 */
smr_inline void smr_leaf_enter(struct ma_state *mas, void *leaf, bool ahead)
{
	unsigned int d = mas->depth, next = mas->slot[d - 1] + 1u;
	const void *inner = mas->path[d - 1];

	mas->slot[d - 1] = (unsigned char)next;
	mas->path[d] = leaf;
	mas->slot[d] = 0;
	mas->offset = 0;
	smr_cursor_on(mas, leaf, smr_count(leaf));
	mas->min = mas->max + 1;
	mas->max = ahead || next + 1 < smr_count(inner) ? smr_child_start(inner, next + 1) - 1
							: smr_path_max(mas->path, mas->slot, d - 1);
	if (ahead)
		smr_prefetch_node(smr_slot_read(smr_slots(inner) + next + SMR_AHEAD));
	else
		smr_prefetch_ahead(mas, d - 1, next + SMR_AHEAD);
}

/* Sets offset, index and last for the range, or gap, in pieces [from..to] of the cursor's leaf. */
smr_inline void smr_stand_on(struct ma_state *mas, unsigned int from, unsigned int to)
{
	mas->offset = to;
	mas->index = smr_leaf_first(mas->node, from, mas->min);
	mas->last = smr_leaf_last(mas->node, to, mas->end, mas->max);
}

/* Puts the cursor on the range, or the gap, that its offset is in, and returns the entry. */
smr_inline void *smr_range_here(struct ma_state *mas)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int from = (unsigned int)mas->offset, to;
	void *entry = smr_read_range(slots, from, mas->end, &to);

	while (smr_is_joined(entry))
		entry = smr_read_range(slots, --from, mas->end, &to);
	if (entry)
		smr_stand_on(mas, from, to);
	else
		smr_stand_on(mas, smr_run_from(slots, from), smr_run_to(slots, to, mas->end));
	return entry;
}

/*
 * Whether the cursor's position is still part of the tree. An unchanged change counter says so, if
 * the leaf is not dead: a lock-free reader may see the counter change late.
 */
smr_inline bool smr_path_fresh(const struct ma_state *mas)
{
	return mas->node && mas->seq == smr_load(&mas->tree->ma_seq, RELAXED) &&
	       !smr_node_dead(mas->node);
}

bool smri_path_revalidate(struct ma_state *mas);

/*
 * The same for a cursor that is to go on from here. Under the lock no more than that may be looked
 * at, for the nodes may be gone. A lock-free reader, whose read-side critical section keeps them,
 * goes by their dead marks: the counter changes with every write anywhere in the tree.
 */
smr_inline bool smr_path_revalidate(struct ma_state *mas)
{
	return smr_likely(smr_path_fresh(mas)) || (mas->node && smri_path_revalidate(mas));
}

#endif
