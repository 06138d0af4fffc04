/* SPDX-License-Identifier: MIT */
/* Shared by the files of the checker. CONTEXT of everything: any except signal handlers. */
#ifndef SMR_LOCK_CHECK_INTERNAL_H
#define SMR_LOCK_CHECK_INTERNAL_H

#include "base/base.h"
#include "base/grace.h"
#include "lock/check.h"
#include <samara/lockcheck.h>

enum {
	SMRI_CLASSES = 128,
	SMRI_EDGES = 1024,
	SMRI_THREADS = 1024,   /* those beyond go unwatched */
	SMRI_HOLDS = 32,       /* of locks; those taken beyond are only counted */
	SMRI_SECTIONS = 8,     /* those nested deeper have no stack */
	SMRI_RELEASES = 8,     /* locks released lately */
	SMRI_FRAMES_INNER = 3, /* of where one of the library's inner locks was taken */
	SMRI_FRAMES = 10,      /* of a stack that is kept */
	SMRI_FRAMES_NOW = 40,  /* of the stack of a report */
};

/* What may be seen of a class of locks: where they are taken, and what they are held over. */
enum smri_fact {
	SMRI_IN_SECTION, /* taken where nothing may be allocated */
	SMRI_OVER_ALLOC,
	SMRI_IN_READ, /* taken in a read-side section; a fact for each flavour */
	SMRI_OVER_WAIT = SMRI_IN_READ + SMR_RCU_FLAVORS,
	SMRI_OVER_GRACE, /* over a wait for a grace period of one flavour; a fact for each */
	SMRI_FACTS = SMRI_OVER_GRACE + SMR_RCU_FLAVORS
};

#define SMRI_MT_LOCK 0x100u /* a hold's flag beside those of lockcheck.h */

struct smri_stack {
	unsigned int nr;
	void *frame[SMRI_FRAMES];
};

struct smri_hold {
	const void *lock;
	unsigned int lock_class;
	unsigned int flags;
	unsigned int serial;     /* identity; never 0 */
	unsigned int recursions; /* how often it was, wrongly, taken again */
	struct smri_stack taken;
};

struct smri_release {
	unsigned int serial;
	struct smri_stack stack;
};

struct smri_read {
	unsigned int depth;
	unsigned int serial;      /* of the outermost section entered last */
	unsigned int left_serial; /* of the one left last */
	bool outer_ongoing;       /* when it was left, one entered through liburcu itself went on */
	struct smri_stack entered, left;
};

struct smri_section {
	const char *name;
	struct smri_stack entered;
};

/* What the checker knows of a thread. GUARD: the thread itself. */
struct smri_thread {
	bool busy;      /* in a handler */
	bool unwatched; /* the record for threads without one: must not be written */
	unsigned int last_serial;
	unsigned int nr_holds;
	unsigned int nr_untracked; /* holds for which there was no room */
	unsigned int nr_releases;
	struct smri_hold hold[SMRI_HOLDS];
	struct smri_release release[SMRI_RELEASES];
	struct smri_section section[SMRI_SECTIONS];
	struct smri_read read[SMR_RCU_FLAVORS];
	struct smri_thread *next; /* in the list of records given back */
};

/* ---- check_thread.c ---- */

/* NULL: the checker has not met the thread yet. */
extern smr_thread_local struct smri_thread *smri_check_mine __attribute__((visibility("hidden")));

struct smri_thread *smri_check_attach(void);

/* Returns the calling thread's record. */
smr_inline struct smri_thread *smri_check_me(void)
{
	struct smri_thread *t = smri_check_mine;

	return smr_likely(t) ? t : smri_check_attach();
}

/* Called in the child of fork(): gives back the records of the other threads. */
void smri_check_detach_others(void);

/* ---- check.c ---- */

/*
 * For lockcheck_acquire() and smr_check_lock(). Returns false if the thread holds the lock already,
 * which has been reported.
 */
bool smri_check_take(const void *lock, unsigned int lock_class, unsigned int flags, void *frame);
/*
 * Returns false if the lock is not held, or was wrongly taken again before: then the lock itself
 * must be left alone.
 */
bool smri_check_drop(const void *lock, void *frame);
/* Returns true also if the lock may be held, for all the checker knows. */
bool smri_check_holds(const void *lock);
/* Returns an identity that no hold or section of this thread has had for long. Never 0. */
unsigned int smri_next_serial(void);

/* ---- check_section.c ---- */

/* @without: a lock that is not held while the thread allocates or waits, or NULL. */
void smri_check_alloc(const char *what, const void *without, void *frame);
void smri_check_wait(const char *what, const void *without, void *frame);
/* A lock of the class is about to be waited for: notes in which sections the thread is. */
void smri_check_taken_inside(unsigned int lock_class, void *frame);

/* ---- check_graph.c: classes, in which order they are taken, and what they are held over ---- */

/*
 * Returns the id of a class of the program's, which is registered at its first use. 0 if there is
 * no room.
 */
unsigned int smri_class_id(struct lockcheck_class *lock_class);
const char *smri_class_name(unsigned int id);
/* A lock of class @to is about to be taken while @held is held. */
void smri_graph_order(const struct smri_hold *held, unsigned int to, void *frame);
/* A fact of class @id is seen. @what: what is allocated or waited for, or what section it is. */
void smri_graph_fact(unsigned int id, unsigned int fact, const char *what, void *frame);
/* Forgets mistakes between classes, to report them once more. CONTEXT: HOLDS tables. */
void smri_graph_forget_mistakes(void);

/* ---- check_report.c ---- */

/* Whether the calling thread is checked now. */
bool smri_check_on(void);
/* A table is full: says so, once, and stops all checks. */
void smri_check_give_up(const char *what);
/* There are more threads than records: says so, once. */
void smri_check_say_crowded(void);

/* The lock of the checker's tables. Nothing of the program's is called under it. */
void smri_check_lock_tables(void);
void smri_check_unlock_tables(void);
/* Called in the child of fork(): frees that lock, whose holder may not exist there. */
void smri_check_reset_tables_lock(void);

struct smri_found {
	enum lockcheck_rule rule;
	/*
	 * Classes, or 0. A mistake is reported once for the same rule and classes or, if both are
	 * 0, for the same rule and stack.
	 */
	unsigned int a, b;
	const char *here; /* captions */
	const char *other_caption;
	const struct smri_stack *other; /* NULL: not known */
};

/* Reports @found, with the stack from the caller of the function with @frame outwards. */
__attribute__((format(printf, 3, 4))) void smri_report(const struct smri_found *found, void *frame,
						       const char *format, ...);

/* ---- check_stack.c ---- */

/*
 * Stores in @stack up to @max frames from the caller of the function with @frame outwards, as far
 * as frame pointers lead. Cheap. Frames of code that is compiled without frame pointers may be
 * missing, except the first. Where frames are not linked, does the same as smri_stack_unwind().
 */
void smri_stack_keep(struct smri_stack *stack, void *frame, unsigned int max);
/* The same by unwinding: complete, but expensive. */
void smri_stack_unwind(struct smri_stack *stack, void *frame);
/* Stores up to @max frames from the same caller outwards, by unwinding. Returns how many. */
unsigned int smri_frames(void **frames, unsigned int max, void *frame);
/* Prints frames to stderr, a line for each. */
void smri_print_frames(void *const *frames, unsigned int nr);

#endif
