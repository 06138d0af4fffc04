/* SPDX-License-Identifier: MIT */
#include "memfault.h"

#include "base/hooks.h"

#include <stddef.h>
#include <string.h>

static struct {
	void (*fn)(void *);
	void *arg;
} unlocked;

void memfault_ok(void)
{
	smr_hook_reset();
}

void memfault_none(void)
{
	smr_hook_reset();
	smr_hook_set_mem(SMR_HOOK_MEM_NONE);
}

void memfault_nowait(void)
{
	smr_hook_reset();
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
}

void memfault_nth(unsigned long n)
{
	smr_hook_reset();
	smr_hook_set_fail_at(n);
}

unsigned long memfault_count(void)
{
	return smr_hook_allocations();
}

bool memfault_named(const char *name)
{
	if (strcmp(name, "ok") == 0)
		memfault_ok();
	else if (strcmp(name, "none") == 0)
		memfault_none();
	else if (strcmp(name, "nowait") == 0)
		memfault_nowait();
	else
		return false;
	return true;
}

/* Uninstalls itself before the call: the callback may allocate and drop the lock, too. */
static void once(void *unused)
{
	(void)unused;
	smr_hook_set_unlocked(NULL, NULL);
	unlocked.fn(unlocked.arg);
}

void memfault_on_unlock(void (*fn)(void *), void *arg)
{
	unlocked.fn = fn;
	unlocked.arg = arg;
	smr_hook_set_unlocked(once, NULL);
}
