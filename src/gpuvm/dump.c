/* SPDX-License-Identifier: MIT */
/* Prints VMs. */
#include "base/atomic.h"
#include "gpuvm/vm.h"

#include <inttypes.h>

static void put_range(FILE *out, uint64_t start, uint64_t range)
{
	fprintf(out, "%" PRIx64 "-%" PRIx64, start, start + range - 1);
}

static void put_va(FILE *out, const struct gpuva *va)
{
	unsigned int flags = smr_load(&va->flags, RELAXED);

	put_range(out, va->va.addr, va->va.range);
	if (va->gem.obj)
		fprintf(out, ": object %p at %" PRIx64, (void *)va->gem.obj, va->gem.offset);
	else
		fputs(flags & GPUVA_SPARSE ? ": sparse" : ": no object", out);
	if (flags & GPUVA_INVALIDATED)
		fputs(", invalidated", out);
	if (flags >= GPUVA_USERBITS)
		fprintf(out, ", flags %x", flags & ~(GPUVA_USERBITS - 1U));
	fputc('\n', out);
}

void gpuvm_dump(struct gpuvm *vm, FILE *out)
{
	const struct gpuva *reserved = &vm->kernel_alloc_node;
	struct gpuva *va;

	fprintf(out, "gpuvm %s ", vm->name);
	put_range(out, vm->mm_start, vm->mm_range);
	if (reserved->va.range) {
		fputs(" reserved ", out);
		put_range(out, reserved->va.addr, reserved->va.range);
	}
	fprintf(out, " mappings %lu\n", smr_load(&vm->nr_vas, RELAXED));
	gpuvm_for_each_va(va, vm) put_va(out, va);
}
