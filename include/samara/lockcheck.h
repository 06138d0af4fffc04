/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules. A library built with it watches every lock, read-side section,
 * must-not-allocate section and cursor as the program runs. It reports a broken rule the first time
 * it has seen the parts of a mistake, not the one time in a thousand that they meet. A report has
 * two stacks: that of what is wrong and that of what it contradicts. docs/lockcheck.md has a
 * section for each rule.
 *
 * Trees and everything else in the library are checked without help from the program. To include
 * its own locks, allocators and waits, use the annotations below. They exist in every build of the
 * library; where the checker is off (lockcheck_enabled() tells; -Dlockcheck= chooses) they do
 * nothing, except must-not-allocate sections. These are real in every build, and functions of this
 * library behave differently inside (fence.h), so a section that is never left matters in every
 * build, too.
 *
 * CONTEXT of everything here: any except signal handlers. Nothing blocks, allocates or makes a
 * system call, except to report, for futexes where threads meet at the checker's tables, and twice
 * in a thread's life: a thread's first section registers it with liburcu before it begins, in every
 * build, unless it has read before (rcu.h); and the checker asks for a thread's id when it first
 * meets it. Annotations are for the calling thread; when that ends, what it holds is forgotten.
 */
#ifndef SAMARA_LOCKCHECK_H
#define SAMARA_LOCKCHECK_H

#include <samara/export.h>
#include <samara/lock.h>
#include <stdbool.h>

MT_BEGIN_DECLS

/* Does this library check? Also false once it has stopped because one of its tables was full. */
MT_API bool lockcheck_enabled(void);

/*
 * ---- Reports -----------------------------------------------------------------------------------
 */

enum lockcheck_rule {
	LOCKCHECK_WRITE_WITHOUT_LOCK,
	LOCKCHECK_ALLOCATION_IN_SECTION,
	LOCKCHECK_LOCK_OVER_ALLOCATION,
	LOCKCHECK_LOCK_OVER_WAIT,
	LOCKCHECK_LOCK_ORDER,
	LOCKCHECK_LOCK_NESTING,
	LOCKCHECK_LOCK_RECURSION,
	LOCKCHECK_RELEASE_NOT_HELD,
	LOCKCHECK_WAIT_IN_READ_SECTION,
	LOCKCHECK_WAIT_IN_SECTION,
	LOCKCHECK_SECTION_NOT_ENTERED,
	LOCKCHECK_STALE_CURSOR,
};

struct lockcheck_stack {
	const char *caption; /* "taken here" */
	unsigned int nr;     /* 0: not known; at most 40 of the first stack, 10 of the second */
	/*
	 * Return addresses, innermost first, for dladdr() and addr2line. Subtract one to get an
	 * address within the call, whose line may be another.
	 */
	void *const *frames;
};

/*
 * What a handler is given. It and all that it points to are valid only until the handler returns.
 */
struct lockcheck_report {
	enum lockcheck_rule rule;
	const char *name; /* of the rule, and of its section in docs/lockcheck.md: "lock-order" */
	const char *sentence; /* what is wrong */
	struct lockcheck_stack stack[2];
};

/*
 * The thread that broke a rule calls @fn(report, @arg) instead of printing the report and aborting;
 * then execution goes on. @fn must return, and what it does is not checked. NULL: print and abort,
 * the default. A mistake is reported once, unless 512 others have been; setting a handler forgets
 * which have been. It is the same mistake if the same classes of locks break the same rule, or, for
 * rules about other things, if the first stack is the same.
 */
MT_API void lockcheck_set_handler(void (*fn)(const struct lockcheck_report *report, void *arg),
				  void *arg);

/* Prints a report to stderr, without allocating: for handlers. */
MT_API void lockcheck_print(const struct lockcheck_report *report);

/*
 * ---- Locks of the program ----------------------------------------------------------------------
 */

/*
 * What a lock is for. Order, nesting, allocations and waits are judged by class: for example, all
 * inodes' locks are one. Have one per kind of lock, static or alive as long as the program.
 */
struct lockcheck_class {
	const char *name;
	unsigned int id; /* the checker's */
};

#define LOCKCHECK_CLASS(name) \
	{                     \
		(name), 0     \
	}

#define LOCKCHECK_TRY 1    /* it was taken by trying, so the thread did not wait for it */
#define LOCKCHECK_SHARED 2 /* for reading: other readers may hold it too, this thread included */
#define LOCKCHECK_NESTED 4 /* another of the class may be held: the caller ensures their order */

/*
 * The calling thread takes @lock, any pointer that stands for the lock: call acquire right before
 * waiting for the lock, or right after a successful try. Call release right before releasing it.
 */
MT_API void lockcheck_acquire(const void *lock, struct lockcheck_class *lock_class,
			      unsigned int flags);
MT_API void lockcheck_release(const void *lock);

/*
 * Does the calling thread hold @lock, according to lockcheck_acquire()? Made for
 * mt_set_external_lock_check(). True where nothing is known: where the checker is off, in a
 * handler, in a thread beyond the number that can be watched, and while the thread holds more than
 * 32 locks.
 */
MT_API bool lockcheck_held(void *lock);

/*
 * Gives a tree's lock, or another struct mt_lock, a class of its own. Otherwise all of them, the
 * trees' and the program's own, are in one class, "tree lock". Call it after mt_init() or
 * mt_lock_init() and before the lock is used.
 */
MT_API void lockcheck_set_class(struct mt_lock *lock, struct lockcheck_class *lock_class);

/*
 * ---- Sections, allocations, waits --------------------------------------------------------------
 */

/*
 * Enter and leave a section in which the calling thread must not allocate, because others wait for
 * what it is about to do. Sections nest; a mistake deeper than the eighth is reported as in the
 * eighth. Fence signalling sections are the same thing, so fence_in_signalling() is true inside,
 * with or without the checker. @name is for reports; the string must stay.
 */
MT_API void lockcheck_section_begin(const char *name);
MT_API void lockcheck_section_end(void);

/* An allocation that may block happens, or may happen, here: for the program's own allocators. */
MT_API void lockcheck_alloc(const char *what);
/*
 * The thread waits, or may wait, here for something that others may have to allocate or take locks
 * for.
 */
MT_API void lockcheck_wait(const char *what);

MT_END_DECLS

#endif
