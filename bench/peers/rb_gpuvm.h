/* SPDX-License-Identifier: MIT */
/*
 * A GPU VA manager as drivers have had them: a red-black tree of mappings by address, from a
 * package (libbsd), one mutex, mappings from a free list. There are two of them:
 *
 *   rb tree            mappings do not overlap, so the tree does without a largest end per subtree;
 *                      a mapping that is cut stays where it is and only changes its bounds, and a
 *                      new one is put beside its neighbour
 *   rb interval tree   overlaps are found by the largest end per subtree, which each insertion and
 *                      removal updates; what is left of a mapping that is cut is inserted anew, in
 *                      its place
 */
#ifndef BENCH_RB_GPUVM_H
#define BENCH_RB_GPUVM_H

#ifdef RB_INTERVAL
#define RB_AUGMENT(va) update_max(va)
#endif

#include "../sm_map.h"
#include "pool.h"
#include "rb_near.h"
#include <pthread.h>

struct rb_va {
	RB_ENTRY(rb_va) node;
#ifdef RB_INTERVAL
	uint64_t max; /* the largest end in its subtree */
#endif
	struct sm_map what;
};

RB_HEAD(rb_va_tree, rb_va);

/* What the driver does with its page tables at each step, before the tree changes. */
struct rb_vm_ops {
	void (*map)(const struct sm_map *map, void *priv);
	void (*remap)(const struct rb_va *va, bool keep, const struct sm_map *prev,
		      const struct sm_map *next, void *priv);
	void (*unmap)(const struct rb_va *va, bool keep, void *priv);
};

struct rb_vm {
	pthread_mutex_t lock;
	struct rb_va_tree tree; /* GUARD lock, as is all below */
	struct pool *pool;      /* mappings come from here */
	size_t count;
	uint64_t start, range;
	const struct rb_vm_ops *ops;
	void *priv;
};

#endif
