/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules: each broken rule about trees and cursors is reported with both
 * stacks; the nearest correct case is not.
 */
#include "reported.h"

#include "base/hooks.h"
#include "lock/check_internal.h"
#include "support/hoard.h"

#include <samara/snapshot.h>

void urcu_bp_read_lock(void);
void urcu_bp_read_unlock(void);

/* ---- Writes ---- */

static void write_without_the_lock(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 5, 6);

	(void)state;
	stores(&mas, GFP_KERNEL);
	assert_string_equal(seen.other, "the lock was last released here");
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", NULL);
	locks(&mt);
	stores(&mas, GFP_KERNEL);
	unlocks(&mt);
	expect_nothing();
	mas_set(&mas, 7);
	stores(&mas, GFP_KERNEL);
	assert_non_null(strstr(seen.sentence, "does not hold"));
	assert_string_equal(seen.other, "the lock was last released, by this thread, here");
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "unlocks");
	mtree_destroy(&mt);
}

static void *store_unlocked(void *arg)
{
	MA_STATE(mas, (struct maple_tree *)arg, 5, 6);

	stores(&mas, GFP_KERNEL);
	return NULL;
}

/* The lock is held, but by another thread. */
static void write_under_another_threads_lock(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	locks(&mt);
	unlocks(&mt);
	locks(&mt);
	in_thread(store_unlocked, &mt);
	assert_non_null(strstr(seen.sentence, "which thread"));
	assert_string_equal(seen.other, "the lock was last released, by another thread, here");
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "unlocks");
	unlocks(&mt);
	mtree_destroy(&mt);
}

static void write_without_the_external_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 5, 6);

	(void)state;
	mt_set_external_lock_check(&mt, &a, lockcheck_held);
	takes(&a, &class_a, 0);
	stores(&mas, GFP_KERNEL);
	lets_go(&a);
	expect_nothing();
	mas_set(&mas, 7);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "lets_go");
	takes(&a, &class_a, LOCKCHECK_SHARED);
	mas_set(&mas, 8);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "takes");
	lets_go(&a);
	takes(&a, &class_a, 0);
	__mt_destroy(&mt);
	lets_go(&a);
	expect_nothing();
}

static void switch_without_the_external_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);

	(void)state;
	mt_set_external_lock_check(&mt, &a, lockcheck_held);
	takes(&a, &class_a, 0);
	mt_set_in_rcu(&mt);
	lets_go(&a);
	mt_set_in_rcu(&mt); /* changes nothing */
	expect_nothing();
	mt_clear_in_rcu(&mt);
	assert_int_equal(seen.nr, 1);
	mt_set_in_rcu(&mt);
	assert_int_equal(seen.nr, 2);
	assert_int_equal(seen.rule, LOCKCHECK_WRITE_WITHOUT_LOCK);
}

static void other_writes_without_the_lock(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(copy);
	struct mt_txn txn;

	(void)state;
	fill(&mt);
	mt_txn_begin(&txn, &mt);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(mt_txn_store_range(&txn, 1, 2, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(seen.nr, 2);
	mt_txn_commit(&txn);
	assert_int_equal(seen.nr, 3);
	assert_int_equal(__mt_dup(&mt, &copy, GFP_KERNEL), 0);
	assert_int_equal(seen.nr, 4);
	__mt_destroy(&copy);
	assert_int_equal(seen.nr, 5);
	assert_int_equal(seen.rule, LOCKCHECK_WRITE_WITHOUT_LOCK);
	mtree_destroy(&mt);
}

static void credit_store_in_a_transaction_without_the_lock(void **state)
{
	DEFINE_MTREE(mt);
	struct mt_credits credits;
	struct mt_txn txn;

	(void)state;
	fill(&mt);
	mt_credits_init(&credits, &mt, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_reserve(&credits, 2, GFP_KERNEL), 0);
	mt_credits_begin(&credits, 2);
	locks(&mt);
	mt_txn_begin(&txn, &mt);
	stores_in_txn(&txn, &credits, 1);
	unlocks(&mt);
	expect_nothing();
	stores_in_txn(&txn, &credits, 6);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores_in_txn", "unlocks");
	locks(&mt);
	mt_txn_commit(&txn);
	unlocks(&mt);
	expect_nothing();
	mtree_destroy(&mt);
}

/* ---- Cursors ---- */

static void cursor_after_its_lock(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	steps(&mas);
	mas_pause(&mas);
	unlocks(&mt);
	locks(&mt);
	steps(&mas);
	expect_nothing();
	unlocks(&mt);
	locks(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks");
	mas_set(&mas, 50);
	finds(&mas);
	unlocks(&mt);
	mtree_lock(&mt);
	finds(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "finds", "unlocks");
	__mas_set_range(&mas, mas.index + 1, mas.last - 1);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_STALE_CURSOR, "stores", "unlocks");
	mtree_unlock(&mt);
	mtree_destroy(&mt);
}

/* Which lock protects a cursor is unknown while the thread holds more locks than are recorded. */
static void cursor_under_too_many_locks(void **state)
{
	static char many[SMRI_HOLDS];
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	for (unsigned int i = 0; i < SMRI_HOLDS; i++)
		takes(&many[i], &class_a, LOCKCHECK_NESTED);
	unlocks(&mt);
	steps(&mas); /* the thread might hold the lock twice */
	for (unsigned int i = 0; i < SMRI_HOLDS; i++)
		lets_go(&many[i]);
	expect_nothing();
	mtree_destroy(&mt);
}

static void *walks_too(void *mas)
{
	locks(((struct ma_state *)mas)->tree);
	assert_non_null(mas_walk(mas));
	unlocks(((struct ma_state *)mas)->tree);
	return NULL;
}

static void *steps_too(void *mas)
{
	locks(((struct ma_state *)mas)->tree);
	steps(mas);
	unlocks(((struct ma_state *)mas)->tree);
	return NULL;
}

static void *steps_at_first(void *mas)
{
	smri_check_me()->last_serial = 0;
	return steps_too(mas);
}

/* A cursor handed over to a thread that has taken as many locks so far. */
static void cursor_of_another_thread(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	smri_check_me()->last_serial = 0;
	walks_too(&mas);
	in_thread(steps_at_first, &mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks");
	/* The second thread gets the record of the first. */
	mas_set(&mas, 0);
	in_thread(walks_too, &mas);
	in_thread(steps_too, &mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks");
	mtree_destroy(&mt);
}

/* A section that the program entered itself, around what the checker has seen. */
static void cursor_after_a_section_of_liburcus(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	urcu_bp_read_lock();
	reads(&mt);
	reads_no_more(&mt);
	assert_non_null(mas_walk(&mas));
	steps(&mas);
	expect_nothing();
	urcu_bp_read_unlock();
	reads(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "reads_no_more");
	reads_no_more(&mt);
	mtree_destroy(&mt);
}

/* The same outside of any section. */
static void cursor_outside_of_read_sections(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	reads(&mt);
	assert_non_null(mas_walk(&mas));
	reads_no_more(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "reads_no_more");
	mtree_destroy(&mt);
}

/* However many times the lock was taken, no hold gets the number that means "nothing to check". */
static void cursor_after_the_last_number(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	smri_check_me()->last_serial = UINT_MAX;
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	unlocks(&mt);
	locks(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks");
	unlocks(&mt);
	mtree_destroy(&mt);
}

/* A new look-up does not use the old place, and what it finds is protected by the new lock. */
static void cursor_found_anew_after_its_lock(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	locks(&mt);
	finds(&mas);
	unlocks(&mt);
	locks(&mt);
	assert_non_null(mas_erase(&mas));
	finds(&mas);
	unlocks(&mt);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	finds(&mas);
	mas.index = mas.last + 1;
	unlocks(&mt);
	locks(&mt);
	assert_null(mas_erase(&mas));
	finds(&mas);
	unlocks(&mt);
	expect_nothing();
	locks(&mt);
	finds(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "finds", "unlocks");
	unlocks(&mt);
	mtree_destroy(&mt);
}

/* The step from leaf to leaf is on another path. */
static void cursor_after_its_lock_at_the_end_of_a_leaf(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	for (unsigned long i = 0; i < 500; i++)
		assert_int_equal(mtree_store(&mt, i, xa_mk_value(i), GFP_KERNEL), 0);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	assert_true(mas.max < 499);
	mas_set(&mas, mas.max);
	assert_non_null(mas_walk(&mas));
	unlocks(&mt);
	locks(&mt);
	finds(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "finds", "unlocks");
	assert_int_equal(mas.index, mas.min);
	unlocks(&mt);
	mtree_destroy(&mt);
}

/* To the user, a lock that a blocking store drops for a while was never released. */
static void cursor_across_a_blocking_store(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);
	MA_STATE(writer, &mt, 0, 0);

	(void)state;
	fill(&mt);
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	for (unsigned long i = 0; i < 100; i++) {
		mas_set_range(&writer, 10 * i + 6, 10 * i + 7);
		stores(&writer, GFP_KERNEL);
	}
	steps(&mas);
	unlocks(&mt);
	smr_hook_reset();
	expect_nothing();
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks"); /* rather than the store */
	mtree_destroy(&mt);
}

/* Gives the tree external lock a, which stays taken, and fills it. */
static void fill_under_a(struct ma_state *mas)
{
	mt_set_external_lock_check(mas->tree, &a, lockcheck_held);
	takes(&a, &class_a, 0);
	for (unsigned long i = 0; i < 9; i++) {
		mas_set_range(mas, 10 * i, 10 * i + 4);
		stores(mas, GFP_KERNEL);
	}
}

static void cursor_after_its_external_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill_under_a(&mas);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	steps(&mas);
	lets_go(&a);
	takes(&a, &class_a, 0);
	expect_nothing();
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "lets_go");
	__mt_destroy(&mt);
	lets_go(&a);
}

/* The place where a section ended must not be reported as the one where the lock was released. */
static void cursor_after_an_older_read_section(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	locks(&mt);
	unlocks(&mt);
	for (unsigned int i = 0; i < 3; i++) {
		reads(&mt);
		if (i == 0)
			assert_non_null(mas_walk(&mas));
		if (i == 2)
			steps(&mas);
		reads_no_more(&mt);
	}
	expect(LOCKCHECK_STALE_CURSOR, "steps", NULL);
	mtree_destroy(&mt);
}

/* A lock held shared twice is held as long as it is held once. */
static void cursor_under_a_shared_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill_under_a(&mas);
	lets_go(&a);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	lockcheck_release(&a);
	steps(&mas);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	lockcheck_release(&a);
	steps(&mas);
	expect_nothing();
	lets_go(&a);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "lets_go");
	lockcheck_release(&a);
	takes(&a, &class_a, 0);
	__mt_destroy(&mt);
	lets_go(&a);
}

/* Ends the section in which the cursor found its place and begins another. */
static void is_left_behind(struct ma_state *mas, struct maple_tree *mt)
{
	reads_no_more(mt);
	reads(mt);
	steps(mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "reads_no_more");
}

static void cursor_after_its_read_section(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	reads(&mt);
	assert_non_null(mas_walk(&mas));
	reads(&mt);
	reads_no_more(&mt);
	steps(&mas);
	mas_pause(&mas);
	reads_no_more(&mt);
	reads(&mt);
	steps(&mas);
	expect_nothing();
	is_left_behind(&mas, &mt);
	reads_no_more(&mt);
	/* An outer section of the program's own goes on. */
	urcu_bp_read_lock();
	reads(&mt);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	reads_no_more(&mt);
	steps(&mas);
	reads(&mt);
	steps(&mas);
	reads_no_more(&mt);
	steps(&mas);
	urcu_bp_read_unlock();
	expect_nothing();
	reads(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "reads_no_more");
	reads_no_more(&mt);
	/* A lock and a section: one of them is enough. */
	reads(&mt);
	locks(&mt);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	unlocks(&mt);
	steps(&mas);
	reads_no_more(&mt);
	expect_nothing();
	mtree_destroy(&mt);
}

void prepares(struct ma_state *mas);

void __attribute__((noinline)) prepares(struct ma_state *mas)
{
	assert_int_equal(mas_preallocate(mas, xa_mk_value(1), GFP_NOWAIT), 0);
	mas_destroy(mas);
}

/* A snapshot is valid for as long as the section, and must not be written to. */
static void snapshot_after_its_read_section(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	struct maple_tree then = { .ma_external_lock = NULL }; /* nothing may be left from before */

	(void)state;
	fill(&mt);
	reads(&mt);
	mt_snapshot(&then, &mt);
	assert_true(mt_external_lock(&then)); /* functions that would take its own lock refuse it */
	{
		MA_STATE(mas, &then, 0, 0);

		steps(&mas);
		expect_nothing();
		is_left_behind(&mas, &mt);
		mt_snapshot(&then, &mt);
		mas_set(&mas, 5);
		prepares(&mas);
		expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "prepares", NULL);
	}
	reads_no_more(&mt);
	mtree_destroy(&mt);
}

/* A cursor without a place is never stale, whatever protected it once. */
static void cursor_without_a_place(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 40, 40);

	(void)state;
	fill(&mt);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	mas_pause(&mas);
	unlocks(&mt);
	locks(&mt);
	assert_null(mas_prev(&mas, 40)); /* at the limit at once */
	assert_non_null(mas_find_rev(&mas, 0));
	assert_int_equal(mas.index, 30);
	unlocks(&mt);
	expect_nothing();
	mtree_destroy(&mt);
}

/* ---- A lock that is dropped for memory ---- */

/* The lock counts the same as before when it is taken back. */
static void second_tree_and_a_blocking_store(void **state)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	DEFINE_MTREE(first);
	DEFINE_MTREE(second);
	struct smr_nodes hoard = { NULL, 0 };
	MA_STATE(mas, &second, 5, 6);

	(void)state;
	assert_non_null(mem);
	assert_int_equal(mt_set_mem(&second, mem), 0);
	hoard_all(mem, &hoard, GFP_NOWAIT);
	locks(&first);
	mtree_lock_nested(&second, 1);
	stores(&mas, GFP_KERNEL);
	mtree_unlock(&second);
	unlocks(&first);
	expect_nothing();
	mtree_destroy(&second);
	hoard_give(mem, &hoard);
	mt_mem_destroy(mem);
}

/* Even if the lock is not dropped this time. */
static void lock_within_a_blocking_store(void **state)
{
	struct maple_tree mt;
	MA_STATE(mas, &mt, 5, 6);

	(void)state;
	mt_init_flags(&mt, MT_FLAGS_USE_RCU); /* each store takes a node */
	assert_int_equal(mtree_store_range(&mt, 0, 9, xa_mk_value(1), GFP_KERNEL), 0);
	locks(&mt);
	takes(&a, &class_a, 0);
	stores(&mas, GFP_NOWAIT);
	expect_nothing();
	mas_set_range(&mas, 7, 8);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_LOCK_ORDER, "stores", "takes");
	lets_go(&a);
	unlocks(&mt);
	mtree_destroy(&mt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(write_without_the_lock),
		TEST(write_under_another_threads_lock),
		TEST(write_without_the_external_lock),
		TEST(switch_without_the_external_lock),
		TEST(other_writes_without_the_lock),
		TEST(credit_store_in_a_transaction_without_the_lock),
		TEST(cursor_after_its_lock),
		TEST(cursor_after_the_last_number),
		TEST(cursor_under_too_many_locks),
		TEST(cursor_of_another_thread),
		TEST(cursor_after_a_section_of_liburcus),
		TEST(cursor_outside_of_read_sections),
		TEST(cursor_found_anew_after_its_lock),
		TEST(cursor_without_a_place),
		TEST(cursor_after_its_lock_at_the_end_of_a_leaf),
		TEST(cursor_across_a_blocking_store),
		TEST(second_tree_and_a_blocking_store),
		TEST(lock_within_a_blocking_store),
		TEST(cursor_after_its_external_lock),
		TEST(cursor_under_a_shared_lock),
		TEST(cursor_after_its_read_section),
		TEST(snapshot_after_its_read_section),
		TEST(cursor_after_an_older_read_section),
	};

	alarm(120);
	return cmocka_run_group_tests_name("tree_check", tests, NULL, NULL);
}
