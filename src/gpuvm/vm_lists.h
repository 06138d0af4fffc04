/* SPDX-License-Identifier: MIT */
/*
 * A VM's lists of external and of evicted pairs. They are protected by a lock of their own, which
 * must not be held while a pair is worked on; or, with GPUVM_RESV_PROTECTED, by the VM's resv,
 * which may be.
 *
 * A walk moves each pair that it passes to a list of its own, and when it is over, moves them all
 * back to the front, in the same order. Meanwhile pairs may be added and removed: by other threads
 * or, under the resv, by what is done with each. There is one walk of a list at a time.
 */
#ifndef SMR_GPUVM_VM_LISTS_H
#define SMR_GPUVM_VM_LISTS_H

#include "gpuvm/list.h"

/* Takes the list lock or, if the resv protects the lists, asserts that the resv is held. */
void smri_lists_lock(struct gpuvm *vm);
void smri_lists_unlock(struct gpuvm *vm);

/* Puts the pair on the list of evicted pairs, unless it is on it. CONTEXT: lists locked. */
void smri_evict_add(struct gpuvm_bo *vm_bo);

struct smri_walk {
	struct gpuvm *vm;
	bool evict; /* which list */
	struct gpuvm_bo *vm_bo;
	struct gpuvm_list passed; /* GUARD lists lock */
};

/*
 * A walk of the extobj or the evict list: each pair once, with a reference until the next call.
 * Every begin needs an end.
 */
void smri_walk_begin(struct smri_walk *w, struct gpuvm *vm, bool evict);
struct gpuvm_bo *smri_walk_next(struct smri_walk *w);
void smri_walk_end(struct smri_walk *w);

#endif
