/* SPDX-License-Identifier: MIT */
/* The annotations of samara/lockcheck.h. */
#include <samara/lockcheck.h>

#include "lock/section.h"

#ifdef SMR_LOCKCHECK
#include "lock/check_internal.h"
#endif

void lockcheck_section_begin(const char *name)
{
	smr_section_enter(name);
}

void lockcheck_section_end(void)
{
	smr_section_leave();
}

#ifdef SMR_LOCKCHECK

void lockcheck_acquire(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	unsigned int id = smri_class_id(lock_class);

	if (id)
		smri_check_take(lock, id, flags, smr_check_frame());
}

void lockcheck_release(const void *lock)
{
	smri_check_drop(lock, smr_check_frame());
}

bool lockcheck_held(void *lock)
{
	return !smri_check_on() || smri_check_holds(lock);
}

void lockcheck_set_class(struct mt_lock *lock, struct lockcheck_class *lock_class)
{
	lock->kind = SMR_RANK_MARK(smri_class_id(lock_class));
}

void lockcheck_alloc(const char *what)
{
	smri_check_alloc(what, NULL, smr_check_frame());
}

void lockcheck_wait(const char *what)
{
	smri_check_wait(what, NULL, smr_check_frame());
}

#else

void lockcheck_acquire(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	(void)lock;
	(void)lock_class;
	(void)flags;
}

void lockcheck_release(const void *lock)
{
	(void)lock;
}

bool lockcheck_held(void *lock)
{
	(void)lock;
	return true;
}

void lockcheck_set_class(struct mt_lock *lock, struct lockcheck_class *lock_class)
{
	(void)lock;
	(void)lock_class;
}

void lockcheck_alloc(const char *what)
{
	(void)what;
}

void lockcheck_wait(const char *what)
{
	(void)what;
}

#endif
