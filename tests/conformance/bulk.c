/* SPDX-License-Identifier: MIT */
/* Bulk loading: mas_expected_entries(), many mas_store()s, mas_destroy(). */
#include "support/cm.h"

#include "support/env.h"
#include "support/memfault.h"
#include "support/treecheck.h"

#include <errno.h>

static struct range_model model;

static void compare(struct maple_tree *tree)
{
	char why[WHY_SIZE];

	mtree_lock(tree);
	if (!tree_good(tree, &model, why))
		fail_msg("%s", why);
	mtree_unlock(tree);
}

static unsigned long used(void)
{
	return nodes_in_use(mt_mem_default());
}

/* Stores entry @i of ranges of @width keys every @step, upwards or from the top down. */
static void load_one(struct ma_state *mas, unsigned long i, unsigned long step, unsigned long width)
{
	unsigned long first = i * step;

	mas->index = first;
	mas->last = first + width - 1;
	mas_store(mas, xa_mk_value(i));
	assert_false(mas_is_err(mas));
	assert_int_equal(rm_store(&model, first, first + width - 1, xa_mk_value(i)), 0);
}

static void ascending(unsigned int flags, unsigned long expected, unsigned long stored,
		      unsigned long step, unsigned long width)
{
	struct maple_tree tree = MTREE_INIT(tree, flags);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long nodes = used();

	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, expected), 0);
	for (unsigned long i = 0; i < stored; i++)
		load_one(&mas, i, step, width);
	mas_destroy(&mas);
	assert_int_equal(mas_allocated(&mas), 0);
	mtree_unlock(&tree);
	compare(&tree);
	/* From here on it is an ordinary tree. */
	assert_int_equal(mtree_store_range(&tree, step / 2, 7 * step, xa_mk_value(7), GFP_KERNEL),
			 0);
	assert_int_equal(rm_store(&model, step / 2, 7 * step, xa_mk_value(7)), 0);
	compare(&tree);
	mtree_destroy(&tree);
	assert_int_equal(used(), nodes);
	rm_destroy(&model);
}

static void as_many_as_expected(void **state)
{
	static const unsigned long counts[] = { 1,  2,  13, 14, 40,  41,   42,   44,
						45, 46, 83, 91, 300, 1300, 5000, 60000 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (counts[i] > 10000 && env_scaled(100) < 100)
			break;
		ascending(0, counts[i], counts[i], 10, 10);
		ascending(0, counts[i], counts[i], 10, 4);
		ascending(MT_FLAGS_ALLOC_RANGE, counts[i], counts[i], 1UL << 21, 4096);
		ascending(MT_FLAGS_ALLOC_RANGE, counts[i], counts[i], 1UL << 44, 1UL << 43);
	}
}

static void fewer_and_more(void **state)
{
	(void)state;
	ascending(0, 5000, 0, 10, 4);
	ascending(0, 5000, 1, 10, 4);
	ascending(0, 5000, 2000, 10, 4);
	ascending(0, 1, 5000, 10, 4);
	ascending(0, 100, 5000, 10, 10);
	ascending(MT_FLAGS_ALLOC_RANGE, 3, 20000, 4096, 4095);
}

/*
 * One store into a tree whose nodes are all full, on every level: enough was set aside for that,
 * too.
 */
static void one_store_into_a_full_tree(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 5000), 0);
	for (unsigned long i = 0; i < 5000; i++)
		load_one(&mas, i, 10, 10);
	mas_destroy(&mas);
	assert_true(mt_height(&tree) >= 3);
	assert_int_equal(mas_expected_entries(&mas, 1), 0);
	memfault_none();
	mas_set_range(&mas, 20004, 20005);
	mas_store(&mas, xa_mk_value(7));
	memfault_ok();
	assert_false(mas_is_err(&mas));
	assert_int_equal(rm_store(&model, 20004, 20005, xa_mk_value(7)), 0);
	mas_destroy(&mas);
	mtree_unlock(&tree);
	compare(&tree);
	mtree_destroy(&tree);
	rm_destroy(&model);
}

/*
 * More entries than expected, when memory has run out: an error, not a crash, and no entry is lost.
 */
static void beyond_the_estimate_without_memory(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long nodes = used(), i;

	(void)state;
	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 200), 0);
	memfault_none();
	for (i = 0; i < 5000; i++) {
		mas_set_range(&mas, 10 * i, 10 * i + 4);
		mas_store(&mas, xa_mk_value(i));
		if (mas_is_err(&mas))
			break;
		assert_int_equal(rm_store(&model, 10 * i, 10 * i + 4, xa_mk_value(i)), 0);
	}
	assert_true(i >= 200);
	assert_true(i < 5000);
	assert_int_equal(xa_err(mas.node), -ENOMEM);
	mas_destroy(&mas);
	memfault_ok();
	mtree_unlock(&tree);
	compare(&tree);
	mtree_destroy(&tree);
	assert_int_equal(used(), nodes);
	rm_destroy(&model);
}

/* The expected entries need only the memory that was set aside: nothing is allocated meanwhile. */
static void expected_needs_no_more(void **state)
{
	static const unsigned long counts[] = { 1, 5, 41, 100, 1000, 20000 };

	(void)state;
	for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
		DEFINE_MTREE(tree);
		MA_STATE(mas, &tree, 0, 0);

		rm_init(&model);
		mtree_lock(&tree);
		assert_int_equal(mas_expected_entries(&mas, counts[n]), 0);
		memfault_none();
		for (unsigned long i = 0; i < counts[n]; i++)
			load_one(&mas, i, 16, 8);
		mas_destroy(&mas);
		memfault_ok();
		mtree_unlock(&tree);
		compare(&tree);
		mtree_destroy(&tree);
		rm_destroy(&model);
	}
}

static void descending(void **state)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long nodes = used();

	(void)state;
	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 3000), 0);
	for (unsigned long i = 3000; i-- > 0;) {
		mas_set_range(&mas, 10 * i, 10 * i + 6);
		mas_store(&mas, xa_mk_value(i));
		assert_false(mas_is_err(&mas));
		assert_int_equal(rm_store(&model, 10 * i, 10 * i + 6, xa_mk_value(i)), 0);
	}
	mas_destroy(&mas);
	mtree_unlock(&tree);
	compare(&tree);
	mtree_destroy(&tree);
	assert_int_equal(used(), nodes);
	rm_destroy(&model);
}

/* Overwriting what was just loaded, and loading into a tree that was not empty. */
static void unruly(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	rm_init(&model);
	for (unsigned long i = 0; i < 100; i++) {
		assert_int_equal(mtree_store(&tree, 37 * i, xa_mk_value(i), GFP_KERNEL), 0);
		assert_int_equal(rm_store(&model, 37 * i, 37 * i, xa_mk_value(i)), 0);
	}
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 1000), 0);
	for (unsigned long i = 0; i < 1000; i++) {
		unsigned long first = i % 7 ? 5 * i : 3 * i, last = first + i % 11;
		void *entry = i % 13 ? xa_mk_value(i) : NULL;

		mas_set_range(&mas, first, last);
		mas_store(&mas, entry);
		assert_false(mas_is_err(&mas));
		assert_int_equal(rm_store(&model, first, last, entry), 0);
	}
	mas_destroy(&mas);
	mtree_unlock(&tree);
	compare(&tree);
	mtree_destroy(&tree);
	rm_destroy(&model);
}

/* Readers may be in nodes that stores replace, so the next stores must not reuse them. */
static void retires_what_it_replaces(void **state)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct mt_mem_stats used;
	struct maple_tree tree;
	struct mt_stats stats;
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 500), 0);
	mt_rcu_read_lock(&tree);
	for (unsigned long i = 0; i < 500; i++)
		load_one(&mas, i, 10, 5);
	mt_stats(&tree, &stats);
	mt_mem_stats(mem, &used);
	mt_rcu_read_unlock(&tree);
	assert_true(stats.nodes_retired > 400);
	assert_int_equal(used.nodes_limbo, stats.nodes_retired);
	mas_destroy(&mas);
	mtree_unlock(&tree);
	compare(&tree);
	mtree_destroy(&tree);
	mt_mem_barrier(mem);
	mt_mem_destroy(mem);
	rm_destroy(&model);
}

static void store_gfp_ends_it(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long nodes = used();

	(void)state;
	rm_init(&model);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, 1000), 0);
	for (unsigned long i = 0; i < 300; i++)
		load_one(&mas, i, 10, 5);
	mas_set_range(&mas, 100, 131);
	assert_int_equal(mas_store_gfp(&mas, NULL, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&model, 100, 131, NULL), 0);
	mtree_unlock(&tree);
	compare(&tree);
	mtree_lock(&tree);
	mas_destroy(&mas);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
	assert_int_equal(used(), nodes);
	rm_destroy(&model);
}

static void no_memory(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long nodes = used();

	(void)state;
	mtree_lock(&tree);
	memfault_none();
	assert_int_equal(mas_expected_entries(&mas, 1000), -ENOMEM);
	memfault_ok();
	assert_int_equal(mas_allocated(&mas), 0);
	assert_int_equal(used(), nodes);
	mas_reset(&mas);
	mas_set_range(&mas, 5, 9);
	assert_int_equal(mas_store_gfp(&mas, xa_mk_value(1), GFP_KERNEL), 0);
	mas_destroy(&mas);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_expected),
		cmocka_unit_test(fewer_and_more),
		cmocka_unit_test(one_store_into_a_full_tree),
		cmocka_unit_test(beyond_the_estimate_without_memory),
		cmocka_unit_test(expected_needs_no_more),
		cmocka_unit_test(descending),
		cmocka_unit_test(unruly),
		cmocka_unit_test(retires_what_it_replaces),
		cmocka_unit_test(store_gfp_ends_it),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
