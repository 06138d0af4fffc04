/* SPDX-License-Identifier: MIT */
/* The calling thread's id, as cheap to get as a variable. */
#ifndef SMR_LOCK_TID_H
#define SMR_LOCK_TID_H

#include "base/base.h"

/* 0: not asked for yet. Reset in the child of fork(), whose one thread has a new id. */
extern smr_thread_local unsigned int smri_lock_tid __attribute__((visibility("hidden")));

unsigned int smri_lock_ask_tid(void);

/* Returns the calling thread's id. Never 0; at most 2^22, as in the kernel. */
smr_inline unsigned int smr_lock_tid(void)
{
	unsigned int tid = smri_lock_tid;

	return smr_likely(tid) ? tid : smri_lock_ask_tid();
}

#endif
