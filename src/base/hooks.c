/* SPDX-License-Identifier: MIT */
#include "base/hooks.h"
#include "base/atomic.h"
#include <stddef.h>

#ifdef SMR_HOOKS

static enum smr_hook_mem mem_mode;  /* GUARD relaxed: a setting */
static unsigned long allocations;   /* GUARD relaxed: a counter */
static unsigned long failures;      /* GUARD relaxed: a counter */
static unsigned long fail_at;       /* GUARD relaxed: a setting; 0: never */
static void (*asked_fn)(void *);    /* GUARD: set while only one thread uses the library */
static void *asked_arg;             /* GUARD: likewise */
static void (*unlocked_fn)(void *); /* GUARD: likewise */
static void *unlocked_arg;          /* GUARD: likewise */
static void (*given_fn)(void *);    /* GUARD: likewise */
static void *given_arg;             /* GUARD: likewise */

void smr_hook_set_mem(enum smr_hook_mem mode)
{
	smr_store(&mem_mode, mode, RELAXED);
}

void smr_hook_set_fail_at(unsigned long n)
{
	smr_store(&allocations, 0, RELAXED);
	smr_store(&failures, 0, RELAXED);
	smr_store(&fail_at, n, RELAXED);
}

unsigned long smr_hook_allocations(void)
{
	return smr_load(&allocations, RELAXED);
}

unsigned long smr_hook_failures(void)
{
	return smr_load(&failures, RELAXED);
}

void smr_hook_set_asked(void (*fn)(void *arg), void *arg)
{
	asked_fn = fn;
	asked_arg = arg;
}

void smr_hook_set_unlocked(void (*fn)(void *arg), void *arg)
{
	unlocked_fn = fn;
	unlocked_arg = arg;
}

void smr_hook_set_given(void (*fn)(void *arg), void *arg)
{
	given_fn = fn;
	given_arg = arg;
}

void smr_hook_reset(void)
{
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	smr_hook_set_fail_at(0);
	smr_hook_set_asked(NULL, NULL);
	smr_hook_set_unlocked(NULL, NULL);
	smr_hook_set_given(NULL, NULL);
}

bool smr_hook_fail_node(bool may_block)
{
	enum smr_hook_mem mode = smr_load(&mem_mode, RELAXED);
	unsigned long nth = smr_add(&allocations, 1, RELAXED) + 1;
	bool fail;

	if (asked_fn)
		asked_fn(asked_arg);
	fail = nth == smr_load(&fail_at, RELAXED) || mode == SMR_HOOK_MEM_NONE ||
	       (mode == SMR_HOOK_MEM_NOWAIT && !may_block);
	if (fail)
		smr_add(&failures, 1, RELAXED);
	return fail;
}

void smr_hook_unlocked(void)
{
	if (unlocked_fn)
		unlocked_fn(unlocked_arg);
}

void smr_hook_given(void)
{
	if (given_fn)
		given_fn(given_arg);
}

#else

/* A file of the release library may not be empty in ISO C. */
typedef int smr_hooks_are_off;

#endif
