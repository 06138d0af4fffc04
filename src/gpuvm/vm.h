/* SPDX-License-Identifier: MIT */
/*
 * What the tree of a VM holds, and how to read it.
 *
 * An entry is a struct gpuva over exactly its range, the reserved region included; or an empty
 * marker (a zero entry), left by a removal that had no memory for more; or, for a short while in a
 * VM with queues, a mapping that is gone though its entry is still there, because its pair's epoch
 * has moved on (object.c). The latter two read as nothing.
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

/* The caller may change the index: its user's, who holds the lock, and no queues'. */
smr_inline void smr_gpuvm_check_user(const struct gpuvm *vm)
{
	smr_assert(gpuvm_is_locked(vm));
	smr_assert(!vm->queues);
}

/* The last unit of a range that nobody has checked; false: it is empty. */
smr_inline bool smr_clamp_range(uint64_t addr, uint64_t range, unsigned long *last)
{
	if (!smr_range_last(addr, range, last))
		*last = UINT64_MAX;
	return range > 0;
}

/* Have all mappings been declared gone that were linked to @va's pair when @va was, or before? */
smr_inline bool smr_gpuva_gone(const struct gpuva *va)
{
	const struct gpuvm_bo *vm_bo = smr_load(&va->vm_bo, RELAXED);
	unsigned int now;

	if (!vm_bo)
		return false;
	/*
	 * ORDER epoch: see base/order.h. PARTNER smr_gpuvm_bo_hide(). Counts modulo 2^32: a mapping
	 * is never that far behind, for what is gone is taken out before its pair can move on
	 * again. What the mapping has is read last: it may have been spared, before that.
	 */
	now = smr_load(&vm_bo->epoch, ORDER(epoch, acquire));
	return (int)(smr_load(&va->epoch, RELAXED) - now) < 0;
}

/*
 * Another takes the place of @va, which is not gone: nor is it for those who have found it before,
 * whatever is declared gone while they look. CONTEXT: HOLDS the VM's lock.
 */
smr_inline void smr_gpuva_spare(struct gpuva *va)
{
	const struct gpuvm_bo *vm_bo = va->vm_bo;

	/* Further ahead than its pair comes in a grace period. */
	if (vm_bo)
		smr_store(&va->epoch, smr_load(&vm_bo->epoch, RELAXED) + (1U << 30), RELAXED);
}

/* What an entry of the tree reads as: a mapping, the reserved region, or NULL. */
smr_inline struct gpuva *smr_gpuva_seen(const struct gpuvm *vm, void *entry)
{
	struct gpuva *va = entry;

	if (!entry || xa_is_zero(entry) || (smr_unlikely(vm->queues) && smr_gpuva_gone(va)))
		return NULL;
	return va;
}

/*
 * The lowest mapping, or the reserved region, that overlaps [first, last]. CONTEXT: the VM's lock,
 * or a read-side section.
 */
struct gpuva *smr_gpuvm_first(struct gpuvm *vm, uint64_t first, uint64_t last);

#endif
