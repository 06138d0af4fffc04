/* SPDX-License-Identifier: MIT */
/*
 * Most stores, by a shorter way than that of any store (write.h): those that stay within one leaf.
 * Of NULL only those that meet neither its first nor its last range, unless that is a gap: else one
 * of the leaf beside it would join in. Then no other leaf has to be looked at, one node is needed
 * at most, what holders of credits are owed stays the same, and all can be compared as bounds are.
 */
#ifndef SMR_TREE_EDIT_H
#define SMR_TREE_EDIT_H

#include "tree/run.h"
#include "tree/walk.h"

/*
 * Ranges [i..j] of the cursor's leaf go, but for what they have in front of @from and from @to on.
 */
struct smr_edit {
	unsigned int i, j;
	int64_t from, to;          /* as the leaf's bounds are written */
	unsigned long first, last; /* the same as keys */
	bool front, behind;        /* is that anything? */
	unsigned int stand;        /* the cursor's offset then */
	unsigned int ranges;       /* that the leaf has then, or would have: see below */
	bool swap;                 /* all that changes is slot i */
	unsigned int nodes; /* needed: 0 where that is so, or the leaf may be changed in place */
};

/*
 * Works out what storing @entry over [@first..@last] comes to, with a cursor on the range of
 * @first. False: perhaps it is more than an edit. If that is only because the leaf would have too
 * many ranges, or too few, e->ranges says how many, and all else in *@e is set, too, for share.c;
 * otherwise e->ranges is 0, if the caller has set it so before. CONTEXT: HOLDS tree lock. ALLOC no.
 */
bool smr_edit_store(struct smr_edit *e, const struct ma_state *mas, unsigned long first,
		    unsigned long last, const void *entry);

/* The same for NULL over the cursor's range, of which first and last are not looked at. */
bool smr_edit_erase(struct smr_edit *e, const struct ma_state *mas);

/* Is nothing left of the tree then but NULL? The leaf, its top, would be too empty. */
smr_inline bool smr_edit_empties(const struct smr_edit *e, const void *entry)
{
	return !entry && e->ranges && e->first == 0 && e->last == ULONG_MAX;
}

/*
 * Does it, with the node at the head of mas->alloc if it takes one, and leaves the cursor where a
 * store does. CONTEXT: HOLDS tree lock.
 */
void smr_edit_commit(const struct smr_edit *e, struct ma_state *mas, void *entry);

/*
 * Both at once, where the leaf may be changed in place. False: nothing has changed. CONTEXT: as
 * these.
 */
bool smr_edit_within(struct ma_state *mas, unsigned long first, unsigned long last, void *entry);

/* ---- Without a cursor ---- */

/*
 * For those who need none afterwards, and would spend a fourth of the time on having one. First,
 * the way to @key; false if such edits are not for the tree as it is. CONTEXT: HOLDS tree lock.
 */
bool smr_edit_find(const struct maple_tree *mt, unsigned long key, struct smr_path *path);

/* Are they, where somebody else has found it, from path->node[0] on, which is what the tree has? */
bool smr_edit_found(const struct maple_tree *mt, const struct smr_path *path);

/*
 * An edit from beginning to end, in the leaf that @path, to @first, ends in; or, where that would
 * be too full or too empty and nobody has credits, in it and a sibling (share.c), or of all there
 * is. Holders of credits are owed nothing for it. 0; -ENOMEM, if @gfp may not block; or -EAGAIN:
 * perhaps it is more than that, or too few nodes are free. On error nothing has changed. With
 * @free_only nothing but a gap is written over. CONTEXT: HOLDS tree lock. ALLOC free nodes. SLEEP
 * no.
 */
int smr_edit_range(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		   unsigned long last, void *entry, gfp_t gfp, bool free_only);

/* The same of NULL over the range that the path leads to, and what was there. */
int smr_edit_remove(struct maple_tree *mt, const struct smr_path *path, void **former);

/*
 * smr_edit_range() on a credit, with a node of the thread's magazine, or else of the pledge.
 * -EAGAIN: perhaps it is more than an edit, and nothing has changed; or how many nodes of the
 * pledge it took: where that is one, the path's leaf is left for the caller to retire, under the
 * same hold of the arena's lock as it is lent (mem/pledge.h). CONTEXT: HOLDS tree lock. ALLOC no.
 */
int smr_edit_paid(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		  unsigned long last, void *entry);

#endif
