/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <inttypes.h>

#include "reclaim.h"

static const struct faults *faults_of(const struct crew_member *faulter)
{
	return faulter->ctx;
}

/* Whether a mapping that was found can hold @addr and was not freed while the reader held it. */
static bool sound(struct crew_member *faulter, const struct gpuva *va, uint64_t addr)
{
	const struct vm_mapping *mapping = (const struct vm_mapping *)va;

	if (atomic_load_explicit(&mapping->stale, memory_order_relaxed)) {
		crew_wrong(faulter, "the mapping at %" PRIx64 " was freed under the reader's feet",
			   addr);
		return false;
	}
	if (va->va.addr <= addr && addr - va->va.addr < va->va.range)
		return true;
	crew_wrong(faulter, "%" PRIx64 " has the mapping of %" PRIx64 "-%" PRIx64, addr,
		   va->va.addr, va->va.addr + (va->va.range - 1));
	return false;
}

static void look_up(struct crew_member *faulter, const struct fixed_probe *probe)
{
	struct gpuvm *vm = faults_of(faulter)->vm;
	struct content content;
	uint32_t before, after;
	struct gpuva *va;
	char text[128];

	faulter->counts.lookups++;
	gpuvm_read_lock(vm);
	before = probe_before(probe);
	va = gpuvm_find(vm, probe->addr);
	after = probe_after(probe);
	if (!va || sound(faulter, va, probe->addr)) {
		content = content_read(va, probe->addr);
		if (!probe_allows(probe, &content, before, after))
			crew_wrong(faulter,
				   "%" PRIx64 " had %s, which was never there from change %" PRIu32
				   " to change %" PRIu32 " of this address",
				   probe->addr, content_text(&content, text, sizeof(text)), before,
				   after);
	}
	reclaim_read_done();
	gpuvm_read_unlock(vm);
}

/* Visits some mappings in a row, from @addr upwards. */
static void walk(struct crew_member *faulter, uint64_t addr)
{
	struct gpuvm *vm = faults_of(faulter)->vm;
	int met = 0;
	uint64_t above = addr;
	struct gpuva *va;

	gpuvm_read_lock(vm);
	gpuvm_for_each_va_range(va, vm, addr, UINT64_MAX)
	{
		if (met++ == CREW_WALK || !sound(faulter, va, va->va.addr))
			break;
		if (va->va.addr + va->va.range <= above)
			crew_wrong(faulter,
				   "a walk upwards from %" PRIx64
				   " came to the mapping of %" PRIx64,
				   above, va->va.addr);
		above = va->va.addr + va->va.range;
		faulter->counts.walked++;
	}
	reclaim_read_done();
	gpuvm_read_unlock(vm);
}

static uint64_t look_up_any(struct crew_member *faulter, uint64_t random)
{
	const struct probes *probes = faults_of(faulter)->probes;
	const struct fixed_probe *probe = &probes->probe[(random >> 8) % probes->nr];

	look_up(faulter, probe);
	return probe->addr;
}

static void look_at_all(struct crew_member *faulter)
{
	const struct probes *probes = faults_of(faulter)->probes;

	for (size_t i = 0; i < probes->nr; i++)
		look_up(faulter, &probes->probe[i]);
}

int faulters_start(struct crew **faulters, struct faults *faults, unsigned int nr, uint64_t seed)
{
	static const struct crew_work work = { look_up_any, walk, look_at_all };

	return crew_start(faulters, &work, faults, nr, seed);
}
