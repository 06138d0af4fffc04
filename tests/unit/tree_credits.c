/* SPDX-License-Identifier: MIT */
/*
 * Credits on one thread: what the calls answer, what they keep of memory and give back, and what
 * everybody else may and may not do meanwhile. Every test runs in each mode of the tree and of the
 * holder.
 */
#include "support/child.h"
#include "support/env.h"

#include "flavors.h"
#include "base/hooks.h"
#include "mem/mem_internal.h"
#include "support/treecheck.h"
#include "tree/write.h"

#include <errno.h>
#include <pthread.h>
#include <samara/credits.h>
#include <semaphore.h>
#include <stdlib.h>

#define STEP 20UL

static const unsigned long sizes[] = { 0, 1, 2, 45, 900, 12000 };

#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* A tree beside its model, with an arena of its own, all of which can be taken away. */
struct bed {
	struct maple_tree tree;
	struct mt_mem *mem;
	struct range_model model;
	struct mt_credits c;
	struct smr_nodes hoard;
	bool held; /* the external lock */
};

static bool bed_held(void *lock)
{
	return ((struct bed *)lock)->held;
}

static void bed_lock(struct bed *bed)
{
	if (!mt_external_lock(&bed->tree))
		mtree_lock(&bed->tree);
	bed->held = true;
}

static void bed_unlock(struct bed *bed)
{
	bed->held = false;
	if (!mt_external_lock(&bed->tree))
		mtree_unlock(&bed->tree);
}

/* With an external lock it is held for what else takes the internal one. */
static void bed_enter(struct bed *bed)
{
	bed->held = true;
}

/* Also what an emergency could use: from here on there are the pledged nodes, and no others. */
static void take_all(struct bed *bed)
{
	while (!smr_mem_take(bed->mem, &bed->hoard, 1, GFP_ATOMIC | __GFP_NOWARN))
		;
}

static void give_all(struct bed *bed)
{
	smr_mem_give_list(bed->mem, &bed->hoard);
}

static int plain_store(struct bed *bed, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	MA_STATE(mas, &bed->tree, first, last);
	int err;

	bed_lock(bed);
	err = mas_store_gfp(&mas, entry, gfp);
	bed_unlock(bed);
	if (!err)
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
	return err;
}

static int credit_store(struct bed *bed, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &bed->tree, first, last);
	int err;

	bed_lock(bed);
	err = mas_store_credit(&mas, entry, &bed->c);
	if (!err && mas.status == ma_active && entry) {
		assert_int_equal(mas.index, first);
		assert_int_equal(mas.last, last);
	}
	bed_unlock(bed);
	if (!err)
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
	return err;
}

static int reserve(struct bed *bed, struct mt_credits *c, unsigned long nr, gfp_t gfp)
{
	int err;

	bed_enter(bed);
	err = mt_credits_reserve(c, nr, gfp);
	bed->held = false;
	return err;
}

/* Are there free nodes for all that is pledged and not lent? */
static bool pledge_is_free(struct bed *bed)
{
	bool is;

	mt_lock_acquire(&bed->mem->lock);
	is = bed->mem->free >= smri_mem_pledged(bed->mem);
	mt_lock_release(&bed->mem->lock);
	return is;
}

static void expect_good(struct bed *bed)
{
	char why[WHY_SIZE];

	bed_lock(bed);
	if (!tree_good(&bed->tree, &bed->model, why))
		fail_msg("%s", why);
	bed_unlock(bed);
	assert_true(pledge_is_free(bed));
}

static unsigned long pledged(struct bed *bed)
{
	struct mt_mem_stats stats;

	mt_mem_stats(bed->mem, &stats);
	return stats.nodes_pledged;
}

static void bed_make(struct bed *bed, unsigned int flags, enum mt_rcu_flavor flavor,
		     enum mt_credits_mode mode, unsigned long n)
{
	*bed = (struct bed){ .held = false };
	bed->mem = mt_mem_create(4 * MT_CHUNK_SIZE, NULL);
	assert_non_null(bed->mem);
	mt_init_flags(&bed->tree, flags & ~(unsigned int)MT_FLAGS_USE_RCU);
	assert_int_equal(mt_set_mem(&bed->tree, bed->mem), 0);
	assert_int_equal(mt_set_rcu_flavor(&bed->tree, flavor), 0);
	if (mt_external_lock(&bed->tree))
		mt_set_external_lock_check(&bed->tree, bed, bed_held);
	bed_enter(bed);
	if (flags & MT_FLAGS_USE_RCU)
		mt_set_in_rcu(&bed->tree);
	bed->held = false;
	rm_init(&bed->model);
	for (unsigned long i = 0; i < n; i++)
		assert_int_equal(plain_store(bed, STEP * i, n == 1 ? 0 : STEP * i + STEP / 2,
					     xa_mk_value(i), GFP_KERNEL),
				 0);
	mt_credits_init(&bed->c, &bed->tree, mode);
}

static void bed_free(struct bed *bed)
{
	expect_good(bed);
	bed_enter(bed);
	mt_credits_release(&bed->c);
	mt_credits_release(&bed->c);
	assert_int_equal(mt_credits_left(&bed->c), 0);
	bed->held = false;
	assert_int_equal(pledged(bed), 0);
	bed_lock(bed);
	__mt_destroy(&bed->tree);
	bed_unlock(bed);
	give_all(bed);
	mt_mem_barrier(bed->mem);
	assert_int_equal(nodes_in_use(bed->mem), 0);
	mt_mem_destroy(bed->mem);
	rm_destroy(&bed->model);
}

static void everywhere(void (*body)(struct bed *bed, unsigned long n))
{
	/* The tallest tree is compared with the model very often: too often for a slow build. */
	unsigned long nr_sizes = env_scaled(100) < 50 ? NR_SIZES - 1 : NR_SIZES;
	struct bed bed;

	for (unsigned int i = 0; i < 16 * nr_sizes; i++) {
		unsigned int flags = (i & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (i & 2 ? MT_FLAGS_LOCK_EXTERN : 0) |
				     (i & 4 ? MT_FLAGS_ALLOC_RANGE : 0);

		bed_make(&bed, flags, MT_RCU_BP, i & 8 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING,
			 sizes[i / 16]);
		body(&bed, sizes[i / 16]);
		bed_free(&bed);
	}
}

/* ---- Answers ---- */

static void answers_in(struct bed *bed, unsigned long n)
{
	struct mt_credits *c = &bed->c;
	unsigned long kept;

	(void)n;
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(mt_credits_bytes(c), 0);
	assert_int_equal(mt_credits_set_batch(c, 0), -EINVAL);
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
	bed_enter(bed);
	mt_credits_return(c, 0);
	mt_credits_return(c, 2);
	bed->held = false;
	assert_int_equal(mt_credits_left(c), 3);
	assert_int_equal(pledged(bed), kept);
	mt_credits_begin(c, 3);
	assert_int_equal(credit_store(bed, 9, 8, xa_mk_value(1)), -EINVAL);
	assert_int_equal(mt_credits_left(c), 3);
	for (unsigned long i = 0; i < 3; i++)
		assert_int_equal(credit_store(bed, 7 * i, 9 * i + 1, xa_mk_value(i)), 0);
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(reserve(bed, c, 1, GFP_KERNEL), 0);
	bed_enter(bed);
	mt_credits_return(c, 1);
	bed->held = false;
	assert_int_equal(mt_credits_left(c), 0);
	assert_int_equal(mt_credits_bytes(c), 0);
	assert_int_equal(pledged(bed), 0);
	assert_int_equal(mt_credits_set_batch(c, 6), 0);
}

/* What was announced of credits that have been returned is announced no longer. */
static void returned_in(struct bed *bed, unsigned long n)
{
	(void)n;
	assert_int_equal(reserve(bed, &bed->c, 5, GFP_KERNEL), 0);
	mt_credits_begin(&bed->c, 5);
	assert_int_equal(credit_store(bed, 3, 4, xa_mk_value(1)), 0);
	bed_enter(bed);
	mt_credits_return(&bed->c, 2);
	bed->held = false;
	assert_int_equal(bed->c.begun, 2);
	assert_int_equal(credit_store(bed, 5, 6, xa_mk_value(2)), 0);
	bed_enter(bed);
	mt_credits_return(&bed->c, 1);
	mt_credits_release(&bed->c);
	bed->held = false;
	assert_int_equal(bed->c.begun, 0);
	assert_int_equal(reserve(bed, &bed->c, 5, GFP_KERNEL), 0);
	assert_int_equal(bed->c.begun, 0);
	mt_credits_begin(&bed->c, 3);
	bed_enter(bed);
	mt_credits_return(&bed->c, 2);
	bed->held = false;
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

/* A cursor with an error stores nothing, and its holder keeps the credit. */
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

/* In a child, on a tree with a few credits: does @body abort, as misuse has to in a debug build? */
static bool is_caught(unsigned int flags, int (*body)(void *bed))
{
	struct bed bed;
	bool caught;

	bed_make(&bed, flags, MT_RCU_BP, MT_CREDITS_RECYCLING, 50);
	assert_int_equal(reserve(&bed, &bed.c, 2, GFP_KERNEL), 0);
	bed_enter(&bed);
	caught = child_aborts(body, &bed);
	bed.held = false;
	bed_free(&bed);
	return caught;
}

static unsigned int begun;

/* One store more than there are credits for. */
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

/* ---- Stores ---- */

/* With not a node to spare, and all that is replaced held up: one batch. */
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
		unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;

		assert_int_equal(credit_store(bed, first, first + (i % 3 ? 2 : STEP * i),
					      i % 4 ? xa_mk_value(i) : NULL),
				 0);
		take_all(bed);
		expect_good(bed);
	}
	mt_rcu_read_unlock(&bed->tree);
}

static void stores_need_what_is_pledged(void **state)
{
	(void)state;
	everywhere(stores_in);
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
			/* Many times more than the working set: begin has to wait for it. */
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
 * A reader that stays holds all up that is replaced. As long as there are nodes that are nobody's
 * they make that good, and nobody waits: it would be for ever.
 */
static void begins_in(struct bed *bed, unsigned long n)
{
	unsigned long nr = 400, batch = 8;
	struct stayer stayer;

	assert_int_equal(mt_credits_set_batch(&bed->c, batch), 0);
	assert_int_equal(reserve(bed, &bed->c, nr, GFP_KERNEL), 0);
	mt_mem_barrier(bed->mem);
	stayer_begin(&stayer, &bed->tree);
	for (unsigned long i = 0; i < nr; i++) {
		unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;

		if (i % batch == 0) {
			mt_credits_begin(&bed->c, batch);
			/* From here on it has to do with what is pledged. */
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

/* ---- The others ---- */

static unsigned long refused, done;

/* A store that is refused has changed nothing, and the pledge is as it was. */
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
	assert_true(refused > 100 && done > 100);
}

/*
 * A bulk load beside holders has what they come to be owed, too: whatever its stores let go is
 * taken away at once.
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
		bed_enter(bed);
		mt_credits_release(&bed->c);
		bed->held = false;
		give_all(bed);
	}
}

static void bulk_loads_pay_beforehand(void **state)
{
	(void)state;
	everywhere(bulk_in);
}

/* The tree is emptied, and made anew, with credits out. */
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

/*
 * Several holders of both modes on the tree, and on a second one beside it, which a copy is made
 * of.
 */
static void shares_in(struct bed *bed, unsigned long n)
{
	struct mt_credits more[4];
	struct maple_tree copy;

	mt_init_flags(&copy, bed->tree.ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	assert_int_equal(mt_set_mem(&copy, bed->mem), 0);
	if (mt_external_lock(&copy))
		mt_set_external_lock_check(&copy, bed, bed_held);
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

/* ---- Transactions ---- */

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
			unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;
			unsigned long last = first + (i % 3 ? 2 : STEP * i);
			void *entry = i % 4 ? xa_mk_value(i) : NULL;

			assert_int_equal(mt_txn_store_credit(&txn, first, last, entry, &bed->c), 0);
			if (keep)
				assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
			take_all(bed); /* what it lets go of, others take */
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
		bed_enter(bed);
		mt_credits_release(&bed->c);
		bed->held = false;
		give_all(bed);
	}
}

static void transactions_spend_or_give_back(void **state)
{
	(void)state;
	everywhere(txn_in);
}

/* A store without a credit, with a few nodes that are anybody's; what it leaves others take. */
static int store_beside(struct bed *bed, struct mt_txn *txn, unsigned long first,
			unsigned long last, void *entry)
{
	int err;

	for (unsigned int i = 0; i < 6 && bed->hoard.nr > 0; i++)
		smr_mem_give(bed->mem, smr_nodes_pop(&bed->hoard));
	err = mt_txn_store_range(txn, first, last, entry, GFP_NOWAIT | __GFP_NOWARN);
	assert_true(err == 0 || err == -ENOMEM);
	take_all(bed);
	return err;
}

/*
 * Some stores on credits, behind each one without that takes the place of what it has built: of a
 * few ranges, of many, of everything.
 */
static void mix(struct bed *bed, struct mt_txn *txn, unsigned long nr, unsigned long n,
		unsigned long width)
{
	for (unsigned long i = 0; i < nr; i++) {
		unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;
		unsigned long last = first + (i % 3 ? 2 : STEP * i);
		void *entry = i % 4 ? xa_mk_value(i) : NULL;

		assert_int_equal(mt_txn_store_credit(txn, first, last, entry, &bed->c), 0);
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
		take_all(bed);
		first = first > width ? first - width : 0;
		last = width == ULONG_MAX ? ULONG_MAX : last + width;
		entry = i % 2 ? NULL : xa_mk_value(100 + i);
		if (width == ULONG_MAX)
			entry = NULL;
		if (!store_beside(bed, txn, first, last, entry))
			assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
	}
}

/* The pledge is as large as it was, and there are nodes for it. */
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
		bed_enter(bed);
		mt_credits_release(&bed->c);
		bed->held = false;
		give_all(bed);
		mt_mem_barrier(bed->mem);
	}
}

static void others_in_the_same_transaction(void **state)
{
	(void)state;
	everywhere(mixed_in);
}

/* ---- Others amid it ---- */

/*
 * Comes wherever a store or the end of a transaction has let go of the arena's lock: waits for
 * grace periods to be over, and takes all nodes that are anybody's.
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

/* The pledge has its nodes; and none of them is lent any more when all are back. */
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

/* Store @i of some, as any; @keep: it will be in the tree. */
static void store_in(struct bed *bed, struct mt_txn *txn, unsigned long i, unsigned long n,
		     bool keep)
{
	unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;
	unsigned long last = first + (i % 3 ? 2 : STEP * i);
	void *entry = i % 4 ? xa_mk_value(i) : NULL;

	if (txn)
		assert_int_equal(mt_txn_store_credit(txn, first, last, entry, &bed->c), 0);
	else
		assert_int_equal(credit_store(bed, first, last, entry), 0);
	if (txn && keep)
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
}

#define AMID 12UL /* stores */

static void amid_stores(struct bed *bed, struct thief *t, unsigned long n)
{
	for (unsigned long i = 0; i < AMID; i++) {
		smr_hook_set_point(call_thief, t);
		store_in(bed, NULL, i, n, true);
		smr_hook_reset();
		expect_whole(bed);
	}
}

static void amid_null(struct bed *bed, struct thief *t, unsigned long n)
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
	for (unsigned long i = 0; i < AMID; i++) {
		store_in(bed, &txn, i, n, keep);
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

static void amid_commit(struct bed *bed, struct thief *t, unsigned long n)
{
	amid_txn(bed, t, n, true);
}

static void amid_abort(struct bed *bed, struct thief *t, unsigned long n)
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

static void (*amid)(struct bed *bed, struct thief *t, unsigned long n);

/* All that is left on credit can be stored afterwards, too. */
static void amid_in(struct bed *bed, unsigned long n)
{
	struct thief thief;

	assert_int_equal(mt_credits_set_batch(&bed->c, AMID), 0);
	assert_int_equal(reserve(bed, &bed->c, 3 * AMID, GFP_KERNEL), 0);
	mt_mem_barrier(bed->mem);
	take_all(bed);
	thief_begin(&thief, bed);
	mt_credits_begin(&bed->c, AMID);
	amid(bed, &thief, n);
	while (mt_credits_left(&bed->c) > 0) {
		unsigned long i = mt_credits_left(&bed->c);

		mt_credits_begin(&bed->c, 1);
		store_in(bed, NULL, i, n, true);
		take_all(bed);
	}
	thief_end(&thief);
}

static void others_come_amid_stores(void **state)
{
	(void)state;
	amid = amid_stores;
	everywhere(amid_in);
}

static void others_come_amid_nulls(void **state)
{
	(void)state;
	amid = amid_null;
	everywhere(amid_in);
}

static void others_come_amid_commits(void **state)
{
	(void)state;
	amid = amid_commit;
	everywhere(amid_in);
}

static void others_come_amid_aborts(void **state)
{
	(void)state;
	amid = amid_abort;
	everywhere(amid_in);
}

static void others_come_amid_destroying(void **state)
{
	(void)state;
	amid = amid_destroying;
	everywhere(amid_in);
}

/* The batch of credits that may come back is not to be changed. */
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
		bed_enter(bed);
		mt_credits_release(&bed->c);
		bed->held = false;
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

/* Neither credits nor nodes for others are to be had while the pledge is the view's. */
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
	bed_enter(bed);
	mt_credits_release(&late);
	bed->held = false;
}

static void open_transactions_refuse(void **state)
{
	(void)state;
	everywhere(refused_in);
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

/* Nothing is left, but an abort would give some back. */
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

/*
 * A credit returned behind an exact preallocation makes it void. Here the store takes the tree past
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
	/* One leaf, nearly full; with 21 credits that may come to three levels. */
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
	bed_enter(&bed);
	mt_credits_release(&strict);
	bed_free(&bed);
}

/* ---- The other ways ---- */

/* Nodes for a tree of up to some height stay good while others change it. */
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

/* Fewer nodes than needed: its own first, then free ones, then the reserve; else no change. */
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
		cmocka_unit_test(spending_too_much_is_caught), /* forks, before there are threads */
		cmocka_unit_test(misuse_beside_a_transaction_is_caught), /* likewise */
		cmocka_unit_test(another_tree_is_caught),                /* likewise */
		cmocka_unit_test(answers),
		cmocka_unit_test(returned_credits_are_not_announced),
		cmocka_unit_test(cursors_with_errors),
		cmocka_unit_test(stores_need_what_is_pledged),
		cmocka_unit_test(in_every_flavor),
		cmocka_unit_test(free_nodes_save_waiting),
		cmocka_unit_test(others_pay_for_themselves),
		cmocka_unit_test(bulk_loads_pay_beforehand),
		cmocka_unit_test(outlive_the_contents),
		cmocka_unit_test(holders_and_trees_share),
		cmocka_unit_test(returning_voids_a_preallocation),
		cmocka_unit_test(preallocating_by_height),
		cmocka_unit_test(a_few_and_the_reserve),
		cmocka_unit_test(transactions_spend_or_give_back),
		cmocka_unit_test(others_in_the_same_transaction),
		cmocka_unit_test(others_come_amid_stores),
		cmocka_unit_test(others_come_amid_nulls),
		cmocka_unit_test(others_come_amid_commits),
		cmocka_unit_test(others_come_amid_aborts),
		cmocka_unit_test(others_come_amid_destroying),
		cmocka_unit_test(batches_stay_while_credits_may_come_back),
		cmocka_unit_test(open_transactions_refuse),
	};

	return cmocka_run_group_tests_name("tree_credits", tests, NULL, NULL);
}
