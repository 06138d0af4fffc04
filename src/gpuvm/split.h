/* SPDX-License-Identifier: MIT */
/* The steps of a map or an unmap: see split.c. */
#ifndef SMR_GPUVM_SPLIT_H
#define SMR_GPUVM_SPLIT_H

#include "gpuvm/vm.h"

/*
 * A walk over the mappings that a request overlaps, ascending, with what becomes of each. The
 * caller's memory. @is_gone may be set after smr_split_begin(): it says which mappings to pass over
 * besides those that are gone for everybody, namely those that a job's own earlier unmaps take,
 * before these take effect.
 */
struct smr_split {
	const struct gpuvm *vm;
	uint64_t addr, last;            /* of the request */
	const struct gpuva_op_map *req; /* NULL: an unmap */
	bool (*is_gone)(const struct gpuva *va, void *arg);
	void *gone_arg;
	struct ma_state mas;
	struct gpuva *looked_up;     /* the first mapping, if it has been looked up already */
	const void *prefetched_leaf; /* the leaf whose mappings are in the cache, or coming */
	struct gpuva_op op;          /* the current step, and what it points to */
	struct gpuva_op_map prev, next;
	struct gpuva_op_unmap unmap;
};

/*
 * Checks the rules for a request or a mapping: 0 or -EINVAL. @obj NULL: none, or an unmap, whose
 * @offset is 0. Looks at nothing that changes. CONTEXT: any.
 */
int smr_gpuvm_check(const struct gpuvm *vm, uint64_t addr, uint64_t range,
		    const struct gpuvm_object *obj, uint64_t offset);

/*
 * Begins the walk over [@addr, @addr + @range), which passes smr_gpuvm_check(), in @mt: the VM's
 * tree or a transaction's view of it. @req is the map, and must last; NULL: an unmap. The end needs
 * no call. During the walk only the mappings that it has passed may be taken out and replaced.
 * CONTEXT: HOLDS the VM's lock, throughout.
 */
void smr_split_begin(struct smr_split *s, const struct gpuvm *vm, struct maple_tree *mt,
		     uint64_t addr, uint64_t range, const struct gpuva_op_map *req);

/*
 * Looks up where the walk begins and prefetches the mappings there into the cache, so that a caller
 * with other work can do it while they come.
 */
void smr_split_prefetch(struct smr_split *s);

/*
 * Returns the next mapping that is overlapped, in part or as a whole; NULL at the end. Passes over
 * the reserved region.
 */
struct gpuva *smr_split_next_va(struct smr_split *s);

/*
 * The same, as an operation: an unmap or a remap. It and what it points to live in @s until the
 * next call. The map of a map request follows these, and is not returned here.
 */
struct gpuva_op *smr_split_next(struct smr_split *s);

#endif
