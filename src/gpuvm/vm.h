/* SPDX-License-Identifier: MIT */
/*
 * What the tree of a VM holds, and how to read it.
 *
 * An entry is a struct gpuva over exactly its range, the reserved region included; or an empty
 * marker (a zero entry), left by a removal that had no memory to do more; or, for a short while in
 * a VM with queues, a mapping that is gone though its entry is still there, because its pair's
 * epoch has moved on (object.c). The latter two read as nothing.
 */
#ifndef SMR_GPUVM_VM_H
#define SMR_GPUVM_VM_H

#include "base/base.h"
#include "base/order.h"
#include <samara/gpuvm.h>

_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "addresses are keys of a tree");

smr_inline uint64_t smr_va_last(const struct gpuva *va)
{
	return va->va.addr + (va->va.range - 1);
}

/* Asserts that the caller may change the index: it holds the lock, and no queues drive the VM. */
smr_inline void smr_gpuvm_check_user(const struct gpuvm *vm)
{
	smr_assert(gpuvm_is_locked(vm));
	smr_assert(!vm->queues);
}

/* Sets *@last to the last unit of a range that has not been checked; false: the range is empty. */
smr_inline bool smr_clamp_range(uint64_t addr, uint64_t range, unsigned long *last)
{
	if (!smr_range_last(addr, range, last))
		*last = UINT64_MAX;
	return range > 0;
}

/*
 * Returns true if all mappings of @va's pair have been declared gone since @va was linked, and @va
 * was not spared before that.
 */
smr_inline bool smr_gpuva_is_gone(const struct gpuva *va)
{
	const struct gpuvm_bo *vm_bo = smr_load(&va->vm_bo, RELAXED);
	unsigned int now;

	if (!vm_bo)
		return false;
	/*
	 * ORDER epoch: see base/order.h. PARTNER smr_gpuvm_bo_hide(). Counts modulo 2^32: a mapping
	 * is never that far behind, because what is gone is taken out before its pair can move on
	 * again. The mapping's epoch is read last: the mapping may have been spared before the pair
	 * moved on.
	 */
	now = smr_load(&vm_bo->epoch, ORDER(epoch, acquire));
	return (int)(smr_load(&va->epoch, RELAXED) - now) < 0;
}

/*
 * Spares @va, which is not gone and is being taken out or replaced: readers that have found it do
 * not take it for gone, whatever is declared gone while they look. CONTEXT: HOLDS the VM's lock.
 */
smr_inline void smr_gpuva_spare(struct gpuva *va)
{
	const struct gpuvm_bo *vm_bo = va->vm_bo;

	/* Further ahead than its pair can move on in a grace period. */
	if (vm_bo)
		smr_store(&va->epoch, smr_load(&vm_bo->epoch, RELAXED) + (1U << 30), RELAXED);
}

/* Returns what an entry of the tree reads as: a mapping, the reserved region, or NULL. */
smr_inline struct gpuva *smr_gpuva_from_entry(const struct gpuvm *vm, void *entry)
{
	struct gpuva *va = entry;

	if (!entry || xa_is_zero(entry) || (smr_unlikely(vm->queues) && smr_gpuva_is_gone(va)))
		return NULL;
	return va;
}

/*
 * Returns the lowest mapping, or the reserved region, that overlaps [first, last]. CONTEXT: the
 * VM's lock, or a read-side section.
 */
struct gpuva *smr_gpuvm_first(struct gpuvm *vm, uint64_t first, uint64_t last);

#endif
