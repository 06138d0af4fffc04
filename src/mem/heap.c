/* SPDX-License-Identifier: MIT */
#include "mem/heap.h"

#include "base/hooks.h"
#include "lock/check.h"

#include <stdlib.h>

void *smr_heap_alloc(size_t size)
{
	smr_check_alloc("heap memory");
	return smr_hook_fail_alloc(true) ? NULL : calloc(1, size);
}

void smr_heap_free(void *p)
{
	if (p)
		smr_check_alloc("heap memory");
	free(p);
}
