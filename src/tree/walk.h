/* SPDX-License-Identifier: MIT */
/*
 * Paths. There are no parent pointers: a cursor keeps the nodes and slots it came down through, the
 * top at depth 0, its leaf at mas->depth. Bounds never change in a node, so a path stays true as
 * long as its nodes are in the tree; smr_path_fresh() tells.
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

/* First and last key of the node at depth @d of a path. */
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

/* Both: of most nodes the one above knows them. */
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

/* First and last key of range @i of a leaf with keys [min..max]. */
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
 * Puts the cursor on @leaf, which has @count ranges, and says what the header's inlines want to
 * know of it, and how far they may go: nowhere where the checker wants to see each step.
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
 * Does the cursor stand in a leaf? Its status decides, which users may assign: its node is an errno
 * after an error, and what it was before they did.
 */
smr_inline bool smr_stands(const struct ma_state *mas)
{
	const unsigned int standing = 1u << ma_active | 1u << ma_overflow | 1u << ma_underflow;

	return mas->node && standing >> mas->status & 1;
}

/*
 * Brings the cursor to the leaf and offset of @key: node, path, min, max, offset, end, seq. Leaves
 * index, last and status alone. False when the tree has no nodes; then *@root is what it has
 * instead. CONTEXT: HOLDS tree lock or read section. ALLOC no. SLEEP no.
 */
bool smr_walk(struct ma_state *mas, unsigned long key, void **root);

/*
 * The same from wherever the cursor is, which may be nowhere any more: who erases in a loop stands
 * in the leaf. CONTEXT: HOLDS tree lock. ALLOC no. SLEEP no.
 */
bool smr_walk_anew(struct ma_state *mas, unsigned long key, void **root);

/*
 * Brings the cursor to the range of @key, from its place if that is fresh and not far. False: the
 * tree has no nodes. CONTEXT: HOLDS tree lock.
 */
bool smr_walk_to(struct ma_state *mas, unsigned long key);

/* Fills a path with the way from @top, which is a node, to @key; the leaf's depth. */
unsigned int smr_descend(void **node, unsigned char *slot, void *top, unsigned long key);

smr_inline void smr_path_to(struct smr_path *path, void *top, unsigned long key)
{
	path->depth = smr_descend(path->node, path->slot, top, key);
}

/* Puts a new cursor where @path, just found, leads. CONTEXT: HOLDS tree lock. */
void smr_cursor_follow(struct ma_state *mas, const struct smr_path *path);
/* The same where min and max are the leaf's already. */
void smr_cursor_take(struct ma_state *mas, const struct smr_path *path);

/* Where the piece that the cursor stands on begins and ends. */
smr_inline unsigned long smr_piece_first(const struct ma_state *mas)
{
	return smr_leaf_first(mas->node, (unsigned int)mas->offset, mas->min);
}

smr_inline unsigned long smr_piece_last(const struct ma_state *mas)
{
	return smr_leaf_last(mas->node, (unsigned int)mas->offset, mas->end, mas->max);
}

/*
 * Moves the cursor from the last (first) range of its leaf to the following (preceding) range,
 * which begins at @max or below (ends at @min or above), as that of the cursor does not reach
 * there. To a reader that may be one that has taken the place of the cursor's, if it is an entry's
 * and begins at @from or behind (ends at @to or in front). False: there is none, or, to a reader,
 * none any more; then the cursor is still on what has the last (first) key of that leaf, or
 * nowhere, if the tree has lost its nodes.
 */
bool smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max);
bool smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min);

smr_inline bool smr_node_dead(const void *enode)
{
	return smr_load(&smr_node_of(enode)->dead, RELAXED) & SMR_DEAD;
}

/* The leaf behind the cursor's, if they have one parent, which has not been replaced; or NULL. */
smr_inline void *smr_leaf_behind(const struct ma_state *mas)
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

/* Asks for that leaf. */
smr_inline void smr_prefetch_behind(const struct ma_state *mas)
{
	const void *leaf = smr_leaf_behind(mas);

	if (leaf)
		smr_prefetch_node(leaf);
}

/* How many leaves ahead an iteration asks for nodes. */
#define SMR_AHEAD 3

void smri_prefetch_beside(const struct ma_state *mas, unsigned int d, unsigned int i);

/*
 * Asks for what an iteration comes to soon: child @i of the inner node at depth @d of the path, or,
 * behind the last, first the node beside that one, then its children.
 */
smr_inline void smr_prefetch_ahead(const struct ma_state *mas, unsigned int d, unsigned int i)
{
	const void *inner = mas->path[d];
	unsigned int count = smr_count(inner);

	if (smr_likely(i < count))
		smr_prefetch_node(smr_slot_read(smr_slots(inner) + i));
	else
		smri_prefetch_beside(mas, d, i - count);
}

/*
 * Moves the cursor to the first range of @leaf, which smr_leaf_behind() has given. What lies ahead
 * is asked for last: in front of this leaf's lines, it would keep them waiting.
 */
smr_inline void smr_leaf_enter(struct ma_state *mas, void *leaf, bool amid)
{
	unsigned int d = mas->depth, next = mas->slot[d - 1] + 1u;
	const void *inner = mas->path[d - 1];

	mas->slot[d - 1] = (unsigned char)next;
	mas->path[d] = leaf;
	mas->slot[d] = 0;
	mas->offset = 0;
	smr_cursor_on(mas, leaf, smr_count(leaf));
	mas->min = mas->max + 1;
	mas->max = amid || next + 1 < smr_count(inner) ? smr_child_start(inner, next + 1) - 1
						       : smr_path_max(mas->path, mas->slot, d - 1);
	if (amid)
		smr_prefetch_node(smr_slot_read(smr_slots(inner) + next + SMR_AHEAD));
	else
		smr_prefetch_ahead(mas, d - 1, next + SMR_AHEAD);
}

/* The cursor is on the range, or gap, that is pieces [from..to] of its leaf. */
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
 * Is the cursor's position still one of the tree's? An unchanged sequence number says so, if the
 * leaf is not dead: to a reader the number may come late.
 */
smr_inline bool smr_path_fresh(const struct ma_state *mas)
{
	return mas->node && mas->seq == smr_load(&mas->tree->ma_seq, RELAXED) &&
	       !smr_node_dead(mas->node);
}

bool smri_path_renew(struct ma_state *mas);

/*
 * The same for a cursor that is to go on from here. Under the lock nothing else may be looked at,
 * for the nodes may be gone. A reader, whose read section keeps them, goes by the marks in them:
 * the number changes with every write anywhere.
 */
smr_inline bool smr_path_hold(struct ma_state *mas)
{
	return smr_likely(smr_path_fresh(mas)) || (mas->node && smri_path_renew(mas));
}

#endif
