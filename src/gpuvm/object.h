/* SPDX-License-Identifier: MIT */
/* Pairs, for those who unlink in a signalling section and hide mappings without taking them out. */
#ifndef SMR_GPUVM_OBJECT_H
#define SMR_GPUVM_OBJECT_H

#include "gpuvm/vm.h"

/*
 * All mappings linked to the pair so far are gone from now on, for every look-up, though they are
 * still in the tree; they are to be taken out under the same lock. VMs with queues only. CONTEXT:
 * HOLDS the VM's lock and the object's. Any section.
 */
void smr_gpuvm_bo_hide(struct gpuvm_bo *vm_bo);

/*
 * gpuva_unlink_defer() but for va->vm_bo, which stays, because readers that have found @va still
 * ask the pair whether it is gone. The pair's reference is for the caller to put, after a grace
 * period. CONTEXT: HOLDS the object's lock. Any section.
 */
void smr_gpuva_unlist(struct gpuva *va);

#endif
