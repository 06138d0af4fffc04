/* SPDX-License-Identifier: MIT */
/* Counts mappings in and out, and stores them: for code that changes the tree itself. */
#ifndef SMR_GPUVM_CHANGE_H
#define SMR_GPUVM_CHANGE_H

#include "gpuvm/vm.h"
#include "tree/edges.h"

/*
 * Counts @in mappings that enter the VM and @out that leave it, each with its reference to the VM.
 * If @out is greater than @in, the caller must hold a reference of its own. CONTEXT: HOLDS the VM's
 * lock.
 */
void smr_gpuvm_count(struct gpuvm *vm, unsigned long in, unsigned long out);

/* For this layer alone: returns true if the next change is paid for beforehand. */
bool smri_gpuvm_is_paid(const struct gpuvm *vm);
/*
 * Stores @entry over [first, last] through @mas, which may be anywhere and own nodes; what is left
 * of mappings that this cuts becomes @edges. Memory comes from where the head of samara/gpuvm.h
 * says: 0 or -ENOMEM.
 */
int smri_gpuvm_store(struct gpuvm *vm, struct ma_state *mas, uint64_t first, uint64_t last,
		     void *entry, struct smr_edges edges);
/* The same, storing NULL, but never from what is paid for beforehand. */
int smri_gpuvm_clear_unpaid(struct gpuvm *vm, struct ma_state *mas, uint64_t first, uint64_t last,
			    struct smr_edges edges);

/*
 * Puts an empty marker over [first, last], exactly an entry's range, for gpuvm_sweep() to take out.
 * Takes one slot: needs no memory and cannot fail. CONTEXT: HOLDS the VM's lock.
 */
void smr_gpuvm_leave_marker(struct gpuvm *vm, uint64_t first, uint64_t last);
/* The same for each mapping in [first, last], which must not cut any. */
void smr_gpuvm_leave_markers(struct gpuvm *vm, uint64_t first, uint64_t last);

long smri_gpuvm_count_markers(struct maple_tree *mt, uint64_t first, uint64_t last);

/*
 * Returns how many markers fewer a store over [first, last] leaves in @mt, which is the VM's tree
 * or a transaction's view of it: -1 if the range lies inside one marker. The code that makes the
 * store must subtract that from vm->markers. CONTEXT: HOLDS the VM's lock. Any section.
 */
smr_inline long smr_gpuvm_markers_under(const struct gpuvm *vm, struct maple_tree *mt,
					uint64_t first, uint64_t last)
{
	return smr_likely(vm->markers == 0) ? 0 : smri_gpuvm_count_markers(mt, first, last);
}

#endif
