/* SPDX-License-Identifier: MIT */
/*
 * The lock inside every tree: a futex-backed mutex that knows its owner. A thread that finds it
 * held, unless others already sleep for it, looks again about a hundred times, because most holds
 * are shorter than a sleep. Then it sleeps: user space must not spin while the holder is preempted.
 * Not recursive. A zeroed struct is an unlocked lock; nothing needs destroying.
 */
#ifndef SAMARA_LOCK_H
#define SAMARA_LOCK_H

#include <samara/export.h>
#include <stdbool.h>

MT_BEGIN_DECLS

struct mt_lock {
	unsigned int word; /* owner's thread id, and a bit for waiters; 0: free */
	unsigned int kind; /* what kind of lock it is, for the checker (lockcheck.h) */
};

#define MT_LOCK_INIT \
	{            \
		0, 0 \
	}

/* The checker takes it for a tree's lock until lockcheck_set_class() says otherwise. */
MT_API void mt_lock_init(struct mt_lock *lock);
MT_API void mt_lock_acquire(struct mt_lock *lock);
/*
 * The same for a lock taken while another of its kind is held; the caller ensures that such locks
 * are always taken in one order. @subclass only tells the checker (lockcheck.h) which one this is:
 * 1 for the second, 2 for the third, and so on.
 */
MT_API void mt_lock_acquire_nested(struct mt_lock *lock, unsigned int subclass);
MT_API bool mt_lock_try(struct mt_lock *lock);
MT_API void mt_lock_release(struct mt_lock *lock);
/* Does the calling thread hold @lock? */
MT_API bool mt_lock_held(const struct mt_lock *lock);

MT_END_DECLS

#endif
