/* SPDX-License-Identifier: MIT */
/*
 * A GPU VA manager as drivers have had them: a red-black tree of mappings by address, out of a package (libbsd), one mutex,
 * mappings from a free list. Mappings do not overlap, so the tree needs no largest end per subtree. A mapping that
 * is cut stays where it is in the tree and only changes its bounds.
 */
#ifndef BENCH_RB_GPUVM_H
#define BENCH_RB_GPUVM_H

#include "../sm_map.h"
#include "pool.h"
#include "rb_near.h"
#include <pthread.h>

struct rb_va {
	RB_ENTRY(rb_va) node;
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
	struct rb_va_tree tree; /* GUARD lock, as all below */
	struct pool *pool;      /* mappings come from here */
	size_t count;
	uint64_t start, range;
	const struct rb_vm_ops *ops;
	void *priv;
};

/* Manages [start, start + range), which must not overflow. */
void rb_vm_init(struct rb_vm *vm, uint64_t start, uint64_t range, struct pool *pool,
		const struct rb_vm_ops *ops, void *priv);
void rb_vm_fini(struct rb_vm *vm);
/* 0; -EINVAL for a range outside or of length 0; -ENOMEM. On an error nothing has changed. */
int rb_vm_map(struct rb_vm *vm, uint64_t addr, uint64_t range, unsigned int object,
	      uint64_t offset);
int rb_vm_unmap(struct rb_vm *vm, uint64_t addr, uint64_t range);
/* The mapping around @addr, in *@found; false: none. */
bool rb_vm_find(struct rb_vm *vm, uint64_t addr, struct sm_map *found);

#endif
