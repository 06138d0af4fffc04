/* SPDX-License-Identifier: MIT */
/*
 * When no thread can be started to wait for grace periods: stores that may not block start none,
 * and need none; others start it as soon as that is possible.
 */
#include "support/cm.h"

#include "base/rcu.h"
#include "support/threadfault.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/txn.h>

enum { STORES = 2000, CREDITS = 50 };

enum { ARENAS = 4 };

/* One for each test that uses them: what was retired without the thread stays there. */
static struct mt_mem *arenas[ARENAS];
static unsigned int nr_arenas;
static struct maple_tree tree;

/* Stores over another range each time, so that each store replaces nodes. */
static int store(unsigned long n, gfp_t gfp)
{
	MA_STATE(mas, &tree, 7 * n, 9 * n + 1);
	int err;

	mas_lock(&mas);
	err = mas_store_gfp(&mas, xa_mk_value(n), gfp);
	mas_unlock(&mas);
	return err;
}

/* Leaves free nodes in the arena, without a tree in RCU mode. */
static void get_nodes(void)
{
	struct maple_tree other;

	mt_init(&other);
	assert_int_equal(mt_set_mem(&other, arenas[nr_arenas]), 0);
	assert_int_equal(mtree_store(&other, 1, &other, GFP_KERNEL), 0);
	mtree_destroy(&other);
}

static int set_up(void **state)
{
	(void)state;
	threads_to_come = 0;
	arenas[nr_arenas] = mt_mem_create(0, NULL);
	assert_non_null(arenas[nr_arenas]);
	get_nodes();
	mt_init_flags(&tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	assert_int_equal(mt_set_mem(&tree, arenas[nr_arenas++]), 0);
	assert_false(smr_grace_runs(MT_RCU_BP));
	threads_wanted = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mtree_destroy(&tree);
	return 0;
}

static void stores_that_may_not_block(void **state)
{
	static const gfp_t flags[] = { GFP_NOWAIT | __GFP_NOWARN, GFP_ATOMIC | __GFP_NOWARN };

	(void)state;
	for (unsigned long n = 0; n < STORES; n++)
		assert_int_equal(store(n, flags[n % 2]), 0);
	assert_int_equal(threads_wanted, 0);
}

static void guaranteed_stores(void **state)
{
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&c, CREDITS, GFP_NOWAIT), 0);
	mt_credits_begin(&c, CREDITS);
	threads_wanted = 0;
	for (unsigned long n = 0; n < CREDITS; n++) {
		MA_STATE(mas, &tree, 7 * n, 9 * n + 1);

		mas_lock(&mas);
		assert_int_equal(mas_store_credit(&mas, xa_mk_value(n), &c), 0);
		mas_unlock(&mas);
	}
	assert_int_equal(threads_wanted, 0);
	mt_credits_release(&c);
}

static void announcing_starts_it(void **state)
{
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&c, 1, GFP_NOWAIT), 0);
	assert_int_equal(threads_wanted, 0);
	mt_credits_begin(&c, 1);
	assert_int_equal(threads_wanted, 1);
	mt_credits_release(&c);
}

/*
 * Without the thread they succeed all the same, and once it runs they stop trying to start it.
 * Within a section nothing comes back meanwhile, so nodes have to be allocated.
 */
static void stores_that_may_block(void **state)
{
	unsigned long n = 0;

	(void)state;
	smr_rcu_read_lock(MT_RCU_BP);
	while (threads_wanted == 0)
		assert_int_equal(store(n++, GFP_KERNEL), 0);
	assert_false(smr_grace_runs(MT_RCU_BP));
	threads_to_come = -1;
	threads_wanted = 0;
	while (threads_wanted == 0)
		assert_int_equal(store(n++, GFP_KERNEL), 0);
	assert_true(smr_grace_runs(MT_RCU_BP));
	for (unsigned long more = n + STORES; n < more; n++)
		assert_int_equal(store(n, GFP_KERNEL), 0);
	assert_int_equal(threads_wanted, 1);
	smr_rcu_read_unlock(MT_RCU_BP);
}

/* ---- Other flavours, which none of the above has started the thread of ---- */

/*
 * mt_credits_begin() does not wait for memory: the thread that it may have to wait for exists, or
 * nothing is reserved.
 */
static void reserving_without_a_thread(void **state)
{
	struct maple_tree mt;
	struct mt_credits c;

	(void)state;
	mt_init(&mt);
	assert_int_equal(mt_set_rcu_flavor(&mt, MT_RCU_MB), 0);
	threads_to_come = 0;
	mt_set_in_rcu(&mt);
	mt_credits_init(&c, &mt, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_reserve(&c, 5, GFP_KERNEL), -ENOMEM);
	assert_int_equal(mt_credits_left(&c), 0);
	assert_int_equal(mt.ma_pledge.pledged, 0);
	threads_to_come = -1;
	assert_int_equal(mt_credits_reserve(&c, 5, GFP_KERNEL), 0);
	/* No more threads are needed. */
	threads_to_come = 0;
	for (unsigned long i = 0; i < 5; i++)
		assert_int_equal(
			mtree_store_range_credit(&c, 100 * i, 100 * i + 50, xa_mk_value(i)), 0);
	threads_to_come = -1;
	mtree_destroy(&mt);
}

/* A tree in RCU mode as static initialisers leave it, of a flavour that has no thread yet. */
static void tree_without_a_thread(struct maple_tree *mt, enum mt_rcu_flavor flavor)
{
	mt_init(mt);
	assert_int_equal(mt_set_rcu_flavor(mt, flavor), 0);
	for (unsigned long i = 0; i < 100; i++)
		assert_int_equal(
			mtree_store_range(mt, 20 * i, 20 * i + 9, xa_mk_value(i), GFP_KERNEL), 0);
	mt->ma_flags |= MT_FLAGS_USE_RCU;
	threads_wanted = 0;
}

/*
 * A store that may neither allocate nor fail finds the thread that its nodes wait for: it was
 * started when the memory for the store was obtained.
 */
static void prepared_stores_make_no_thread(void **state)
{
	struct maple_tree mt;
	struct mt_txn txn;
	MA_STATE(mas, &mt, 0, ULONG_MAX);

	(void)state;
	tree_without_a_thread(&mt, MT_RCU_MEMB);
	mtree_lock(&mt);
	assert_int_equal(mas_preallocate(&mas, NULL, GFP_KERNEL), 0);
	assert_int_equal(threads_wanted, 1);
	mas_store_prealloc(&mas, NULL);
	mtree_unlock(&mt);
	assert_int_equal(threads_wanted, 1);
	assert_true(mtree_empty(&mt));

	tree_without_a_thread(&mt, MT_RCU_QSBR);
	mtree_lock(&mt);
	mt_txn_begin(&txn, &mt);
	assert_int_equal(mt_txn_store_range(&txn, 5, 25, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(threads_wanted, 1);
	mt_txn_commit(&txn);
	mtree_unlock(&mt);
	assert_int_equal(threads_wanted, 1);
	mtree_destroy(&mt);
}

static int destroy_arenas(void **state)
{
	(void)state;
	while (nr_arenas > 0)
		mt_mem_destroy(arenas[--nr_arenas]);
	return 0;
}

int main(void)
{
	/* The last one of the default flavour starts its thread, for good. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stores_that_may_not_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guaranteed_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(announcing_starts_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stores_that_may_block, set_up, tear_down),
		cmocka_unit_test(reserving_without_a_thread),
		cmocka_unit_test(prepared_stores_make_no_thread),
	};

	return cmocka_run_group_tests(tests, NULL, destroy_arenas);
}
