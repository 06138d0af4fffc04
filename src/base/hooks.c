/* SPDX-License-Identifier: MIT */
#include "base/hooks.h"
#include "base/order.h"
#include <stddef.h>

#ifdef SMR_HOOKS

static enum smr_hook_mem mem_mode; /* GUARD relaxed: a setting */
static unsigned long allocations;  /* GUARD relaxed: a counter */
static unsigned long failures;     /* GUARD relaxed: a counter */
static unsigned long fail_at;      /* GUARD relaxed: a setting; 0: never */
/*
 * GUARD relaxed, all of these: set while no call is wanted, though other threads may be about to
 * look. A thread that finds a function finds its argument, which stays.
 */
static void (*alloc_fn)(void *);
static void *alloc_arg;
static void (*unlocked_fn)(void *);
static void *unlocked_arg;
static void (*point_fn)(enum smr_hook_point, void *);
static void *point_arg;

#if SMR_TSAN
enum smr_order smr_hook_weakened;
#endif

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

void smr_hook_set_alloc(void (*fn)(void *arg), void *arg)
{
	if (fn)
		smr_store(&alloc_arg, arg, RELAXED);
	smr_store(&alloc_fn, fn, RELAXED);
}

void smr_hook_set_unlocked(void (*fn)(void *arg), void *arg)
{
	if (fn)
		smr_store(&unlocked_arg, arg, RELAXED);
	smr_store(&unlocked_fn, fn, RELAXED);
}

void smr_hook_set_point(void (*fn)(enum smr_hook_point point, void *arg), void *arg)
{
	if (fn)
		smr_store(&point_arg, arg, RELAXED);
	smr_store(&point_fn, fn, RELAXED);
}

void smr_hook_reset(void)
{
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	smr_hook_set_fail_at(0);
	smr_hook_set_alloc(NULL, NULL);
	smr_hook_set_unlocked(NULL, NULL);
	smr_hook_set_point(NULL, NULL);
}

bool smr_hook_fail_alloc(bool may_block)
{
	enum smr_hook_mem mode = smr_load(&mem_mode, RELAXED);
	unsigned long nth = smr_add(&allocations, 1, RELAXED) + 1;
	void (*fn)(void *) = smr_load(&alloc_fn, RELAXED);
	bool fail;

	if (fn)
		fn(smr_load(&alloc_arg, RELAXED));
	fail = nth == smr_load(&fail_at, RELAXED) || mode == SMR_HOOK_MEM_NONE ||
	       (mode == SMR_HOOK_MEM_NOWAIT && !may_block);
	if (fail)
		smr_add(&failures, 1, RELAXED);
	return fail;
}

void smr_hook_unlocked(void)
{
	void (*fn)(void *) = smr_load(&unlocked_fn, RELAXED);

	if (fn)
		fn(smr_load(&unlocked_arg, RELAXED));
}

void smr_hook_at(enum smr_hook_point point)
{
	void (*fn)(enum smr_hook_point, void *) = smr_load(&point_fn, RELAXED);

	if (fn)
		fn(point, smr_load(&point_arg, RELAXED));
}

#else

/* A file of the release library may not be empty in ISO C. */
typedef int smr_hooks_are_off;

#endif
