/* SPDX-License-Identifier: MIT */
/*
 * Credits against an adversary. It knows the tree, picks the stores that cost most, and has taken
 * every node of the arena that is not pledged, even in the middle of transactions: a guaranteed
 * store that needs one node more than is pledged for it stops the test. All guaranteed stores are
 * made by a thread that may neither allocate nor make system calls (credits_guard.h).
 *
 * A round: holders announce stores; half the time a reader then pins everything in limbo, so that
 * nothing that a store replaces comes back before the round is over; the stores are made one by
 * one, in batches and in transactions that are committed or aborted; in between, other writers
 * store, with little memory, much, or none.
 */
#include "support/cm.h"

#include "credits_guard.h"
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/plan.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/fence.h>
#include <stdlib.h>

enum { TREES = 2, HOLDERS = 5 };

/* What kind of stores the adversary makes, and where, for a while. */
struct mood {
	unsigned long limit;             /* leaves that a tree should have */
	unsigned long align;             /* of cuts: the wider the fewer bits a node's keys need */
	unsigned int tries;              /* stores considered for each one made */
	unsigned int fixed;              /* steps from the top down that stay the same, */
	unsigned long turn[MT_PATH_MAX]; /* and which they are */
	unsigned int cut, astride, wipe; /* of 100 stores; the rest erase one range */
};

struct world {
	struct mt_mem *mem;
	struct maple_tree tree[TREES];
	struct mt_credits holder[HOLDERS];
	struct smr_nodes hoard; /* all nodes that are not pledged */
	struct mood mood;
	struct rng rng;
	unsigned long stores, single, txns, aborts, most_in_txn;
	unsigned long foreign, refused, reserved, not_reserved, waits;
	unsigned int highest;
};

/* ---- Memory ---- */

/* Takes all there is. Neither allocates nor makes system calls. */
static void hoard(struct world *w)
{
	while (!smr_mem_take(w->mem, &w->hoard, 1, GFP_ATOMIC | __GFP_NOWARN))
		;
}

static void feed(struct world *w, unsigned long nr)
{
	while (nr-- && w->hoard.head)
		smr_mem_give(w->mem, smr_nodes_pop(&w->hoard));
}

/*
 * Called after a guaranteed store. Leaves some free nodes at times, so that the next store's nodes
 * come sometimes from the thread's magazine, sometimes from the pledge.
 */
static void hoard_again(struct world *w)
{
	hoard(w);
	if (rng_one_in(&w->rng, 2))
		feed(w, rng_below(&w->rng, 8));
}

/* Checks what all of credits rests on: nodes that are pledged and not lent are there. */
static void expect_pledged(struct world *w, const char *after)
{
	unsigned long pledged, free_nodes, sum = 0;

	mt_lock_acquire(&w->mem->lock);
	pledged = smri_mem_pledged(w->mem);
	free_nodes = w->mem->free;
	mt_lock_release(&w->mem->lock);
	if (free_nodes < pledged)
		fail_msg("%s, after %lu stores: %lu nodes are pledged, %lu are there", after,
			 w->stores, pledged, free_nodes);
	for (unsigned int t = 0; t < TREES; t++)
		sum += w->tree[t].ma_pledge.pledged;
	assert_int_equal(sum, w->mem->pledged);
}

/* ---- Thinking of stores ---- */

struct store {
	unsigned long first, last;
	void *entry;
};

static unsigned int turn(struct world *w, unsigned int d, unsigned int bound)
{
	unsigned long n = d < w->mood.fixed ? w->mood.turn[d] : rng_next(&w->rng);

	return (unsigned int)(n % bound);
}

/* Sets @mas to a range in the leaf at the end of some way down. */
static void some_range(struct world *w, struct maple_tree *mt, struct ma_state *mas)
{
	unsigned long key = rng_next(&w->rng);
	void *enode = mt->ma_root;

	for (unsigned int d = 0; smr_is_enode(enode) && !smr_enode_leaf(enode); d++) {
		unsigned int i = turn(w, d, smr_count(enode));

		key = i ? smr_start(enode, i) : key;
		enode = smr_slots(enode)[i];
		if (i == 0 && d == 0)
			key = 0;
	}
	mas_set(mas, key);
	mas_walk(mas);
	for (uint64_t skip = rng_below(&w->rng, 40); mas->status == ma_active && skip; skip--) {
		if (mas->last >= mas->max)
			break;
		mas_set(mas, mas->last + 1);
		mas_walk(mas);
	}
	if (mas->status != ma_active) {
		mas->index = 0;
		mas->last = ULONG_MAX;
	}
}

static void *some_entry(struct world *w)
{
	return rng_one_in(&w->rng, 4) ? NULL : xa_mk_value(rng_below(&w->rng, 1 << 20));
}

static struct store think_cut(struct world *w, struct maple_tree *mt)
{
	MA_STATE(mas, mt, 0, 0);
	unsigned long third, mask;
	struct store s;

	some_range(w, mt, &mas);
	third = (mas.last - mas.index) / 3;
	mask = third > w->mood.align ? ~(w->mood.align - 1) : ~0UL;
	s = (struct store){ mas.index, mas.last, some_entry(w) };
	if (third == 0)
		return s;
	if (!rng_one_in(&w->rng, 6))
		s.first = (mas.index + 1 + rng_below(&w->rng, third)) & mask;
	if (!rng_one_in(&w->rng, 6))
		s.last = ((mas.last - rng_below(&w->rng, third)) & mask) - 1;
	if (s.first < mas.index || s.last > mas.last || s.first > s.last)
		return (struct store){ mas.index, mas.last, s.entry };
	return s;
}

/*
 * A store across a boundary between children of the top or of a node further down, which begins
 * within the last range before it.
 */
static struct store think_astride(struct world *w, struct maple_tree *mt)
{
	unsigned int depth = (unsigned int)rng_below(&w->rng, mt_height(mt));
	unsigned long key = 0, size = 1UL << rng_below(&w->rng, 44);
	void *enode = mt->ma_root;

	if (mt_height(mt) < 2)
		return think_cut(w, mt);
	for (unsigned int d = 0; !smr_enode_leaf(enode); d++) {
		unsigned int i = turn(w, d, smr_count(enode));

		if (d == (depth > mt_height(mt) - 2 ? 0 : depth)) {
			key = smr_start(enode, i ? i : 1);
			break;
		}
		enode = smr_slots(enode)[i];
	}
	size = rng_one_in(&w->rng, 2) ? 1 : size;
	return (struct store){ key - (key < size ? key : size),
			       key + size < key ? ULONG_MAX : key + size, some_entry(w) };
}

/* Clears some leaves or, in a tree that has grown too large, more of them; sometimes all. */
static struct store think_wipe(struct world *w, struct maple_tree *mt)
{
	bool large = mt->ma_pledge.leaves > w->mood.limit;
	uint64_t leaves = 1 + rng_below(&w->rng, large ? w->mood.limit / 2 : 4);
	struct store s = { 0, ULONG_MAX, NULL };
	MA_STATE(mas, mt, 0, 0);

	if (rng_one_in(&w->rng, large ? 50 : 2000))
		return s;
	some_range(w, mt, &mas);
	s.first = rng_one_in(&w->rng, 2) ? mas.min : mas.index;
	s.entry = rng_one_in(&w->rng, 3) ? xa_mk_value(1) : NULL;
	while (leaves-- && mas.status == ma_active) {
		s.last = mas.max;
		if (s.last == ULONG_MAX)
			break;
		mas_set(&mas, s.last + 1);
		mas_walk(&mas);
	}
	return s;
}

static struct store think(struct world *w, struct maple_tree *mt)
{
	unsigned int way = (unsigned int)rng_below(&w->rng, 100);
	unsigned int wipe = mt->ma_pledge.leaves > w->mood.limit ? 50 : w->mood.wipe;
	MA_STATE(mas, mt, 0, 0);

	if (way < wipe)
		return think_wipe(w, mt);
	if (way < wipe + w->mood.astride)
		return think_astride(w, mt);
	if (way < wipe + w->mood.astride + w->mood.cut)
		return think_cut(w, mt);
	some_range(w, mt, &mas);
	return (struct store){ mas.index, mas.last, NULL };
}

static unsigned int cost_of(struct maple_tree *mt, const struct store *s)
{
	MA_STATE(mas, mt, s->first, s->last);
	struct smr_write plan;

	return smr_plan(&plan, &mas, s->first, s->last, s->entry, false) ? 0 : plan.nodes;
}

/* Returns the one of the considered stores that builds most. */
static struct store choose(struct world *w, struct maple_tree *mt)
{
	struct store best = think(w, mt);
	unsigned int most = w->mood.tries > 1 ? cost_of(mt, &best) : 0;

	for (unsigned int t = 1; t < w->mood.tries; t++) {
		struct store s = think(w, mt);
		unsigned int cost = cost_of(mt, &s);

		if (cost > most) {
			most = cost;
			best = s;
		}
	}
	return best;
}

/* CONTEXT: nothing else is written until the store is made. */
static struct store choose_unlocked(struct world *w, struct maple_tree *mt)
{
	struct store s;

	mtree_lock(mt);
	s = choose(w, mt);
	mtree_unlock(mt);
	return s;
}

static void new_mood(struct world *w)
{
	static const unsigned long limits[] = { 3, 20, 60, 200, 800, 2500 };
	static const unsigned int tries[] = { 1, 1, 2, 4, 8 };

	w->mood.limit = limits[rng_below(&w->rng, 6)];
	w->mood.align = 1UL << rng_below(&w->rng, 40);
	w->mood.tries = tries[rng_below(&w->rng, 5)];
	w->mood.fixed = (unsigned int)rng_below(&w->rng, 4);
	for (unsigned int d = 0; d < MT_PATH_MAX; d++)
		w->mood.turn[d] = rng_next(&w->rng);
	w->mood.wipe = rng_one_in(&w->rng, 3) ? 10 : 0;
	w->mood.astride = (unsigned int)rng_below(&w->rng, 40);
	w->mood.cut = 20 + (unsigned int)rng_below(&w->rng, 80);
}

/* ---- What the guarded thread does ---- */

enum how { ONE_BY_ONE, IN_A_BATCH, TO_COMMIT, TO_ABORT, NR_HOWS };

static const char *const names[] = { "one by one", "batch", "transaction", "aborted transaction" };

struct job {
	struct world *w;
	struct mt_credits *c;
	unsigned long nr;
	enum how how;
	bool begun;
	int err;
};

static void do_begin(void *arg)
{
	struct job *job = arg;

	mt_credits_begin(job->c, job->nr);
}

static void do_txn(struct job *job)
{
	struct world *w = job->w;
	struct mt_txn txn;

	mt_txn_begin(&txn, job->c->mt);
	for (unsigned long i = 0; i < job->nr && !job->err; i++) {
		struct store s = choose(w, &txn.view);

		job->err = mt_txn_store_credit(&txn, s.first, s.last, s.entry, job->c);
		hoard_again(w);
	}
	if (job->how == TO_COMMIT)
		mt_txn_commit(&txn);
	else
		mt_txn_abort(&txn);
}

static void do_batch(struct job *job)
{
	for (unsigned long i = 0; i < job->nr && !job->err; i++) {
		struct store s = choose(job->w, job->c->mt);
		MA_STATE(mas, job->c->mt, s.first, s.last);

		job->err = mas_store_credit(&mas, s.entry, job->c);
		hoard_again(job->w);
	}
}

static void do_stores(void *arg)
{
	struct job *job = arg;
	struct maple_tree *mt = job->c->mt;

	if (job->how == ONE_BY_ONE && !job->begun) {
		for (unsigned long i = 0; i < job->nr && !job->err; i++) {
			struct store s = choose_unlocked(job->w, mt);

			job->err = mtree_store_range_credit(job->c, s.first, s.last, s.entry);
			hoard_again(job->w);
		}
		return;
	}
	if (!job->begun)
		mt_credits_begin(job->c, job->nr);
	mtree_lock(mt);
	if (job->how == TO_COMMIT || job->how == TO_ABORT)
		do_txn(job);
	else
		do_batch(job);
	mtree_unlock(mt);
}

struct guarded {
	void (*fn)(void *arg);
	struct job *job;
};

/* In a section, where nothing may be allocated, announcing stores allocates nothing either. */
static void in_section(void *arg)
{
	struct guarded *g = arg;

	fence_begin_signalling();
	g->fn(g->job);
	fence_end_signalling();
}

static void run(void (*fn)(void *arg), struct job *job)
{
	struct guarded guarded = { fn, job };
	const char *fault = credits_guard_run(in_section, &guarded);

	if (fault) {
		/* The thread cannot go on, nor release the locks that it holds. */
		fprintf(stderr,
			"after %lu guaranteed stores, %lu more to make in way %d, mode %d: %s\n",
			job->w->stores, job->nr, (int)job->how, (int)job->c->mode, fault);
		_Exit(1);
	}
	assert_int_equal(job->err, 0);
}

static void make_stores(struct world *w, struct mt_credits *c, unsigned long nr, bool begun)
{
	unsigned long left = mt_credits_left(c);
	struct job job = { w, c, nr, (enum how)rng_below(&w->rng, NR_HOWS), begun, 0 };

	run(do_stores, &job);
	assert_int_equal(mt_credits_left(c), job.how == TO_ABORT ? left : left - nr);
	w->stores += nr;
	w->single += job.how == ONE_BY_ONE && !begun ? nr : 0;
	w->txns += job.how == TO_COMMIT;
	w->aborts += job.how == TO_ABORT;
	if (job.how >= TO_COMMIT && nr > w->most_in_txn)
		w->most_in_txn = nr;
	expect_pledged(w, names[job.how]);
}

/* ---- What the others do ---- */

static void reserve(struct world *w)
{
	struct mt_credits *c = &w->holder[rng_below(&w->rng, HOLDERS)];
	unsigned long left = mt_credits_left(c),
		      nr = 1 + rng_below(&w->rng, 1 << rng_below(&w->rng, 8));
	unsigned long pledged = c->mt->ma_pledge.pledged;
	static const unsigned long batches[] = { 1, 2, 7, 64 };
	int err;

	if (left == 0)
		assert_int_equal(mt_credits_set_batch(c, batches[rng_below(&w->rng, 4)]), 0);
	/* Too little at times, otherwise enough even for strict ones and a new working set. */
	feed(w, rng_one_in(&w->rng, 3) ? rng_below(&w->rng, 300) : 1500 + 16 * nr);
	err = mt_credits_reserve(c, nr, rng_one_in(&w->rng, 2) ? GFP_KERNEL : GFP_NOWAIT);
	hoard(w);
	assert_true(err == 0 || err == -ENOMEM);
	assert_int_equal(mt_credits_left(c), err ? left : left + nr);
	if (err)
		assert_int_equal(c->mt->ma_pledge.pledged, pledged);
	w->reserved += !err;
	w->not_reserved += err != 0;
	expect_pledged(w, __func__);
}

static void foreign_store(struct world *w, struct maple_tree *mt, gfp_t gfp)
{
	unsigned long seq = mt->ma_seq, built = mt->ma_nodes_built, pledged = mt->ma_pledge.pledged;
	struct store s = choose_unlocked(w, mt);
	int err = mtree_store_range(mt, s.first, s.last, s.entry, gfp);

	assert_true(err == 0 || err == -ENOMEM);
	if (err) {
		assert_int_equal(mt->ma_seq, seq);
		assert_int_equal(mt->ma_nodes_built, built);
		assert_int_equal(mt->ma_pledge.pledged, pledged);
	}
	w->foreign++;
	w->refused += err != 0;
}

static void foreign_stores(struct world *w)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT };
	struct maple_tree *mt = &w->tree[rng_below(&w->rng, TREES)];
	uint64_t nr = 1 + rng_below(&w->rng, 8);
	bool plenty = rng_one_in(&w->rng, 3);

	while (nr--) {
		feed(w, plenty ? 400 : rng_below(&w->rng, 10));
		foreign_store(w, mt, gfps[rng_below(&w->rng, 3)]);
		hoard(w);
		expect_pledged(w, __func__);
	}
}

/* Stores many entries at once, so that the tree becomes higher. */
static void foreign_flood(struct world *w)
{
	struct maple_tree *mt = &w->tree[rng_below(&w->rng, TREES)];
	unsigned long base = rng_next(&w->rng) >> 1, step = 1UL << rng_below(&w->rng, 12);

	feed(w, 2000);
	for (unsigned long i = 0; i < 1200; i++) {
		int err = mtree_store_range(mt, base + 2 * i * step, base + 2 * i * step + step,
					    xa_mk_value(i), GFP_NOWAIT);

		w->foreign++;
		w->refused += err != 0;
		if (err)
			break;
	}
	hoard(w);
	expect_pledged(w, __func__);
}

static void foreign(struct world *w)
{
	if (rng_one_in(&w->rng, 150))
		foreign_flood(w);
	else if (rng_one_in(&w->rng, 100))
		mtree_destroy(&w->tree[rng_below(&w->rng, TREES)]);
	else if (rng_one_in(&w->rng, 30))
		mt_credits_release(&w->holder[rng_below(&w->rng, HOLDERS)]);
	else
		foreign_stores(w);
	hoard(w);
	expect_pledged(w, __func__);
}

/* ---- Rounds ---- */

static void check_trees(struct world *w)
{
	char why[WHY_SIZE];

	for (unsigned int t = 0; t < TREES; t++) {
		mtree_lock(&w->tree[t]);
		if (!tree_sound(&w->tree[t], why))
			fail_msg("after %lu stores: %s", w->stores, why);
		if (mt_height(&w->tree[t]) > w->highest)
			w->highest = mt_height(&w->tree[t]);
		mtree_unlock(&w->tree[t]);
	}
}

static unsigned long some_number(struct world *w, const struct mt_credits *c)
{
	unsigned long most = mt_credits_left(c);

	if (c->mode == MT_CREDITS_RECYCLING && most > c->batch)
		most = c->batch;
	return most ? rng_one_in(&w->rng, 3) ? most : 1 + rng_below(&w->rng, most) : 0;
}

/* Makes all announced stores while a reader keeps all nodes from coming back. */
static void pinned_round(struct world *w)
{
	unsigned long nr[HOLDERS];

	mt_mem_barrier(w->mem);
	hoard(w);
	for (unsigned int h = 0; h < HOLDERS; h++) {
		struct job job = { .w = w, .c = &w->holder[h] };

		job.nr = nr[h] = some_number(w, job.c);
		if (job.nr)
			run(do_begin, &job);
	}
	mt_rcu_read_lock(&w->tree[0]);
	for (unsigned int h = 0; h < HOLDERS; h++) {
		/* They may have been released meanwhile. */
		if (nr[h] && mt_credits_left(&w->holder[h]) >= nr[h])
			make_stores(w, &w->holder[h], nr[h], true);
		if (rng_one_in(&w->rng, 2))
			foreign(w);
	}
	mt_rcu_read_unlock(&w->tree[0]);
}

static void loose_round(struct world *w)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct mt_credits *c = &w->holder[rng_below(&w->rng, HOLDERS)];
		unsigned long nr = some_number(w, c);

		if (nr)
			make_stores(w, c, nr, false);
		if (rng_one_in(&w->rng, 2))
			foreign(w);
		if (rng_one_in(&w->rng, 3))
			reserve(w);
	}
}

static void world_make(struct world *w, unsigned int flags, size_t limit)
{
	w->mem = mt_mem_create(limit, NULL);
	assert_non_null(w->mem);
	while (!smr_mem_refill(w->mem, &w->hoard, 1))
		;
	hoard(w);
	for (unsigned int t = 0; t < TREES; t++) {
		mt_init_flags(&w->tree[t], flags | (t % 2 ? MT_FLAGS_ALLOC_RANGE : 0));
		assert_int_equal(mt_set_mem(&w->tree[t], w->mem), 0);
	}
	for (unsigned int h = 0; h < HOLDERS; h++)
		mt_credits_init(&w->holder[h], &w->tree[h % TREES],
				h < 2 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING);
}

static void world_end(struct world *w)
{
	struct mt_mem_stats stats;

	for (unsigned int h = 0; h < HOLDERS; h++)
		mt_credits_release(&w->holder[h]);
	for (unsigned int t = 0; t < TREES; t++)
		mtree_destroy(&w->tree[t]);
	mt_mem_barrier(w->mem);
	mt_mem_stats(w->mem, &stats);
	assert_int_equal(stats.nodes_pledged, 0);
	feed(w, ULONG_MAX);
	assert_int_equal(nodes_in_use(w->mem), 0);
	mt_mem_destroy(w->mem);
}

static void fight(const char *name, unsigned int flags, uint64_t stores)
{
	static struct world w;

	w = (struct world){ 0 };
	world_make(&w, flags, 6 * MT_CHUNK_SIZE);
	for (uint64_t r = 0; w.stores < stores; r++) {
		w.rng = rng_make(env_seed() + flags, r);
		if (r % 16 == 0)
			new_mood(&w);
		reserve(&w);
		if (rng_one_in(&w.rng, 2))
			pinned_round(&w);
		else
			loose_round(&w);
		if (r % 64 == 0)
			check_trees(&w);
	}
	check_trees(&w);
	print_message(
		"%s: %lu guaranteed stores (%lu one by one), %lu commits, %lu aborts of up to "
		"%lu stores, up to %u levels; %lu foreign stores, %lu refused; %lu times "
		"reserved, %lu refused\n",
		name, w.stores, w.single, w.txns, w.aborts, w.most_in_txn, w.highest, w.foreign,
		w.refused, w.reserved, w.not_reserved);
	if (stores >= 8000) {
		assert_true(w.refused > 0 && w.refused < w.foreign);
		assert_true(w.not_reserved > 0 && w.highest >= 2);
	}
	world_end(&w);
}

static void beside_readers(void **state)
{
	(void)state;
	fight("with lock-free readers", MT_FLAGS_USE_RCU, env_ops(16000) / 2);
}

static void under_the_lock(void **state)
{
	(void)state;
	fight("without", 0, env_ops(16000) / 2);
}

/* Ten thousand stores in one transaction, aborted and then made again. */
static void large_transactions(void **state)
{
	unsigned long nr = env_scaled(10000);
	static struct world w;

	(void)state;
	w = (struct world){ .rng = rng_make(env_seed(), 7) };
	world_make(&w, MT_FLAGS_USE_RCU, 48 * MT_CHUNK_SIZE);
	new_mood(&w);
	w.mood.tries = 1;
	w.mood.limit = 4000;
	assert_int_equal(mt_credits_set_batch(&w.holder[2], nr), 0);
	feed(&w, ULONG_MAX);
	assert_int_equal(mt_credits_reserve(&w.holder[2], nr, GFP_KERNEL), 0);
	hoard(&w);
	for (unsigned int i = 0; i < 2; i++) {
		struct job job = { &w, &w.holder[2], nr, i ? TO_COMMIT : TO_ABORT, false, 0 };

		run(do_stores, &job);
		expect_pledged(&w, names[job.how]);
		assert_int_equal(mt_credits_left(&w.holder[2]), i ? 0 : nr);
	}
	check_trees(&w);
	print_message("%lu stores in one transaction, up to %u levels\n", nr, w.highest);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_readers),
		cmocka_unit_test(under_the_lock),
		cmocka_unit_test(large_transactions),
	};

	if (!credits_guard_start())
		print_message("no seccomp filter here: system calls go unnoticed\n");
	return cmocka_run_group_tests_name("credits_adversary", tests, NULL, NULL);
}
