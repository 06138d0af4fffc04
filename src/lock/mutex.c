/* SPDX-License-Identifier: MIT */
/*
 * The mutex of include/samara/lock.h. Its word is
 *
 *   0               free
 *   tid             held by the thread of that id, no thread waits
 *   tid | WAITERS   held, and a thread may be asleep on the word
 *
 * A thread that finds the lock held sets WAITERS before going to sleep, so the holder learns of it
 * in the exchange that frees the lock, and wakes one thread. The one woken cannot know whether
 * others still sleep, so it takes the lock with WAITERS set. That costs at most one wake-up too
 * many.
 */
#include <samara/lock.h>

#include "base/base.h"
#include "base/order.h"
#include "base/park.h"
#include "lock/check.h"
#include "lock/mutex.h"
#include "lock/tid.h"
#include <errno.h>
#include <pthread.h>
#include <samara/lockcheck.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAITERS 0x80000000u

smr_thread_local unsigned int smri_lock_tid;

unsigned int smri_lock_ask_tid(void)
{
	smri_lock_tid = (unsigned int)syscall(SYS_gettid);
	return smri_lock_tid;
}

static void after_fork_child(void)
{
	smri_lock_tid = 0;
	smr_check_forked();
}

__attribute__((constructor)) static void watch_forks(void)
{
	/*
	 * Fails only if out of memory at start-up; then a forked child would see its parent's id.
	 */
	(void)pthread_atfork(NULL, NULL, after_fork_child);
}

void mt_lock_init(struct mt_lock *lock)
{
	smr_store(&lock->word, 0, RELAXED);
	lock->kind = 0;
	smr_check_init(lock);
}

/* Also returns false in a thread whose id has not been asked for yet: calling nothing is faster. */
smr_inline bool acquire_fast(struct mt_lock *lock)
{
	unsigned int tid = smri_lock_tid, free = 0;

	/* ORDER lock: see base/order.h. PARTNER smr_lock_release_unseen(). */
	return smr_likely(tid) && smr_cas(&lock->word, &free, tid, ORDER(lock, acquire), RELAXED);
}

/*
 * How often to look before going to sleep: the arena's lock is held for some nanoseconds at a time,
 * a sleep takes microseconds.
 */
#define SPINS 100

/* Takes the lock if it becomes free soon and nobody else sleeps for it. */
static bool spin(struct mt_lock *lock)
{
	for (unsigned int i = 0; i < SPINS; i++) {
		unsigned int seen = smr_load(&lock->word, RELAXED);

		if (seen & WAITERS)
			return false;
		if (seen == 0 && acquire_fast(lock))
			return true;
		smr_pause();
	}
	return false;
}

/* Returns 0 or, with @intr, -EINTR if a signal handler runs meanwhile. */
static smr_noinline int acquire_slow(struct mt_lock *lock, bool intr)
{
	unsigned int mine = smr_lock_tid() | WAITERS; /* from here on the id is known */
	unsigned int seen;

	smr_assert(!mt_lock_held(lock)); /* it would wait for itself for ever */
	if (spin(lock))
		return 0;
	seen = smr_load(&lock->word, RELAXED);
	for (;;) {
		if (seen == 0) {
			/* ORDER lock. PARTNER smr_lock_release_unseen(). */
			if (smr_cas(&lock->word, &seen, mine, ORDER(lock, acquire), RELAXED))
				return 0;
			continue;
		}
		if (!(seen & WAITERS) &&
		    !smr_cas(&lock->word, &seen, seen | WAITERS, RELAXED, RELAXED))
			continue;
		if (!intr)
			smr_park(&lock->word, seen | WAITERS);
		else if (smr_park_until(&lock->word, seen | WAITERS, SMR_NEVER) == -EINTR)
			return -EINTR;
		seen = smr_load(&lock->word, RELAXED);
	}
}

void smr_lock_acquire_unseen(struct mt_lock *lock)
{
	if (smr_unlikely(!acquire_fast(lock)))
		acquire_slow(lock, false);
}

void smr_lock_release_unseen(struct mt_lock *lock)
{
	unsigned int word;

	smr_assert(mt_lock_held(lock));
	/*
	 * ORDER lock: what the holder did precedes what the next holder does. PARTNER
	 * acquire_fast(), acquire_slow(). WITHOUT the next holder may see the protected data as
	 * they were before.
	 */
	word = smr_xchg(&lock->word, 0, ORDER(lock, release));
	if (smr_unlikely(word & WAITERS))
		smr_wake(&lock->word, 1);
}

bool mt_lock_try(struct mt_lock *lock)
{
	bool taken;

	(void)smr_lock_tid();
	taken = acquire_fast(lock);
	if (taken)
		smr_check_lock(lock, LOCKCHECK_TRY, 0);
	return taken;
}

void mt_lock_acquire(struct mt_lock *lock)
{
	if (smr_check_lock(lock, 0, 0))
		smr_lock_acquire_unseen(lock);
}

void mt_lock_acquire_nested(struct mt_lock *lock, unsigned int subclass)
{
	if (smr_check_lock(lock, 0, subclass))
		smr_lock_acquire_unseen(lock);
}

int smr_lock_acquire_intr(struct mt_lock *lock)
{
	int err;

	if (!smr_check_lock(lock, 0, 0))
		return 0;
	err = smr_likely(acquire_fast(lock)) ? 0 : acquire_slow(lock, true);
	if (err)
		smr_check_unlock(lock);
	return err;
}

void mt_lock_release(struct mt_lock *lock)
{
	if (smr_check_unlock(lock))
		smr_lock_release_unseen(lock);
}

bool mt_lock_held(const struct mt_lock *lock)
{
	/* Relaxed is enough: only the thread itself can make the answer true or false. */
	return (smr_load(&lock->word, RELAXED) & ~WAITERS) == smr_lock_tid();
}
