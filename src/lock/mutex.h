/* SPDX-License-Identifier: MIT */
/* What the library can do with a lock (samara/lock.h), and its users cannot. */
#ifndef SMR_LOCK_MUTEX_H
#define SMR_LOCK_MUTEX_H

#include <samara/lock.h>

/* Takes @lock. Returns 0, or -EINTR if a signal handler ran while it waited. CONTEXT: SLEEP yes. */
int smr_lock_acquire_intr(struct mt_lock *lock);

/*
 * Take and release @lock behind the checker's back: for its own tables, for what is locked around
 * fork(), and for what an operation drops for a while (smr_check_suspend()).
 */
void smr_lock_acquire_unseen(struct mt_lock *lock);
void smr_lock_release_unseen(struct mt_lock *lock);

#endif
