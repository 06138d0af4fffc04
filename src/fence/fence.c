/* SPDX-License-Identifier: MIT */
/*
 * Fences: what they are made of, and who may do what while one is being signalled.
 *
 * Representation
 *
 *	state       PENDING -> WAITED -> SIGNALED, or PENDING -> SIGNALED; also the word that
 *	            waiters sleep on
 *	callbacks   first -> cb -> cb -> NULL, in the order in which they were added
 *	running     the callback that the signalling thread is running now
 *	eventfds    a list of duplicates of what fence_eventfd() returned (eventfd.c)
 *	next, value used by a timeline that owes the fence (timeline.c)
 *
 * The life of a fence, and what fence_signal() does to it:
 *
 *	  lock
 *	1   error, timestamp       plain stores
 *	2   state = SIGNALED       release: a thread that sees it sees 1, and what was done before
 *	3   for each callback      unlink, running = cb, unlock, call, lock, running = NULL
 *	  unlock
 *	4 futex wake, if state was WAITED
 *	5 write to the eventfds
 *
 * Step 2 is the moment at which the fence is signalled. Everything that depends on whether it is
 * signalled is decided under the lock: a second fence_signal(), a callback that is added, an
 * eventfd that is attached. What comes too late is dealt with at once: the callback is refused, the
 * eventfd is made readable.
 *
 * Invariants
 *
 *	I1  SIGNALED is final; error, timestamp and the list of eventfds do not change afterwards.
 *	I2  A callback is in the list if and only if its pprev is not NULL (seen under the lock).
 *	I3  A callback is run by the one thread that made the fence SIGNALED, and by no other.
 *	I4  running is not NULL only while the function runs, between two holds of the lock by that
 *	    thread.
 *	I5  A thread sleeps on state only if it is WAITED; the one that changes it from WAITED wakes
 *	    all.
 *
 * The lock is not held while a callback runs
 *
 * Holding it would be simpler: fence_remove_callback() would wait for a running callback by taking
 * the lock. But then a callback of f that signals g, or removes a callback from it, would hold f's
 * lock and want g's; if another thread goes from g to f, both wait for ever. Such pairs are normal:
 * a wait for any of several fences takes its callbacks off the others as soon as one has run. As it
 * is, the lock is a leaf, under which nothing else is taken or called, and the only wait is for one
 * function to return: fence_remove_callback() of the very callback that is running sleeps on the
 * word `nr_finished`. A deadlock takes two callbacks that remove each other, each in its own
 * function, and no implementation could help them.
 *
 * After fn has returned the callback's memory may be gone, so it is not touched: running is
 * compared as an address only. It cannot be mistaken for a new callback at the same address, since
 * a signalled fence takes no new ones; at worst a thread that removes a callback that was never
 * added waits for a function to return.
 *
 * Lifetimes
 *
 * Every caller has a reference; the thread that signals has one until fence_signal() is over, so a
 * waiter that has seen step 2 may drop its own at once, and even free memory that it learned of
 * only from the fence's signaller, while steps 3 to 5 go on. A callback needs no reference of its
 * own. If the last reference goes before the fence is signalled, fence_put() signals it with
 * -ECANCELED; in that state, with a count of 0, callbacks may look at the fence, but must not take
 * references: they would bring it back from the dead.
 *
 * Signalling sections
 *
 * fence_signal() allocates and frees nothing: callbacks are the callers' memory, and an eventfd's
 * record and its duplicate descriptor stay with the fence until its last reference goes. The last
 * fence_put() frees and closes, so it must not be called in a section. A thread that signals in a
 * section, and has the last reference, hands it to code outside; within the library, timeline.c
 * does so: it keeps such fences in a list until a call that may free.
 *
 * Rejected
 *
 * - A list of waiters in place of the futex. It would make the wait for any of several simpler, but
 *   add to every plain wait, of which there are more, two list operations under the lock.
 * - Callbacks in an array or a lock-free stack. They must run in order, and be removable in O(1).
 * - A lock shared by the fences of a timeline, as Linux has it. It saves eight bytes and makes
 *   threads that look at unrelated fences wait for each other.
 */
#include "fence/fence_internal.h"

#include "base/park.h"
#include "lock/rank.h"
#include "lock/section.h"
#include "mem/heap.h"
#include <errno.h>
#include <limits.h>

/* ---- Lifetime ---- */

struct fence *fence_create(void)
{
	struct fence *f = smr_heap_alloc(sizeof(*f));

	if (!f)
		return NULL;
	f->refs = 1;
	f->last = &f->first;
	smr_lock_init(&f->lock, SMR_RANK_FENCE);
	return f;
}

struct fence *fence_get(struct fence *f)
{
	if (f)
		smr_ref_get(&f->refs);
	return f;
}

void fence_put(struct fence *f)
{
	if (!f || !smr_ref_put(&f->refs))
		return;
	if (!smri_fence_signaled(f))
		(void)fence_signal_error(f, -ECANCELED);
	smr_assert(!f->first && !f->running);
	smri_eventfd_drop(f);
	smr_heap_free(f);
}

/* ---- Callbacks ---- */

/* CONTEXT: HOLDS fence. */
static void link_callback(struct fence *f, struct fence_cb *cb)
{
	cb->next = NULL;
	cb->pprev = f->last;
	*f->last = cb;
	f->last = &cb->next;
}

/* CONTEXT: HOLDS fence. */
static void unlink_callback(struct fence *f, struct fence_cb *cb)
{
	*cb->pprev = cb->next;
	if (cb->next)
		cb->next->pprev = cb->pprev;
	else
		f->last = cb->pprev;
	cb->pprev = NULL;
}

int fence_add_callback(struct fence *f, struct fence_cb *cb, fence_fn fn)
{
	int err = -ENOENT;

	cb->fn = fn;
	cb->pprev = NULL;
	if (smri_fence_signaled(f))
		return err;
	mt_lock_acquire(&f->lock);
	if (smr_load(&f->state, RELAXED) != SMRI_FENCE_SIGNALED) {
		link_callback(f, cb);
		err = 0;
	}
	mt_lock_release(&f->lock);
	return err;
}

bool fence_remove_callback(struct fence *f, struct fence_cb *cb)
{
	bool waiting;

	mt_lock_acquire(&f->lock);
	waiting = cb->pprev != NULL;
	if (waiting)
		unlink_callback(f, cb);
	while (f->running == cb) {
		unsigned int finished = smr_load(&f->nr_finished, RELAXED);

		f->finish_awaited = true;
		mt_lock_release(&f->lock);
		smr_park(&f->nr_finished, finished);
		mt_lock_acquire(&f->lock);
	}
	mt_lock_release(&f->lock);
	return waiting;
}

/* CONTEXT: HOLDS fence, which is released while a callback runs. */
static void run_callback(struct fence *f, struct fence_cb *cb)
{
	unlink_callback(f, cb);
	f->running = cb;
	mt_lock_release(&f->lock);
	cb->fn(f, cb);
	mt_lock_acquire(&f->lock);
	f->running = NULL;
	smr_store(&f->nr_finished, f->nr_finished + 1, RELAXED);
	if (f->finish_awaited) {
		f->finish_awaited = false;
		smr_wake(&f->nr_finished, INT_MAX);
	}
}

/* ---- Signalling ---- */

int fence_signal_error(struct fence *f, int error)
{
	unsigned int before;

	if (error > 0 || error < -SMR_MAX_ERRNO)
		return -EINVAL;
	mt_lock_acquire(&f->lock);
	if (smr_load(&f->state, RELAXED) == SMRI_FENCE_SIGNALED) {
		mt_lock_release(&f->lock);
		return -EALREADY;
	}
	f->error = error;
	f->timestamp = smr_now();
	/*
	 * ORDER fence: error, timestamp and all that was done before precede the state. PARTNER
	 * smri_fence_signaled(), wait_for() (wait.c). WITHOUT a waiter works on data not yet
	 * written.
	 */
	before = smr_xchg(&f->state, SMRI_FENCE_SIGNALED, ORDER(fence, release));
	while (f->first)
		run_callback(f, f->first);
	mt_lock_release(&f->lock);
	if (before == SMRI_FENCE_WAITED)
		smr_wake(&f->state, INT_MAX);
	smri_eventfd_ring(f);
	return 0;
}

int fence_signal(struct fence *f)
{
	return fence_signal_error(f, 0);
}

bool fence_is_signaled(const struct fence *f)
{
	return smri_fence_signaled(f);
}

int fence_error(const struct fence *f)
{
	return smri_fence_signaled(f) ? f->error : 0;
}

uint64_t fence_timestamp(const struct fence *f)
{
	return smri_fence_signaled(f) ? f->timestamp : 0;
}

/* ---- Signalling sections ---- */

void fence_begin_signalling(void)
{
	smr_section_enter("fence signalling");
}

void fence_end_signalling(void)
{
	smr_section_leave();
}

bool fence_in_signalling(void)
{
	return smr_in_section();
}
