/* SPDX-License-Identifier: MIT */
/*
 * Random requests of a VM and the model: as callbacks and as lists, with steps that fail, with
 * steps that look around, with allocations that fail, and with changes paid for in advance and no
 * memory at all. After each, every page and every look-up is compared.
 */
#include "gpuvm_compare.h"

#include "base/hooks.h"
#include "lock/section.h"
#include "support/env.h"
#include "support/memfault.h"
#include "support/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGES = 96 };

static struct compare c;
static struct gpuvm_bo *pairs[TOY_OBJECTS];
static uint64_t counts[11], refused, marked;

static struct request random_request(struct rng *rng)
{
	struct request r = { .kind = REQUEST_MAP };

	r.addr = rng_below(rng, PAGES + 1);
	r.range = 1 + (rng_one_in(rng, 5) ? rng_below(rng, PAGES) : rng_below(rng, 12));
	if (rng_one_in(rng, 60))
		r.range = rng_one_in(rng, 2) ? 0 : UINT64_MAX - rng_below(rng, 90);
	if (rng_one_in(rng, 4))
		r.kind = REQUEST_UNMAP;
	else if (rng_one_in(rng, 20))
		r.kind = REQUEST_PREFETCH;
	r.obj = (int)rng_below(rng, 4) - 1;
	r.offset = rng_one_in(rng, 3) ? rng_below(rng, 50) : r.addr + 1000 * rng_below(rng, 2);
	return r;
}

/*
 * In a section, without any memory but what was reserved: as many changes as such a request can
 * need.
 */
static bool run_paid(const struct request *r)
{
	unsigned long nr = r->kind == REQUEST_MAP ? GPUVM_MAP_CHANGES : GPUVM_UNMAP_CHANGES;
	bool good;

	gpuvm_unlock(&c.toy.vm);
	if (gpuvm_reserve(&c.toy.vm, nr))
		exit(99);
	gpuvm_begin(&c.toy.vm, nr);
	gpuvm_lock(&c.toy.vm);
	memfault_none();
	smr_section_enter("test");
	good = compare_request(&c, r, FORM_CALLBACKS);
	smr_section_leave();
	memfault_ok();
	gpuvm_unlock(&c.toy.vm);
	gpuvm_unreserve(&c.toy.vm);
	gpuvm_lock(&c.toy.vm);
	return good;
}

static bool run_request(struct rng *rng, struct request *r)
{
	enum form form = rng_one_in(rng, 2) ? FORM_LIST : FORM_CALLBACKS;
	unsigned int how = (unsigned int)rng_below(rng, 11);
	bool good;

	counts[how]++;
	c.toy.fail_step = 0;
	c.look = UINT64_MAX;
	c.may_fail = how == 1 || how == 2 || how == 3;
	switch (how) {
	case 1:
		c.toy.fail_step = 1 + (int)rng_below(rng, 4);
		break;
	case 2:
		memfault_nth(1 + rng_below(rng, 6));
		break;
	case 3:
		memfault_none();
		break;
	case 4:
		c.look = rng_below(rng, PAGES);
		break;
	case 5:
		/* With a look-up in each step, each step is a change of its own. */
		if (rng_one_in(rng, 2))
			c.look = rng_below(rng, PAGES);
		return r->kind == REQUEST_PREFETCH || run_paid(r);
	}
	good = compare_request(&c, r, form);
	refused += c.failed != 0;
	marked += c.toy.vm.markers > 0;
	/* Holes are also found beside markers that cannot be swept. */
	good &= compare_hole(&c, 1 + rng_below(rng, 9), UINT64_C(1) << rng_below(rng, 4),
			     rng_below(rng, PAGES), rng_below(rng, PAGES + 9), rng_one_in(rng, 2));
	memfault_ok();
	return good;
}

static void run(uint64_t seed, uint64_t ops, bool external, unsigned int reserved)
{
	uint64_t n;

	if (!compare_init(&c, PAGES, 40, reserved, external))
		exit(99);
	for (unsigned int i = 0; i < 3; i++)
		pairs[i] = gpuvm_bo_obtain(&c.toy.vm, &c.toy.objs[i]);
	gpuvm_lock(&c.toy.vm);
	for (n = 0; n < ops && c.ok; n++) {
		struct rng rng = rng_make(seed, n);
		struct request r = random_request(&rng);

		if (!run_request(&rng, &r)) {
			printf("request %d %" PRIx64 "+%" PRIx64 "=%d@%" PRIx64 "\n", (int)r.kind,
			       r.addr, r.range, r.obj, r.offset);
			break;
		}
		if (rng_one_in(&rng, 50) && gpuvm_sweep(&c.toy.vm))
			break;
		/* If there are very many requests, not all pages are compared after each. */
		if ((ops <= 100000 || n % 16 == 0) && !compare_all(&c))
			break;
		if (n % 512 == 0)
			toy_reap(&c.toy);
	}
	gpuvm_unlock(&c.toy.vm);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_put(pairs[i]);
	if (n < ops || !compare_destroy(&c)) {
		printf("operation %" PRIu64 " of SAMARA_TEST_SEED=%" PRIu64 ": %s\n", n, seed,
		       n < ops ? c.why : "something is left");
		exit(1);
	}
}

int main(void)
{
	uint64_t seed = env_seed(), ops = env_ops(8000);

	run(seed, ops, false, 0);
	run(seed + 1, ops, true, 5);
	printf("%" PRIu64 " requests, %" PRIu64 " refused or failed, %" PRIu64
	       " left markers, %" PRIu64 " on what was reserved\n",
	       2 * ops, refused, marked, counts[5]);
	return 0;
}
