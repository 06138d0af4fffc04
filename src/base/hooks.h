/* SPDX-License-Identifier: MIT */
/*
 * Points at which a test may interfere. Only the internal build (SMR_HOOKS) has them; elsewhere
 * they compile to nothing.
 *
 * The settings are meant for tests that drive the tree from one thread. They are atomic, so other
 * threads may allocate meanwhile, but which thread then meets the failure is not determined.
 */
#ifndef SMR_BASE_HOOKS_H
#define SMR_BASE_HOOKS_H

#include <stdbool.h>

#ifdef SMR_HOOKS

enum smr_hook_mem {
	SMR_HOOK_MEM_OK,     /* no allocation is made to fail */
	SMR_HOOK_MEM_NOWAIT, /* allocations that may not block fail */
	SMR_HOOK_MEM_NONE,   /* all allocations fail */
};

/* Sets which allocations fail from now on, of nodes and of everything else from the heap. */
void smr_hook_set_mem(enum smr_hook_mem mode);

/* Makes the @n-th allocation from now (1: the next) fail, once. 0: none. */
void smr_hook_set_fail_at(unsigned long n);

/*
 * Returns the number of allocations asked for since the last smr_hook_set_fail_at() or
 * smr_hook_reset().
 */
unsigned long smr_hook_allocations(void);
/* Returns how many of these were made to fail. */
unsigned long smr_hook_failures(void);

/*
 * Has @fn called each time memory is asked for, before there is an answer, with whatever locks are
 * held: @fn can look at what other threads see meanwhile. NULL: no function.
 */
void smr_hook_set_alloc(void (*fn)(void *arg), void *arg);

/*
 * Has @fn called, with no lock of the library held, each time a store has dropped the internal lock
 * to get memory and has not retaken it yet: another writer might come in between here. NULL: no
 * function.
 */
void smr_hook_set_unlocked(void (*fn)(void *arg), void *arg);

/*
 * Moments that a test wants to catch. No lock of the library is held except a tree's or a VM's, or
 * those held around fork().
 */
enum smr_hook_point {
	SMR_HOOK_LOOKS,   /* a thread has become the one that frees, and has not looked yet */
	SMR_HOOK_IN_HAND, /* it has taken nodes out of limbo, and they are not free yet */
	SMR_HOOK_CALLS,   /* a callback counts as on its way, and is not queued yet */
	SMR_HOOK_SHORT,   /* a thread that may block found too few nodes, and has not waited yet */
	SMR_HOOK_WAITED,  /* it has waited, and has not tried again */
	SMR_HOOK_AWAITS,  /* it waits for a chunk that another thread is getting or giving back */
	SMR_HOOK_GIVEN,   /* nodes have been given back or retired, or a pledge settled */
	SMR_HOOK_PASSED,  /* a look-up in a VM has passed an entry that reads as nothing */
	SMR_HOOK_ROOM,    /* there is room for a list of a VM's jobs, which may be more by now */
};

/* Has @fn called each time a thread comes to such a point, in that thread. NULL: no function. */
void smr_hook_set_point(void (*fn)(enum smr_hook_point point, void *arg), void *arg);

/* Goes back to no interference at all. */
void smr_hook_reset(void);

/*
 * For the library: returns true if this allocation must fail. Called once for each request,
 * however many nodes or bytes it is for.
 */
bool smr_hook_fail_alloc(bool may_block);
/* For the library: the lock has been dropped to allocate. */
void smr_hook_unlocked(void);
/* For the library: the moment @point is now. */
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
