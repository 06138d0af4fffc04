/* SPDX-License-Identifier: MIT */
/*
 * Points at which a test may interfere. Only the internal build (SMR_HOOKS) has them; elsewhere
 * they compile to nothing.
 *
 * The settings are meant for tests that drive the tree from one thread; they are atomic, so that
 * other threads may allocate meanwhile, but which thread then meets the failure is not determined.
 */
#ifndef SMR_BASE_HOOKS_H
#define SMR_BASE_HOOKS_H

#include <stdbool.h>

#ifdef SMR_HOOKS

enum smr_hook_mem {
	SMR_HOOK_MEM_OK,     /* no allocation fails by order of a test */
	SMR_HOOK_MEM_NOWAIT, /* those fail that may not block */
	SMR_HOOK_MEM_NONE,   /* all fail */
};

/* Which allocations fail from now on: of nodes, and of all else that is taken from the heap. */
void smr_hook_set_mem(enum smr_hook_mem mode);

/* Lets the @n-th allocation from now (1: the next) fail, once. 0: none. */
void smr_hook_set_fail_at(unsigned long n);

/* Allocations asked for since the last smr_hook_set_fail_at() or smr_hook_reset(). */
unsigned long smr_hook_allocations(void);
/* How many of these were made to fail. */
unsigned long smr_hook_failures(void);

/*
 * @fn is called each time nodes are asked for, before there is an answer, with whatever locks are
 * held: here it can look at what other threads see meanwhile. NULL: nobody.
 */
void smr_hook_set_asked(void (*fn)(void *arg), void *arg);

/*
 * @fn is called, with no lock of the library held, each time a store has dropped the internal lock
 * to get memory and has not retaken it yet: here another writer might come between. NULL: nobody.
 */
void smr_hook_set_unlocked(void (*fn)(void *arg), void *arg);

/*
 * Moments that a test wants to catch; no lock of the library is held but a tree's or a VM's, or
 * fork()'s.
 */
enum smr_hook_point {
	SMR_HOOK_LOOKS,   /* a thread has become the one who frees, and has not looked yet */
	SMR_HOOK_IN_HAND, /* it has taken nodes out of limbo, and they are not free yet */
	SMR_HOOK_CALLS,   /* a callback is said to be on its way, and is not queued yet */
	SMR_HOOK_SHORT,   /* who may block found too few nodes, and has not waited for more */
	SMR_HOOK_WAITED,  /* he has, and has not tried again */
	SMR_HOOK_AWAITS,  /* he waits for a chunk that another is getting or giving back */
	SMR_HOOK_GIVEN,   /* nodes have been given back or retired, or what is pledged settled */
	SMR_HOOK_PASSED,  /* a look-up in a VM has passed what reads as nothing */
	SMR_HOOK_ROOM,    /* there is room for a list of a VM's jobs, which may be more by now */
};

/* @fn is called each time a thread comes to one of them, by that thread. NULL: nobody. */
void smr_hook_set_point(void (*fn)(enum smr_hook_point point, void *arg), void *arg);

/* Back to no interference at all. */
void smr_hook_reset(void);

/* For the library: must this allocation fail? Called once for each request, of any number. */
bool smr_hook_fail_alloc(bool may_block);
/* For the library: the lock has been dropped to allocate. */
void smr_hook_unlocked(void);
/* For the library: such a moment is now. */
void smr_hook_at(enum smr_hook_point point);

#else

#define smr_hook_at(point) ((void)0)

static inline bool smr_hook_fail_alloc(bool may_block)
{
	(void)may_block;
	return false;
}

static inline void smr_hook_unlocked(void)
{
}

#endif

#endif
