/* SPDX-License-Identifier: MIT */
/* Stores through a cursor: obtaining nodes, and what the cursor says afterwards. */
#include "tree/store.h"

#include "base/hooks.h"
#include "base/rcu.h"
#include "lock/check.h"
#include "lock/mutex.h"
#include "mem/refill.h"
#include "mem/pledge.h"
#include "tree/plan.h"
#include "tree/walk.h"

#include <errno.h>

/* ---- Nodes that a cursor owns ---- */

static smr_noinline void give_back(struct ma_state *mas)
{
	struct smr_nodes own = smr_own_nodes(mas);

	smr_mem_give_list(smr_mem_of(mas->tree), &own);
	smr_set_own_nodes(mas, &own);
}

void smr_store_prepare(const struct maple_tree *mt, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp) && mt_in_rcu(mt))
		smr_grace_start(mt->ma_rcu);
}

int smr_cursor_fill(struct ma_state *mas, unsigned long nr, gfp_t gfp)
{
	struct mt_mem *mem = smr_mem_of(mas->tree);
	struct smr_nodes own = smr_own_nodes(mas);
	int err;

	if (own.nr >= nr)
		return 0;
	if (gfpflags_allow_blocking(gfp))
		err = smr_mem_refill(mem, &own, nr - own.nr);
	else
		err = smr_mem_take(mem, &own, nr - own.nr, gfp);
	smr_set_own_nodes(mas, &own);
	if (err)
		mas->alloc_want = nr;
	return err;
}

/*
 * Obtains nodes in a way that may block. The internal lock, if this thread holds it, is dropped
 * meanwhile: success is then -EAGAIN, as the plan is void.
 */
static int fill_blocking(struct ma_state *mas, unsigned long nr, gfp_t gfp)
{
	struct maple_tree *mt = mas->tree;
	struct smr_check_hold hold;
	int err;

	smr_store_prepare(mt, gfp);
	if (mt_external_lock(mt) || !mt_lock_held(&mt->ma_lock))
		return smr_cursor_fill(mas, nr, gfp);
	hold = smr_check_suspend(&mt->ma_lock);
	smr_lock_release_unseen(&mt->ma_lock);
	smr_hook_unlocked();
	err = smr_cursor_fill(mas, nr, gfp);
	smr_lock_acquire_unseen(&mt->ma_lock);
	smr_check_resume(&mt->ma_lock, hold);
	smr_cursor_off(mas);
	return err ? err : -EAGAIN;
}

int smri_cursor_obtain(struct ma_state *mas, unsigned long nr, gfp_t gfp)
{
	struct smr_nodes own = smr_own_nodes(mas);
	int err;

	if (gfpflags_allow_blocking(gfp))
		smr_check_store_alloc(mas->tree);
	if (smr_likely(nr == 1)) { /* nearly always */
		mas->alloc = smr_mem_take_one(smr_mem_of(mas->tree), gfp);
		mas->alloc_nr = mas->alloc != NULL;
		err = mas->alloc ? 0 : -ENOMEM;
	} else {
		err = smr_mem_take(smr_mem_of(mas->tree), &own, nr - own.nr, gfp);
		smr_set_own_nodes(mas, &own);
	}
	if (!err)
		return 0;
	mas->alloc_want = nr;
	return gfpflags_allow_blocking(gfp) ? fill_blocking(mas, nr, gfp) : err;
}

/* ---- One store ---- */

/* How many nodes have to be obtained before the commit. */
static unsigned long nodes_needed(const struct smr_write *w)
{
	return w->nodes + w->pledge;
}

/* Adds those of the nodes obtained that are for holders of credits to their pledge. */
smr_inline void pay_pledge(struct smr_write *w)
{
	struct smr_nodes own = smr_own_nodes(w->mas);

	if (smr_likely(!w->pledge))
		return;
	smr_pledge_add(smr_mem_of(w->mt), &own, w->pledge);
	smr_set_own_nodes(w->mas, &own);
	w->mt->ma_pledge.pledged += w->pledge;
}

smr_inline void commit(struct smr_write *w)
{
	pay_pledge(w);
	smr_commit(w);
	if (smr_has_credits(w->mt))
		smr_pledge_release_surplus(w->mt);
}

static int find_place(struct ma_state *mas, struct smr_where *where)
{
	int err = where->find(mas->tree, where);

	if (!err)
		smr_gap_set_cursor(mas, &where->gap, where->size);
	return err;
}

int smr_write_entry(struct ma_state *mas, void *entry, gfp_t gfp, bool free_only,
		    struct smr_where *where)
{
	struct smr_write w;
	int err;

	do {
		err = where ? find_place(mas, where) : 0;
		if (!err)
			err = smr_plan(&w, mas, mas->index, mas->last, entry, free_only);
		if (!err)
			err = smr_cursor_obtain(mas, nodes_needed(&w), gfp);
	} while (err == -EAGAIN);
	if (err)
		return err;
	commit(&w);
	return 0;
}

int smr_store_in_place(struct ma_state *mas, void *entry, struct smr_edges edges, gfp_t gfp)
{
	struct smr_write w;
	int err;

	smr_store_prepare(mas->tree, gfp);
	smr_plan_edges(&w, mas, entry, edges);
	smri_plan_pledge(&w);
	err = smr_cursor_fill(mas, nodes_needed(&w), gfp);
	if (!err)
		commit(&w);
	mas_destroy(mas);
	return err;
}

void smr_set_error(struct ma_state *mas, int err)
{
	mas->status = ma_error;
	smr_cursor_off(mas);
	mas->node = MA_ERROR(err);
}

void *mas_store(struct ma_state *mas, void *entry)
{
	struct smr_write w;

	if (mas->status == ma_error)
		return NULL;
	if (mas->index > mas->last) {
		smr_set_error(mas, -EINVAL);
		return NULL;
	}
	smr_plan(&w, mas, mas->index, mas->last, entry, false);
	if (smr_cursor_fill(mas, nodes_needed(&w), GFP_NOWAIT | __GFP_NOWARN)) {
		smr_set_error(mas, -ENOMEM);
		return NULL;
	}
	commit(&w);
	return w.former;
}

bool mas_nomem(struct ma_state *mas, gfp_t gfp)
{
	int err;

	if (mas->status != ma_error || mas->node != MA_ERROR(-ENOMEM))
		return false;
	smr_cursor_off(mas);
	err = smr_cursor_obtain(mas, mas->alloc_want, gfp);
	if (err && err != -EAGAIN) {
		smr_set_error(mas, -ENOMEM);
		return false;
	}
	mas_reset(mas);
	return true;
}

int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	int err;

	if (mas->status == ma_error)
		return xa_err(mas->node);
	err = mas->index > mas->last ? -EINVAL : smr_write_entry(mas, entry, gfp, false, NULL);
	mas_destroy(mas);
	if (err)
		smr_set_error(mas, err);
	return err;
}

/* ---- Preallocation ---- */

/* Puts the cursor where a planned store would leave it; in its path it stays. */
static void place_planned(const struct smr_write *w)
{
	struct ma_state *mas = w->mas;

	if (w->compact) {
		smr_cursor_off(mas);
		mas->status = w->mt->ma_root ? ma_root : ma_none;
		return;
	}
	mas->status = ma_active;
	mas->index = w->first;
	mas->last = w->last;
}

int mas_preallocate(struct ma_state *mas, void *entry, gfp_t gfp)
{
	struct smr_write w;

	if (mas->index > mas->last)
		return -EINVAL;
	if (smr_txn_is_open(mas->tree))
		return -EBUSY;
	smr_store_prepare(mas->tree, gfp);
	smr_plan(&w, mas, mas->index, mas->last, entry, false);
	if (smr_cursor_fill(mas, nodes_needed(&w), gfp)) {
		mas_reset(mas);
		return -ENOMEM;
	}
	place_planned(&w);
	return 0;
}

int mas_preallocate_height(struct ma_state *mas, unsigned int height, gfp_t gfp)
{
	if (height > MAPLE_HEIGHT_MAX)
		return -EINVAL;
	smr_store_prepare(mas->tree, gfp);
	/* A tree without nodes needs one for its first leaf. */
	return smr_cursor_fill(mas, height ? SMR_STORE_NODES(height) : 1, gfp);
}

void mas_store_prealloc(struct ma_state *mas, void *entry)
{
	struct smr_write w;

	if (smr_unlikely(mas->index > mas->last)) {
		smr_set_error(mas, -EINVAL);
		mas_destroy(mas);
		return;
	}
	smr_plan(&w, mas, mas->index, mas->last, entry, false);
	smr_assert(w.nodes <= mas->alloc_nr);
	/* A caller that broke the rules of preallocation gets what is free, or fails. */
	if (smr_unlikely(smr_cursor_fill(mas, nodes_needed(&w), GFP_ATOMIC)))
		smr_set_error(mas, -ENOMEM);
	else
		commit(&w);
	mas_destroy(mas);
}

void mas_destroy(struct ma_state *mas)
{
	mas->mas_flags = 0;
	if (mas->alloc_nr > 0)
		give_back(mas);
}

void *mas_erase(struct ma_state *mas)
{
	unsigned long index = mas->index, last = mas->last;
	struct smr_write w;
	int err;

	do {
		mas->last = last; /* a plan that is void has widened it */
		err = smr_plan_erase(&w, mas, index);
		if (!err)
			err = smr_cursor_obtain(mas, nodes_needed(&w), GFP_KERNEL);
	} while (err == -EAGAIN);
	if (!err)
		commit(&w);
	mas_destroy(mas);
	if (err == -ENOMEM) {
		mas->index = index;
		mas->last = last;
		smr_set_error(mas, err);
	}
	return err ? NULL : w.former;
}
