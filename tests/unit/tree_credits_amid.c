/* SPDX-License-Identifier: MIT */
/*
 * Other threads during a holder's stores and during the end of a transaction or a tree: wherever
 * these drop the arena's lock, all nodes free for anybody are taken away.
 */
#include "credits_bed.h"

#include "base/hooks.h"

#include <pthread.h>
#include <semaphore.h>

/*
 * Runs wherever a store or the end of a transaction has dropped the arena's lock: waits for grace
 * periods to end, and takes all nodes free for anybody.
 */
struct thief {
	struct bed *bed;
	pthread_t thread, victim;
	sem_t come, gone;
	bool enough;
	struct smr_nodes loot;
};

static void *thief_main(void *arg)
{
	struct thief *t = arg;

	while (!sem_wait(&t->come) && !t->enough) {
		mt_mem_barrier(t->bed->mem);
		while (!smr_mem_take(t->bed->mem, &t->loot, 1, GFP_ATOMIC | __GFP_NOWARN))
			;
		sem_post(&t->gone);
	}
	return NULL;
}

static void call_thief(enum smr_hook_point point, void *arg)
{
	struct thief *t = arg;

	if (point != SMR_HOOK_GIVEN || !pthread_equal(pthread_self(), t->victim))
		return;
	sem_post(&t->come);
	sem_wait(&t->gone);
}

static void thief_begin(struct thief *t, struct bed *bed)
{
	*t = (struct thief){ .bed = bed, .victim = pthread_self() };
	sem_init(&t->come, 0, 0);
	sem_init(&t->gone, 0, 0);
	assert_int_equal(pthread_create(&t->thread, NULL, thief_main, t), 0);
}

static void thief_end(struct thief *t)
{
	t->enough = true;
	sem_post(&t->come);
	assert_int_equal(pthread_join(t->thread, NULL), 0);
	sem_destroy(&t->come);
	sem_destroy(&t->gone);
	smr_mem_give_list(t->bed->mem, &t->loot);
}

/* The pledge has its nodes, and none of them is still lent when all are back. */
static void expect_whole(struct bed *bed)
{
	unsigned long lent;

	assert_true(pledge_is_free(bed));
	mt_mem_barrier(bed->mem);
	take_all(bed);
	mt_lock_acquire(&bed->mem->lock);
	lent = bed->mem->lent;
	mt_lock_release(&bed->mem->lock);
	assert_int_equal(lent, 0);
	assert_true(pledge_is_free(bed));
}

static void store_one(struct bed *bed, unsigned long i, unsigned long n)
{
	struct spot s = spot_of(i, n);

	assert_int_equal(credit_store(bed, s.first, s.last, s.entry), 0);
}

enum { STORES = 12 };

static void amid_stores(struct bed *bed, struct thief *t, unsigned long n)
{
	for (unsigned long i = 0; i < STORES; i++) {
		smr_hook_set_point(call_thief, t);
		store_one(bed, i, n);
		smr_hook_reset();
		expect_whole(bed);
	}
}

static void amid_nulls(struct bed *bed, struct thief *t, unsigned long n)
{
	(void)n;
	smr_hook_set_point(call_thief, t);
	assert_int_equal(credit_store(bed, 0, ULONG_MAX, NULL), 0);
	smr_hook_reset();
	expect_whole(bed);
}

static void amid_txn(struct bed *bed, struct thief *t, unsigned long n, bool keep)
{
	struct mt_txn txn;

	bed_lock(bed);
	mt_txn_begin(&txn, &bed->tree);
	for (unsigned long i = 0; i < STORES; i++) {
		store_in_txn(bed, &txn, spot_of(i, n), keep);
		take_all(bed);
	}
	smr_hook_set_point(call_thief, t);
	if (keep)
		mt_txn_commit(&txn);
	else
		mt_txn_abort(&txn);
	smr_hook_reset();
	bed_unlock(bed);
	expect_whole(bed);
}

static void amid_commits(struct bed *bed, struct thief *t, unsigned long n)
{
	amid_txn(bed, t, n, true);
}

static void amid_aborts(struct bed *bed, struct thief *t, unsigned long n)
{
	amid_txn(bed, t, n, false);
}

static void amid_destroying(struct bed *bed, struct thief *t, unsigned long n)
{
	(void)n;
	bed_lock(bed);
	smr_hook_set_point(call_thief, t);
	__mt_destroy(&bed->tree);
	smr_hook_reset();
	bed_unlock(bed);
	rm_destroy(&bed->model);
	expect_whole(bed);
}

/* What the thief interrupts. */
struct moment {
	void (*body)(struct bed *bed, struct thief *t, unsigned long n);
};

static const struct moment *moment;

/* All stores left on credit can be made afterwards, too. */
static void amid_in(struct bed *bed, unsigned long n)
{
	struct thief thief;

	assert_int_equal(mt_credits_set_batch(&bed->c, STORES), 0);
	assert_int_equal(reserve(bed, &bed->c, 3 * STORES, GFP_KERNEL), 0);
	mt_mem_barrier(bed->mem);
	take_all(bed);
	thief_begin(&thief, bed);
	mt_credits_begin(&bed->c, STORES);
	moment->body(bed, &thief, n);
	while (mt_credits_left(&bed->c) > 0) {
		unsigned long i = mt_credits_left(&bed->c);

		mt_credits_begin(&bed->c, 1);
		store_one(bed, i, n);
		take_all(bed);
	}
	thief_end(&thief);
}

/* The test's state is the moment. */
static void others_come(void **state)
{
	moment = *state;
	everywhere(amid_in);
}

static struct moment stores = { amid_stores }, nulls = { amid_nulls }, commits = { amid_commits },
		     aborts = { amid_aborts }, destroying = { amid_destroying };

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "others_come_amid_stores", others_come, NULL, NULL, &stores },
		{ "others_come_amid_nulls", others_come, NULL, NULL, &nulls },
		{ "others_come_amid_commits", others_come, NULL, NULL, &commits },
		{ "others_come_amid_aborts", others_come, NULL, NULL, &aborts },
		{ "others_come_amid_destroying", others_come, NULL, NULL, &destroying },
	};

	return cmocka_run_group_tests_name("tree_credits_amid", tests, NULL, NULL);
}
