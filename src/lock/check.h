/* SPDX-License-Identifier: MIT */
/*
 * What the library tells the checker of the locking rules (samara/lockcheck.h; check.c says how it
 * works). All of it compiles to nothing in a build without the checker (SMR_LOCKCHECK).
 *
 * A struct mt_lock needs none of this: mt_lock_acquire() and its like tell the checker themselves,
 * and the lock knows its rank (lock/rank.h). Whatever may get memory from the system or give it
 * back says smr_check_alloc() first, whether it will have to or not; whatever may wait for a fence
 * or the like, smr_check_wait(). Sections: lock/section.h. Trees and cursors: tree/check.h.
 */
#ifndef SMR_LOCK_CHECK_H
#define SMR_LOCK_CHECK_H

#include "lock/rank.h"
#include <samara/rcu.h>

#ifdef SMR_LOCKCHECK

/*
 * What the calling function is known by to those that want its callers. Where frames are linked,
 * as long as code is compiled with frame pointers, it points to the same of its caller, and the
 * address that it returns to is SMR_CHECK_RETURN words behind. Elsewhere (0) it is that address,
 * which is found again when the stack is unwound.
 */
#if defined(__x86_64__) || defined(__aarch64__)
#define SMR_CHECK_RETURN 1
#define smr_check_frame() __builtin_frame_address(0)
#elif defined(__s390x__) /* with -mbackchain */
#define SMR_CHECK_RETURN 14
#define smr_check_frame() __builtin_frame_address(0)
#elif defined(__powerpc64__)
#define SMR_CHECK_RETURN 2
#define smr_check_frame() (*(void **)__builtin_frame_address(0))
#else
#define SMR_CHECK_RETURN 0
#define smr_check_frame() __builtin_extract_return_addr(__builtin_return_address(0))
#endif

/*
 * CONTEXT, of everything here: any. Never blocks, allocates or makes a system call, but to report.
 */

/* @what ends the sentence "... allocates" or "... waits for", say "heap memory" or "a fence". */
void smr_check_alloc(const char *what);
void smr_check_wait(const char *what);
/* The same where @lock will not be held meanwhile: the caller drops it first, if it has to. */
void smr_check_alloc_without(const char *what, const void *lock);
void smr_check_wait_without(const char *what, const void *lock);
/*
 * The last reference to @what has gone, whose end may free and sleep: not in a section. Of locks
 * nothing is noted, for most often nothing is freed here and now.
 */
void smr_check_last_put(const char *what);
/*
 * A wait for a grace period of one flavour. Sections do not mind: no reader may wait for what they
 * do.
 */
void smr_check_grace(enum mt_rcu_flavor flavor);
/*
 * Before a wait for all readers of @flavor. False: the thread would wait for itself, for ever,
 * which has been reported.
 */
bool smr_check_synchronize(enum mt_rcu_flavor flavor);
/* After smr_check_wait(), for one flavour: is it so? */
bool smr_check_waits_for_itself(enum mt_rcu_flavor flavor);

/*
 * ---- Of a struct mt_lock, for mutex.c, and for who may come to take one (bind/queue.c). False:
 * leave the lock alone, it is a mistake that has been reported. ----
 */

/* What is known of a lock in the same place is over: it need not have been destroyed. */
void smr_check_init(const struct mt_lock *lock);
bool smr_check_lock(const struct mt_lock *lock, unsigned int flags, unsigned int subclass);
bool smr_check_unlock(const struct mt_lock *lock);
/*
 * In the child of fork(): its thread holds no struct mt_lock, for it has another id than their
 * owner.
 */
void smr_check_forked(void);

/* ---- For section.c and read.c ---- */

void smr_check_section_enter(const char *name);
/* False: no section was entered, which has been reported. */
bool smr_check_section_leave(void);
/* Before a section is entered. */
void smr_check_read_enter(enum mt_rcu_flavor flavor);
/* Before a section is left; false: the thread is in none, which has been reported. And after. */
bool smr_check_read_leave(enum mt_rcu_flavor flavor);
void smr_check_read_left(enum mt_rcu_flavor flavor);

/* ---- For tree/check.c ---- */

/*
 * The identity of what protects the calling thread's view of a tree now: its hold of @lock (NULL:
 * none) and, with @rcu, its noted read-side section of @flavor. 0: nothing that the checker knows
 * of.
 */
unsigned long smr_check_guard(const void *lock, bool rcu, enum mt_rcu_flavor flavor);
/* Does any of @guard last still? */
bool smr_check_guarded(unsigned long guard);
/*
 * Reports, of a tree under @lock. @owner: who holds it instead, 0 if not known. @frame: whose
 * caller to begin with.
 */
void smr_check_report_write(const void *lock, unsigned int owner, void *frame);
void smr_check_report_cursor(const void *lock, unsigned long guard, void *frame);
/* Is @lock held by this thread, as far as the checker knows, and only for reading? */
bool smr_check_only_shared(const void *lock);

/*
 * A lock that is dropped for a while within one operation is the same hold afterwards: to cursors,
 * and in what it was taken as. It is let go of and taken behind the checker's back meanwhile.
 * smr_check_retake(), before each such operation, whether it will drop the lock or not: whatever
 * else the thread holds, it may come to take @lock again with that held.
 */
struct smr_check_hold {
	unsigned int serial, lock_class, flags, again; /* serial 0: there was none */
};
void smr_check_retake(const void *lock);
struct smr_check_hold smr_check_suspend(const void *lock);
void smr_check_resume(const void *lock, struct smr_check_hold was);

/* For tests: forgets what has been seen of all classes. */
void smr_check_forget(void);

#else

static inline void smr_check_alloc(const char *what)
{
	(void)what;
}

static inline void smr_check_wait(const char *what)
{
	(void)what;
}

static inline void smr_check_last_put(const char *what)
{
	(void)what;
}

static inline void smr_check_alloc_without(const char *what, const void *lock)
{
	(void)what;
	(void)lock;
}

static inline void smr_check_wait_without(const char *what, const void *lock)
{
	(void)what;
	(void)lock;
}

static inline void smr_check_grace(enum mt_rcu_flavor flavor)
{
	(void)flavor;
}

static inline bool smr_check_synchronize(enum mt_rcu_flavor flavor)
{
	(void)flavor;
	return true;
}

static inline bool smr_check_waits_for_itself(enum mt_rcu_flavor flavor)
{
	(void)flavor;
	return false;
}

static inline void smr_check_init(const struct mt_lock *lock)
{
	(void)lock;
}

static inline bool smr_check_lock(const struct mt_lock *lock, unsigned int flags,
				  unsigned int subclass)
{
	(void)lock;
	(void)flags;
	(void)subclass;
	return true;
}

static inline bool smr_check_unlock(const struct mt_lock *lock)
{
	(void)lock;
	return true;
}

static inline void smr_check_forked(void)
{
}

static inline void smr_check_section_enter(const char *name)
{
	(void)name;
}

static inline bool smr_check_section_leave(void)
{
	return true;
}

static inline void smr_check_read_enter(enum mt_rcu_flavor flavor)
{
	(void)flavor;
}

static inline bool smr_check_read_leave(enum mt_rcu_flavor flavor)
{
	(void)flavor;
	return true;
}

static inline void smr_check_read_left(enum mt_rcu_flavor flavor)
{
	(void)flavor;
}

struct smr_check_hold {
	char none; /* ISO C has no empty structures */
};

static inline struct smr_check_hold smr_check_suspend(const void *lock)
{
	(void)lock;
	return (struct smr_check_hold){ 0 };
}

static inline void smr_check_resume(const void *lock, struct smr_check_hold was)
{
	(void)lock;
	(void)was;
}

#endif

#endif
