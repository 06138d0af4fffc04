/* SPDX-License-Identifier: MIT */
/*
 * Memory of the library other than nodes: fences, jobs, mappings, lists of operations. It comes
 * from the C allocator, and is allocated and freed only where blocking is fine: both report to the
 * checker (lock/check.h).
 */
#ifndef SMR_MEM_HEAP_H
#define SMR_MEM_HEAP_H

#include <stddef.h>

/* Returns @size zeroed bytes or NULL. Tests can make it fail (base/hooks.h). CONTEXT: may block. */
void *smr_heap_alloc(size_t size);
/* @p may be NULL. */
void smr_heap_free(void *p);

#endif
