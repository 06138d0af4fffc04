/* SPDX-License-Identifier: MIT */
/*
 * Timelines: a value that grows, and fences that are signalled when it has come far enough.
 *
 *	pending   fences of values not reached, lowest first; equal ones in the order in which they
 *	          were made
 *	newest    the one that was put into pending last, if it is still there
 *	due       reached and not signalled yet, in the order in which they will be; their value
 *	          field holds the error
 *	dead      signalled or abandoned, and the timeline has the last reference
 *
 * The timeline has one reference to each fence in these lists, so a fence with a callback or an
 * eventfd stays until its value is reached, whether or not the caller that asked for it has dropped
 * its own; except one that was asked for in vain, and is forgotten (smr_timeline_forget()).
 *
 * A pending fence is abandoned if nobody else has a reference to it and it has neither a callback
 * nor an eventfd. A thread that waits with a timeout again and again leaves one each time.
 * timeline_fence() sweeps them out when twice as many fences are pending, plus a few, as the last
 * sweep left, or as it has found pending at any time since. So there are never many more of them
 * than of others, and on average two fences are looked at for each that is made.
 *
 * Order. A thread that sees a fence signalled that was pending must find those of all lower values
 * signalled too, also when two threads advance the timeline. (A fence made for a value already
 * reached was never pending: it agrees with timeline_value(), which is the new value before
 * anything is signalled.) So one thread at a time signals, the one that has set `signalling`;
 * another advances the value, makes fences due, and leaves the rest to the first, which goes on
 * until nothing is due. The same holds for a callback that advances the timeline which is
 * signalling its fence. No lock is held while fences are signalled, so callbacks may do with the
 * timeline whatever they may do at all.
 *
 * Memory. timeline_signal() runs in signalling sections, where nothing may be freed. A reference
 * that is not the last is simply dropped; a last one is kept in `dead` until the next
 * timeline_fence(), which allocates anyway, or the timeline's end. That is no more memory than the
 * fences took while they were pending.
 *
 * A new fence usually has the highest value, and is appended; or the highest except for some that
 * are far ahead, and comes behind the newest. Otherwise its place is searched for from the lowest
 * on.
 */
#include "fence/timeline.h"
#include "fence/fence_internal.h"

#include "lock/rank.h"
#include "mem/heap.h"
#include <errno.h>
#include <string.h>

/* With so few pending fences there is no search for abandoned ones. */
#define SWEEP_SLACK 64

/* ---- Lists ---- */

static void append(struct fence_list *list, struct fence *f)
{
	f->next = NULL;
	if (list->first)
		list->last->next = f;
	else
		list->first = f;
	list->last = f;
}

static struct fence *take_first(struct fence_list *list)
{
	struct fence *f = list->first;

	if (f)
		list->first = f->next;
	return f;
}

/*
 * Inserts @f behind all fences of values up to its own. @near: a fence of the list from which to
 * search, if its value is not above @f's; or NULL.
 */
static void insert_by_value(struct fence_list *list, struct fence *near, struct fence *f)
{
	struct fence **at = near && near->value <= f->value ? &near->next : &list->first;

	if (!list->first || list->last->value <= f->value) {
		append(list, f);
		return;
	}
	while ((*at)->value <= f->value)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
}

/* Returns false if @f is not in the list. */
static bool remove_fence(struct fence_list *list, const struct fence *f)
{
	struct fence *before = NULL, *at = list->first;

	for (; at && at != f; at = at->next)
		before = at;
	if (!at)
		return false;
	if (before)
		before->next = at->next;
	else
		list->first = at->next;
	if (!at->next)
		list->last = before;
	return true;
}

/* CONTEXT: may free. */
static void put_all(struct fence *first)
{
	struct fence *next;

	for (struct fence *f = first; f; f = next) {
		next = f->next;
		fence_put(f);
	}
}

/* ---- Signalling ---- */

/* Notes that @f has been taken out of pending. CONTEXT: HOLDS timeline. */
static void note_removed(struct timeline *tl, const struct fence *f)
{
	tl->nr_pending--;
	if (f == tl->newest)
		tl->newest = NULL;
}

/* Keeps @f for a caller that may free it. CONTEXT: HOLDS timeline. */
static void bury(struct timeline *tl, struct fence *f)
{
	f->next = tl->dead;
	tl->dead = f;
}

/* Makes pending fences up to @value due, with @error. CONTEXT: HOLDS timeline. */
static void make_due(struct timeline *tl, uint64_t value, int error)
{
	while (tl->pending.first && tl->pending.first->value <= value) {
		struct fence *f = take_first(&tl->pending);

		note_removed(tl, f);
		f->value = (uint64_t)-error;
		append(&tl->due, f);
	}
}

/*
 * Signals what is due, unless another thread, or a caller of this function, is doing so already.
 * CONTEXT: HOLDS timeline, which is released for each fence.
 */
static void signal_due(struct timeline *tl)
{
	struct fence *f;

	if (tl->signalling)
		return;
	tl->signalling = true;
	while ((f = take_first(&tl->due))) {
		bool last;

		mt_lock_release(&tl->lock);
		(void)fence_signal_error(f, -(int)f->value);
		last = !smr_ref_put_unless_last(&f->refs);
		mt_lock_acquire(&tl->lock);
		if (last)
			bury(tl, f);
	}
	tl->signalling = false;
}

int timeline_signal_error(struct timeline *tl, uint64_t value, int error)
{
	int err = -EINVAL;

	if (error > 0 || error < -SMR_MAX_ERRNO)
		return err;
	mt_lock_acquire(&tl->lock);
	if (value > tl->value) {
		/*
		 * ORDER timeline: what was done before precedes the value. PARTNER
		 * timeline_value(). WITHOUT a thread that reads the value works on data not yet
		 * written.
		 */
		smr_store(&tl->value, value, ORDER(timeline, release));
		make_due(tl, value, error);
		signal_due(tl);
		err = 0;
	}
	mt_lock_release(&tl->lock);
	return err;
}

int timeline_signal(struct timeline *tl, uint64_t value)
{
	return timeline_signal_error(tl, value, 0);
}

/* ---- Lifetime ---- */

struct timeline *timeline_create(const char *name, uint64_t value)
{
	struct timeline *tl = smr_heap_alloc(sizeof(*tl));

	if (!tl)
		return NULL;
	name = name ? name : "unknown";
	tl->refs = 1;
	tl->value = value;
	smr_lock_init(&tl->lock, SMR_RANK_TIMELINE);
	memcpy(tl->name, name, strnlen(name, SMRI_TIMELINE_NAME - 1));
	return tl;
}

struct timeline *timeline_get(struct timeline *tl)
{
	if (tl)
		smr_ref_get(&tl->refs);
	return tl;
}

void timeline_put(struct timeline *tl)
{
	if (!tl || !smr_ref_put(&tl->refs))
		return;
	mt_lock_acquire(&tl->lock);
	make_due(tl, UINT64_MAX, -ECANCELED);
	signal_due(tl);
	mt_lock_release(&tl->lock);
	put_all(tl->dead);
	smr_heap_free(tl);
}

const char *timeline_name(const struct timeline *tl)
{
	return tl->name;
}

uint64_t timeline_value(const struct timeline *tl)
{
	/* ORDER timeline: see base/order.h. PARTNER timeline_signal_error(). */
	return smr_load(&tl->value, ORDER(timeline, acquire));
}

/* ---- Fences ---- */

/*
 * Returns true if nobody else has a reference, and there is no callback or eventfd. It stays so:
 * only a holder of a reference can get another, or add a callback or an eventfd.
 */
static bool is_abandoned(const struct fence *f)
{
	return smr_ref_is_last(&f->refs) && !f->first && !f->eventfds;
}

/* CONTEXT: HOLDS timeline. */
static void sweep(struct timeline *tl)
{
	struct fence **at = &tl->pending.first, *f;

	while ((f = *at)) {
		if (is_abandoned(f)) {
			*at = f->next;
			note_removed(tl, f);
			bury(tl, f);
		} else {
			tl->pending.last = f;
			at = &f->next;
		}
	}
}

/* Called before one more fence is pending. CONTEXT: HOLDS timeline. */
static void sweep_if_many(struct timeline *tl)
{
	bool many = tl->nr_pending >= tl->sweep_at;

	if (many)
		sweep(tl);
	if (many || tl->sweep_at > 2 * tl->nr_pending + SWEEP_SLACK)
		tl->sweep_at = 2 * tl->nr_pending + SWEEP_SLACK;
}

struct fence *timeline_fence(struct timeline *tl, uint64_t value)
{
	struct fence *f = fence_create(), *dead;
	bool reached;

	if (!f)
		return NULL;
	mt_lock_acquire(&tl->lock);
	reached = value <= tl->value;
	if (!reached) {
		sweep_if_many(tl);
		f->value = value;
		insert_by_value(&tl->pending, tl->newest, fence_get(f));
		tl->newest = f;
		tl->nr_pending++;
	}
	dead = tl->dead;
	tl->dead = NULL;
	mt_lock_release(&tl->lock);
	if (reached)
		(void)fence_signal(f);
	put_all(dead);
	return f;
}

void smr_timeline_forget(struct timeline *tl, struct fence *f)
{
	bool owed;

	mt_lock_acquire(&tl->lock);
	owed = remove_fence(&tl->pending, f);
	if (owed)
		note_removed(tl, f);
	mt_lock_release(&tl->lock);
	if (owed)
		fence_put(f);
	fence_put(f);
}
