/* SPDX-License-Identifier: MIT */
#include "mem/heap.h"

#include "base/hooks.h"
#include "lock/section.h"

#include <stdlib.h>

void *smr_heap_alloc(size_t size)
{
	smr_assert(!smr_in_section());
	return smr_hook_fail_node(true) ? NULL : calloc(1, size);
}

void smr_heap_free(void *p)
{
	smr_assert(!p || !smr_in_section());
	free(p);
}
