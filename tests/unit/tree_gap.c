/* SPDX-License-Identifier: MIT */
/*
 * Gap figures: exact while small, never too low, and in the order of the gaps. A leaf's is that of
 * its largest gap, wherever that lies and in however many pieces.
 */
#include "support/cm.h"

#include "support/rng.h"
#include "support/units.h"
#include "tree/encode.h"
#include "tree/gap.h"

#include <errno.h>
#include <stdalign.h>

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
		/* 25 bits tell apart gaps that differ by more than a part in 2^24. */
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

		/* A page less gives another figure. */
		assert_true(smr_gap_figure((pages << 12) - 1) <
			    smr_gap_figure(((pages + 1) << 12) - 1));
	}
}

/* ---- Leaves ---- */

static alignas(MT_NODE_SIZE) struct smr_node node;

/* Makes a leaf of [@min..@max] with @n ranges; gaps and joined ranges are in up to three pieces. */
static void *make_leaf(struct rng *rng, unsigned int n, unsigned long unit, unsigned long min,
		       unsigned long *max)
{
	bool joined = rng_below(rng, 4) == 0;
	struct smr_items it = { .n = 0 };
	unsigned long at = min;
	struct smr_code code;
	void *leaf;

	while (it.n < n) {
		unsigned int pieces = 1 + (unsigned int)rng_below(rng, SMR_RUN_MAX);
		bool gap = rng_below(rng, 2) && (it.n == 0 || smr_value(it.slot, it.n - 1));
		void *first = gap ? NULL : xa_mk_value(it.n);

		for (unsigned int k = 0; k < pieces && it.n < n; k++) {
			bool join = joined && k > 0 && rng_below(rng, 2);

			if (k > 0 && !gap && !join)
				break;
			smr_items_add(&it, at, join ? smr_joined() : first, 0);
			at += unit * (1 + rng_below(rng, 1UL << rng_below(rng, 8)));
		}
	}
	*max = at - 1;
	assert_true(smr_code_choose(&code, it.start, n, *max, true, 0));
	leaf = smr_encode(&node, &code, &it, 0, n);
	node.dead = joined ? SMR_JOINED : 0;
	return leaf;
}

/* The leaf's figure, computed range by range. */
static uint32_t figure_beside(const void *leaf, unsigned long min, unsigned long max,
			      unsigned int i, unsigned int j)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned long begin = min, first = min, last;
	uint32_t largest = 0;
	bool gap = false;

	for (unsigned int r = 0; r <= end; r++, first = last + 1) {
		last = r < end ? smr_start(leaf, r + 1) - 1 : max;
		if (!gap)
			begin = first;
		gap = !smr_value(smr_slots(leaf), r) && (r < i || r > j);
		if (gap)
			largest = smr_gap_larger(largest, smr_gap_figure(last - begin));
	}
	return largest;
}

static void of_leaves(void **state)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };
	unsigned long max;

	(void)state;
	for (uint64_t k = 0; k < 20000; k++) {
		struct rng rng = rng_make(3, k);
		unsigned long unit = units[k % ARRAY_SIZE(units)], min = unit * rng_below(&rng, 50);
		unsigned int n = 1 + (unsigned int)rng_below(&rng, SMR_WLEAF_CAP);
		unsigned int i = (unsigned int)rng_below(&rng, n);
		unsigned int j = i + (unsigned int)rng_below(&rng, n - i);
		void *leaf = make_leaf(&rng, n, unit, min, &max);

		assert_int_equal(smr_gap_leaf(leaf, min, max), figure_beside(leaf, min, max, 1, 0));
		assert_int_equal(smr_gap_beside(leaf, min, max, i, j),
				 figure_beside(leaf, min, max, i, j));
	}
}

/* ---- Trees ---- */

enum { ENTRIES = 4000 };

/* Entries of two keys, with two free ones behind each; one entry is missing. */
static void find_missing(unsigned int flags, unsigned long missing)
{
	const unsigned long max = 4UL * ENTRIES - 1, first = 4 * missing - 2;
	struct maple_tree mt;
	MA_STATE(mas, &mt, 0, 0);

	mt_init_flags(&mt, flags);
	for (unsigned long i = 0; i < ENTRIES; i++)
		if (i != missing)
			assert_int_equal(mtree_store_range(&mt, 4 * i, 4 * i + 1, xa_mk_value(i),
							   GFP_KERNEL),
					 0);
	assert_true(mt_height(&mt) > 2);
	mtree_lock(&mt);
	assert_int_equal(mas_empty_area(&mas, 0, max, 6), 0);
	assert_int_equal(mas.index, first);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area_rev(&mas, 0, max, 6), 0);
	assert_int_equal(mas.index, first);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area(&mas, 0, max, 7), -EBUSY);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area_rev(&mas, 0, max, 7), -EBUSY);
	mtree_unlock(&mt);
	mtree_destroy(&mt);
}

/* Trees without figures are searched, too: completely, leaf by leaf. */
static void found_with_figures_and_without(void **state)
{
	(void)state;
	for (unsigned long missing = 1; missing < ENTRIES - 1; missing += 571) {
		find_missing(MT_FLAGS_ALLOC_RANGE, missing);
		find_missing(0, missing);
	}
}

/* A single key is free, anywhere in its leaf, at the end that the search runs towards. */
static void found_at_the_limit(void **state)
{
	struct maple_tree mt;
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
	for (unsigned long i = 0; i < ENTRIES; i++)
		assert_int_equal(mtree_store(&mt, i, xa_mk_value(i), GFP_KERNEL), 0);
	for (unsigned long k = 0; k < ENTRIES; k++) {
		assert_ptr_equal(mtree_erase(&mt, k), xa_mk_value(k));
		mtree_lock(&mt);
		mas_reset(&mas);
		assert_int_equal(mas_empty_area(&mas, 0, k, 1), 0);
		assert_int_equal(mas.index, k);
		mas_reset(&mas);
		assert_int_equal(mas_empty_area_rev(&mas, k, ENTRIES - 1, 1), 0);
		assert_int_equal(mas.index, k);
		mtree_unlock(&mt);
		assert_int_equal(mtree_store(&mt, k, xa_mk_value(k), GFP_KERNEL), 0);
	}
	mtree_destroy(&mt);
}

/* More than half of the span of a short leaf is free between two entries. */
static void found_in_short_leaves(void **state)
{
	(void)state;
	for (unsigned long behind = 1000; behind < 1050; behind++) {
		struct maple_tree mt;
		MA_STATE(mas, &mt, 0, 0);

		mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
		for (unsigned long i = 0; i < 2000; i++)
			assert_int_equal(mtree_store(&mt, 4 * i + (i > behind ? 40000 : 0),
						     xa_mk_value(i), GFP_KERNEL),
					 0);
		mtree_lock(&mt);
		assert_int_equal(mas_empty_area(&mas, 0, 47000, 40003), 0);
		assert_int_equal(mas.index, 4 * behind + 1);
		mas_reset(&mas);
		assert_int_equal(mas_empty_area_rev(&mas, 0, 47000, 40003), 0);
		assert_int_equal(mas.index, 4 * behind + 1);
		mtree_unlock(&mt);
		mtree_destroy(&mt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_while_small),
		cmocka_unit_test(ordered_around_powers),
		cmocka_unit_test(ordered_at_random),
		cmocka_unit_test(page_gaps_are_exact),
		cmocka_unit_test(of_leaves),
		cmocka_unit_test(found_with_figures_and_without),
		cmocka_unit_test(found_at_the_limit),
		cmocka_unit_test(found_in_short_leaves),
	};

	return cmocka_run_group_tests_name("tree_gap", tests, NULL, NULL);
}
