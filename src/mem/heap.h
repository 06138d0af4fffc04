/* SPDX-License-Identifier: MIT */
/*
 * Memory of the library that is not a tree's: fences, jobs, mappings, lists of operations. It is
 * the C allocator's, got and given back only where blocking is fine: both tell the checker
 * (lock/check.h).
 */
#ifndef SMR_MEM_HEAP_H
#define SMR_MEM_HEAP_H

#include <stddef.h>

/* @size zeroed bytes, or NULL. Tests can make it fail (base/hooks.h). CONTEXT: may block. */
void *smr_heap_alloc(size_t size);
/* NULL is fine. */
void smr_heap_free(void *p);

#endif
