/* SPDX-License-Identifier: MIT */
/* Loops over a tree: where they end, and what may be done to the tree inside them. */
#include "support/cm.h"

#include "support/treecheck.h"

#include <errno.h>
#include <samara/lockcheck.h>

static void put(struct maple_tree *tree, unsigned long first, unsigned long last,
		unsigned long value)
{
	assert_int_equal(mtree_store_range(tree, first, last, xa_mk_value(value), GFP_KERNEL), 0);
}

static void for_each_visits_all(void **state)
{
	DEFINE_MTREE(tree);
	unsigned long index = 0, n = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 500; i++)
		put(&tree, 10 * i, 10 * i + i % 10, i);
	mt_for_each(&tree, entry, index, ULONG_MAX) {
		assert_ptr_equal(entry, xa_mk_value(n));
		assert_int_equal(index, 10 * n + n % 10 + 1);
		n++;
	}
	assert_int_equal(n, 500);
	index = 2003;
	n = 200;
	mt_for_each(&tree, entry, index, 2999)
		n++;
	assert_int_equal(n, 200 + 99);
	mtree_destroy(&tree);
}

/* A range that ends at the last key wraps the index to 0, which must end the loop. */
static void for_each_ends_at_the_top(void **state)
{
	DEFINE_MTREE(tree);
	unsigned long index = 0, n = 0;
	void *entry;

	(void)state;
	put(&tree, 0, 0, 1);
	put(&tree, ULONG_MAX - 5, ULONG_MAX, 2);
	mt_for_each(&tree, entry, index, ULONG_MAX)
		n++;
	assert_int_equal(n, 2);
	assert_int_equal(index, 0);
	mtree_destroy(&tree);
	put(&tree, 0, ULONG_MAX, 3);
	n = 0;
	mt_for_each(&tree, entry, index, ULONG_MAX)
		n++;
	assert_int_equal(n, 1);
	mtree_destroy(&tree);
}

/* No lock is held in the body: anything may be done, including erasing the entry that was found. */
static void for_each_may_write(void **state)
{
	DEFINE_MTREE(tree);
	unsigned long index = 0, n = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 500; i++)
		put(&tree, 10 * i, 10 * i + 4, i);
	mt_for_each(&tree, entry, index, ULONG_MAX) {
		unsigned long i = xa_to_value(entry);

		assert_int_equal(i, n);
		assert_ptr_equal(mtree_erase(&tree, index - 1), entry);
		put(&tree, 100000 + i, 100000 + i, 1000);
		if (i == 499)
			break;
		n++;
	}
	assert_null(mtree_load(&tree, 3));
	mtree_destroy(&tree);
}

static void zero_entries_are_hidden(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long index = 0, n = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 200; i++) {
		if (i % 2)
			put(&tree, 10 * i, 10 * i + 4, i);
		else
			assert_int_equal(mtree_reserve(&tree, 10 * i, 10 * i + 4, GFP_KERNEL), 0);
	}
	mt_for_each(&tree, entry, index, ULONG_MAX)
		n++;
	assert_int_equal(n, 100);
	n = 0;
	mtree_lock(&tree);
	mas_for_each(&mas, entry, ULONG_MAX)
		n++;
	mtree_unlock(&tree);
	assert_int_equal(n, 200);
	mtree_destroy(&tree);
}

/* The lock may be dropped between two steps if the cursor is paused. */
static void pause_and_go_on(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long n = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 300; i++)
		put(&tree, 10 * i, 10 * i + 4, i);
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_ptr_equal(entry, xa_mk_value(n));
		mas_pause(&mas);
		mas_unlock(&mas);
		/* Behind, at and ahead of the cursor, in places where the loop finds nothing. */
		put(&tree, 5000 + n, 5000 + n, 7);
		mtree_erase(&tree, 5000 + n);
		mtree_erase(&tree, 10 * n);
		mas_lock(&mas);
		n++;
	}
	mas_unlock(&mas);
	assert_int_equal(n, 300);
	assert_true(mtree_empty(&tree));
	mtree_destroy(&tree);
}

/* The loop's cursor may store; then it is on what it stored. */
static void store_inside_a_loop(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long n = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 300; i++)
		put(&tree, 10 * i, 10 * i + 4, i);
	mtree_lock(&tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_ptr_equal(entry, xa_mk_value(n));
		if (n % 3 == 0)
			assert_int_equal(mas_store_gfp(&mas, NULL, GFP_KERNEL), 0);
		else if (n % 3 == 1)
			assert_ptr_equal(mas_store(&mas, xa_mk_value(n + 1000)), entry);
		n++;
	}
	assert_int_equal(n, 300);
	n = 0;
	mas_set(&mas, 0);
	mas_for_each(&mas, entry, ULONG_MAX)
		n++;
	assert_int_equal(n, 200);
	assert_int_equal(mt_check(&tree, NULL, 0), 0);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

/* The same in the form without nodes (where Linux's loop does not end). */
static void store_inside_a_compact_loop(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);
	unsigned long n = 0;
	void *entry;

	(void)state;
	put(&tree, 0, 0, 1);
	mtree_lock(&tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		mas_store(&mas, xa_mk_value(2));
		assert_true(++n < 10);
	}
	assert_int_equal(n, 1);
	mtree_unlock(&tree);
	assert_ptr_equal(mtree_load(&tree, 0), xa_mk_value(2));
	mtree_destroy(&tree);
}

/* Ascending sequences may assign index and last on an active cursor. */
static void ascending_without_reset(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	mtree_lock(&tree);
	/*
	 * Not from 0: a single entry there needs no node, and the cursor of such a tree is not
	 * active.
	 */
	for (unsigned long i = 1; i < 2000; i++) {
		mas.index = 7 * i;
		mas.last = 7 * i + i % 7;
		assert_int_equal(mas_store_gfp(&mas, xa_mk_value(i), GFP_KERNEL), 0);
		assert_int_equal(mas.status, ma_active);
	}
	assert_int_equal(mt_check(&tree, NULL, 0), 0);
	mtree_unlock(&tree);
	for (unsigned long i = 1; i < 2000; i++) {
		assert_ptr_equal(mtree_load(&tree, 7 * i), xa_mk_value(i));
		assert_ptr_equal(mtree_load(&tree, 7 * i + i % 7), xa_mk_value(i));
		if (i % 7 < 6)
			assert_null(mtree_load(&tree, 7 * i + i % 7 + 1));
	}
	mtree_destroy(&tree);
}

static void count_report(const struct lockcheck_report *report, void *arg)
{
	assert_int_equal(report->rule, LOCKCHECK_STALE_CURSOR);
	++*(unsigned int *)arg;
}

/*
 * A cursor that other writers have made stale looks up its key again and does not read freed nodes.
 * (The checker complains all the same.)
 */
static void stale_cursor(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 4000, 4000);
	unsigned int reports = 0;

	(void)state;
	lockcheck_set_handler(count_report, &reports);
	for (unsigned long i = 0; i < 1000; i++)
		put(&tree, 10 * i, 10 * i + 4, i);
	mtree_lock(&tree);
	assert_ptr_equal(mas_walk(&mas), xa_mk_value(400));
	mtree_unlock(&tree);
	for (unsigned long i = 0; i < 1000; i++)
		if (i != 400 && i != 700)
			mtree_erase(&tree, 10 * i);
	mtree_lock(&tree);
	assert_ptr_equal(mas_next(&mas, ULONG_MAX), xa_mk_value(700));
	assert_ptr_equal(mas_prev(&mas, 0), xa_mk_value(400));
	mtree_unlock(&tree);
	mtree_destroy(&tree);
	mt_mem_trim(mt_mem_default());
	mtree_lock(&tree);
	assert_null(mas_next(&mas, ULONG_MAX));
	assert_int_equal(mas_store_gfp(&mas, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(mt_check(&tree, NULL, 0), 0);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
	lockcheck_set_handler(NULL, NULL);
	assert_int_equal(reports, 2);
}

/*
 * A refused store leaves the cursor without a place, and so does a limit reached right afterwards.
 */
static void refused_and_at_its_limit(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);

	(void)state;
	put(&tree, 5, 9, 1);
	put(&tree, 20, 20, 2);
	mtree_lock(&tree);
	for (unsigned int i = 0; i < 3; i++) {
		mas_set_range(&mas, 6, 5);
		assert_int_equal(mas_store_gfp(&mas, xa_mk_value(3), GFP_KERNEL), -EINVAL);
		assert_true(mas_is_err(&mas));
		mas.index = mas.last = 6;
		if (i == 0) {
			assert_null(mas_next(&mas, 6));
			assert_int_equal(mas.status, ma_overflow);
			assert_ptr_equal(mas_next(&mas, ULONG_MAX), xa_mk_value(2));
		} else {
			mas.index = mas.last = 21;
			assert_null(mas_prev(&mas, 21));
			assert_int_equal(mas.status, ma_underflow);
			assert_ptr_equal(i == 1 ? mas_prev(&mas, 0) : mas_find_rev(&mas, 0),
					 xa_mk_value(2));
		}
	}
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

/* A cursor whose status, and perhaps tree, has been assigned has no place yet. */
static void the_status_assigned(void **state)
{
	DEFINE_MTREE(tree);
	DEFINE_MTREE(other);
	MA_STATE(mas, &tree, 5, 5);

	(void)state;
	for (unsigned long i = 0; i < 3; i++) {
		put(&tree, 10 * i, 10 * i + 9, i);
		put(&other, 10 * i, 10 * i + 9, i + 3);
	}
	assert_int_equal(tree.ma_seq, other.ma_seq);
	mtree_lock(&tree);
	mtree_lock_nested(&other, 1);
	assert_ptr_equal(mas_walk(&mas), xa_mk_value(0));
	mas.tree = &other;
	mas.status = ma_start;
	mas.index = mas.last = 6;
	assert_int_equal(mas_store_gfp(&mas, xa_mk_value(9), GFP_KERNEL), 0);
	assert_ptr_equal(mtree_load(&tree, 6), xa_mk_value(0));
	assert_ptr_equal(mtree_load(&other, 6), xa_mk_value(9));
	mas_set(&mas, 25);
	assert_ptr_equal(mas_walk(&mas), xa_mk_value(5));
	mas.status = ma_start;
	mas.index = mas.last = 5;
	assert_null(mas_next(&mas, 5));
	assert_ptr_equal(mas_next(&mas, ULONG_MAX), xa_mk_value(9));
	mtree_unlock(&other);
	mtree_unlock(&tree);
	mtree_destroy(&other);
	mtree_destroy(&tree);
}

/*
 * When other cursors have made a range or gap part of a larger gap, a cursor steps over all of
 * that.
 */
static void gaps_have_grown(void **state)
{
	static const unsigned long at[] = { 550, 600, 650 };

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		struct maple_tree tree = MTREE_INIT(tree, i < 3 ? 0 : MT_FLAGS_USE_RCU);
		MA_STATE(mas, &tree, at[i % 3], at[i % 3]);
		MA_STATE(other, &tree, 600, 600);

		for (unsigned long k = 0; k < 20; k++)
			put(&tree, 100 * k, 100 * k + 9, k);
		mtree_lock(&tree);
		mas_walk(&mas);
		assert_ptr_equal(mas_erase(&other), xa_mk_value(6));
		assert_ptr_equal(mas_next_range(&mas, ULONG_MAX), xa_mk_value(7));
		mas_set(&mas, at[i % 3]);
		mas_walk(&mas);
		mas_set_range(&other, 600, 609);
		assert_int_equal(mas_store_gfp(&other, xa_mk_value(6), GFP_KERNEL), 0);
		mas_set(&mas, at[i % 3]);
		mas_walk(&mas);
		mas_set(&other, 600);
		assert_ptr_equal(mas_erase(&other), xa_mk_value(6));
		assert_ptr_equal(mas_prev_range(&mas, 0), xa_mk_value(5));
		mtree_unlock(&tree);
		mtree_destroy(&tree);
	}
}

/* Erases at @key by a cursor that was elsewhere; @value was there, or nothing if it is 0. */
static void erases_there(struct ma_state *mas, unsigned long key, unsigned long value)
{
	mas->index = key;
	assert_ptr_equal(mas_erase(mas), value ? xa_mk_value(value) : NULL);
	assert_null(mas_walk(mas));
	assert_true(mas->index <= key && mas->last >= key);
}

/*
 * An erasure takes what is at the index now, wherever the cursor is and whatever was there before:
 * during an iteration, and after changes by others.
 */
static void erase_from_anywhere(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct maple_tree tree = MTREE_INIT(tree, i ? MT_FLAGS_USE_RCU : 0);
		MA_STATE(mas, &tree, 500, 500);
		MA_STATE(other, &tree, 0, 0);

		for (unsigned long k = 1; k < 100; k++)
			put(&tree, 10 * k, 10 * k + 4, k);
		mtree_lock(&tree);
		assert_ptr_equal(mas_walk(&mas), xa_mk_value(50));
		mas_set(&other, 500);
		assert_ptr_equal(mas_erase(&other), xa_mk_value(50));
		erases_there(&mas, 500, 0);
		erases_there(&mas, 514, 51);
		erases_there(&mas, 21, 2);
		erases_there(&mas, 995, 0);
		/* The range has changed, and so has the leaf. */
		assert_ptr_equal(mas_walk(&mas), NULL);
		mas_set_range(&other, 990, 992);
		assert_int_equal(mas_store_gfp(&other, xa_mk_value(7), GFP_KERNEL), 0);
		erases_there(&mas, 993, 99);
		erases_there(&mas, 991, 7);
		/* The tree is empty now. */
		mas_set_range(&other, 0, ULONG_MAX);
		assert_int_equal(mas_store_gfp(&other, NULL, GFP_KERNEL), 0);
		mas.index = 300;
		assert_null(mas_erase(&mas));
		mtree_unlock(&tree);
		mtree_destroy(&tree);
	}
}

/* Another tree, with as many changes and the same keys: nothing is written to the old one. */
static void writes_to_another_tree(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct maple_tree one = MTREE_INIT(one, i & 1 ? MT_FLAGS_USE_RCU : 0);
		struct maple_tree two = MTREE_INIT(two, i & 1 ? MT_FLAGS_USE_RCU : 0);
		unsigned long ranges = i & 2 ? 10 : 100;
		MA_STATE(mas, &one, 50, 54);

		for (unsigned long k = 1; k < ranges; k++) {
			put(&one, 10 * k, 10 * k + 4, k);
			put(&two, 10 * k, 10 * k + 4, 100 + k);
		}
		mtree_lock(&one);
		mtree_lock_nested(&two, 1);
		assert_ptr_equal(mas_walk(&mas), xa_mk_value(5));
		mas.tree = &two;
		assert_ptr_equal(mas_erase(&mas), xa_mk_value(105));
		mas.tree = &one;
		mas.index = 50;
		assert_ptr_equal(mas_walk(&mas), xa_mk_value(5));
		mas.tree = &two;
		mas.index = 61;
		mas.last = 62;
		assert_int_equal(mas_store_gfp(&mas, xa_mk_value(7), GFP_KERNEL), 0);
		assert_int_equal(mt_check(&one, NULL, 0), 0);
		assert_int_equal(mt_check(&two, NULL, 0), 0);
		mtree_unlock(&two);
		mtree_unlock(&one);
		assert_ptr_equal(mtree_load(&one, 50), xa_mk_value(5));
		assert_ptr_equal(mtree_load(&one, 61), xa_mk_value(6));
		assert_null(mtree_load(&two, 50));
		assert_ptr_equal(mtree_load(&two, 61), xa_mk_value(7));
		mtree_destroy(&one);
		mtree_destroy(&two);
	}
}

/* A single entry at key 0, in a node or not, is found from above, however the cursor got there. */
static void finds_key_0_from_above(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_ALLOC_RANGE);
		MA_STATE(mas, &tree, 5, 9);

		put(&tree, 0, 0, 1);
		if (i & 4) {
			put(&tree, 100, 100, 2);
			assert_ptr_equal(mtree_erase(&tree, 100), xa_mk_value(2));
		}
		mtree_lock(&tree);
		switch (i & 3) {
		case 0:
			assert_null(mas_erase(&mas));
			break;
		case 1:
			assert_int_equal(mas_store_gfp(&mas, NULL, GFP_KERNEL), 0);
			break;
		case 2:
			assert_int_equal(mas_empty_area(&mas, 5, 50, 5), 0);
			break;
		case 3:
			assert_int_equal(mas_preallocate(&mas, xa_mk_value(3), GFP_KERNEL), 0);
			mas_destroy(&mas);
			break;
		}
		assert_ptr_equal(i & 1 ? mas_find_rev(&mas, 0) : mas_find_range_rev(&mas, 0),
				 xa_mk_value(1));
		assert_int_equal(mas.last, 0);
		mtree_unlock(&tree);
		mtree_destroy(&tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(for_each_visits_all),
		cmocka_unit_test(for_each_ends_at_the_top),
		cmocka_unit_test(for_each_may_write),
		cmocka_unit_test(zero_entries_are_hidden),
		cmocka_unit_test(pause_and_go_on),
		cmocka_unit_test(store_inside_a_loop),
		cmocka_unit_test(store_inside_a_compact_loop),
		cmocka_unit_test(ascending_without_reset),
		cmocka_unit_test(stale_cursor),
		cmocka_unit_test(refused_and_at_its_limit),
		cmocka_unit_test(the_status_assigned),
		cmocka_unit_test(gaps_have_grown),
		cmocka_unit_test(erase_from_anywhere),
		cmocka_unit_test(writes_to_another_tree),
		cmocka_unit_test(finds_key_0_from_above),
	};

	return cmocka_run_group_tests_name("iterate", tests, NULL, NULL);
}
