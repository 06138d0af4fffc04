/* SPDX-License-Identifier: MIT */
/*
 * Trees that have been told the most ranges that they will ever have, in an arena whose other nodes
 * are all used up: credits cost nothing, any number of times, whatever the tree becomes within its
 * bound, and with them it goes through everything from empty to as large as possible.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/pledge.h"

#include <errno.h>
#include <limits.h>
#include <samara/credits.h>
#include <string.h>

enum { CRUMBS = 64, SLACK = 16 }; /* SLACK: nodes that may stay pledged for a while */
#define ENTRY(n) xa_mk_value((n)&0xffff)

struct world {
	struct mt_mem *mem;
	struct maple_tree tree, filler, crumbs[CRUMBS];
	struct range_model model, before;
	struct mt_credits credits;
	unsigned long entries, keys, step, all; /* all: nodes, pledged or in the tree */
};

/*
 * How a tree is treated for a while: how many of a hundred stores erase, and how many keys each
 * covers at most.
 */
struct mood {
	unsigned int erase, width;
};

static void in_arena(struct maple_tree *mt, struct mt_mem *mem, unsigned int flags)
{
	mt_init_flags(mt, flags);
	assert_int_equal(mt_set_mem(mt, mem), 0);
}

static void use_up(struct world *w)
{
	int err = 0;

	for (unsigned long i = 0; !err; i++)
		err = mtree_store_range(&w->filler, 3 * i, 3 * i + 1, ENTRY(7), GFP_KERNEL);
	for (unsigned int i = 0; i < CRUMBS; i++)
		err = mtree_store(&w->crumbs[i], 5, ENTRY(7), GFP_KERNEL);
	assert_int_equal(err, -ENOMEM);
}

/* The number of nodes by the census; those missing from the bound are pledged. */
static unsigned long nodes(const struct maple_tree *mt)
{
	return mt->ma_pledge.leaves + mt->ma_pledge.inner;
}

static void begin(struct world *w, unsigned long entries, unsigned long batch, unsigned long step,
		  unsigned int flags)
{
	memset(w, 0, sizeof(*w));
	w->entries = entries;
	w->keys = 8 * entries;
	w->step = step;
	rm_init(&w->model);
	rm_init(&w->before);
	w->mem = mt_mem_create(2 * MT_CHUNK_SIZE, NULL);
	in_arena(&w->tree, w->mem, flags);
	in_arena(&w->filler, w->mem, 0);
	for (unsigned int i = 0; i < CRUMBS; i++)
		in_arena(&w->crumbs[i], w->mem, 0);
	mt_credits_init(&w->credits, &w->tree, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&w->credits, batch), 0);
	mtree_lock(&w->tree);
	smr_pledge_bound(&w->tree, 2 * entries + 1);
	mtree_unlock(&w->tree);
	/* One credit that stays. */
	assert_int_equal(mt_credits_reserve(&w->credits, 1, GFP_KERNEL), 0);
	w->all = w->tree.ma_pledge.pledged;
	use_up(w);
}

static void check(struct world *w)
{
	struct mt_stats stats;
	char why[WHY_SIZE];

	mtree_lock(&w->tree);
	mt_stats(&w->tree, &stats);
	assert_int_equal(nodes(&w->tree), stats.nodes);
	if (!tree_good(&w->tree, &w->model, why))
		fail_msg("%s", why);
	mtree_unlock(&w->tree);
}

static void end(struct world *w)
{
	mt_credits_release(&w->credits);
	assert_int_equal(w->tree.ma_pledge.pledged, 0);
	mtree_destroy(&w->tree);
	mtree_destroy(&w->filler);
	for (unsigned int i = 0; i < CRUMBS; i++)
		mtree_destroy(&w->crumbs[i]);
	mt_mem_barrier(w->mem);
	assert_int_equal(nodes_in_use(w->mem), 0);
	mt_mem_destroy(w->mem);
	rm_destroy(&w->model);
	rm_destroy(&w->before);
}

/* Makes a store in the tree, or in @txn, on a credit. */
static void one_store(struct world *w, struct mt_txn *txn, struct rng *rng, const struct mood *mood)
{
	unsigned long first = rng_below(rng, w->keys), last = first + rng_below(rng, mood->width);
	bool full = w->model.count + 2 > w->entries;
	void *entry = full || rng_below(rng, 100) < mood->erase ? NULL : ENTRY(rng_next(rng));
	int err;

	first *= w->step;
	last = (last + 1) * w->step - 1;
	/* Erase a whole range, or all up to its end: erasing a part can add a range, too. */
	if (full) {
		const struct rm_range *range = &w->model.ranges[rng_below(rng, w->model.count)];

		first = rng_one_in(rng, 1000) ? 0 : range->first;
		last = range->last;
	}
	assert_int_equal(rm_store(&w->model, first, last, entry), 0);
	if (txn) {
		err = mt_txn_store_credit(txn, first, last, entry, &w->credits);
	} else {
		MA_STATE(mas, &w->tree, first, last);

		err = mas_store_credit(&mas, entry, &w->credits);
	}
	assert_int_equal(err, 0);
}

static void one_transaction(struct world *w, struct rng *rng, const struct mood *mood)
{
	unsigned long nr = 1 + rng_below(rng, rng_one_in(rng, 3) ? w->credits.batch : 4);
	bool abort = rng_one_in(rng, 8);
	struct mt_txn txn;

	if (abort)
		assert_int_equal(rm_copy(&w->before, &w->model), 0);
	assert_int_equal(mt_credits_reserve(&w->credits, nr, GFP_NOWAIT), 0);
	mt_credits_begin(&w->credits, nr);
	mtree_lock(&w->tree);
	mt_txn_begin(&txn, &w->tree);
	for (unsigned long i = 0; i < nr; i++)
		one_store(w, &txn, rng, mood);
	if (abort) {
		mt_txn_abort(&txn);
		assert_int_equal(rm_copy(&w->model, &w->before), 0);
	} else {
		mt_txn_commit(&txn);
	}
	mtree_unlock(&w->tree);
	if (abort)
		mt_credits_return(&w->credits, nr);
}

static void one_alone(struct world *w, struct rng *rng, const struct mood *mood)
{
	assert_int_equal(mt_credits_reserve(&w->credits, 1, GFP_NOWAIT), 0);
	mt_credits_begin(&w->credits, 1);
	mtree_lock(&w->tree);
	one_store(w, NULL, rng, mood);
	mtree_unlock(&w->tree);
}

/* Makes the tree grow, shrink and crumble, and wipes it out in between. */
static void go_on(struct world *w, unsigned long n)
{
	static const struct mood moods[] = {
		{ 5, 1 }, { 70, 8 }, { 0, 1 }, { 50, 400 }, { 10, 3 }
	};
	unsigned long most = 0;

	for (unsigned long i = 0; i < n; i++) {
		struct rng rng = rng_make(env_seed(), i);
		const struct mood *mood = &moods[i / (n / 10 + 1) % 5];
		unsigned long sum;

		if (rng_below(&rng, 4))
			one_transaction(w, &rng, mood);
		else
			one_alone(w, &rng, mood);
		sum = w->tree.ma_pledge.pledged + nodes(&w->tree);
		assert_uint_in_range(sum, w->all, w->all + SLACK);
		assert_int_equal(mt_credits_left(&w->credits), 1);
		most = nodes(&w->tree) > most ? nodes(&w->tree) : most;
		if (i % 500 == 0)
			check(w);
	}
	check(w);
	print_message("%lu nodes for all, %lu in the tree at most\n", w->all, most);
}

static void any_number_of_times(void **state)
{
	static const struct {
		unsigned long entries, batch, step;
	} kinds[] = {
		{ 3, 4, 1 }, { 50, 200, 1UL << 40 }, { 400, 64, 1 }, { 4000, 3000, 1UL << 36 }
	};
	struct world w;

	(void)state;
	for (unsigned int i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i += env_stride()) {
		begin(&w, kinds[i / 2].entries, kinds[i / 2].batch, kinds[i / 2].step,
		      i % 2 ? MT_FLAGS_USE_RCU : MT_FLAGS_ALLOC_RANGE);
		go_on(&w, env_scaled(kinds[i / 2].entries > 1000 ? 300 : 3000));
		end(&w);
	}
}

/*
 * Stores without credits take from the tree what they find, in small pieces too; the pledge stays
 * complete.
 */
static void others_erase_beside(void **state)
{
	struct world w;

	(void)state;
	for (unsigned int flags = 0; flags <= MT_FLAGS_USE_RCU; flags += MT_FLAGS_USE_RCU) {
		struct mood fill = { 0, 1 };
		unsigned long refused = 0, erased = 0;

		begin(&w, 2000, 64, 1, flags);
		for (unsigned long i = 0; i < 4000; i++) {
			struct rng rng = rng_make(env_seed(), i);

			one_alone(&w, &rng, &fill);
		}
		for (unsigned long i = 0; i < w.keys; i++) {
			unsigned long key = i * 7 % w.keys;
			int err = mtree_store(&w.tree, key, NULL, GFP_NOWAIT | __GFP_NOWARN);

			assert_true(err == 0 || err == -ENOMEM);
			if (!err)
				assert_int_equal(rm_store(&w.model, key, key, NULL), 0);
			refused += err != 0;
			erased += !err;
			assert_uint_in_range(w.tree.ma_pledge.pledged + nodes(&w.tree), w.all,
					     w.all + SLACK);
		}
		check(&w);
		print_message("%lu erased, %lu refused\n", erased, refused);
		assert_true(erased > 0);
		/* Down to the last key, level by level, with whatever memory that takes. */
		mtree_destroy(&w.filler);
		for (unsigned long key = 0; key < w.keys; key++) {
			assert_int_equal(mtree_store(&w.tree, key, NULL, GFP_KERNEL), 0);
			assert_int_equal(rm_store(&w.model, key, key, NULL), 0);
			assert_uint_in_range(w.tree.ma_pledge.pledged + nodes(&w.tree), w.all,
					     w.all + SLACK);
		}
		assert_true(mtree_empty(&w.tree));
		end(&w);
	}
}

/* ---- As large as it gets ---- */

/*
 * Joins the first ranges of each leaf into one, so that the leaf has as few ranges as it may have.
 * Returns the number of leaves.
 */
static unsigned long thin_out(struct maple_tree *mt)
{
	unsigned long key = 0, leaves = 0, end;

	do {
		MA_STATE(mas, mt, key, key);

		mas_walk(&mas);
		end = mas.max;
		mas_set(&mas, smr_start(mas.node, mas.end + 1u - SMR_LEAF_MIN + 1) - 1);
		mas.index = key;
		assert_int_equal(mas_store_gfp(&mas, ENTRY(1), GFP_KERNEL), 0);
		leaves++;
		key = end + 1;
	} while (end != ULONG_MAX);
	return leaves;
}

/*
 * Joins the first two ranges of the first leaf; what is left of the leaf is merged with the next.
 */
static void merge_leaves(struct world *w, struct mt_txn *txn)
{
	MA_STATE(mas, &w->tree, 0, 0);

	mas_walk(&mas);
	mas_set(&mas, mas.last + 1);
	mas_walk(&mas);
	assert_int_equal(mt_txn_store_credit(txn, 0, mas.last, ENTRY(3), &w->credits), 0);
}

/*
 * Replaces every leaf, and thereby every node, in one transaction; with @more it then also replaces
 * leaves that it has made itself.
 */
static void replace_all(struct world *w, unsigned long leaves, unsigned long n, bool more)
{
	unsigned long key = 0, stores = leaves + more;
	struct mt_txn txn;

	assert_int_equal(mt_credits_reserve(&w->credits, stores, GFP_NOWAIT), 0);
	mt_credits_begin(&w->credits, stores);
	mtree_lock(&w->tree);
	mt_txn_begin(&txn, &w->tree);
	for (unsigned long i = 0; i < leaves; i++) {
		MA_STATE(mas, &w->tree, key, key);

		mas_walk(&mas);
		assert_int_equal(
			mt_txn_store_credit(&txn, mas.index, mas.last, ENTRY(n), &w->credits), 0);
		key = mas.max + 1;
	}
	if (more)
		merge_leaves(w, &txn);
	mt_txn_commit(&txn);
	mtree_unlock(&w->tree);
}

/* @most: there are as many nodes as such a tree can have. */
static void at_bound(unsigned long ranges, unsigned int flags, bool most)
{
	unsigned long leaves, built;
	struct mt_stats stats;
	struct world w;

	memset(&w, 0, sizeof(w));
	w.mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	in_arena(&w.tree, w.mem, flags);
	in_arena(&w.filler, w.mem, 0);
	for (unsigned int i = 0; i < CRUMBS; i++)
		in_arena(&w.crumbs[i], w.mem, 0);
	for (unsigned long i = 0; i < ranges; i++)
		assert_int_equal(
			mtree_store_range(&w.tree, 10 * i, 10 * i + 9, ENTRY(i), GFP_KERNEL), 0);
	mtree_lock(&w.tree);
	leaves = thin_out(&w.tree);
	mt_stats(&w.tree, &stats);
	smr_pledge_bound(&w.tree, stats.entries + stats.gaps);
	mtree_unlock(&w.tree);
	assert_int_equal(leaves, (stats.entries + stats.gaps) / SMR_LEAF_MIN);
	assert_int_equal(leaves, stats.level_nodes[0]);
	mt_credits_init(&w.credits, &w.tree, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&w.credits, leaves + 1), 0);
	assert_int_equal(mt_credits_reserve(&w.credits, 1, GFP_KERNEL), 0);
	if (most)
		assert_int_equal(w.tree.ma_pledge.pledged,
				 smr_working_nodes(&w.tree, leaves + 1, mt_height(&w.tree)));
	use_up(&w);
	built = w.tree.ma_nodes_built;
	for (unsigned long n = 0; n < 10; n++)
		replace_all(&w, leaves, n, false);
	assert_int_equal(w.tree.ma_nodes_built - built, 10 * stats.nodes);
	replace_all(&w, leaves, 10, true);
	mtree_lock(&w.tree);
	assert_int_equal(w.tree.ma_pledge.leaves, leaves - 1);
	assert_int_equal(mt_check(&w.tree, NULL, 0), 0);
	mtree_unlock(&w.tree);
	end(&w);
}

static void a_tree_at_its_bound(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= MT_FLAGS_USE_RCU; flags += MT_FLAGS_USE_RCU) {
		at_bound(20000, flags, false);
		at_bound(600, flags, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_number_of_times),
		cmocka_unit_test(others_erase_beside),
		cmocka_unit_test(a_tree_at_its_bound),
	};

	return cmocka_run_group_tests_name("credits_sized", tests, NULL, NULL);
}
