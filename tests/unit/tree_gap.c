/* SPDX-License-Identifier: MIT */
/* Gap figures: exact while small, never too low, and in the order of the gaps. */
#include "support/cm.h"

#include "support/rng.h"
#include "tree/gap.h"

static void exact_while_small(void **state)
{
	(void)state;
	for (unsigned long span = 0; span < 100000; span++)
		assert_int_equal(smr_gap_figure(span), span + 1);
	for (unsigned long span = (1UL << 26) - 100; span < 1UL << 26; span++)
		assert_int_equal(smr_gap_figure(span), span + 1);
}

/* Around each power of two, where the form changes. */
static void ordered_around_powers(void **state)
{
	(void)state;
	for (unsigned int bit = 1; bit < 64; bit++) {
		unsigned long low = (1UL << bit) - (bit > 10 ? 1000 : 1);
		uint32_t before = smr_gap_figure(low);

		for (unsigned long k = 1; k < 2000; k++) {
			uint32_t figure = smr_gap_figure(low + k);

			assert_true(figure >= before);
			before = figure;
		}
	}
	assert_true(smr_gap_figure(ULONG_MAX) > smr_gap_figure(ULONG_MAX >> 1));
	assert_true(smr_gap_figure(ULONG_MAX) >= smr_gap_figure(ULONG_MAX - 1));
}

static void ordered_at_random(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 200000; n++) {
		struct rng rng = rng_make(1, n);
		unsigned long a = rng_next(&rng) >> rng_below(&rng, 64);
		unsigned long b = rng_next(&rng) >> rng_below(&rng, 64);

		if (a <= b)
			assert_true(smr_gap_figure(a) <= smr_gap_figure(b));
		else
			assert_true(smr_gap_figure(a) >= smr_gap_figure(b));
		/* 25 bits tell apart what differs by more than a part in 2^24. */
		if (a > 1UL << 30 && a < ULONG_MAX / 2)
			assert_true(smr_gap_figure(a + (a >> 23)) > smr_gap_figure(a));
	}
}

static void page_gaps_are_exact(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 100000; n++) {
		struct rng rng = rng_make(2, n);
		unsigned long pages = 1 + rng_below(&rng, 1UL << 24);

		/* One page less is another figure. */
		assert_true(smr_gap_figure((pages << 12) - 1) <
			    smr_gap_figure(((pages + 1) << 12) - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_while_small),
		cmocka_unit_test(ordered_around_powers),
		cmocka_unit_test(ordered_at_random),
		cmocka_unit_test(page_gaps_are_exact),
	};

	return cmocka_run_group_tests_name("tree_gap", tests, NULL, NULL);
}
