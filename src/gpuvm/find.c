/* SPDX-License-Identifier: MIT */
/* Look-ups and iteration: under the VM's lock, or without it in a read-side section. */
#include "base/hooks.h"
#include "gpuvm/batch.h"

bool gpuvm_range_valid(const struct gpuvm *vm, uint64_t addr, uint64_t range)
{
	const struct gpuva *reserved = &vm->kernel_alloc_node;
	unsigned long last;

	if (!smr_range_last(addr, range, &last) || last == UINT64_MAX)
		return false;
	if (addr < vm->mm_start || range > vm->mm_range ||
	    addr - vm->mm_start > vm->mm_range - range)
		return false;
	return reserved->va.range == 0 || last < reserved->va.addr || addr > smr_va_last(reserved);
}

/*
 * Passes over an entry that reads as nothing by a new look-up right behind it. The cursor would go
 * on behind whatever is in its place by then, even if that reaches over other mappings.
 */
struct gpuva *smr_gpuvm_first(struct gpuvm *vm, uint64_t first, uint64_t last)
{
	struct ma_state mas;
	struct gpuva *va;
	void *entry;

	for (;;) {
		mas_init(&mas, &vm->tree, first);
		entry = mas_find(&mas, last);
		va = smr_gpuva_from_entry(vm, entry);
		if (!entry || va || mas.last >= last)
			return va;
		smr_hook_at(SMR_HOOK_PASSED);
		first = mas.last + 1;
	}
}

/* Returns what the tree has at @addr. */
static struct gpuva *load(struct gpuvm *vm, uint64_t addr)
{
	smr_gpuvm_flush_batch(vm);
	return smr_gpuva_from_entry(vm, mtree_load(&vm->tree, addr));
}

struct gpuva *gpuvm_find(struct gpuvm *vm, uint64_t addr)
{
	struct gpuva *va = load(vm, addr);

	return va == &vm->kernel_alloc_node ? NULL : va;
}

struct gpuva *gpuva_find(struct gpuvm *vm, uint64_t addr, uint64_t range)
{
	struct gpuva *va = load(vm, addr);

	return va && va->va.addr == addr && va->va.range == range ? va : NULL;
}

struct gpuva *gpuva_find_first(struct gpuvm *vm, uint64_t addr, uint64_t range)
{
	unsigned long last;

	smr_gpuvm_flush_batch(vm);
	return smr_clamp_range(addr, range, &last) ? smr_gpuvm_first(vm, addr, last) : NULL;
}

struct gpuva *gpuva_find_prev(struct gpuvm *vm, uint64_t start)
{
	return start ? gpuvm_find(vm, start - 1) : NULL;
}

struct gpuva *gpuva_find_next(struct gpuvm *vm, uint64_t end)
{
	return gpuvm_find(vm, end);
}

bool gpuvm_interval_empty(struct gpuvm *vm, uint64_t addr, uint64_t range)
{
	return !gpuva_find_first(vm, addr, range);
}

/* ---- Iteration ---- */

struct gpuva *gpuvm_first_va(struct gpuvm *vm, uint64_t start, uint64_t end)
{
	struct gpuva *va;

	if (start >= end)
		return NULL;
	smr_gpuvm_flush_batch(vm);
	va = smr_gpuvm_first(vm, start, end - 1);
	return va == &vm->kernel_alloc_node ? gpuvm_next_va(vm, va, end) : va;
}

struct gpuva *gpuvm_next_va(struct gpuvm *vm, const struct gpuva *va, uint64_t end)
{
	/* An end fits in 64 bits, so this does not wrap. */
	return gpuvm_first_va(vm, va->va.addr + va->va.range, end);
}
