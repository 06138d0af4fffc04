/* SPDX-License-Identifier: MIT */
/*
 * Readers without a lock and a writer that maps and unmaps at random. A reader checks that what it
 * finds covers the address and has not been freed, that addresses which are always mapped are never
 * found empty, and that a request becomes visible at all addresses at one moment. The writer frees
 * mappings after a grace period, and poisons them first.
 */
#include "support/gpuvm_toy.h"

#include "support/env.h"
#include "support/rng.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGES = 4096, READERS = 2 };

static struct toy toy;
static bool stop, failed;
static uint64_t found[READERS];

static void fail(const char *what, uint64_t at)
{
	fprintf(stderr, "%s at %lx\n", what, (unsigned long)at);
	__atomic_store_n(&failed, true, __ATOMIC_RELAXED);
}

static void look(const struct gpuva *va, uint64_t at)
{
	const struct toy_va *mine = (const struct toy_va *)va;

	if (mine->magic != TOY_ALIVE)
		fail("a freed mapping", at);
	if (at < va->va.addr || at - va->va.addr >= va->va.range)
		fail("another mapping", at);
}

/*
 * Checks that the neighbour of a mapping that was found is not older than the mapping and still
 * overlapping it: a request cuts what it overlaps at the moment at which it takes effect.
 */
static void look_beside(const struct gpuva *va, uint64_t at)
{
	const struct toy_va *mine = (const struct toy_va *)va, *other;
	uint64_t end = va->va.addr + va->va.range;

	other = (const struct toy_va *)gpuvm_find(&toy.vm, at);
	if (!other || other->born > mine->born)
		return;
	look(&other->va, at);
	if (other->va.va.addr < end && other->va.va.addr + other->va.va.range > va->va.addr)
		fail("a mapping that has been cut", at);
}

/* The upper half is always mapped, though in changing ways. */
static void *read_all(void *arg)
{
	uint64_t *count = arg, at;
	struct gpuva *va;

	for (uint64_t n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		struct rng rng = rng_make(7 + (uint64_t)(count - found), n);

		at = rng_below(&rng, PAGES);
		gpuvm_read_lock(&toy.vm);
		va = gpuvm_find(&toy.vm, at);
		if (va) {
			look(va, at);
			look_beside(va, va->va.addr - 1);
			look_beside(va, va->va.addr + va->va.range);
			(*count)++;
		} else if (at >= PAGES / 2) {
			fail("nothing", at);
		}
		if (n % 16 == 0) {
			uint64_t last = 0;

			gpuvm_for_each_va_range(va, &toy.vm, at, at + 64)
			{
				look(va, va->va.addr);
				if (va->va.addr + va->va.range <= last)
					fail("iteration goes back", va->va.addr);
				last = va->va.addr + va->va.range;
			}
		}
		gpuvm_read_unlock(&toy.vm);
	}
	return NULL;
}

static int request(struct rng *rng)
{
	uint64_t addr = rng_below(rng, PAGES - 32), range = 1 + rng_below(rng, 32);
	struct gpuvm_object *obj = toy_obj(&toy, (int)rng_below(rng, 3) - 1);
	struct gpuva_ops *ops;
	int err;

	if (rng_one_in(rng, 2) && addr + range <= PAGES / 2)
		return gpuvm_sm_unmap(&toy.vm, &toy, addr, range);
	/* A list makes one step after the other, so for moments nothing is mapped. */
	if (rng_one_in(rng, 2) || addr + range > PAGES / 2)
		return gpuvm_sm_map(&toy.vm, &toy, addr, range, obj, addr);
	ops = gpuvm_sm_map_ops_create(&toy.vm, addr, range, obj, addr, &err);
	if (!ops)
		return err;
	err = toy_apply_list(&toy, ops);
	gpuva_ops_free(&toy.vm, ops);
	return err;
}

static void count_step(struct toy *t, const struct gpuva_op *op)
{
	(void)t;
	(void)op;
}

int main(void)
{
	struct toy_config config = { .range = PAGES };
	uint64_t ops = env_ops(20000), seed = env_seed(), total = 0;
	pthread_t threads[READERS];

	if (toy_init(&toy, &config))
		return 99;
	toy.watch = count_step;
	gpuvm_lock(&toy.vm);
	if (gpuvm_sm_map(&toy.vm, &toy, PAGES / 2, PAGES / 2, NULL, 0))
		return 99;
	gpuvm_unlock(&toy.vm);
	for (unsigned int i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, read_all, &found[i]))
			return 99;
	for (uint64_t n = 0; n < ops && !__atomic_load_n(&failed, __ATOMIC_RELAXED); n++) {
		struct rng rng = rng_make(seed, n);

		gpuvm_lock(&toy.vm);
		if (request(&rng))
			fail("a request", n);
		if (n % 512 == 0 && !toy_markers_counted(&toy.vm))
			fail("markers miscounted", n);
		gpuvm_unlock(&toy.vm);
		if (n % 512 == 0)
			toy_reap(&toy);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		total += found[i];
	}
	if (!toy_destroy(&toy))
		fail("something is left", 0);
	printf("%lu requests, %lu mappings found\n", (unsigned long)ops, (unsigned long)total);
	return failed;
}
