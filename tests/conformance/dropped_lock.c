/* SPDX-License-Identifier: MIT */
/*
 * A store that may block drops the internal lock to get memory, and another writer may come in
 * between. Here allocations under the lock fail, and a racer writes while the lock is dropped.
 */
#include "support/cm.h"

#include "support/memfault.h"
#include "support/treecheck.h"

#include <errno.h>

static unsigned long objects[4][2];
#define A ((void *)objects[0])
#define B ((void *)objects[1])
#define C ((void *)objects[2])

static struct maple_tree tree;

/* What the racer does, and how often it came. */
static struct {
	unsigned long first, last;
	void *entry;
	unsigned int came;
} racer;

static void put(unsigned long first, unsigned long last, void *entry)
{
	assert_int_equal(mtree_store_range(&tree, first, last, entry, GFP_KERNEL), 0);
}

static void race(void *unused)
{
	(void)unused;
	assert_false(mt_lock_is_held(&tree));
	racer.came++;
	put(racer.first, racer.last, racer.entry);
}

static void race_erase(void *unused)
{
	(void)unused;
	racer.came++;
	assert_ptr_equal(mtree_erase(&tree, racer.first), racer.entry);
}

/* Where the next cyclic search begins; shared by all that allocate. */
static unsigned long shared_next;

static void race_cyclic(void *unused)
{
	unsigned long key;

	(void)unused;
	racer.came++;
	for (unsigned long i = racer.first; i <= racer.last; i++) {
		assert_int_equal(mtree_alloc_cyclic(&tree, &key, B, 0, 9, &shared_next, GFP_KERNEL),
				 0);
		assert_int_equal(key, i);
	}
	assert_ptr_equal(mtree_erase(&tree, racer.first), B);
}

static void race_destroy(void *unused)
{
	(void)unused;
	racer.came++;
	mtree_destroy(&tree);
	if (racer.entry)
		put(0, 0, racer.entry);
}

static int begin(void **state)
{
	(void)state;
	memfault_ok();
	mt_init_flags(&tree, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	return 0;
}

static int end(void **state)
{
	(void)state;
	memfault_ok();
	mtree_destroy(&tree);
	mt_mem_barrier(mt_mem_default());
	/* Also where the nodes that were obtained are no longer needed. */
	assert_int_equal(nodes_in_use(mt_mem_default()), 0);
	return 0;
}

static void arm(void (*fn)(void *), unsigned long first, unsigned long last, void *entry)
{
	racer.first = first;
	racer.last = last;
	racer.entry = entry;
	racer.came = 0;
	memfault_nowait();
	memfault_on_unlock(fn, NULL);
}

/* Expects that the racer came exactly once, the lock is free again and the tree is sound. */
static void disarm(void)
{
	char why[WHY_SIZE];

	assert_int_equal(racer.came, 1);
	memfault_ok();
	assert_false(mt_lock_is_held(&tree));
	mtree_lock(&tree);
	if (!tree_sound(&tree, why))
		fail_msg("%s", why);
	mtree_unlock(&tree);
}

static void expect(unsigned long key, void *entry, unsigned long first, unsigned long last)
{
	MA_STATE(mas, &tree, key, key);

	mtree_lock(&tree);
	assert_ptr_equal(mas_walk(&mas), entry);
	assert_int_equal(mas.index, first);
	assert_int_equal(mas.last, last);
	mtree_unlock(&tree);
}

static void insert_checks_again(void **state)
{
	(void)state;
	arm(race, 7, 7, B);
	assert_int_equal(mtree_insert_range(&tree, 5, 9, A, GFP_KERNEL), -EEXIST);
	disarm();
	expect(7, B, 7, 7);
	expect(5, NULL, 0, 6);
	arm(race, 20, 20, B);
	assert_int_equal(mtree_insert(&tree, 20, A, GFP_KERNEL), -EEXIST);
	disarm();
	expect(20, B, 20, 20);
	arm(race, 40, 40, B);
	assert_int_equal(mtree_insert(&tree, 30, A, GFP_KERNEL), 0);
	disarm();
	expect(30, A, 30, 30);
	expect(40, B, 40, 40);
}

static void alloc_picks_again(void **state)
{
	unsigned long start = 99;

	(void)state;
	arm(race, 0, 9, B);
	assert_int_equal(mtree_alloc_range(&tree, &start, A, 5, 0, 99, GFP_KERNEL), 0);
	disarm();
	assert_int_equal(start, 10);
	arm(race, 90, 99, B);
	assert_int_equal(mtree_alloc_rrange(&tree, &start, A, 5, 0, 99, GFP_KERNEL), 0);
	disarm();
	assert_int_equal(start, 85);
	start = 99;
	arm(race, 0, 99, C);
	assert_int_equal(mtree_alloc_range(&tree, &start, A, 5, 0, 99, GFP_KERNEL), -EBUSY);
	disarm();
	assert_int_equal(start, 99);
}

static void cyclic_picks_again(void **state)
{
	unsigned long start = 99, next = 3;

	(void)state;
	arm(race, 3, 4, B);
	assert_int_equal(mtree_alloc_cyclic(&tree, &start, A, 0, 9, &next, GFP_KERNEL), 0);
	disarm();
	assert_int_equal(start, 5);
	assert_int_equal(next, 6);
	arm(race, 6, 9, B);
	assert_int_equal(mtree_alloc_cyclic(&tree, &start, A, 0, 9, &next, GFP_KERNEL), 1);
	disarm();
	assert_int_equal(start, 0);
	assert_int_equal(next, 1);
	start = 99;
	arm(race, 0, 9, C);
	assert_int_equal(mtree_alloc_cyclic(&tree, &start, A, 0, 9, &next, GFP_KERNEL), -EBUSY);
	disarm();
	assert_int_equal(start, 99);
	assert_int_equal(next, 1);
}

/* The next search begins where the racer has left @next, not where it was before. */
static void cyclic_goes_on_behind_others(void **state)
{
	unsigned long start = 99;

	(void)state;
	shared_next = 5;
	arm(race_cyclic, 5, 7, B);
	assert_int_equal(mtree_alloc_cyclic(&tree, &start, A, 0, 9, &shared_next, GFP_KERNEL), 0);
	disarm();
	assert_int_equal(start, 8);
	assert_int_equal(shared_next, 9);
	expect(5, NULL, 0, 5);
}

static void store_writes_its_range(void **state)
{
	(void)state;
	put(5, 9, A);
	arm(race, 8, 20, C);
	assert_int_equal(mtree_store_range(&tree, 7, 12, B, GFP_KERNEL), 0);
	disarm();
	expect(6, A, 5, 6);
	expect(7, B, 7, 12);
	expect(13, C, 13, 20);
}

/* NULL merges with the gaps around it, but not with one that the racer has filled meanwhile. */
static void null_is_not_widened_over_others(void **state)
{
	(void)state;
	put(2, 9, A);
	put(20, 24, B);
	arm(race, 12, 14, C);
	assert_int_equal(mtree_store_range(&tree, 5, 9, NULL, GFP_KERNEL), 0);
	disarm();
	expect(4, A, 2, 4);
	expect(7, NULL, 5, 11);
	expect(12, C, 12, 14);
	expect(20, B, 20, 24);
}

static void cursor_null_is_not_widened_over_others(void **state)
{
	MA_STATE(mas, &tree, 5, 9);

	(void)state;
	put(2, 9, A);
	put(20, 24, B);
	arm(race, 12, 14, C);
	mtree_lock(&tree);
	assert_int_equal(mas_store_gfp(&mas, NULL, GFP_KERNEL), 0);
	assert_true(mt_lock_is_held(&tree));
	assert_int_equal(mas.index, 5);
	assert_int_equal(mas.last, 11);
	mtree_unlock(&tree);
	disarm();
	expect(12, C, 12, 14);
}

/* Erasing the first or the last range of a leaf takes a node. */
static void erase_looks_up_again(void **state)
{
	(void)state;
	put(0, 9, A);
	put(20, ULONG_MAX, B);
	arm(race, 8, 8, C); /* the range around the key becomes smaller */
	assert_ptr_equal(mtree_erase(&tree, 7), A);
	disarm();
	expect(7, NULL, 0, 7);
	expect(8, C, 8, 8);
	expect(9, A, 9, 9);
	arm(race, 21, 22, C); /* another entry is there now */
	assert_ptr_equal(mtree_erase(&tree, 22), C);
	disarm();
	expect(20, B, 20, 20);
	expect(23, B, 23, ULONG_MAX);
	put(30, 39, NULL);
	put(40, ULONG_MAX, C);
	arm(race_erase, 40, 40, C); /* nothing is there any more */
	assert_null(mtree_erase(&tree, 45));
	disarm();
}

static void cursor_erase_looks_up_again(void **state)
{
	MA_STATE(mas, &tree, 7, 7);

	(void)state;
	put(0, 9, A);
	put(20, 24, B);
	arm(race, 8, 8, C);
	mtree_lock(&tree);
	assert_ptr_equal(mas_erase(&mas), A);
	assert_int_equal(mas.index, 0);
	assert_int_equal(mas.last, 7);
	mtree_unlock(&tree);
	disarm();
	expect(8, C, 8, 8);
	expect(9, A, 9, 9);
}

static void cursor_erase_finds_nothing_any_more(void **state)
{
	static void *const left[] = { NULL, C };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		MA_STATE(mas, &tree, 3, 3);

		put(0, 4, A);
		put(10, 19, B);
		arm(race_destroy, 0, 0, left[i]);
		mtree_lock(&tree);
		assert_null(mas_erase(&mas));
		assert_int_equal(mas.index, 3);
		assert_int_equal(mas.last, 3);
		mtree_unlock(&tree);
		disarm();
	}
}

static void cursor_store_writes_its_range(void **state)
{
	MA_STATE(mas, &tree, 7, 12);

	(void)state;
	put(5, 9, A);
	arm(race, 0, ULONG_MAX, C);
	mtree_lock(&tree);
	assert_int_equal(mas_store_gfp(&mas, B, GFP_KERNEL), 0);
	assert_int_equal(mas.index, 7);
	assert_int_equal(mas.last, 12);
	mtree_unlock(&tree);
	disarm();
	expect(6, C, 0, 6);
	expect(7, B, 7, 12);
	expect(13, C, 13, ULONG_MAX);
}

static void cursor_alloc_cyclic_picks_again(void **state)
{
	MA_STATE(mas, &tree, 0, 0);
	unsigned long start = 99, next = 0;

	(void)state;
	arm(race, 0, 4, B);
	mtree_lock(&tree);
	assert_int_equal(mas_alloc_cyclic(&mas, &start, A, 1, 9, &next, GFP_KERNEL), 0);
	mtree_unlock(&tree);
	disarm();
	assert_int_equal(start, 5);
	expect(5, A, 5, 5);
}

/*
 * mas_store() never drops the lock; mas_nomem() does, and then the caller sets a NULL store's range
 * again.
 */
static void nomem_drops_the_lock(void **state)
{
	MA_STATE(mas, &tree, 5, 9);

	(void)state;
	put(2, 9, A);
	put(20, 24, B);
	arm(race, 12, 14, C);
	mtree_lock(&tree);
	for (;;) {
		mas_set_range(&mas, 5, 9);
		mas_store(&mas, NULL);
		if (!mas_is_err(&mas))
			break;
		assert_true(mt_lock_is_held(&tree));
		assert_true(mas_nomem(&mas, GFP_KERNEL));
	}
	assert_false(mas_nomem(&mas, GFP_KERNEL));
	mas_destroy(&mas);
	mtree_unlock(&tree);
	disarm();
	expect(12, C, 12, 14);
	expect(7, NULL, 5, 11);
}

/* mas_nomem() gets as much as the failed operation lacked, whichever that was. */
static void nomem_gets_what_was_lacking(void **state)
{
	MA_STATE(mas, &tree, 5, 9);
	unsigned long start = 99, next = 3;

	(void)state;
	put(0, 2, A); /* erasing the first range of a leaf takes a node */
	put(20, 24, B);
	mtree_lock(&tree);
	for (unsigned int i = 0; i < 3; i++) {
		memfault_none();
		if (i == 0)
			assert_int_equal(mas_store_gfp(&mas, B, GFP_NOWAIT), -ENOMEM);
		else if (i == 1)
			assert_null(mas_erase(&mas));
		else
			assert_int_equal(
				mas_alloc_cyclic(&mas, &start, C, 10, 19, &next, GFP_KERNEL),
				-ENOMEM);
		assert_true(mas_is_err(&mas));
		assert_int_equal(mas_allocated(&mas), 0);
		assert_false(mas_nomem(&mas, GFP_KERNEL));
		assert_true(mas_is_err(&mas));
		memfault_ok();
		assert_true(mas_nomem(&mas, GFP_KERNEL));
		assert_true(mas_allocated(&mas) > 0);
		memfault_none();
		if (i == 0)
			assert_int_equal(mas_store_gfp(&mas, B, GFP_NOWAIT), 0);
		else if (i == 1)
			assert_ptr_equal(mas_erase(&mas), A);
		else
			assert_int_equal(
				mas_alloc_cyclic(&mas, &start, C, 10, 19, &next, GFP_NOWAIT), 0);
		memfault_ok();
		mas_set(&mas, 0);
	}
	mtree_unlock(&tree);
	expect(5, B, 5, 9);
	expect(10, C, 10, 10);
	expect(20, B, 20, 24);
}

static void reserve_checks_again(void **state)
{
	(void)state;
	arm(race, 7, 7, B);
	assert_int_equal(mtree_reserve(&tree, 5, 9, GFP_KERNEL), -EEXIST);
	disarm();
	expect(7, B, 7, 7);
	assert_int_equal(mtree_reserve(&tree, 20, 29, GFP_KERNEL), 0);
	assert_int_equal(mtree_reserve(&tree, 32, 35, GFP_KERNEL), 0);
	arm(race, 24, 25, C); /* the racer uses the reservation while it is being given back */
	assert_int_equal(mtree_release(&tree, 20, 35), 0);
	disarm();
	expect(24, C, 24, 25);
	expect(20, NULL, 8, 23);
	expect(29, NULL, 26, ULONG_MAX);
}

/* ---- Who never lets the lock go */

static void forbid(void *unused)
{
	(void)unused;
	racer.came++;
}

static void arm_forbid(void)
{
	racer.came = 0;
	memfault_nowait();
	memfault_on_unlock(forbid, NULL);
}

static void nonblocking_keeps_the_lock(void **state)
{
	MA_STATE(mas, &tree, 7, 8);
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC };

	(void)state;
	put(5, 9, A);
	put(20, 24, A);
	for (unsigned int i = 0; i < 2; i++) {
		unsigned long start = 99;

		arm_forbid();
		assert_int_equal(mtree_store_range(&tree, 7, 8, B, gfps[i]), -ENOMEM);
		assert_int_equal(mtree_insert(&tree, 12, B, gfps[i]), -ENOMEM);
		assert_int_equal(mtree_alloc_range(&tree, &start, B, 1, 0, 99, gfps[i]), -ENOMEM);
		mtree_lock(&tree);
		assert_int_equal(mas_store_gfp(&mas, B, gfps[i]), -ENOMEM);
		assert_true(mt_lock_is_held(&tree));
		mas_set_range(&mas, 7, 8);
		mtree_unlock(&tree);
		assert_int_equal(racer.came, 0);
		assert_int_equal(start, 99);
	}
	memfault_ok();
	expect(7, A, 5, 9);
}

static void preallocate_keeps_the_lock(void **state)
{
	MA_STATE(mas, &tree, 7, 8);
	struct maple_tree copy = MTREE_INIT(copy, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);

	(void)state;
	put(5, 9, A);
	put(20, 24, A);
	arm_forbid();
	mtree_lock(&tree);
	assert_int_equal(mas_preallocate(&mas, B, GFP_NOWAIT), -ENOMEM);
	assert_int_equal(mas.status, ma_start);
	assert_int_equal(mas_preallocate(&mas, B, GFP_KERNEL), 0);
	assert_true(mt_lock_is_held(&tree));
	mas_destroy(&mas);
	mas_set(&mas, 0);
	assert_int_equal(mas_expected_entries(&mas, 1000), 0);
	mas_destroy(&mas);
	assert_true(mt_lock_is_held(&tree));
	mtree_unlock(&tree);
	assert_int_equal(mtree_dup(&tree, &copy, GFP_KERNEL), 0);
	assert_int_equal(racer.came, 0);
	memfault_ok();
	mtree_destroy(&copy);
}

/* An external lock is the caller's: memory is allocated with it held. */
static void external_lock_is_kept(void **state)
{
	struct maple_tree own = MTREE_INIT(own, MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU);
	MA_STATE(mas, &own, 5, 9);

	(void)state;
	arm_forbid();
	assert_int_equal(mas_store_gfp(&mas, A, GFP_KERNEL), 0);
	mas_set_range(&mas, 7, 20);
	assert_int_equal(mas_store_gfp(&mas, B, GFP_KERNEL), 0);
	mas_set(&mas, 6);
	assert_ptr_equal(mas_erase(&mas), A);
	mas_set_range(&mas, 30, 40);
	assert_null(mas_store(&mas, A));
	assert_true(mas_is_err(&mas));
	assert_true(mas_nomem(&mas, GFP_KERNEL));
	mas_store(&mas, A);
	assert_false(mas_nomem(&mas, GFP_KERNEL));
	mas_destroy(&mas);
	assert_int_equal(racer.came, 0);
	assert_int_equal(mt_check(&own, NULL, 0), 0);
	memfault_ok();
	__mt_destroy(&own);
}

#define test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(insert_checks_again),
		test(alloc_picks_again),
		test(cyclic_picks_again),
		test(cyclic_goes_on_behind_others),
		test(store_writes_its_range),
		test(null_is_not_widened_over_others),
		test(cursor_null_is_not_widened_over_others),
		test(erase_looks_up_again),
		test(cursor_erase_looks_up_again),
		test(cursor_erase_finds_nothing_any_more),
		test(cursor_store_writes_its_range),
		test(cursor_alloc_cyclic_picks_again),
		test(nomem_drops_the_lock),
		test(nomem_gets_what_was_lacking),
		test(reserve_checks_again),
		test(nonblocking_keeps_the_lock),
		test(preallocate_keeps_the_lock),
		test(external_lock_is_kept),
	};

	return cmocka_run_group_tests_name("dropped_lock", tests, NULL, NULL);
}
