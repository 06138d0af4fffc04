/* SPDX-License-Identifier: MIT */
/*
 * Credits on one thread: what the calls return, and stores on credits in an arena without a node to
 * spare. Every test runs in each mode of the tree and of the holder.
 */
#include "credits_bed.h"

#include "flavors.h"
#include "mem/retire.h"
#include "tree/credits.h"

#include <pthread.h>
#include <semaphore.h>

/* ---- Answers ---- */

static void answers_in(struct bed *bed, unsigned long n)
{
	struct mt_credits *c = &bed->c;
	unsigned long kept;

	(void)n;
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(mt_credits_bytes(c), 0);
	assert_int_equal(mt_credits_set_batch(c, 0), -EINVAL);
	assert_int_equal(mt_credits_set_batch(c, ULONG_MAX), 0);
	assert_int_equal(reserve(bed, c, 1, GFP_KERNEL),
			 c->mode == MT_CREDITS_STRICT ? 0 : -EOVERFLOW);
	bed_enter(bed);
	mt_credits_release(c);
	bed->held = false;
	assert_int_equal(mt_credits_set_batch(c, 5), 0);
	assert_int_equal(reserve(bed, c, 0, GFP_KERNEL), -EINVAL);
	assert_int_equal(reserve(bed, c, ULONG_MAX, GFP_KERNEL), -EOVERFLOW);
	assert_int_equal(reserve(bed, c, ULONG_MAX / 2, GFP_KERNEL), -EOVERFLOW);
	assert_int_equal(reserve(bed, c, 1UL << 40, GFP_KERNEL), -ENOMEM);
	assert_int_equal(pledged(bed), 0);
	assert_int_equal(reserve(bed, c, 3, GFP_KERNEL), 0);
	assert_int_equal(mt_credits_left(c), 3);
	assert_int_equal(mt_credits_bytes(c), pledged(bed) * MT_NODE_SIZE);
	assert_int_equal(mt_credits_set_batch(c, 6), -EBUSY);
	assert_int_equal(reserve(bed, c, 1UL << 40, GFP_KERNEL), -ENOMEM);
	assert_int_equal(mt_credits_left(c), 3);
	kept = pledged(bed);
	assert_int_equal(reserve(bed, c, 2, GFP_KERNEL), 0);
	assert_true(pledged(bed) > kept);
	give_back(bed, 0);
	give_back(bed, 2);
	assert_int_equal(mt_credits_left(c), 3);
	assert_int_equal(pledged(bed), kept);
	mt_credits_begin(c, 3);
	assert_int_equal(credit_store(bed, 9, 8, xa_mk_value(1)), -EINVAL);
	assert_int_equal(mt_credits_left(c), 3);
	for (unsigned long i = 0; i < 3; i++)
		assert_int_equal(credit_store(bed, 7 * i, 9 * i + 1, xa_mk_value(i)), 0);
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(reserve(bed, c, 1, GFP_KERNEL), 0);
	give_back(bed, 1);
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(mt_credits_bytes(c), 0);
	assert_int_equal(pledged(bed), 0);
	assert_int_equal(mt_credits_set_batch(c, 6), 0);
}

static unsigned long refusals(struct bed *bed)
{
	struct mt_mem_stats stats;

	mt_mem_stats(bed->mem, &stats);
	return stats.failed;
}

/* A request refused in the end counts, once; nodes obtained by other ways do not. */
static void counted_in(struct bed *bed, unsigned long n)
{
	unsigned long before;

	(void)n;
	assert_int_equal(mt_credits_set_batch(&bed->c, 1), 0);
	take_all(bed);
	before = refusals(bed);
	assert_int_equal(reserve(bed, &bed->c, 30, GFP_KERNEL), 0);
	assert_int_equal(refusals(bed), before);
	mt_mem_barrier(bed->mem); /* nothing comes back later */
	take_all(bed);
	for (unsigned int i = 0; i < 40; i++)
		smr_mem_give(bed->mem, smr_nodes_pop(&bed->hoard));
	mt_mem_trim(bed->mem); /* they are for an emergency */
	before = refusals(bed);
	assert_int_equal(reserve(bed, &bed->c, 1, GFP_NOWAIT), -ENOMEM);
	assert_int_equal(refusals(bed), before + 1);
	assert_int_equal(reserve(bed, &bed->c, 1, GFP_ATOMIC), 0);
	assert_int_equal(refusals(bed), before + 1);
}

static void refusals_are_counted_once(void **state)
{
	(void)state;
	everywhere(counted_in);
}

/* Credits that have been returned are no longer announced. */
static void returned_in(struct bed *bed, unsigned long n)
{
	(void)n;
	assert_int_equal(reserve(bed, &bed->c, 5, GFP_KERNEL), 0);
	mt_credits_begin(&bed->c, 5);
	assert_int_equal(credit_store(bed, 3, 4, xa_mk_value(1)), 0);
	give_back(bed, 2);
	assert_int_equal(bed->c.begun, 2);
	assert_int_equal(credit_store(bed, 5, 6, xa_mk_value(2)), 0);
	give_back(bed, 1);
	release(bed, &bed->c);
	assert_int_equal(bed->c.begun, 0);
	assert_int_equal(reserve(bed, &bed->c, 5, GFP_KERNEL), 0);
	assert_int_equal(bed->c.begun, 0);
	mt_credits_begin(&bed->c, 3);
	give_back(bed, 2);
	assert_int_equal(bed->c.begun, 3);
}

static void returned_credits_are_not_announced(void **state)
{
	(void)state;
	everywhere(returned_in);
}

static void answers(void **state)
{
	(void)state;
	everywhere(answers_in);
}

/* A cursor with an error stores nothing, and the holder keeps the credit. */
static void errors_in(struct bed *bed, unsigned long n)
{
	MA_STATE(mas, &bed->tree, STEP * n + 1, STEP * n);

	assert_int_equal(reserve(bed, &bed->c, 2, GFP_KERNEL), 0);
	mt_credits_begin(&bed->c, 2);
	bed_lock(bed);
	assert_int_equal(mas_store_gfp(&mas, xa_mk_value(1), GFP_KERNEL), -EINVAL);
	mas.last = mas.index;
	assert_int_equal(mas_store_credit(&mas, xa_mk_value(1), &bed->c), -EINVAL);
	assert_true(mas_is_err(&mas));
	bed_unlock(bed);
	assert_int_equal(mt_credits_left(&bed->c), 2);
	assert_int_equal(bed->c.begun, 2);
	expect_good(bed);
	bed_lock(bed);
	mas_reset(&mas);
	assert_int_equal(mas_store_credit(&mas, xa_mk_value(1), &bed->c), 0);
	bed_unlock(bed);
	assert_int_equal(rm_store(&bed->model, mas.index, mas.last, xa_mk_value(1)), 0);
	assert_int_equal(mt_credits_left(&bed->c), 1);
}

static void cursors_with_errors(void **state)
{
	(void)state;
	everywhere(errors_in);
}

static unsigned int begun;

/* Makes one store more than there are credits. */
static int store_too_much(void *arg)
{
	struct bed *bed = arg;

	if (begun)
		mt_credits_begin(&bed->c, begun);
	for (unsigned int i = 0; i <= begun; i++)
		credit_store(bed, i, i, xa_mk_value(i));
	return 0;
}

static void spending_too_much_is_caught(void **state)
{
	(void)state;
	for (begun = 0; begun < 3; begun++)
		assert_true(is_caught(0, store_too_much));
}

/* ---- How much is pledged ---- */

/* H in docs/credits.md. */
static unsigned long highest(unsigned long leaves)
{
	unsigned long height = 1;

	for (unsigned long n = leaves / 2; n > 0; n /= 11)
		height++;
	return height;
}

/* G: the smaller of its two arms. */
static unsigned long growth(const struct maple_tree *mt, unsigned long credits, unsigned long reach)
{
	unsigned long levels = mt_height(mt) ? mt_height(mt) : 1;
	unsigned long crowding = mt->ma_pledge.crowding;
	unsigned long many, few = credits * reach;

	if (levels > 1)
		crowding -= smr_crowding(smr_count(mt->ma_root)); /* the root does not count */
	many = (17 * credits + crowding + 15) / 16 + 2 * (reach - levels);
	return many < few ? many : few;
}

static void expect_sums(struct bed *bed)
{
	static const unsigned long counts[] = { 1, 2, 17, 20, 45, 300 };
	bool strict = bed->c.mode == MT_CREDITS_STRICT;

	assert_int_equal(mt_credits_set_batch(&bed->c, 3), 0);
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned long nr = counts[i];
		unsigned long reach = highest(bed->tree.ma_pledge.leaves + nr);
		unsigned long most = 3 * reach - 2;

		assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
		assert_int_equal(pledged(bed),
				 strict ? nr * most : growth(&bed->tree, nr, reach) + 3 * most);
		release(bed, &bed->c);
	}
}

/* What is pledged follows the formula in docs/credits.md. */
static void the_sum(void **state)
{
	struct bed bed;

	(void)state;
	for (unsigned int i = 0; i < 2 * NR_SIZES; i++) {
		bed_make(&bed, 0, MT_RCU_BP, i % 2 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING,
			 sizes[i / 2]);
		expect_sums(&bed);
		bed_free(&bed);
	}
	/* 20 stores on three leaves may add a level. */
	bed_make(&bed, 0, MT_RCU_BP, MT_CREDITS_RECYCLING, 45);
	assert_int_equal(bed.tree.ma_pledge.leaves, 3);
	assert_int_equal(mt_credits_set_batch(&bed.c, 1), 0);
	assert_int_equal(reserve(&bed, &bed.c, 20, GFP_KERNEL), 0);
	assert_int_equal(pledged(&bed), 22 + 2 + 7);
	bed_free(&bed);
}

/* ---- Stores ---- */

/* Nothing that the holder has lent has come back yet. */
static void expect_all_lent(struct bed *bed)
{
	const struct mt_credits *c = &bed->c;

	for (unsigned int i = 0; i < 2; i++)
		if (c->limbo[i])
			assert_false(smr_mem_grace_over(bed->mem, MT_RCU_BP, c->grace[i]));
}

/* With no node to spare and all replaced nodes held up: one batch. */
static void stores_in(struct bed *bed, unsigned long n)
{
	unsigned long nr = 40;

	assert_int_equal(mt_credits_set_batch(&bed->c, nr), 0);
	assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
	mt_mem_barrier(bed->mem);
	take_all(bed);
	mt_credits_begin(&bed->c, nr);
	mt_rcu_read_lock(&bed->tree);
	for (unsigned long i = 0; i < nr; i++) {
		struct spot s = spot_of(i, n);

		assert_int_equal(credit_store(bed, s.first, s.last, s.entry), 0);
		take_all(bed);
		expect_all_lent(bed);
		expect_good(bed);
	}
	mt_rcu_read_unlock(&bed->tree);
}

static void stores_need_what_is_pledged(void **state)
{
	(void)state;
	everywhere(stores_in);
}

/* Each store announced, made and counted in one call, again without a node to spare. */
static void single_stores_in(struct bed *bed, unsigned long n)
{
	unsigned long nr = 40;

	if (mt_external_lock(&bed->tree))
		return;
	assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range_credit(&bed->c, 9, 8, xa_mk_value(1)), -EINVAL);
	assert_int_equal(mtree_store_range_credit(&bed->c, 8, 9, XA_RETRY_ENTRY), -EINVAL);
	assert_int_equal(mt_credits_left(&bed->c), nr);
	for (unsigned long i = 0; i < nr; i++) {
		struct spot s = spot_of(i, n);

		take_all(bed);
		assert_int_equal(mtree_store_range_credit(&bed->c, s.first, s.last, s.entry), 0);
		assert_int_equal(rm_store(&bed->model, s.first, s.last, s.entry), 0);
		assert_int_equal(mt_credits_left(&bed->c), nr - i - 1);
		expect_good(bed);
	}
}

static void in_single_calls(void **state)
{
	(void)state;
	everywhere(single_stores_in);
}

static void in_every_flavor(void **state)
{
	struct bed bed;

	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = all_flavors[f];

		register_reader(flavor);
		for (unsigned int mode = 0; mode < 2; mode++) {
			bed_make(&bed, MT_FLAGS_USE_RCU, flavor,
				 mode ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING, 900);
			assert_int_equal(mt_credits_set_batch(&bed.c, 4), 0);
			assert_int_equal(reserve(&bed, &bed.c, 300, GFP_KERNEL), 0);
			take_all(&bed);
			/* Far more stores than the working set covers: begin has to wait for it. */
			for (unsigned long i = 0; i < 300; i++) {
				unsigned long first = STEP * (i * 31 % 900) + 3;

				if (i % 4 == 0)
					mt_credits_begin(&bed.c, 4);
				assert_int_equal(
					credit_store(&bed, first, first + 1, xa_mk_value(i)), 0);
			}
			bed_free(&bed);
		}
		unregister_reader(flavor);
	}
}

/* ---- A reader that stays ---- */

struct stayer {
	struct maple_tree *mt;
	pthread_t thread;
	sem_t entered, leave;
};

static void *stay(void *arg)
{
	struct stayer *s = arg;

	register_reader(mt_rcu_flavor(s->mt));
	mt_rcu_read_lock(s->mt);
	sem_post(&s->entered);
	sem_wait(&s->leave);
	mt_rcu_read_unlock(s->mt);
	unregister_reader(mt_rcu_flavor(s->mt));
	return NULL;
}

static void stayer_begin(struct stayer *s, struct maple_tree *mt)
{
	s->mt = mt;
	sem_init(&s->entered, 0, 0);
	sem_init(&s->leave, 0, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, stay, s), 0);
	sem_wait(&s->entered);
}

static void stayer_end(struct stayer *s)
{
	sem_post(&s->leave);
	pthread_join(s->thread, NULL);
	sem_destroy(&s->entered);
	sem_destroy(&s->leave);
}

/*
 * A reader that stays holds up all replaced nodes. While there are nodes that belong to nobody,
 * they make up for those, and nothing waits: the wait would never end.
 */
static void begins_in(struct bed *bed, unsigned long n)
{
	unsigned long nr = 160, batch = 8;
	struct stayer stayer;

	assert_int_equal(mt_credits_set_batch(&bed->c, batch), 0);
	assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
	mt_mem_barrier(bed->mem);
	stayer_begin(&stayer, &bed->tree);
	for (unsigned long i = 0; i < nr; i++) {
		unsigned long first = spot_of(i, n).first;

		if (i % batch == 0) {
			mt_credits_begin(&bed->c, batch);
			/* From here on it must manage with what is pledged. */
			take_all(bed);
		}
		assert_int_equal(credit_store(bed, first, first + 2, xa_mk_value(i)), 0);
		if (i % batch == batch - 1) {
			expect_good(bed);
			give_all(bed);
		}
	}
	stayer_end(&stayer);
}

static void free_nodes_save_waiting(void **state)
{
	(void)state;
	everywhere(begins_in);
}

/* Begin does not wait for nodes that have come back, even if no node is free for anybody. */
static void begins_again_in(struct bed *bed, unsigned long n)
{
	unsigned long rounds = 10, batch = 8, lent = 0;

	assert_int_equal(mt_credits_set_batch(&bed->c, batch), 0);
	assert_int_equal(reserve(bed, &bed->c, rounds * batch, GFP_KERNEL), 0);
	for (unsigned long i = 0; i < rounds * batch; i++) {
		unsigned long first = spot_of(i, n).first;

		if (i % batch == 0) {
			mt_mem_barrier(bed->mem);
			take_all(bed);
			assert_false(smr_credits_begin(&bed->c, batch));
		}
		assert_int_equal(credit_store(bed, first, first + 2, xa_mk_value(i)), 0);
		lent += bed->c.limbo[0] + bed->c.limbo[1];
	}
	if (mt_in_rcu(&bed->tree) && n >= 45 && bed->c.mode == MT_CREDITS_RECYCLING)
		assert_true(lent > 0);
}

static void what_is_back_needs_no_waiting(void **state)
{
	(void)state;
	everywhere(begins_again_in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spending_too_much_is_caught), /* forks, before there are threads */
		cmocka_unit_test(answers),
		cmocka_unit_test(refusals_are_counted_once),
		cmocka_unit_test(returned_credits_are_not_announced),
		cmocka_unit_test(cursors_with_errors),
		cmocka_unit_test(the_sum),
		cmocka_unit_test(stores_need_what_is_pledged),
		cmocka_unit_test(in_single_calls),
		cmocka_unit_test(in_every_flavor),
		cmocka_unit_test(free_nodes_save_waiting),
		cmocka_unit_test(what_is_back_needs_no_waiting),
	};

	return cmocka_run_group_tests_name("tree_credits", tests, NULL, NULL);
}
