/* SPDX-License-Identifier: MIT */
/* The steps of a map or an unmap: see split.c. */
#ifndef SMR_GPUVM_SPLIT_H
#define SMR_GPUVM_SPLIT_H

#include "gpuvm/vm.h"

/*
 * A walk over the mappings that a request overlaps, ascending, with what is to become of each. The
 * caller's memory. @gone, which may be set after smr_split_begin(), says which mappings are to be
 * passed over besides those that are gone for everybody: a job's own unmaps of whole objects,
 * before they take effect.
 */
struct smr_split {
	const struct gpuvm *vm;
	uint64_t addr, last;            /* of the request */
	const struct gpuva_op_map *req; /* NULL: an unmap */
	bool (*gone)(const struct gpuva *va, void *arg);
	void *gone_arg;
	struct ma_state mas;
	struct gpuva *seen; /* the first mapping, if that has been looked up already */
	const void *leaf;   /* whose mappings have been asked for */
	struct gpuva_op op; /* the present step, and what it points to */
	struct gpuva_op_map prev, next;
	struct gpuva_op_unmap unmap;
};

/*
 * The rules for what a request and a mapping may be: 0 or -EINVAL. @obj NULL: none, or an unmap,
 * whose @offset is 0. Looks at nothing that changes. CONTEXT: any.
 */
int smr_gpuvm_check(const struct gpuvm *vm, uint64_t addr, uint64_t range,
		    const struct gpuvm_object *obj, uint64_t offset);

/*
 * Begins the walk over [@addr, @addr + @range), which passes smr_gpuvm_check(), in @mt: the VM's
 * tree or a transaction's view of it. @req, which must last: the map; NULL: an unmap. Nothing is to
 * be undone at its end. The mappings that the walk has passed may be taken out and replaced
 * meanwhile; others not. CONTEXT: HOLDS the VM's lock, throughout.
 */
void smr_split_begin(struct smr_split *s, const struct gpuvm *vm, struct maple_tree *mt,
		     uint64_t addr, uint64_t range, const struct gpuva_op_map *req);

/*
 * Looks up where the walk begins and asks for the mappings there, so that a caller who has
 * something else to do can do it while they come.
 */
void smr_split_look(struct smr_split *s);

/*
 * The next mapping that is overlapped, in part or as a whole; NULL at the end. The reserved region
 * is passed over.
 */
struct gpuva *smr_split_next_va(struct smr_split *s);

/*
 * The same as an operation, an unmap or a remap; it, and what it points to, lives in @s until the
 * next call. A map request is to be followed by its map, which is not returned here.
 */
struct gpuva_op *smr_split_next(struct smr_split *s);

#endif
