/* SPDX-License-Identifier: MIT */
/* Taking mappings in and out of account: for those who change the tree themselves. */
#ifndef SMR_GPUVM_CHANGE_H
#define SMR_GPUVM_CHANGE_H

#include "gpuvm/vm.h"

/*
 * Counts @in mappings that come into the VM and @out that leave it, each with its reference to the VM. Whoever calls this
 * with more @out than @in holds a reference of his own. CONTEXT: HOLDS the VM's lock.
 */
void smr_gpuvm_count(struct gpuvm *vm, unsigned long in, unsigned long out);

/* An empty marker has been stored, for gpuvm_sweep() to take out. CONTEXT: HOLDS the VM's lock. */
void smr_gpuvm_note_marker(struct gpuvm *vm);

#endif
