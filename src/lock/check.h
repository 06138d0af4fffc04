/* SPDX-License-Identifier: MIT */
/*
 * What the library tells the checker of the locking rules (samara/lockcheck.h; check.c says how it
 * works). All of it compiles to nothing in a build without the checker (SMR_LOCKCHECK).
 *
 * A struct mt_lock needs none of this: mt_lock_acquire() and its like tell the checker themselves,
 * and the lock knows its rank (lock/rank.h). Code that may get memory from the system or give it
 * back calls smr_check_alloc() first, whether or not it will have to; code that may wait for a
 * fence or the like calls smr_check_wait(). Sections: lock/section.h. Trees and cursors:
 * tree/check.h.
 */
#ifndef SMR_LOCK_CHECK_H
#define SMR_LOCK_CHECK_H

#include "lock/rank.h"
#include <samara/rcu.h>

#ifdef SMR_LOCKCHECK

/*
 * The calling function's frame, for functions that want its callers. Where frames are linked, as
 * long as code is compiled with frame pointers, a frame points to its caller's, and
 * SMR_CHECK_RETURN words further on is the return address. Elsewhere (0) smr_check_frame() is the
 * return address itself, which is found again when the stack is unwound.
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
 * CONTEXT, of everything here: any. Never blocks, allocates or makes a system call, except to
 * report.
 */

/* @what ends the sentence "... allocates" or "... waits for", say "heap memory" or "a fence". */
void smr_check_alloc(const char *what);
void smr_check_wait(const char *what);
/* The same, for a caller that, if it has to allocate or wait, drops @lock first. */
void smr_check_alloc_without(const char *what, const void *lock);
void smr_check_wait_without(const char *what, const void *lock);
/*
 * The last reference to @what has gone, whose end may free and sleep, and so must not be in a
 * section. Nothing is noted of the locks held, because most often nothing is freed here and now.
 */
void smr_check_last_put(const char *what);
/*
 * A wait for a grace period of one flavour. Allowed in must-not-allocate sections: no reader may
 * wait for what these do.
 */
void smr_check_grace(enum mt_rcu_flavor flavor);
/*
 * Called before a wait for all readers of @flavor. Returns false if the thread would wait for
 * itself, for ever, which has been reported.
 */
bool smr_check_synchronize(enum mt_rcu_flavor flavor);
/*
 * Called after smr_check_wait(). Returns true if the thread would wait for itself as a reader of
 * @flavor.
 */
bool smr_check_waits_for_itself(enum mt_rcu_flavor flavor);

/*
 * ---- Of a struct mt_lock, for mutex.c and for code that waits for threads that may take one
 * (bind/queue.c). False: leave the lock alone, it is a mistake that has been reported. ----
 */

/* Forgets what is known of a lock at the same address, which need not have been destroyed. */
void smr_check_init(const struct mt_lock *lock);
bool smr_check_lock(const struct mt_lock *lock, unsigned int flags, unsigned int subclass);
bool smr_check_unlock(const struct mt_lock *lock);
/*
 * Called in the child of fork(), whose thread holds no struct mt_lock: its id is not the owner's.
 */
void smr_check_forked(void);

/* ---- For section.c and read.c ---- */

void smr_check_section_enter(const char *name);
/* Returns false if no section was entered, which has been reported. */
bool smr_check_section_leave(void);
/* Called before a section is entered. */
void smr_check_read_enter(enum mt_rcu_flavor flavor);
/*
 * Called before and after a section is left. False: the thread is in none, which has been reported.
 */
bool smr_check_read_leave(enum mt_rcu_flavor flavor);
void smr_check_read_left(enum mt_rcu_flavor flavor);

/* ---- For tree/check.c ---- */

/*
 * Returns the identity of what protects the calling thread's view of a tree now: its hold of @lock
 * (NULL: none) and, with @rcu, its noted read-side section of @flavor. 0: nothing that the checker
 * knows of.
 */
unsigned long smr_check_guard(const void *lock, bool rcu, enum mt_rcu_flavor flavor);
/* Returns true if any part of @guard still lasts. */
bool smr_check_guarded(unsigned long guard);
/*
 * Report a mistake with a tree under @lock. @owner: the id of the thread that holds the lock
 * instead, 0 if not known. @frame: the stack begins with its caller.
 */
void smr_check_report_write(const void *lock, unsigned int owner, void *frame);
void smr_check_report_cursor(const void *lock, unsigned long guard, void *frame);
/* Returns true if this thread, as far as the checker knows, holds @lock, but only for reading. */
bool smr_check_only_shared(const void *lock);

/*
 * A lock that is dropped for a while within one operation is the same hold afterwards, to cursors
 * and in its class and flags. Between smr_check_suspend() and smr_check_resume() it is released and
 * taken behind the checker's back. smr_check_retake() is called before each such operation, whether
 * or not it will drop the lock: it notes that @lock may be taken again under all other locks that
 * the thread holds.
 */
struct smr_check_hold {
	unsigned int serial, lock_class, flags, recursions; /* serial 0: there was none */
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
