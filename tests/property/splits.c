/* SPDX-License-Identifier: MIT */
/*
 * Stores at every place of nodes that are nearly full, nearly too empty, or replaced as a whole:
 * trees of each size around the capacities, then every position and many widths, each on a fresh
 * copy of the tree.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/walk.h"

#include <stdio.h>

/* Where the ranges of a tree are. */
struct layout {
	const char *name;
	unsigned long start;
	unsigned long step;  /* from one range to the next */
	unsigned long width; /* of each */
	unsigned int flags;
};

static const struct layout layouts[] = {
	{ "apart", 100, 20, 10, 0 },
	{ "adjacent", 0, 10, 10, MT_FLAGS_ALLOC_RANGE },
	{ "pages", 0x7f0000000000UL, 0x4000, 0x2000, MT_FLAGS_ALLOC_RANGE },
	{ "across blocks", 0xffff - 400, 20, 10, MT_FLAGS_ALLOC_RANGE }, /* of short leaves */
	{ "narrow", 0, NARROW_UNIT, 9, MT_FLAGS_ALLOC_RANGE },
	{ "wide", 7, (1UL << 56) + 3, 9, MT_FLAGS_ALLOC_RANGE },
	{ "at the top", ULONG_MAX, 20, 10, 0 }, /* the last range ends the key space */
};

#define NR_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct base {
	struct maple_tree tree;
	struct range_model model;
	struct layout layout;
	unsigned long n;
};

/* Builds upwards, downwards, or in an order that leaves nodes half full. */
static void make_base(struct base *base, const struct layout *layout, unsigned long n,
		      unsigned int order)
{
	base->layout = *layout;
	if (layout->start == ULONG_MAX)
		base->layout.start = 0 - n * layout->step + (layout->step - layout->width);
	layout = &base->layout;
	assert_true(order != 2 || n % 7919); /* otherwise that order does not reach all ranges */
	base->n = n;
	mt_init_flags(&base->tree, layout->flags);
	rm_init(&base->model);
	for (unsigned long i = 0; i < n; i++) {
		unsigned long at = order == 0 ? i : order == 1 ? n - 1 - i : i * 7919 % n;
		unsigned long first = layout->start + at * layout->step;

		assert_int_equal(mtree_store_range(&base->tree, first, first + layout->width - 1,
						   xa_mk_value(at), GFP_KERNEL),
				 0);
		assert_int_equal(
			rm_store(&base->model, first, first + layout->width - 1, xa_mk_value(at)),
			0);
	}
}

static void drop_base(struct base *base)
{
	mtree_destroy(&base->tree);
	rm_destroy(&base->model);
}

/* Stores into a copy of the tree, which must then match the model's copy. */
static void try_store(const struct base *base, struct range_model *model, unsigned long first,
		      unsigned long last, void *entry)
{
	struct maple_tree tree = MTREE_INIT(tree, base->layout.flags);
	char why[WHY_SIZE];

	assert_int_equal(mtree_dup((struct maple_tree *)&base->tree, &tree, GFP_KERNEL), 0);
	assert_int_equal(rm_copy(model, &base->model), 0);
	assert_int_equal(mtree_store_range(&tree, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(model, first, last, entry), 0);
	mtree_lock(&tree);
	if (!tree_good(&tree, model, why))
		fail_msg("%s, %lu ranges: [%#lx..%#lx] = %p: %s", base->layout.name, base->n, first,
			 last, entry, why);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

/* Returns one of several keys in and around range @i. */
static unsigned long place(const struct base *base, unsigned long i, unsigned int where)
{
	const struct layout *layout = &base->layout;
	unsigned long first = layout->start + i * layout->step;

	switch (where) {
	case 0:
		return first - (first > 0);
	case 1:
		return first;
	case 2:
		return first + 1;
	case 3:
		return first + layout->width - 2;
	case 4:
		return first + layout->width - 1;
	default:
		return first + layout->width - (first + layout->width == 0);
	}
}

#define NR_PLACES 6

static void every_store(const struct base *base)
{
	static const unsigned long spans[] = { 0, 1, 2, 5, 13, 14, 27, 40, 60 };
	unsigned long step = env_scaled(100) < 100 ? 3 : 1;
	struct range_model model;

	rm_init(&model);
	for (unsigned long i = 0; i < base->n; i += step) {
		for (size_t s = 0; s < sizeof(spans) / sizeof(spans[0]); s++) {
			unsigned long to = i + spans[s];

			if (to >= base->n)
				break;
			for (unsigned int where = 0; where < NR_PLACES * NR_PLACES; where++) {
				unsigned long first = place(base, i, where / NR_PLACES);
				unsigned long last = place(base, to, where % NR_PLACES);
				/*
				 * At every fifth range two of the places are tried, each with one
				 * of the two entries.
				 */
				bool clears = (i / 5 + s + where / NR_PLACES) % 2;

				if (first > last ||
				    ((spans[s] > 1 || step > 1) && where % 5 != i % 5))
					continue;
				try_store(base, &model, first, last,
					  clears ? NULL : (void *)0x88UL);
				if (spans[s] <= 1)
					try_store(base, &model, first, last,
						  clears ? (void *)0x88UL : NULL);
			}
		}
	}
	rm_destroy(&model);
}

/* Sizes around those that fill one leaf, fill two, and split the top; wide nodes hold fewer. */
static void around_full_leaves(void **state)
{
	static const unsigned long sizes[] = { 1,  2,  7,  13, 14, 15, 16, 20, 21, 27,
					       30, 31, 32, 41, 42, 45, 46, 61, 83, 91 };
	unsigned int stride = env_scaled(100) < 100 ? 9 : 1;

	(void)state;
	for (size_t l = 0; l < NR_LAYOUTS; l++) {
		for (size_t s = l % stride; s < sizeof(sizes) / sizeof(sizes[0]); s += stride) {
			struct base base;

			make_base(&base, &layouts[l], sizes[s], (unsigned int)(s + l) % 3);
			every_store(&base);
			drop_base(&base);
		}
	}
}

/* ---- Tall trees: from near the edge of one leaf to near the edge of another */

static unsigned long edge(struct base *base, struct rng *rng)
{
	unsigned long i = rng_below(rng, base->n);
	MA_STATE(mas, &base->tree, 0, 0);
	unsigned long key;

	mas_set(&mas, base->layout.start + i * base->layout.step);
	mtree_lock(&base->tree);
	mas_walk(&mas);
	mtree_unlock(&base->tree);
	/*
	 * An end of the leaf or a key next to it, then perhaps one range further in either
	 * direction.
	 */
	key = rng_one_in(rng, 2) ? mas.min : mas.max;
	key += rng_below(rng, 3) - 1;
	if (rng_one_in(rng, 4))
		key += rng_one_in(rng, 2) ? base->layout.step : -base->layout.step;
	return key;
}

/* Returns the height of the tree. */
static unsigned int across_leaves(const struct layout *layout, unsigned long n, unsigned int order,
				  uint64_t tries)
{
	struct range_model model;
	struct base base;
	uint64_t seed = env_seed();
	unsigned int height;

	make_base(&base, layout, n, order);
	height = mt_height(&base.tree);
	rm_init(&model);
	for (uint64_t t = 0; t < tries; t++) {
		struct rng rng = rng_make(seed + n, t);
		unsigned long first = edge(&base, &rng), last = edge(&base, &rng);

		if (first > last) {
			unsigned long swap = first;

			first = last;
			last = swap;
		}
		/* Mostly within a few nodes of one another. */
		if (!rng_one_in(&rng, 3) && (last - first) / layout->step > 200)
			last = first + layout->step * (1 + rng_below(&rng, 200));
		try_store(&base, &model, first, last, t % 2 ? NULL : (void *)0x88UL);
	}
	rm_destroy(&model);
	drop_base(&base);
	return height;
}

static void tall_pages(void **state)
{
	static const struct layout layout = { "pages", 0x7f0000000000UL, 0x4000, 0x2000,
					      MT_FLAGS_ALLOC_RANGE };

	(void)state;
	for (unsigned int order = 0; order < 3; order++)
		across_leaves(&layout, 1600, order, env_scaled(300));
}

static void tall_bytes(void **state)
{
	static const struct layout layout = { "adjacent", 0, 10, 10, 0 };

	(void)state;
	for (unsigned int order = 0; order < 3; order++)
		across_leaves(&layout, 2000, order, env_scaled(200));
}

static void tall_wide(void **state)
{
	static const struct layout layout = { "wide", 7, (1UL << 51) + 3, 9, MT_FLAGS_ALLOC_RANGE };

	(void)state;
	for (unsigned int order = 0; order < 3; order++)
		across_leaves(&layout, 1500, order, env_scaled(200));
}

static void four_levels(void **state)
{
	static const struct layout layout = { "apart", 100, 20, 10, MT_FLAGS_ALLOC_RANGE };

	(void)state;
	assert_int_equal(across_leaves(&layout, 20000, 0, env_scaled(30)), 4);
	assert_int_equal(across_leaves(&layout, 20000, 1, env_scaled(30)), 4);
}

/* ---- Whole subtrees ---- */

/*
 * All keys below the first node of each level become one range. That is too little for a leaf, and
 * the leaf that it is merged with is below another inner node, however high up the two meet.
 */
static void first_subtrees(const struct layout *layout, unsigned long n, unsigned int order)
{
	struct range_model model;
	struct base base;

	make_base(&base, layout, n, order);
	rm_init(&model);
	assert_true(mt_height(&base.tree) >= 4);
	for (unsigned int d = 1; d + 1 < mt_height(&base.tree); d++) {
		MA_STATE(mas, &base.tree, 0, 0);
		unsigned long last;

		mtree_lock(&base.tree);
		mas_walk(&mas);
		last = smr_path_max(mas.path, mas.slot, d);
		mtree_unlock(&base.tree);
		assert_true(last > mas.max && last < ULONG_MAX);
		try_store(&base, &model, 0, last, (void *)0x88UL);
		try_store(&base, &model, 0, last, NULL);
		try_store(&base, &model, 0, last - layout->step, (void *)0x88UL);
		try_store(&base, &model, 0, last + layout->step, (void *)0x88UL);
	}
	rm_destroy(&model);
	drop_base(&base);
}

static void subtrees_to_one_range(void **state)
{
	static const struct layout bytes = { "apart", 100, 20, 10, MT_FLAGS_ALLOC_RANGE };
	static const struct layout wide = { "wide", 7, (1UL << 48) + 3, 9, MT_FLAGS_USE_RCU };

	(void)state;
	first_subtrees(&bytes, 20000, 0);
	first_subtrees(&bytes, 20000, 1);
	first_subtrees(&wide, 10000, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(around_full_leaves), cmocka_unit_test(tall_pages),
		cmocka_unit_test(tall_bytes),         cmocka_unit_test(tall_wide),
		cmocka_unit_test(four_levels),        cmocka_unit_test(subtrees_to_one_range),
	};

	return cmocka_run_group_tests_name("splits", tests, NULL, NULL);
}
