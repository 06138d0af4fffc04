/* SPDX-License-Identifier: MIT */
/*
 * Snapshots on one thread: however transactions change the tree, and wherever cursors stand
 * meanwhile, a snapshot shows the tree as it was.
 */
#include "support/rng.h"
#include "txn_bed.h"

#include <samara/snapshot.h>

/* A snapshot and a model of what it must go on to show. */
struct shot {
	struct maple_tree tree;
	struct range_model model;
};

static void shoot(struct shot *shot, const struct bed *bed)
{
	mt_snapshot(&shot->tree, &bed->tree);
	rm_init(&shot->model);
	assert_int_equal(rm_copy(&shot->model, &bed->model), 0);
}

/* Does one transaction: stores and erasures all over the first @n ranges and some behind. */
static void transact(struct bed *bed, unsigned long n, struct rng *rng)
{
	unsigned long stores = 1 + rng_below(rng, rng_one_in(rng, 4) ? n + 1 : 8);
	struct tree_image before;
	struct range_model seen = txn_begin(bed, &before);

	while (stores-- > 0) {
		unsigned long first = rng_below(rng, STEP * (n + 8));
		unsigned long keys = rng_one_in(rng, 20) ? STEP * n : 3 * STEP;
		unsigned long last = first + rng_below(rng, keys + 1);

		txn_store(bed, &seen, first, last,
			  rng_one_in(rng, 3) ? NULL : xa_mk_value(rng_below(rng, 1000000)));
	}
	txn_end(bed, &seen, &before, END_COMMIT);
}

static void expect_loads(struct shot *shot, unsigned long keys, struct rng *rng)
{
	unsigned long at[64], index, want_index;
	void *entry[64];

	for (unsigned int i = 0; i < 64; i++)
		at[i] = rng_below(rng, keys);
	mtree_load_batch(&shot->tree, at, entry, 64);
	for (unsigned int i = 0; i < 64; i++) {
		assert_ptr_equal(entry[i], model_load(&shot->model, at[i]));
		assert_ptr_equal(mtree_load(&shot->tree, at[i]), entry[i]);
		index = want_index = at[i];
		assert_ptr_equal(mt_find(&shot->tree, &index, ULONG_MAX),
				 model_find(&shot->model, &want_index, ULONG_MAX));
		assert_int_equal(index, want_index);
	}
}

static void expect_shot(struct shot *shot, unsigned long keys, struct rng *rng)
{
	char why[WHY_SIZE];

	if (!tree_equal(&shot->tree, &shot->model, why))
		fail_msg("%s", why);
	expect_loads(shot, keys, rng);
}

static void release(struct shot *shot)
{
	rm_destroy(&shot->model);
}

/* Runs @body for each size of tree, with gap figures or without, in RCU mode and in a section. */
static void in_sections(void (*body)(struct bed *bed, unsigned long n, struct rng *rng))
{
	struct bed bed;

	for (size_t s = 0; s < NR_SIZES; s++)
		for (unsigned int gaps = 0; gaps < 2; gaps++) {
			struct rng rng = rng_make(env_seed(), 2 * s + gaps);

			if (sizes[s] > 500 && env_scaled(100) < 100)
				continue;
			bed_make(&bed, MT_FLAGS_USE_RCU | (gaps ? MT_FLAGS_ALLOC_RANGE : 0),
				 sizes[s]);
			mt_rcu_read_lock(&bed.tree);
			body(&bed, sizes[s], &rng);
			mt_rcu_read_unlock(&bed.tree);
			bed_free(&bed);
		}
}

/* ---- */

static void goes_on(struct bed *bed, unsigned long n, struct rng *rng)
{
	enum { VERSIONS = 6 };
	struct shot shot[VERSIONS];

	for (unsigned int v = 0; v < VERSIONS; v++) {
		shoot(&shot[v], bed);
		for (unsigned int i = 0; i < 3; i++)
			transact(bed, n, rng);
		for (unsigned int w = 0; w <= v; w++)
			expect_shot(&shot[w], STEP * (n + 8), rng);
	}
	for (unsigned int v = 0; v < VERSIONS; v++)
		release(&shot[v]);
}

static void each_stays_what_it_was(void **state)
{
	(void)state;
	in_sections(goes_on);
}

/* ---- Cursors ---- */

typedef void *step_fn(struct ma_state *mas, unsigned long limit);

static const struct {
	step_fn *step;
	bool down, gaps;
} moves[] = {
	{ mas_find, false, false },         { mas_next, false, false },
	{ mas_find_range, false, true },    { mas_next_range, false, true },
	{ mas_find_rev, true, false },      { mas_prev, true, false },
	{ mas_find_range_rev, true, true }, { mas_prev_range, true, true },
};

#define NR_MOVES (sizeof(moves) / sizeof(moves[0]))

/*
 * Gets the next range of @model beyond [*first..*last] in direction @down. Returns false if none.
 */
static bool beyond(const struct range_model *model, bool down, bool gaps, unsigned long *first,
		   unsigned long *last, void **entry)
{
	if (down ? *first == 0 : *last == ULONG_MAX)
		return false;
	if (gaps) {
		rm_range(model, down ? *first - 1 : *last + 1, first, last, entry);
		return true;
	}
	return down ? rm_prev(model, *first, first, last, entry)
		    : rm_next(model, *last, first, last, entry);
}

/* Steps from end to end, with a transaction every few steps. */
static void walks(struct bed *bed, unsigned long n, struct rng *rng, unsigned int m)
{
	unsigned long first, last, limit = moves[m].down ? 0 : ULONG_MAX;
	void *entry, *want;
	struct shot shot;

	shoot(&shot, bed);
	{
		MA_STATE(mas, &shot.tree, ~limit, ~limit);

		rm_range(&shot.model, ~limit, &first, &last, &want);
		assert_ptr_equal(mas_walk(&mas), want);
		while (beyond(&shot.model, moves[m].down, moves[m].gaps, &first, &last, &want)) {
			if (rng_one_in(rng, 1 + n / 8))
				transact(bed, n, rng);
			entry = moves[m].step(&mas, limit);
			assert_ptr_equal(entry, want);
			assert_int_equal(mas.index, first);
			assert_int_equal(mas.last, last);
		}
		assert_null(moves[m].step(&mas, limit));
	}
	release(&shot);
}

static void walks_each_way(struct bed *bed, unsigned long n, struct rng *rng)
{
	for (unsigned int m = 0; m < NR_MOVES; m++)
		walks(bed, n, rng, m);
}

static void cursors_go_on_in_it(void **state)
{
	(void)state;
	in_sections(walks_each_way);
}

static void loops(struct bed *bed, unsigned long n, struct rng *rng)
{
	size_t at = 0, index = 0;
	struct shot shot;
	void *entry;

	shoot(&shot, bed);
	{
		MA_STATE(mas, &shot.tree, 0, 0);

		mas_for_each(&mas, entry, ULONG_MAX) {
			assert_true(at < shot.model.count);
			assert_int_equal(mas.index, shot.model.ranges[at].first);
			assert_int_equal(mas.last, shot.model.ranges[at].last);
			assert_ptr_equal(entry, shot.model.ranges[at++].entry);
			if (rng_one_in(rng, 1 + n / 16))
				transact(bed, n, rng);
		}
		assert_int_equal(at, shot.model.count);
		mas_set(&mas, ULONG_MAX);
		mas_for_each_rev(&mas, entry, 0)
			assert_ptr_equal(entry, shot.model.ranges[--at].entry);
		assert_int_equal(at, 0);
	}
	mt_for_each(&shot.tree, entry, index, ULONG_MAX) {
		while (xa_is_zero(shot.model.ranges[at].entry))
			at++;
		assert_ptr_equal(entry, shot.model.ranges[at++].entry);
	}
	release(&shot);
}

static void loops_go_on_in_it(void **state)
{
	(void)state;
	in_sections(loops);
}

/* ---- Other stores ---- */

/* Each key has the entry from before, or what has been stored since. */
static void meets_single_stores(struct bed *bed, unsigned long n, struct rng *rng)
{
	struct shot shot;

	shoot(&shot, bed);
	for (unsigned int i = 0; i < 60; i++) {
		unsigned long first = rng_below(rng, STEP * (n + 4));

		if (rng_one_in(rng, 4))
			transact(bed, n, rng);
		plain_store(bed, first, first + rng_below(rng, 2 * STEP),
			    rng_one_in(rng, 3) ? NULL : xa_mk_value(5000000 + i));
		for (unsigned int k = 0; k < 40; k++) {
			unsigned long key = rng_below(rng, STEP * (n + 6));
			void *entry = mtree_load(&shot.tree, key);
			bool later = xa_is_value(entry) && xa_to_value(entry) >= 5000000;

			if (entry && !later)
				assert_ptr_equal(entry, model_load(&shot.model, key));
		}
	}
	release(&shot);
}

static void single_stores_are_seen_or_not(void **state)
{
	(void)state;
	in_sections(meets_single_stores);
}

/* ---- Without RCU ---- */

static void under_the_lock(void **state)
{
	struct rng rng = rng_make(env_seed(), 99);
	struct shot shot;
	struct bed bed;

	(void)state;
	for (size_t s = 0; s < NR_SIZES; s++) {
		bed_make(&bed, MT_FLAGS_ALLOC_RANGE, sizes[s]);
		shoot(&shot, &bed);
		expect_shot(&shot, STEP * (sizes[s] + 2), &rng);
		assert_false(mt_in_rcu(&shot.tree));
		release(&shot);
		bed_free(&bed);
	}
}

/* mt_rcu_read_lock() of the snapshot begins a section that keeps the tree's nodes. */
static void has_the_flavour_of_its_tree(void **state)
{
	(void)state;
	for (enum mt_rcu_flavor flavor = MT_RCU_BP; flavor <= MT_RCU_QSBR; flavor++) {
		struct maple_tree snapshot, tree = MTREE_INIT(tree, 0);

		assert_int_equal(mt_set_rcu_flavor(&tree, flavor), 0);
		mt_set_in_rcu(&tree);
		mt_snapshot(&snapshot, &tree);
		assert_true(mt_in_rcu(&snapshot));
		assert_int_equal(mt_rcu_flavor(&snapshot), flavor);
		mtree_destroy(&tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_stays_what_it_was),
		cmocka_unit_test(cursors_go_on_in_it),
		cmocka_unit_test(loops_go_on_in_it),
		cmocka_unit_test(single_stores_are_seen_or_not),
		cmocka_unit_test(under_the_lock),
		cmocka_unit_test(has_the_flavour_of_its_tree),
	};

	return bed_run("tree_snapshot", tests, sizeof(tests) / sizeof(tests[0]));
}
