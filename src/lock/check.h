/* SPDX-License-Identifier: MIT */
/*
 * What the library tells the checker of the locking rules (samara/lockcheck.h). All of it compiles to nothing in a build
 * without the checker (SMR_LOCKCHECK).
 *
 * A struct mt_lock needs none of this: mt_lock_acquire() and its like tell the checker themselves, and the lock
 * knows its rank (lock/rank.h). For other locks: smr_check_acquire() right before taking one, or right after a
 * successful try, and smr_check_release() right before letting go. Whatever may get or give back memory from the
 * system says smr_check_alloc() first, whether it will have to or not; whatever may wait for a fence or the
 * like, smr_check_wait(). Sections: lock/section.h.
 */
#ifndef SMR_LOCK_CHECK_H
#define SMR_LOCK_CHECK_H

#include "lock/rank.h"

#ifdef SMR_LOCKCHECK

/* CONTEXT, of everything here: any. Never blocks, allocates or makes a system call, but to report. */
void smr_check_acquire(const void *lock, enum smr_lock_rank rank);
void smr_check_release(const void *lock);
/* An allocation, or the freeing of memory, that may block: "@what" completes "... allocates: ". */
void smr_check_alloc(const char *what);
/* A wait for what another thread may need memory, a lock or a section's end to do: "a fence". */
void smr_check_wait(const char *what);

#else

static inline void smr_check_acquire(const void *lock, enum smr_lock_rank rank)
{
	(void)lock;
	(void)rank;
}

static inline void smr_check_release(const void *lock)
{
	(void)lock;
}

static inline void smr_check_alloc(const char *what)
{
	(void)what;
}

static inline void smr_check_wait(const char *what)
{
	(void)what;
}

#endif

#endif
