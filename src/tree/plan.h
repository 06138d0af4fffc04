/* SPDX-License-Identifier: MIT */
/*
 * Planning and committing (write.h). Most plans are edits, short enough for the inline functions
 * here; all others are left to plan.c and publish.c.
 */
#ifndef SMR_TREE_PLAN_H
#define SMR_TREE_PLAN_H

#include "tree/check.h"
#include "tree/pledge.h"
#include "tree/write.h"

#include <errno.h>

/*
 * Plan a store in a tree without nodes, and one that is more than an edit, with the cursor in the
 * range of w->first.
 */
int smri_plan_compact(struct smr_write *w, bool free_only);
int smri_plan_slow(struct smr_write *w, bool free_only);
/* Plans a store with edges, which an edit cannot have. */
void smri_plan_edges(struct smr_write *w, struct ma_state *mas, void *entry,
		     struct smr_edges edges);

smr_inline void smri_plan_begin(struct smr_write *w, struct ma_state *mas, void *entry)
{
	smr_check_write(mas->tree);
	smr_assert(!smr_txn_is_open(mas->tree)); /* a view's never is */
	w->mas = mas;
	w->mt = mas->tree;
	w->entry = entry;
	w->edges = SMR_NO_EDGES;
	w->nodes = 0;
	w->pledge = 0;
	w->compact = false;
	w->edit.ranges = 0; /* none is planned */
}

/* Makes w->edit the plan. */
smr_inline void smri_plan_edit(struct smr_write *w)
{
	w->form = SMR_EDIT;
	w->nodes = w->edit.nodes;
	w->first = w->edit.first;
	w->last = w->edit.last;
}

smr_inline int smri_plan(struct smr_write *w, struct ma_state *mas, unsigned long first,
			 unsigned long last, void *entry, bool free_only)
{
	smri_plan_begin(w, mas, entry);
	w->first = first;
	w->last = last;
	if (smr_unlikely(!smr_walk_to(mas, first)))
		return smri_plan_compact(w, free_only);
	w->former = smr_slots(mas->node)[mas->offset];
	if (smr_unlikely(!smr_edit_plan_store(&w->edit, mas, first, last, entry)) ||
	    (free_only && !smr_is_gap(smr_slots(mas->node), w->edit.i, w->edit.j)))
		return smri_plan_slow(w, free_only);
	smri_plan_edit(w);
	return 0;
}

/* Works out what the store owes holders of credits. */
smr_inline void smri_plan_pledge(struct smr_write *w)
{
	if (smr_has_credits(w->mt))
		w->pledge = smr_pledge_shortfall(w);
}

/*
 * Plans storing @entry over [first..last]. Moves the cursor to the leaf of first. With @free_only,
 * returns -EEXIST unless every key is free. CONTEXT: HOLDS tree lock. ALLOC no. SLEEP no.
 */
smr_inline int smr_plan(struct smr_write *w, struct ma_state *mas, unsigned long first,
			unsigned long last, void *entry, bool free_only)
{
	int err = smri_plan(w, mas, first, last, entry, free_only);

	if (!err)
		smri_plan_pledge(w);
	return err;
}

/*
 * The same for storing over [mas->index..last] with @edges, but does not work out what the store
 * owes holders of credits: a store on a credit owes them nothing.
 */
smr_inline void smr_plan_edges(struct smr_write *w, struct ma_state *mas, void *entry,
			       struct smr_edges edges)
{
	if (smr_unlikely(smr_has_edges(edges)))
		smri_plan_edges(w, mas, entry, edges);
	else
		(void)smri_plan(w, mas, mas->index, mas->last, entry, false);
}

/*
 * Plans an erase that is no edit, with the cursor in the range of its index; or in a tree that has
 * @root and no nodes.
 */
int smri_plan_erase(struct smr_write *w, struct ma_state *mas, const void *root);

/*
 * Plans storing NULL over the range that @index is in. Moves the cursor there, wherever it was
 * before. Returns -ENOENT if there is no entry, with the cursor where a look-up leaves it. CONTEXT:
 * as smr_plan().
 */
smr_inline int smr_plan_erase(struct smr_write *w, struct ma_state *mas, unsigned long index)
{
	void *root;

	mas->index = index;
	if (smr_unlikely(!smr_walk_from(mas, index, &root)))
		return smri_plan_erase(w, mas, root);
	smri_plan_begin(w, mas, NULL);
	w->former = smr_slots(mas->node)[mas->offset];
	if (smr_unlikely(!w->former || !smr_edit_plan_erase(&w->edit, mas)))
		return smri_plan_erase(w, mas, NULL);
	smri_plan_edit(w);
	return 0;
}

void smri_commit(struct smr_write *w);

/*
 * Carries out the plan with the w->nodes nodes at the head of mas->alloc, and leaves the cursor
 * where a store does. CONTEXT: as smr_plan().
 */
smr_inline void smr_commit(struct smr_write *w)
{
	smr_assert(w->mas->alloc_nr >= w->nodes);
	w->mt->ma_nodes_built += w->nodes;
	if (w->entry)
		w->mt->ma_newest = w->first;
	if (smr_likely(w->form == SMR_EDIT))
		smr_edit_commit(&w->edit, w->mas, w->entry);
	else
		smri_commit(w);
}

#endif
