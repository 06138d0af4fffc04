/* SPDX-License-Identifier: MIT */
/*
 * What is pledged stays pledged, whatever else is done with the tree and its arena: stores without
 * credits and those with nodes of their own, bulk loads, other holders and the tree's end.
 */
#include "credits_bed.h"

#include "base/hooks.h"
#include "mem/pledge.h"
#include "tree/plan.h"
#include "tree/pledge.h"

static unsigned long refused, done;

/* A refused store changes nothing, and the pledge stays as it was. */
static void others_in(struct bed *bed, unsigned long n)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC, GFP_KERNEL };
	unsigned long kept;

	assert_int_equal(mt_credits_set_batch(&bed->c, 8), 0);
	assert_int_equal(reserve(bed, &bed->c, 20, GFP_KERNEL), 0);
	take_all(bed);
	for (unsigned long i = 0; i < 60; i++) {
		unsigned long first = STEP * (i % (n + 1)) + 2 + i % 3;
		unsigned long seq = bed->tree.ma_seq;
		int err;

		kept = pledged(bed);
		err = plain_store(bed, first, first + 1, xa_mk_value(900 + i), gfps[i % 3]);
		assert_true(err == 0 || err == -ENOMEM);
		if (err) {
			assert_int_equal(bed->tree.ma_seq, seq);
			assert_int_equal(pledged(bed), kept);
			refused++;
		}
		done += !err;
	}
	expect_good(bed);
	mt_credits_begin(&bed->c, 8);
	for (unsigned long i = 0; i < 8; i++)
		assert_int_equal(
			credit_store(bed, STEP * i * 3 + 1, STEP * i * 3 + 4, xa_mk_value(i)), 0);
}

static void others_pay_for_themselves(void **state)
{
	(void)state;
	refused = done = 0;
	everywhere(others_in);
	assert_true(refused > 0 && done > 0);
}

static unsigned long paid;

/* Returns what the tree's plan says is pledged after such a store, or 0 if it adds nothing. */
static unsigned long foreseen(struct bed *bed, unsigned long first, unsigned long last, void *entry)
{
	struct ma_state mas;
	struct smr_write w;

	bed_lock(bed);
	mas_init(&mas, &bed->tree, first);
	assert_int_equal(smr_plan(&w, &mas, first, last, entry, false), 0);
	bed_unlock(bed);
	paid += w.pledge > 0;
	return w.pledge > 0 ? bed->tree.ma_pledge.pledged + w.pledge : 0;
}

/* A store that frees nothing between its edges pays what is needed after it, and no more. */
static void exactly_in(struct bed *bed, unsigned long n)
{
	unsigned long keys = STEP * (n + 1), want;

	assert_int_equal(mt_credits_set_batch(&bed->c, 8), 0);
	assert_int_equal(reserve(bed, &bed->c, 500, GFP_KERNEL), 0);
	for (unsigned long i = 0; i < 1000; i++) {
		unsigned long first = i < 500 ? i * 7919 % keys : i * 13 % keys;
		void *entry = i % 5 < 3 ? xa_mk_value(i) : NULL;

		want = foreseen(bed, first, first, entry);
		assert_int_equal(plain_store(bed, first, first, entry, GFP_KERNEL), 0);
		if (want)
			assert_int_equal(bed->tree.ma_pledge.pledged, want);
	}
	expect_good(bed);
}

static void others_pay_no_more(void **state)
{
	(void)state;
	paid = 0;
	everywhere(exactly_in);
	assert_true(paid > 0);
}

/*
 * A bulk load beside holders has also reserved what they come to be owed: whatever its stores free
 * is taken away at once.
 */
static void bulk_in(struct bed *bed, unsigned long n)
{
	static const unsigned long counts[] = { 1, 20, 230, 600 };
	static const unsigned long loads[] = { 10, 700, 4000 };
	unsigned long base = STEP * (n + 3);

	if (mt_in_rcu(&bed->tree))
		return;
	for (unsigned int i = 0; i < 12; i++) {
		unsigned long credits = counts[i % 4], nr = loads[i / 4];
		MA_STATE(mas, &bed->tree, 0, 0);

		assert_int_equal(mt_credits_set_batch(&bed->c, i % 2 ? 1 : 64), 0);
		assert_int_equal(reserve(bed, &bed->c, credits, GFP_KERNEL), 0);
		bed_lock(bed);
		assert_int_equal(mas_expected_entries(&mas, nr), 0);
		for (unsigned long k = 0; k < nr; k++, base += STEP) {
			take_all(bed);
			mas_set_range(&mas, base, base + STEP / 2);
			mas_store(&mas, xa_mk_value(k));
			assert_false(mas_is_err(&mas));
			assert_int_equal(
				rm_store(&bed->model, base, base + STEP / 2, xa_mk_value(k)), 0);
		}
		mas_destroy(&mas);
		bed_unlock(bed);
		expect_good(bed);
		release(bed, &bed->c);
		give_all(bed);
	}
}

static void bulk_loads_pay_beforehand(void **state)
{
	(void)state;
	everywhere(bulk_in);
}

/* Empties the tree and fills it again while credits are out. */
static void destroyed_in(struct bed *bed, unsigned long n)
{
	(void)n;
	assert_int_equal(reserve(bed, &bed->c, 30, GFP_KERNEL), 0);
	bed_lock(bed);
	__mt_destroy(&bed->tree);
	bed_unlock(bed);
	rm_destroy(&bed->model);
	assert_int_equal(mt_credits_left(&bed->c), 30);
	expect_good(bed);
	/* An empty tree may need more than a tall one, which has its levels. */
	bed_lock(bed);
	assert_int_equal(pledged(bed), smr_pledge_required(&bed->tree));
	bed_unlock(bed);
	take_all(bed);
	mt_credits_begin(&bed->c, 30);
	for (unsigned long i = 0; i < 30; i++)
		assert_int_equal(
			credit_store(bed, 1UL << (2 * i), (1UL << (2 * i)) + i, xa_mk_value(i)), 0);
}

static void outlive_the_contents(void **state)
{
	(void)state;
	everywhere(destroyed_in);
}

/* Several holders of both modes on the tree, and one on a second tree, which becomes its copy. */
static void shares_in(struct bed *bed, unsigned long n)
{
	struct mt_credits more[4];
	struct maple_tree copy;

	mt_init_flags(&copy, bed->tree.ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	assert_int_equal(mt_set_mem(&copy, bed->mem), 0);
	if (mt_external_lock(&copy))
		mt_set_external_lock_check(&copy, &bed->held, flag_is_set);
	for (unsigned int i = 0; i < 4; i++) {
		mt_credits_init(&more[i], i < 3 ? &bed->tree : &copy,
				i % 2 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING);
		assert_int_equal(mt_credits_set_batch(&more[i], 3), 0);
		assert_int_equal(reserve(bed, &more[i], 3, GFP_KERNEL), 0);
	}
	bed_lock(bed);
	if (!mt_external_lock(&copy))
		mtree_lock_nested(&copy, 1);
	assert_int_equal(__mt_dup(&bed->tree, &copy, GFP_KERNEL), 0);
	if (!mt_external_lock(&copy))
		mtree_unlock(&copy);
	bed_unlock(bed);
	take_all(bed);
	for (unsigned long k = 0; k < 12; k++) {
		struct mt_credits *c = &more[k % 4];
		MA_STATE(mas, c->mt, STEP * k + n, STEP * k + n + 3);

		mt_credits_begin(c, 1);
		if (!mt_external_lock(c->mt))
			mtree_lock(c->mt);
		bed->held = true;
		assert_int_equal(mas_store_credit(&mas, xa_mk_value(k), c), 0);
		bed->held = false;
		if (!mt_external_lock(c->mt))
			mtree_unlock(c->mt);
		if (k % 4 < 3)
			assert_int_equal(rm_store(&bed->model, STEP * k + n, STEP * k + n + 3,
						  xa_mk_value(k)),
					 0);
		take_all(bed);
		expect_good(bed);
	}
	assert_int_equal(pledged(bed), 0);
	bed->held = true;
	if (!mt_external_lock(&copy))
		mtree_lock(&copy);
	__mt_destroy(&copy);
	if (!mt_external_lock(&copy))
		mtree_unlock(&copy);
	bed->held = false;
}

static void holders_and_trees_share(void **state)
{
	(void)state;
	everywhere(shares_in);
}

/* Returns what must be pledged if the holders had @more credits more. */
static unsigned long required(struct bed *bed, unsigned long more)
{
	bool strict = bed->c.mode == MT_CREDITS_STRICT;
	struct smr_claims claims = { bed->tree.ma_pledge.recycling + (strict ? 0 : more),
				     bed->tree.ma_pledge.strict + (strict ? more : 0),
				     bed->tree.ma_pledge.working };

	return smr_pledge_required_for(&bed->tree, &claims);
}

/* Makes a batch of stores that take several nodes each, and replace as many. */
static void use_batch(struct bed *bed, struct mt_credits *c, unsigned long first)
{
	for (unsigned long i = 0; i < 8; i++, first += 50 * STEP) {
		unsigned long last = first + 30 * STEP;
		MA_STATE(mas, &bed->tree, first, last);

		bed_lock(bed);
		assert_int_equal(mas_store_credit(&mas, xa_mk_value(i), c), 0);
		bed_unlock(bed);
		assert_int_equal(rm_store(&bed->model, first, last, xa_mk_value(i)), 0);
	}
}

/* While a reader keeps in limbo what a holder has replaced, the others have what they need. */
static void what_was_lent_goes_with_the_holder(void **state)
{
	struct mt_credits other;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 900);
	mt_credits_init(&other, &bed.tree, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&bed.c, 8), 0);
	assert_int_equal(mt_credits_set_batch(&other, 8), 0);
	assert_int_equal(reserve(&bed, &bed.c, 9, GFP_KERNEL), 0);
	assert_int_equal(reserve(&bed, &other, 100, GFP_KERNEL), 0);
	mt_credits_begin(&bed.c, 8);
	mt_credits_begin(&other, 8);
	take_all(&bed);
	mt_rcu_read_lock(&bed.tree);
	use_batch(&bed, &other, 3);
	assert_true(bed.mem->lent > 0);
	release(&bed, &other);
	assert_int_equal(bed.mem->lent, 0);
	take_all(&bed);
	use_batch(&bed, &bed.c, 450 * STEP + 3);
	mt_rcu_read_unlock(&bed.tree);
	give_all(&bed);
	bed_free(&bed);
}

/* A repayment makes good no more of what is lent than was asked for: the rest is for others. */
static void repaying_is_for_oneself(void **state)
{
	unsigned long lent;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 900);
	mt_mem_barrier(bed.mem);
	assert_int_equal(mt_credits_set_batch(&bed.c, 8), 0);
	assert_int_equal(reserve(&bed, &bed.c, 9, GFP_KERNEL), 0);
	mt_credits_begin(&bed.c, 8);
	take_all(&bed);
	mt_rcu_read_lock(&bed.tree);
	use_batch(&bed, &bed.c, 3);
	take_all(&bed);
	lent = bed.mem->lent;
	assert_true(lent > 4);
	assert_int_equal(smr_pledge_repay(bed.mem, 4), 0);
	assert_int_equal(bed.mem->lent, lent);
	give_all(&bed);
	assert_int_equal(smr_pledge_repay(bed.mem, 4), 4);
	assert_int_equal(bed.mem->lent, lent - 4);
	assert_true(pledge_is_free(&bed));
	mt_rcu_read_unlock(&bed.tree);
	bed_free(&bed);
}

/* How crowded the root is does not matter: asked as for a copy, the tree owes nothing for it. */
static void the_top_costs_nothing(void **state)
{
	(void)state;
	for (unsigned long credits = 1; credits < 40; credits++) {
		struct bed bed;

		bed_make(&bed, 0, MT_RCU_BP, MT_CREDITS_RECYCLING, 600);
		assert_int_equal(mt_height(&bed.tree), 2);
		assert_uint_in_range(smr_crowding(smr_count(bed.tree.ma_root)), 8, 14);
		assert_int_equal(reserve(&bed, &bed.c, credits, GFP_KERNEL), 0);
		bed_lock(&bed);
		assert_int_equal(smr_pledge_missing(&bed.tree, bed.tree.ma_root, 2), 0);
		bed_unlock(&bed);
		bed_free(&bed);
	}
}

/* The arena counts what stores on credits take, even from the pledge. */
static void what_is_taken_counts(void **state)
{
	struct mt_mem_stats before, after;
	unsigned long built;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 900);
	assert_int_equal(mt_credits_set_batch(&bed.c, 8), 0);
	assert_int_equal(reserve(&bed, &bed.c, 9, GFP_KERNEL), 0);
	mt_credits_begin(&bed.c, 8);
	take_all(&bed);
	mt_mem_stats(bed.mem, &before);
	built = bed.tree.ma_nodes_built;
	use_batch(&bed, &bed.c, 3);
	mt_mem_stats(bed.mem, &after);
	assert_true(bed.tree.ma_nodes_built > built);
	assert_int_equal(after.taken - before.taken, bed.tree.ma_nodes_built - built);
	bed_free(&bed);
}

static unsigned int lacking;

/* At this point others may take free nodes; counts a pledge that lacks some. */
static void look_at_pledge(enum smr_hook_point point, void *bed)
{
	lacking += point == SMR_HOOK_GIVEN && !pledge_is_free(bed);
}

/* However many nodes a transaction has used, they are pledged again once they are back. */
static void all_comes_back_at_once(void **state)
{
	struct mt_txn txn;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 12000);
	assert_int_equal(mt_credits_set_batch(&bed.c, 100), 0);
	assert_int_equal(reserve(&bed, &bed.c, 100, GFP_KERNEL), 0);
	mt_credits_begin(&bed.c, 100);
	take_all(&bed);
	bed_lock(&bed);
	mt_txn_begin(&txn, &bed.tree);
	for (unsigned long i = 0; i < 100; i++)
		store_in_txn(&bed, &txn, spot_of(i, 12000), false);
	lacking = 0;
	smr_hook_set_point(look_at_pledge, &bed);
	mt_txn_abort(&txn);
	smr_hook_reset();
	bed_unlock(&bed);
	assert_int_equal(lacking, 0);
	give_all(&bed);
	bed_free(&bed);
}

/* ---- What is left over ---- */

/* Stores that only change a slot leave over the nodes of their credits. */
static void left_over_in(struct bed *bed, unsigned long n)
{
	struct mt_credits other;
	unsigned long nr = 50;

	if (n < nr)
		return;
	mt_credits_init(&other, &bed->tree, bed->c.mode);
	assert_int_equal(mt_credits_set_batch(&bed->c, 3), 0);
	assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
	assert_int_equal(reserve(bed, &other, 13, GFP_KERNEL), 0);
	for (unsigned long i = 0; i < nr; i++) {
		unsigned long first = STEP * i;

		mt_credits_begin(&bed->c, 1);
		assert_int_equal(credit_store(bed, first, first + STEP / 2, xa_mk_value(i)), 0);
		assert_uint_in_range(pledged(bed), required(bed, 0), required(bed, 8));
	}
	assert_int_equal(pledged(bed), required(bed, 0));
	release(bed, &other);
}

static void what_is_left_over_goes_soon(void **state)
{
	(void)state;
	everywhere(left_over_in);
}

/*
 * A bulk load's first store releases what is left over, so that does not help a later one that adds
 * a level.
 */
static void loads_do_not_rely_on_it(void **state)
{
	(void)state;
	for (unsigned int strict = 0; strict < 2; strict++) {
		unsigned long first = STEP * 953, higher = 2 * SMR_INNER_MIN * SMR_INNER_MIN;
		struct bed bed;
		MA_STATE(mas, &bed.tree, 0, 0);

		bed_make(&bed, 0, MT_RCU_BP, strict ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING,
			 950);
		/* With one credit fewer it could not reach so many levels. */
		assert_int_equal(
			reserve(&bed, &bed.c, higher - bed.tree.ma_pledge.leaves, GFP_KERNEL), 0);
		mt_credits_begin(&bed.c, 1);
		assert_int_equal(credit_store(&bed, 0, STEP / 2, xa_mk_value(1)), 0);
		assert_true(pledged(&bed) > required(&bed, 0) + 100);
		bed_lock(&bed);
		assert_int_equal(mas_expected_entries(&mas, 100), 0);
		for (unsigned long k = 0; k < 100; k++, first += STEP) {
			take_all(&bed);
			mas_set_range(&mas, first, first + STEP / 2);
			mas_store(&mas, xa_mk_value(k));
			assert_false(mas_is_err(&mas));
			assert_int_equal(
				rm_store(&bed.model, first, first + STEP / 2, xa_mk_value(k)), 0);
		}
		mas_destroy(&mas);
		bed_unlock(&bed);
		bed_free(&bed);
	}
}

/* ---- Preallocations ---- */

/*
 * A credit returned after an exact preallocation makes it void. Here the store takes the tree past
 * a height again, and fails, with the tree and its holders as they were.
 */
static void returning_voids_a_preallocation(void **state)
{
	struct mt_credits strict;
	struct bed bed;
	MA_STATE(mas, &bed.tree, 2050, 2051);

	(void)state;
	bed_make(&bed, MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 0);
	mt_credits_init(&strict, &bed.tree, MT_CREDITS_STRICT);
	/* One leaf, nearly full; with 21 credits it may grow to three levels. */
	for (unsigned long i = 0; i < 40; i++)
		assert_int_equal(
			plain_store(&bed, 100 * i, 100 * i + 99, xa_mk_value(i), GFP_KERNEL), 0);
	assert_int_equal(reserve(&bed, &bed.c, 19, GFP_KERNEL), 0);
	assert_int_equal(reserve(&bed, &strict, 2, GFP_KERNEL), 0);
	bed_lock(&bed);
	assert_int_equal(mas_preallocate(&mas, xa_mk_value(50), GFP_KERNEL), 0);
	mt_credits_return(&strict, 1);
	take_all(&bed);
	mas_store_prealloc(&mas, xa_mk_value(50));
	assert_true(mas_is_err(&mas));
	bed_unlock(&bed);
	expect_good(&bed);
	release(&bed, &strict);
	bed_free(&bed);
}

/* A preallocation that is given up leaves nothing with the holders for whom it got nodes. */
static void destroying_a_preallocation(void **state)
{
	unsigned long before;
	struct bed bed;
	MA_STATE(mas, &bed.tree, 2050, 2051);

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, MT_RCU_BP, MT_CREDITS_RECYCLING, 0);
	/* One leaf, nearly full; once it splits, 20 credits may take it to three levels. */
	for (unsigned long i = 0; i < 40; i++)
		assert_int_equal(
			plain_store(&bed, 100 * i, 100 * i + 99, xa_mk_value(i), GFP_KERNEL), 0);
	assert_int_equal(reserve(&bed, &bed.c, 20, GFP_KERNEL), 0);
	before = pledged(&bed);
	bed_lock(&bed);
	assert_int_equal(mas_preallocate(&mas, xa_mk_value(50), GFP_KERNEL), 0);
	assert_true(mas_allocated(&mas) > SMR_STORE_NODES(2));
	mas_destroy(&mas);
	bed_unlock(&bed);
	assert_int_equal(pledged(&bed), before);
	expect_good(&bed);
	bed_free(&bed);
}

static unsigned long owed;

/* The cursor then holds all that the store needs, with nothing free. Holders get none before. */
static void preallocated_in(struct bed *bed, unsigned long n)
{
	assert_int_equal(mt_credits_set_batch(&bed->c, 8), 0);
	assert_int_equal(reserve(bed, &bed->c, 100, GFP_KERNEL), 0);
	for (unsigned long i = 0; i < 60; i++) {
		struct spot s = spot_of(i, n);
		MA_STATE(mas, &bed->tree, s.first, s.last);
		unsigned long before;

		bed_lock(bed);
		before = pledged(bed);
		assert_int_equal(mas_preallocate(&mas, s.entry, GFP_KERNEL), 0);
		assert_int_equal(pledged(bed), before);
		take_all(bed);
		mas_store_prealloc(&mas, s.entry);
		assert_false(mas_is_err(&mas));
		assert_int_equal(mas_allocated(&mas), 0);
		owed += pledged(bed) > before;
		bed_unlock(bed);
		assert_int_equal(rm_store(&bed->model, s.first, s.last, s.entry), 0);
		give_all(bed);
	}
	expect_good(bed);
}

static void preallocations_hold_what_holders_need(void **state)
{
	(void)state;
	owed = 0;
	everywhere(preallocated_in);
	assert_true(owed > 0);
}

/* Nodes for trees up to some height stay good while others change the tree. */
static void by_height_in(struct bed *bed, unsigned long n)
{
	static const unsigned int heights[] = { 0, 1, 6, MAPLE_HEIGHT_MAX };

	for (unsigned int i = 0; i < 4; i++) {
		unsigned long first = STEP * (n / 2) + 3;
		MA_STATE(mas, &bed->tree, first, first + 1);

		assert_int_equal(mas_preallocate_height(&mas, MAPLE_HEIGHT_MAX + 1, GFP_KERNEL),
				 -EINVAL);
		assert_int_equal(mas_preallocate_height(&mas, heights[i], GFP_KERNEL), 0);
		assert_true(mas_allocated(&mas) >= heights[i]);
		for (unsigned long k = 0; k < 300; k++)
			assert_int_equal(plain_store(bed, STEP * (n / 2 + k) + 7,
						     STEP * (n / 2 + k) + 8,
						     xa_mk_value(1000 * i + k), GFP_KERNEL),
					 0);
		if (heights[i] >= mt_height(&bed->tree)) {
			take_all(bed);
			bed_lock(bed);
			mas_store_prealloc(&mas, xa_mk_value(77 + i));
			bed_unlock(bed);
			give_all(bed);
			assert_false(mas_is_err(&mas));
			assert_int_equal(
				rm_store(&bed->model, first, first + 1, xa_mk_value(77 + i)), 0);
		}
		mas_destroy(&mas);
		expect_good(bed);
	}
}

static void preallocating_by_height(void **state)
{
	(void)state;
	everywhere(by_height_in);
}

/*
 * With fewer nodes than needed: takes its own first, then free ones, then the reserve; or changes
 * nothing.
 */
static void a_few_in(struct bed *bed, unsigned long n)
{
	for (unsigned int spare = 0; spare < 12; spare++) {
		unsigned long first = STEP * (n / 3 + spare) + 2, last = first + STEP * (n / 3);
		MA_STATE(mas, &bed->tree, first, last);
		int err;

		assert_int_equal(mas_preallocate_height(&mas, 1, GFP_KERNEL), 0);
		take_all(bed);
		for (unsigned int i = 0; i < spare; i++)
			smr_mem_give(bed->mem, smr_nodes_pop(&bed->hoard));
		bed_lock(bed);
		err = mas_store_gfp(&mas, xa_mk_value(5), GFP_ATOMIC);
		bed_unlock(bed);
		assert_true(err == 0 || err == -ENOMEM);
		if (!err)
			assert_int_equal(rm_store(&bed->model, first, last, xa_mk_value(5)), 0);
		if (spare >= 11)
			assert_int_equal(err, 0);
		give_all(bed);
		expect_good(bed);
	}
}

static void a_few_and_the_reserve(void **state)
{
	(void)state;
	everywhere(a_few_in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_pay_for_themselves),
		cmocka_unit_test(others_pay_no_more),
		cmocka_unit_test(bulk_loads_pay_beforehand),
		cmocka_unit_test(outlive_the_contents),
		cmocka_unit_test(holders_and_trees_share),
		cmocka_unit_test(what_was_lent_goes_with_the_holder),
		cmocka_unit_test(repaying_is_for_oneself),
		cmocka_unit_test(the_top_costs_nothing),
		cmocka_unit_test(what_is_taken_counts),
		cmocka_unit_test(all_comes_back_at_once),
		cmocka_unit_test(what_is_left_over_goes_soon),
		cmocka_unit_test(loads_do_not_rely_on_it),
		cmocka_unit_test(returning_voids_a_preallocation),
		cmocka_unit_test(destroying_a_preallocation),
		cmocka_unit_test(preallocations_hold_what_holders_need),
		cmocka_unit_test(preallocating_by_height),
		cmocka_unit_test(a_few_and_the_reserve),
	};

	return cmocka_run_group_tests_name("tree_credits_pledge", tests, NULL, NULL);
}
