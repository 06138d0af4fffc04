/* SPDX-License-Identifier: MIT */
/*
 * Every geometric case of split and merge: all sets of up to a few mappings on a few pages, of two
 * objects at two offsets each or of none, and for each set all requests, compared with the model.
 * All are made with callbacks that change nothing; every so many (SAMARA_TEST_SCALE) also with
 * callbacks that make the changes and as a list, after which the set has to be made again.
 */
#include "gpuvm_compare.h"

#include "support/env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KINDS = 5, SET_MAX = 4 };

static struct compare c;
static uint64_t cases, applied, apply_every;
static struct request set[SET_MAX];
static unsigned int nr_set;

/*
 * Chooses what is mapped at @addr: two objects, each at two offsets that go along with the address,
 * or none.
 */
static void set_kind(struct request *r, unsigned int kind)
{
	r->obj = kind == 4 ? GM_NONE : (int)(kind / 2);
	r->offset = r->addr + (kind == 4 ? 7 : kind % 2 ? UINT64_C(0xfffffffffffffffc) : 0x100);
}

static _Noreturn void fail(const struct request *r, enum form form)
{
	for (unsigned int i = 0; i < nr_set; i++)
		printf("%" PRIx64 "+%" PRIx64 "=%d@%" PRIx64 " ", set[i].addr, set[i].range,
		       set[i].obj, set[i].offset);
	printf("request %d %" PRIx64 "+%" PRIx64 "=%d@%" PRIx64 ", form %d: %s\n", (int)r->kind,
	       r->addr, r->range, r->obj, r->offset, (int)form, c.why);
	exit(1);
}

static void make_set(void)
{
	compare_clear(&c);
	for (unsigned int i = 0; i < nr_set; i++) {
		gm_apply_map(&c.model, set[i].addr, set[i].range, set[i].obj, set[i].offset);
		if (toy_insert(&c.toy, set[i].addr, set[i].range, set[i].obj, set[i].offset))
			exit(99);
	}
}

static void try_request(const struct request *r)
{
	enum form form = applied % 2 ? FORM_LIST : FORM_CALLBACKS;

	if (!compare_request(&c, r, FORM_DRY))
		fail(r, FORM_DRY);
	if (++cases % apply_every)
		return;
	applied++;
	if (!compare_request(&c, r, form) || !compare_all(&c))
		fail(r, form);
	make_set();
	if (applied % 1024 == 0)
		toy_reap(&c.toy);
}

/* Makes all requests of the current set, on and beyond the grid's end. */
static void try_set(unsigned int pages)
{
	struct request r;

	make_set();
	for (r.addr = 0; r.addr <= pages; r.addr++) {
		for (r.range = 1; r.addr + r.range <= pages + 1; r.range++) {
			r.kind = REQUEST_UNMAP;
			try_request(&r);
			r.kind = REQUEST_PREFETCH;
			try_request(&r);
			r.kind = REQUEST_MAP;
			for (unsigned int kind = 0; kind < KINDS; kind++) {
				set_kind(&r, kind);
				try_request(&r);
			}
		}
	}
}

/* Adds @left more mappings from page @from on, in every possible way. */
static void extend(unsigned int pages, unsigned int from, unsigned int left)
{
	struct request *r = &set[nr_set];

	if (left == 0) {
		try_set(pages);
		return;
	}
	for (uint64_t addr = from; addr < pages; addr++) {
		for (uint64_t range = 1; addr + range <= pages; range++) {
			for (unsigned int kind = 0; kind < KINDS; kind++) {
				r->addr = addr;
				r->range = range;
				set_kind(r, kind);
				nr_set++;
				extend(pages, (unsigned int)(addr + range), left - 1);
				nr_set--;
			}
		}
	}
}

static void run(unsigned int pages, unsigned int mappings)
{
	if (!compare_init(&c, pages, 0, 0, false))
		exit(99);
	gpuvm_lock(&c.toy.vm);
	extend(pages, 0, mappings);
	gpuvm_unlock(&c.toy.vm);
	if (!compare_destroy(&c)) {
		printf("something is left\n");
		exit(1);
	}
}

int main(void)
{
	uint64_t scale = env_scaled(100);

	/* All cases of few mappings; with more mappings, fewer pages. */
	apply_every = scale >= 100 ? 29 : 149;
	run(8, 0);
	run(8, 1);
	run(scale >= 100 ? 8 : 6, 2);
	if (scale >= 100)
		run(6, 3);
	if (scale >= 1000)
		run(8, 3);
	run(4, 4);
	printf("%" PRIu64 " requests, %" PRIu64 " carried out\n", cases, applied);
	return 0;
}
