/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reclaim.h"

#define WALK_LENGTH 16
#define WALK_EVERY 16 /* look-ups */

struct faulter {
	pthread_t thread;
	struct faulters *all;
	unsigned int number;
	uint64_t random; /* state, never 0 */
	struct reader_counts counts;
};

struct faulters {
	struct gpuvm *vm;
	const struct probes *probes;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int at_work; /* GUARD lock */
	atomic_bool stop;
	unsigned int nr;
	struct faulter faulter[];
};

static uint64_t next_random(struct faulter *faulter)
{
	faulter->random ^= faulter->random << 13;
	faulter->random ^= faulter->random >> 7;
	faulter->random ^= faulter->random << 17;
	return faulter->random;
}

__attribute__((format(printf, 2, 3))) static void wrong(struct faulter *faulter, const char *format,
							...)
{
	struct reader_counts *counts = &faulter->counts;
	va_list args;
	int used;

	if (counts->wrong++)
		return;
	used = snprintf(counts->example, sizeof(counts->example), "reader %u: ", faulter->number);
	va_start(args, format);
	vsnprintf(counts->example + used, sizeof(counts->example) - (size_t)used, format, args);
	va_end(args);
}

/* Can a mapping that was found hold @addr, and has it not been given up under the reader's feet? */
static bool sound(struct faulter *faulter, const struct gpuva *va, uint64_t addr)
{
	const struct mapped *mapped = (const struct mapped *)va;

	if (atomic_load_explicit(&mapped->stale, memory_order_relaxed)) {
		wrong(faulter, "the mapping at %" PRIx64 " was freed under the reader's feet",
		      addr);
		return false;
	}
	if (va->va.addr <= addr && addr - va->va.addr < va->va.range)
		return true;
	wrong(faulter, "%" PRIx64 " has the mapping of %" PRIx64 "-%" PRIx64, addr, va->va.addr,
	      va->va.addr + (va->va.range - 1));
	return false;
}

static void look_up(struct faulter *faulter, const struct fixed_probe *probe)
{
	struct gpuvm *vm = faulter->all->vm;
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
			wrong(faulter,
			      "%" PRIx64 " had %s, which was never there from change %" PRIu32
			      " to change %" PRIu32 " of this address",
			      probe->addr, content_text(&content, text, sizeof(text)), before,
			      after);
	}
	reclaim_read_done();
	gpuvm_read_unlock(vm);
}

/* Some mappings in a row, from @addr upwards. */
static void walk(struct faulter *faulter, uint64_t addr)
{
	struct gpuvm *vm = faulter->all->vm;
	unsigned int met = 0;
	uint64_t above = addr;
	struct gpuva *va;

	gpuvm_read_lock(vm);
	gpuvm_for_each_va_range(va, vm, addr, UINT64_MAX)
	{
		if (met++ == WALK_LENGTH || !sound(faulter, va, va->va.addr))
			break;
		if (va->va.addr + va->va.range <= above)
			wrong(faulter,
			      "a walk upwards from %" PRIx64 " came to the mapping of %" PRIx64,
			      above, va->va.addr);
		above = va->va.addr + va->va.range;
		faulter->counts.walked++;
	}
	reclaim_read_done();
	gpuvm_read_unlock(vm);
}

static void *faulter_main(void *arg)
{
	struct faulter *faulter = arg;
	struct faulters *all = faulter->all;

	pthread_mutex_lock(&all->lock);
	all->at_work++;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
	while (!atomic_load_explicit(&all->stop, memory_order_acquire)) {
		const struct fixed_probe *probe =
			&all->probes->probe[(next_random(faulter) >> 8) % all->probes->nr];

		look_up(faulter, probe);
		if (faulter->counts.lookups % WALK_EVERY == 0)
			walk(faulter, probe->addr);
	}
	/* All jobs are done: what is there now must stay. */
	for (size_t i = 0; i < all->probes->nr; i++)
		look_up(faulter, &all->probes->probe[i]);
	return NULL;
}

/* Ends the first @nr threads. */
static void end_threads(struct faulters *faulters, unsigned int nr)
{
	atomic_store_explicit(&faulters->stop, true, memory_order_release);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(faulters->faulter[i].thread, NULL);
	pthread_cond_destroy(&faulters->changed);
	pthread_mutex_destroy(&faulters->lock);
}

int faulters_start(struct faulters **out, struct gpuvm *vm, const struct probes *probes,
		   unsigned int nr, uint64_t seed)
{
	struct faulters *faulters = calloc(1,
					   sizeof(*faulters) + nr * sizeof(faulters->faulter[0]));

	if (!faulters)
		return -ENOMEM;
	faulters->vm = vm;
	faulters->probes = probes;
	faulters->nr = nr;
	pthread_mutex_init(&faulters->lock, NULL);
	pthread_cond_init(&faulters->changed, NULL);
	for (unsigned int i = 0; i < nr; i++) {
		struct faulter *faulter = &faulters->faulter[i];
		int err;

		faulter->all = faulters;
		faulter->number = i;
		faulter->random = (seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		err = pthread_create(&faulter->thread, NULL, faulter_main, faulter);
		if (err) {
			end_threads(faulters, i);
			free(faulters);
			return -err;
		}
	}
	pthread_mutex_lock(&faulters->lock);
	while (faulters->at_work < nr)
		pthread_cond_wait(&faulters->changed, &faulters->lock);
	pthread_mutex_unlock(&faulters->lock);
	*out = faulters;
	return 0;
}

void faulters_stop(struct faulters *faulters, struct reader_counts *counts)
{
	end_threads(faulters, faulters->nr);
	for (unsigned int i = 0; i < faulters->nr; i++) {
		const struct reader_counts *of = &faulters->faulter[i].counts;

		if (!counts->wrong && of->wrong)
			memcpy(counts->example, of->example, sizeof(counts->example));
		counts->lookups += of->lookups;
		counts->walked += of->walked;
		counts->wrong += of->wrong;
	}
	free(faulters);
}
