/* SPDX-License-Identifier: MIT */
/*
 * Where no thread can be made to wait for grace periods: who may not block starts none, and needs
 * none; who may starts it as soon as that is possible.
 */
#include "support/cm.h"

#include "base/rcu.h"

#include <errno.h>
#include <pthread.h>
#include <samara/credits.h>
#include <samara/txn.h>

enum { STORES = 2000, CREDITS = 50 };

static bool refused = true;
static unsigned int tries;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	tries++;
	return refused ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

enum { TESTS = 4 };

/* One for each test: what has been retired without the thread stays there. */
static struct mt_mem *arenas[TESTS];
static unsigned int nr_arenas;
static struct maple_tree tree;

/* Always another range: each store replaces nodes. */
static int store(unsigned long n, gfp_t gfp)
{
	MA_STATE(mas, &tree, 7 * n, 9 * n + 1);
	int err;

	mas_lock(&mas);
	err = mas_store_gfp(&mas, xa_mk_value(n), gfp);
	mas_unlock(&mas);
	return err;
}

/* Leaves the arena with free nodes, without a tree in RCU mode. */
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
	refused = true;
	arenas[nr_arenas] = mt_mem_create(0, NULL);
	assert_non_null(arenas[nr_arenas]);
	get_nodes();
	mt_init_flags(&tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	assert_int_equal(mt_set_mem(&tree, arenas[nr_arenas++]), 0);
	assert_false(smr_grace_runs(MT_RCU_BP));
	tries = 0;
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
	assert_int_equal(tries, 0);
}

static void guaranteed_stores(void **state)
{
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&c, CREDITS, GFP_NOWAIT), 0);
	mt_credits_begin(&c, CREDITS);
	tries = 0;
	for (unsigned long n = 0; n < CREDITS; n++) {
		MA_STATE(mas, &tree, 7 * n, 9 * n + 1);

		mas_lock(&mas);
		assert_int_equal(mas_store_credit(&mas, xa_mk_value(n), &c), 0);
		mas_unlock(&mas);
	}
	assert_int_equal(tries, 0);
	mt_credits_release(&c);
}

static void announcing_starts_it(void **state)
{
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&c, 1, GFP_NOWAIT), 0);
	assert_int_equal(tries, 0);
	mt_credits_begin(&c, 1);
	assert_int_equal(tries, 1);
	mt_credits_release(&c);
}

/*
 * Without it they do all the same, and when it runs nobody tries any more. Amid a section nothing
 * comes back in the meantime, so that nodes have to be got.
 */
static void stores_that_may_block(void **state)
{
	unsigned long n = 0;

	(void)state;
	smr_rcu_read_lock(MT_RCU_BP);
	while (tries == 0)
		assert_int_equal(store(n++, GFP_KERNEL), 0);
	assert_false(smr_grace_runs(MT_RCU_BP));
	refused = false;
	tries = 0;
	while (tries == 0)
		assert_int_equal(store(n++, GFP_KERNEL), 0);
	assert_true(smr_grace_runs(MT_RCU_BP));
	for (unsigned long more = n + STORES; n < more; n++)
		assert_int_equal(store(n, GFP_KERNEL), 0);
	assert_int_equal(tries, 1);
	smr_rcu_read_unlock(MT_RCU_BP);
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
	/* The last one starts it, for good. */
	const struct CMUnitTest tests[TESTS] = {
		cmocka_unit_test_setup_teardown(stores_that_may_not_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(guaranteed_stores, set_up, tear_down),
		cmocka_unit_test_setup_teardown(announcing_starts_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stores_that_may_block, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, destroy_arenas);
}
