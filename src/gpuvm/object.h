/* SPDX-License-Identifier: MIT */
/* Pairs, for code that unlinks in signalling sections and hides mappings without removing them. */
#ifndef SMR_GPUVM_OBJECT_H
#define SMR_GPUVM_OBJECT_H

#include "gpuvm/vm.h"

/*
 * From now on, every look-up takes all mappings linked to the pair so far for gone, though they are
 * still in the tree; the caller must take them out while it still holds the VM's lock. VMs with
 * queues only. CONTEXT: HOLDS the VM's lock and the object's. Any section.
 */
void smr_gpuvm_bo_hide(struct gpuvm_bo *vm_bo);

/*
 * As gpuva_unlink_defer(), but leaves va->vm_bo, because readers that have found @va still ask the
 * pair whether it is gone. The caller must put the pair's reference after a grace period. CONTEXT:
 * HOLDS the object's lock. Any section.
 */
void smr_gpuva_unlist(struct gpuva *va);

#endif
