/* SPDX-License-Identifier: MIT */
/* The set-up for tests of transactions on one thread: a tree, its model and a transaction. */
#ifndef TESTS_UNIT_TXN_BED_H
#define TESTS_UNIT_TXN_BED_H

#include "support/cm.h"

#include "either_lock.h"
#include "support/arena.h"
#include "support/env.h"
#include "support/treecheck.h"
#include "txn_image.h"

#include <errno.h>
#include <limits.h>
#include <samara/txn.h>

#define STEP 16UL /* ranges lie this far apart, and are half as long */

static const unsigned long sizes[] = { 0, 1, 2, 30, 43, 400, 5000 };

#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct mt_mem *arena; /* for one tree at a time, so that its nodes can be counted */

/* A tree and its model. */
struct bed {
	struct maple_tree tree;
	struct mt_mem *mem;
	struct range_model model;
	struct mt_txn txn;
	bool held; /* the external lock is held */
};

static inline void bed_lock(struct bed *bed)
{
	either_lock(&bed->tree, &bed->held);
}

static inline void bed_unlock(struct bed *bed)
{
	either_unlock(&bed->tree, &bed->held);
}

static inline void *entry_of(unsigned long n)
{
	return n % 7 == 6 ? XA_ZERO_ENTRY : xa_mk_value(n);
}

/* A store outside of transactions. CONTEXT: the lock. */
static inline void plain_store(struct bed *bed, unsigned long first, unsigned long last,
			       void *entry)
{
	MA_STATE(mas, &bed->tree, first, last);

	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
}

/*
 * Sets up @n ranges; a single one is an entry at [0..0], which needs no nodes. The lock is held
 * from here on.
 */
static inline void bed_make(struct bed *bed, unsigned int flags, unsigned long n)
{
	memset(bed, 0, sizeof(*bed));
	bed->mem = arena;
	mt_init_flags(&bed->tree, flags);
	mt_set_mem(&bed->tree, bed->mem);
	if (mt_external_lock(&bed->tree))
		mt_set_external_lock_check(&bed->tree, &bed->held, flag_is_set);
	rm_init(&bed->model);
	bed_lock(bed);
	for (unsigned long i = 0; i < n; i++)
		plain_store(bed, STEP * i, n == 1 ? 0 : STEP * i + STEP / 2 - 1, entry_of(i));
}

static inline void expect_tree(struct bed *bed, struct maple_tree *tree,
			       const struct range_model *model)
{
	char why[WHY_SIZE];

	(void)bed;
	if (!tree_good(tree, model, why))
		fail_msg("%s", why);
}

/* Expects nothing marked, lost, left over or miscounted. */
static inline void expect_tidy(struct bed *bed)
{
	struct tree_image image = tree_image_of(&bed->tree);
	struct mt_stats stats;

	expect_tree(bed, &bed->tree, &bed->model);
	mt_stats(&bed->tree, &stats);
	assert_int_equal(image.marked, 0);
	assert_int_equal(image.nodes, stats.nodes);
	assert_int_equal(nodes_in_use(bed->mem), stats.nodes);
	assert_int_equal(stats.nodes_built - stats.nodes_retired, stats.nodes);
}

static inline void bed_free(struct bed *bed)
{
	expect_tidy(bed);
	__mt_destroy(&bed->tree);
	bed_unlock(bed);
	assert_int_equal(nodes_in_use(bed->mem), 0);
	rm_destroy(&bed->model);
}

/* ---- A transaction beside a model of what it sees */

static inline void txn_store(struct bed *bed, struct range_model *seen, unsigned long first,
			     unsigned long last, void *entry)
{
	assert_int_equal(mt_txn_store_range(&bed->txn, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(seen, first, last, entry), 0);
}

/* Expects the range or gap around @key, as the transaction sees it, to be @model's. */
static inline void expect_range_at(struct bed *bed, const struct range_model *model,
				   unsigned long key)
{
	unsigned long first = key, last, want_first, want_last;
	void *want;

	rm_range(model, key, &want_first, &want_last, &want);
	assert_ptr_equal(mt_txn_walk(&bed->txn, &first, &last), want);
	assert_int_equal(first, want_first);
	assert_int_equal(last, want_last);
}

/* What load, find and, inside, walk return at @key must match @model. */
static inline void expect_at(struct bed *bed, const struct range_model *model, unsigned long key,
			     bool inside)
{
	unsigned long index = key, want_index = key;
	void *want = model_load(model, key), *got;

	got = inside ? mt_txn_load(&bed->txn, key) : mtree_load(&bed->tree, key);
	assert_ptr_equal(got, want);
	want = model_find(model, &want_index, ULONG_MAX);
	got = inside ? mt_txn_find(&bed->txn, &index, ULONG_MAX)
		     : mt_find(&bed->tree, &index, ULONG_MAX);
	assert_ptr_equal(got, want);
	assert_int_equal(index, want_index);
	if (inside)
		expect_range_at(bed, model, key);
}

enum { END_COMMIT, END_ABORT, NR_ENDS };

/* Ends the transaction, which sees @seen, on a tree that was @before. Uses up @seen. */
static inline void txn_end(struct bed *bed, struct range_model *seen,
			   const struct tree_image *before, int how)
{
	struct tree_image image = tree_image_of(&bed->tree);

	assert_true(tree_image_equal(before, &image));
	expect_tree(bed, &bed->txn.view, seen);
	if (how == END_COMMIT) {
		mt_txn_commit(&bed->txn);
		rm_destroy(&bed->model);
		bed->model = *seen;
	} else {
		mt_txn_abort(&bed->txn);
		rm_destroy(seen);
		image = tree_image_of(&bed->tree);
		assert_true(tree_image_equal(before, &image));
	}
	expect_tidy(bed);
}

static inline struct range_model txn_begin(struct bed *bed, struct tree_image *before)
{
	struct range_model seen;

	rm_init(&seen);
	assert_int_equal(rm_copy(&seen, &bed->model), 0);
	*before = tree_image_of(&bed->tree);
	mt_txn_begin(&bed->txn, &bed->tree);
	return seen;
}

/* Runs @body for each mode, size of tree and end. */
static inline void everywhere(void (*body)(struct bed *bed, unsigned long n, int how))
{
	struct bed bed;

	for (unsigned int mode = 0; mode < 8; mode++) {
		unsigned int flags = (mode & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (mode & 2 ? MT_FLAGS_ALLOC_RANGE : 0) |
				     (mode & 4 ? MT_FLAGS_LOCK_EXTERN : 0);

		for (size_t s = 0; s < NR_SIZES; s++)
			for (int how = 0; how < NR_ENDS; how++) {
				/*
				 * Large trees in one mode only, where everything takes ten times as
				 * long.
				 */
				if (sizes[s] > 100 && mode != 3 && env_scaled(100) < 100)
					continue;
				bed_make(&bed, flags, sizes[s]);
				body(&bed, sizes[s], how);
				bed_free(&bed);
			}
	}
}

/* Runs a group of tests in an arena of their own. */
static inline int bed_run(const char *name, const struct CMUnitTest *tests, size_t nr)
{
	return arena_run(&arena, name, tests, nr);
}

#endif
