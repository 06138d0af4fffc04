/* SPDX-License-Identifier: MIT */
/*
 * Credits and transactions: what a transaction spends and gives back, and what is refused or caught
 * while one is open.
 */
#include "credits_bed.h"

#include "tree/pledge.h"

static void txn_in(struct bed *bed, unsigned long n)
{
	unsigned long nr = 30;

	assert_int_equal(mt_credits_set_batch(&bed->c, nr), 0);
	for (unsigned int round = 0; round < 6; round++) {
		bool keep = round % 2;
		struct mt_txn txn;
		unsigned long kept;

		assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
		mt_credits_begin(&bed->c, nr);
		take_all(bed);
		kept = pledged(bed);
		bed_lock(bed);
		mt_txn_begin(&txn, &bed->tree);
		assert_int_equal(mt_txn_store_credit(&txn, 5, 4, NULL, &bed->c), -EINVAL);
		for (unsigned long i = 0; i < nr; i++) {
			store_in_txn(bed, &txn, spot_of(i, n), keep);
			take_all(bed); /* others take what it frees */
		}
		assert_int_equal(mt_credits_left(&bed->c), 0);
		assert_int_equal(mt_txn_stores(&txn), nr);
		if (keep)
			mt_txn_commit(&txn);
		else
			mt_txn_abort(&txn);
		bed_unlock(bed);
		assert_int_equal(mt_credits_left(&bed->c), keep ? 0 : nr);
		assert_int_equal(bed->c.begun, keep ? 0 : nr);
		assert_int_equal(pledged(bed), keep ? 0 : kept);
		expect_good(bed);
		release(bed, &bed->c);
		give_all(bed);
	}
}

static void transactions_spend_or_give_back(void **state)
{
	(void)state;
	everywhere(txn_in);
}

/* Stores without a credit, with a few nodes free for anybody; others take what it leaves. */
static int store_beside(struct bed *bed, struct mt_txn *txn, const struct spot *s)
{
	int err;

	for (unsigned int i = 0; i < 6 && bed->hoard.nr > 0; i++)
		smr_mem_give(bed->mem, smr_nodes_pop(&bed->hoard));
	err = mt_txn_store_range(txn, s->first, s->last, s->entry, GFP_NOWAIT | __GFP_NOWARN);
	assert_true(err == 0 || err == -ENOMEM);
	take_all(bed);
	return err;
}

/*
 * Stores on credits, each followed by one without that replaces what it has built: a few ranges,
 * many, or everything.
 */
static void mix(struct bed *bed, struct mt_txn *txn, unsigned long nr, unsigned long n,
		unsigned long width)
{
	for (unsigned long i = 0; i < nr; i++) {
		struct spot s = spot_of(i, n);

		store_in_txn(bed, txn, s, true);
		take_all(bed);
		s.first = s.first > width ? s.first - width : 0;
		s.last = width == ULONG_MAX ? ULONG_MAX : s.last + width;
		s.entry = i % 2 || width == ULONG_MAX ? NULL : xa_mk_value(100 + i);
		if (!store_beside(bed, txn, &s))
			assert_int_equal(rm_store(&bed->model, s.first, s.last, s.entry), 0);
	}
}

/* The pledge is as large as before, and there are nodes for it. */
static void mixed_in(struct bed *bed, unsigned long n)
{
	static const unsigned long widths[] = { 3, 30 * STEP, ULONG_MAX };
	unsigned long nr = 12;

	assert_int_equal(mt_credits_set_batch(&bed->c, nr), 0);
	for (unsigned int round = 0; round < 6; round++) {
		bool keep = round % 2;
		struct range_model before;
		unsigned long kept;
		struct mt_txn txn;

		rm_init(&before);
		assert_int_equal(rm_copy(&before, &bed->model), 0);
		assert_int_equal(reserve(bed, &bed->c, 2 * nr, GFP_KERNEL), 0);
		mt_credits_begin(&bed->c, nr);
		take_all(bed);
		kept = pledged(bed);
		bed_lock(bed);
		mt_txn_begin(&txn, &bed->tree);
		mix(bed, &txn, nr, n, widths[round / 2]);
		if (keep) {
			mt_txn_commit(&txn);
			rm_destroy(&before);
		} else {
			mt_txn_abort(&txn);
			rm_destroy(&bed->model);
			bed->model = before;
		}
		bed_unlock(bed);
		take_all(bed);
		if (!keep)
			assert_int_equal(pledged(bed), kept);
		expect_good(bed);
		mt_credits_begin(&bed->c, nr);
		for (unsigned long i = 0; i < nr; i++) {
			unsigned long first = STEP * (i * 31 % (n + 5)) + 4;

			assert_int_equal(credit_store(bed, first, first + 7, xa_mk_value(i)), 0);
			take_all(bed);
		}
		expect_good(bed);
		release(bed, &bed->c);
		give_all(bed);
		mt_mem_barrier(bed->mem);
	}
}

static void others_in_the_same_transaction(void **state)
{
	(void)state;
	everywhere(mixed_in);
}

/* The batch of credits that may come back cannot be changed. */
static void batch_in(struct bed *bed, unsigned long n)
{
	struct mt_txn txn;

	(void)n;
	for (unsigned int keep = 0; keep < 2; keep++) {
		assert_int_equal(mt_credits_set_batch(&bed->c, 2), 0);
		assert_int_equal(reserve(bed, &bed->c, 1, GFP_KERNEL), 0);
		mt_credits_begin(&bed->c, 1);
		bed_lock(bed);
		mt_txn_begin(&txn, &bed->tree);
		assert_int_equal(mt_txn_store_credit(&txn, 3, 4, xa_mk_value(keep), &bed->c), 0);
		assert_int_equal(mt_credits_left(&bed->c), 0);
		assert_int_equal(mt_credits_set_batch(&bed->c, 100), -EBUSY);
		if (keep)
			mt_txn_commit(&txn);
		else
			mt_txn_abort(&txn);
		bed_unlock(bed);
		release(bed, &bed->c);
		assert_int_equal(mt_credits_set_batch(&bed->c, 100), 0);
		assert_int_equal(pledged(bed), 0);
	}
	assert_int_equal(rm_store(&bed->model, 3, 4, xa_mk_value(1)), 0);
}

static void batches_stay_while_credits_may_come_back(void **state)
{
	(void)state;
	everywhere(batch_in);
}

/* ---- Beside a transaction ---- */

/* Neither credits nor nodes for others can be had while the view has the pledge. */
static void refused_in(struct bed *bed, unsigned long n)
{
	bool external = mt_external_lock(&bed->tree);
	struct mt_credits late;
	struct mt_txn txn;

	mt_credits_init(&late, &bed->tree, MT_CREDITS_STRICT);
	assert_int_equal(reserve(bed, &bed->c, 20, GFP_KERNEL), 0);
	for (unsigned int keep = 0; keep < 2; keep++) {
		unsigned long kept = pledged(bed);
		MA_STATE(mas, &bed->tree, STEP * n, STEP * n + 30);

		mt_credits_begin(&bed->c, 3);
		bed_lock(bed);
		mt_txn_begin(&txn, &bed->tree);
		assert_int_equal(mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL), -EBUSY);
		assert_int_equal(mas_allocated(&mas), 0);
		if (external) {
			assert_int_equal(mt_credits_reserve(&late, 4, GFP_KERNEL), -EBUSY);
			assert_int_equal(mt_credits_reserve(&bed->c, 4, GFP_KERNEL), -EBUSY);
		}
		assert_int_equal(pledged(bed), kept);
		assert_int_equal(mt_txn_store_range(&txn, 5, 9, xa_mk_value(2), GFP_KERNEL), 0);
		assert_int_equal(mt_txn_store_credit(&txn, 7, 7, xa_mk_value(3), &bed->c), 0);
		if (external)
			assert_int_equal(mt_credits_reserve(&bed->c, 4, GFP_KERNEL), -EBUSY);
		if (keep)
			mt_txn_commit(&txn);
		else
			mt_txn_abort(&txn);
		assert_int_equal(mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL), 0);
		mas_destroy(&mas);
		bed_unlock(bed);
	}
	assert_int_equal(rm_store(&bed->model, 5, 9, xa_mk_value(2)), 0);
	assert_int_equal(rm_store(&bed->model, 7, 7, xa_mk_value(3)), 0);
	expect_good(bed);
	assert_int_equal(mt_credits_left(&late), 0);
	assert_int_equal(reserve(bed, &late, 4, GFP_KERNEL), 0);
	release(bed, &late);
}

static void open_transactions_refuse(void **state)
{
	(void)state;
	everywhere(refused_in);
}

/*
 * A preallocation counts on what stores on credits have left pledged beyond the need. An abort must
 * not release that.
 */
static void aborts_leave_preallocations_alone(void **state)
{
	(void)state;
	for (unsigned int strict = 0; strict < 2; strict++) {
		struct mt_txn txn;
		struct bed bed;
		MA_STATE(mas, &bed.tree, 2050, 2051);

		bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP,
			 strict ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING, 0);
		/* One leaf, nearly full; with 21 credits, or split and with 20, three levels. */
		for (unsigned long i = 0; i < 40; i++)
			assert_int_equal(plain_store(&bed, 100 * i, 100 * i + 99, xa_mk_value(i),
						     GFP_KERNEL),
					 0);
		assert_int_equal(reserve(&bed, &bed.c, 21, GFP_KERNEL), 0);
		mt_credits_begin(&bed.c, 1);
		assert_int_equal(credit_store(&bed, 0, 99, xa_mk_value(50)), 0);
		bed_lock(&bed);
		assert_true(pledged(&bed) > smr_pledge_required(&bed.tree));
		assert_int_equal(mas_preallocate(&mas, xa_mk_value(51), GFP_KERNEL), 0);
		mt_txn_begin(&txn, &bed.tree);
		mt_txn_abort(&txn);
		take_all(&bed);
		mas_store_prealloc(&mas, xa_mk_value(51));
		assert_int_equal(mas.status, ma_active);
		bed_unlock(&bed);
		assert_int_equal(rm_store(&bed.model, 2050, 2051, xa_mk_value(51)), 0);
		expect_good(&bed);
		bed_free(&bed);
	}
}

static int return_inside(void *arg)
{
	struct bed *bed = arg;
	struct mt_txn txn;

	mt_txn_begin(&txn, &bed->tree);
	mt_credits_return(&bed->c, 1);
	return 0;
}

static int release_inside(void *arg)
{
	struct bed *bed = arg;
	struct mt_txn txn;

	mt_txn_begin(&txn, &bed->tree);
	mt_credits_release(&bed->c);
	return 0;
}

/* No credits are left, but an abort would give some back. */
static int release_used_inside(void *arg)
{
	struct bed *bed = arg;
	struct mt_txn txn;

	mt_credits_begin(&bed->c, 2);
	mt_txn_begin(&txn, &bed->tree);
	mt_txn_store_credit(&txn, 1, 2, xa_mk_value(1), &bed->c);
	mt_txn_store_credit(&txn, 3, 4, xa_mk_value(2), &bed->c);
	mt_credits_release(&bed->c);
	return 0;
}

static int begin_inside(void *arg)
{
	struct bed *bed = arg;
	struct mt_txn txn, another;

	mt_txn_begin(&txn, &bed->tree);
	mt_txn_begin(&another, &bed->tree);
	return 0;
}

static int store_elsewhere(void *arg)
{
	struct bed *bed = arg;
	struct maple_tree other;
	MA_STATE(mas, &other, 1, 2);

	mt_init_flags(&other, MT_FLAGS_LOCK_EXTERN);
	assert_int_equal(mt_set_mem(&other, bed->mem), 0);
	mt_credits_begin(&bed->c, 1);
	mas_store_credit(&mas, xa_mk_value(1), &bed->c);
	return 0;
}

static int store_in_another_ones(void *arg)
{
	struct bed *bed = arg;
	struct maple_tree other;
	struct mt_txn txn;

	mt_init_flags(&other, MT_FLAGS_LOCK_EXTERN);
	assert_int_equal(mt_set_mem(&other, bed->mem), 0);
	mt_credits_begin(&bed->c, 1);
	mt_txn_begin(&txn, &other);
	mt_txn_store_credit(&txn, 1, 2, xa_mk_value(1), &bed->c);
	return 0;
}

/* A holder belongs to one tree. */
static void another_tree_is_caught(void **state)
{
	(void)state;
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, store_elsewhere));
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, store_in_another_ones));
}

static void misuse_beside_a_transaction_is_caught(void **state)
{
	(void)state;
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, return_inside));
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, release_inside));
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, release_used_inside));
	assert_true(is_caught(MT_FLAGS_LOCK_EXTERN, begin_inside));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Tests that fork come first, before there are threads. */
		cmocka_unit_test(misuse_beside_a_transaction_is_caught),
		cmocka_unit_test(another_tree_is_caught),
		cmocka_unit_test(transactions_spend_or_give_back),
		cmocka_unit_test(others_in_the_same_transaction),
		cmocka_unit_test(batches_stay_while_credits_may_come_back),
		cmocka_unit_test(open_transactions_refuse),
		cmocka_unit_test(aborts_leave_preallocations_alone),
	};

	return cmocka_run_group_tests_name("tree_credits_txn", tests, NULL, NULL);
}
