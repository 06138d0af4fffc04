/* SPDX-License-Identifier: MIT */
#include "lock/check.h"

#include "lock/section.h"

#ifdef SMR_LOCKCHECK

void smr_check_acquire(const void *lock, enum smr_lock_rank rank)
{
	(void)rank;
	smr_assert(lock);
}

void smr_check_release(const void *lock)
{
	smr_assert(lock);
}

void smr_check_alloc(const char *what)
{
	(void)what;
	smr_assert(!smr_in_section());
}

void smr_check_wait(const char *what)
{
	(void)what;
	smr_assert(!smr_in_section());
}

#else

/* A file of the library may not be empty in ISO C. */
typedef int smr_lockcheck_is_off;

#endif
