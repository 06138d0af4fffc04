/* SPDX-License-Identifier: MIT */
/*
 * Edits: stores that stay within one leaf, as most do, and take a shorter path than others
 * (write.h). NULL stores are edits only if they begin after the leaf's first range and end before
 * its last one: they may merge with a gap at an end of the leaf, but with none of a leaf next to
 * it. So no other leaf has to be looked at, at most one node is needed, what holders of credits are
 * owed stays the same, and everything can be compared in the encoding of the leaf's bounds.
 */
#ifndef SMR_TREE_EDIT_H
#define SMR_TREE_EDIT_H

#include "tree/run.h"
#include "tree/walk.h"

/* Ranges [i..j] of a leaf are replaced, but for keys before @first and after @last. */
struct smr_edit {
	unsigned int i, j;
	int64_t from_bound, to_bound; /* @first and @last + 1 as bounds of the leaf */
	unsigned long first, last;
	bool left_edge, right_edge; /* whether there are such keys: edges.h */
	unsigned int new_offset;    /* the cursor's, if there is one, afterwards */
	unsigned int ranges;        /* of the leaf afterwards, or that it would have: see below */
	bool slot_only;             /* only slot i changes */
	unsigned int nodes; /* needed: 0 if @slot_only, or if the leaf may be changed in place */
};

/*
 * Plans storing @entry over [@first..@last], with a cursor on the range of @first. Returns false if
 * it may be more than an edit. If that is only because the leaf would have too many ranges, or too
 * few, e->ranges is their number, and the rest of *@e is set, too, for share.c; otherwise e->ranges
 * is 0, provided that the caller has set it to 0. CONTEXT: HOLDS tree lock. ALLOC no.
 */
bool smr_edit_plan_store(struct smr_edit *e, const struct ma_state *mas, unsigned long first,
			 unsigned long last, const void *entry);

/* The same for NULL over the cursor's range; mas->index and mas->last are not looked at. */
bool smr_edit_plan_erase(struct smr_edit *e, const struct ma_state *mas);

/* Returns true if @e leaves nothing but NULL in the tree: the leaf, its top, would be too empty. */
smr_inline bool smr_edit_empties(const struct smr_edit *e, const void *entry)
{
	return !entry && e->ranges && e->first == 0 && e->last == ULONG_MAX;
}

/*
 * Carries out the edit, with the node at the head of mas->alloc if it needs one, and leaves the
 * cursor where a store does. CONTEXT: HOLDS tree lock.
 */
void smr_edit_commit(const struct smr_edit *e, struct ma_state *mas, void *entry);

/*
 * Plans and carries out an edit of a leaf that may be changed in place. Returns false, with nothing
 * changed, if that is not possible. CONTEXT: as smr_edit_commit().
 */
bool smr_edit_in_place(struct ma_state *mas, unsigned long first, unsigned long last, void *entry);

/* ---- Without a cursor ---- */

/*
 * For callers that need no cursor afterwards: to set one up would take a fourth of the time. First,
 * finds the path to @key. Returns false if the tree, as it is, cannot have such edits. CONTEXT:
 * HOLDS tree lock.
 */
bool smr_edit_find(const struct maple_tree *mt, unsigned long key, struct smr_path *path);

/* The same test for a @path that the caller has found; path->node[0] is what the root holds. */
bool smr_edit_found(const struct maple_tree *mt, const struct smr_path *path);

/*
 * Plans and makes an edit in the leaf that @path, to @first, ends in. If the leaf would become too
 * full or too empty and nobody has credits, shares with siblings (share.c), or empties the tree.
 * Holders of credits are owed nothing for it. Returns 0; -ENOMEM if too few nodes are free and @gfp
 * may not block; or -EAGAIN if too few are free and it may, or if the store may be more than that.
 * On error nothing has changed. With @free_only it overwrites nothing but a gap. CONTEXT: HOLDS
 * tree lock. ALLOC free nodes. SLEEP no.
 */
int smr_edit_range(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		   unsigned long last, void *entry, gfp_t gfp, bool free_only);

/*
 * The same for NULL over the range that @path leads to. *@former is what was there; if that is NULL
 * already, returns -EAGAIN.
 */
int smr_edit_remove(struct maple_tree *mt, const struct smr_path *path, void **former);

/*
 * smr_edit_range() on a credit and without sharing, with a node from the thread's magazine, or else
 * from the pledge. Returns -EAGAIN, with nothing changed, if it may be more than an edit; otherwise
 * how many nodes of the pledge it took. If one, the caller must retire the path's leaf, under the
 * same hold of the arena's lock under which that node is lent (mem/pledge.h). CONTEXT: HOLDS tree
 * lock. ALLOC no.
 */
int smr_edit_paid(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		  unsigned long last, void *entry);

#endif
