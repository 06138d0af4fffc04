/* SPDX-License-Identifier: MIT */
/*
 * Short leaves of pages share ranges with others: around the end of a block, with leaves of larger
 * or smaller units, and with some that begin inside a page.
 */
#include "run_bed.h"

enum { PLACES = 3000, STEPS = 20000, BLOCK = 1 << SMR_SHORT_BITS };

struct blocks {
	unsigned long unit, stride; /* from place to place, in units */
	unsigned int odd;           /* one in this many ranges is not of whole units; 0: none */
	unsigned long off;          /* it begins, or ends, this much further in */
};

/* Returns the unit of a random place around the end of the block. */
static unsigned long random_place(struct bed *b, const struct blocks *s)
{
	return BLOCK * s->stride + s->stride * rng_below(&b->rng, PLACES) - s->stride * PLACES / 2;
}

static void store_there(struct bed *b, const struct blocks *s)
{
	unsigned long unit = random_place(b, s);
	unsigned long first = first_key(b, unit), last = last_key(b, unit + HALF);

	if (s->odd && rng_one_in(&b->rng, s->odd))
		first += s->off;
	if (s->odd && rng_one_in(&b->rng, s->odd))
		last -= s->off;
	store_keys(b, first, last, new_entry(b));
}

static void change(const struct blocks *s, unsigned int flags, uint64_t seed)
{
	struct bed b;

	bed_make(&b, flags, s->unit, 2, false);
	b.rng = rng_make(21, seed);
	for (unsigned int i = 1; i <= STEPS; i++) {
		/* The tree grows, then shrinks. */
		if (rng_below(&b.rng, STEPS) > i)
			store_there(&b, s);
		else
			erase(&b, random_place(&b, s));
		if (i % 2000 == 0)
			expect(&b);
	}
	bed_free(&b);
}

static void share_ranges(void **state)
{
	static const struct blocks all[] = {
		{ .unit = PAGE_UNIT, .stride = LEN },
		{ .unit = PAGE_UNIT, .stride = LEN, .odd = 20, .off = 16 },
		{ .unit = PAGE_UNIT, .stride = LEN, .odd = 200, .off = 16 },
		{ .unit = 4 * PAGE_UNIT, .stride = 100 * LEN },
		{ .unit = 4 * PAGE_UNIT, .stride = 100 * LEN, .odd = 50, .off = PAGE_UNIT },
	};

	(void)state;
	for (unsigned int i = 0; i < 6 * ARRAY_SIZE(all); i += env_stride())
		change(&all[i / 6], i & 1 ? RCU_TREE : MT_FLAGS_ALLOC_RANGE, i % 6);
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(share_ranges),
	};

	return bed_run("tree_blocks", tests, sizeof(tests) / sizeof(tests[0]));
}
