/* SPDX-License-Identifier: MIT */
/*
 * Transactions on one thread: what is seen inside and outside, what an abort and a commit leave behind, and
 * how much is copied. Every test runs in each mode of the tree.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/treecheck.h"
#include "txn_image.h"

#include <errno.h>
#include <limits.h>
#include <samara/txn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP 16UL /* ranges lie this far apart, and are half as long */

static const unsigned long sizes[] = { 0, 1, 2, 30, 43, 400, 5000 };

#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct mt_mem *arena; /* for one tree at a time, so that its nodes can be counted */

/* A tree beside its model. */
struct bed {
	struct maple_tree tree;
	struct mt_mem *mem;
	struct range_model model;
	struct mt_txn txn;
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

static void *entry_of(unsigned long n)
{
	return n % 7 == 6 ? XA_ZERO_ENTRY : xa_mk_value(n);
}

/* A store outside of transactions. CONTEXT: the lock. */
static void plain_store(struct bed *bed, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &bed->tree, first, last);

	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
}

/* @n ranges; a single one is an entry at [0..0], for which a tree needs no nodes. The lock is held from here on. */
static void bed_make(struct bed *bed, unsigned int flags, unsigned long n)
{
	memset(bed, 0, sizeof(*bed));
	bed->mem = arena;
	mt_init_flags(&bed->tree, flags);
	mt_set_mem(&bed->tree, bed->mem);
	if (mt_external_lock(&bed->tree))
		mt_set_external_lock_check(&bed->tree, bed, bed_held);
	rm_init(&bed->model);
	bed_lock(bed);
	for (unsigned long i = 0; i < n; i++)
		plain_store(bed, STEP * i, n == 1 ? 0 : STEP * i + STEP / 2 - 1, entry_of(i));
}

static void expect_tree(struct bed *bed, struct maple_tree *tree, const struct range_model *model)
{
	char why[WHY_SIZE];

	(void)bed;
	if (!tree_good(tree, model, why))
		fail_msg("%s", why);
}

/* Nothing is marked, lost, left over or counted wrongly. */
static void expect_tidy(struct bed *bed)
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

static void bed_free(struct bed *bed)
{
	expect_tidy(bed);
	__mt_destroy(&bed->tree);
	bed_unlock(bed);
	assert_int_equal(nodes_in_use(bed->mem), 0);
	rm_destroy(&bed->model);
}

/* ---- A transaction beside a model of what it sees */

static void txn_store(struct bed *bed, struct range_model *seen, unsigned long first,
		      unsigned long last, void *entry)
{
	assert_int_equal(mt_txn_store_range(&bed->txn, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(seen, first, last, entry), 0);
}

/* What load and find say at @key must be what @model does. */
static void expect_at(struct bed *bed, const struct range_model *model, unsigned long key,
		      bool inside)
{
	unsigned long index = key, first, last;
	void *want = rm_load(model, key), *got;

	want = xa_is_zero(want) ? NULL : want;
	got = inside ? mt_txn_load(&bed->txn, key) : mtree_load(&bed->tree, key);
	assert_ptr_equal(got, want);
	got = inside ? mt_txn_find(&bed->txn, &index, ULONG_MAX)
		     : mt_find(&bed->tree, &index, ULONG_MAX);
	rm_range(model, key, &first, &last, &want);
	while (!want || xa_is_zero(want)) {
		if (last == ULONG_MAX)
			break;
		rm_range(model, last + 1, &first, &last, &want);
	}
	assert_ptr_equal(got, xa_is_zero(want) ? NULL : want);
	if (got)
		assert_int_equal(index, last + 1);
}

enum { END_COMMIT, END_ABORT, NR_ENDS };

/* Ends the transaction, which sees @seen, in a tree that was @before. @seen is used up. */
static void txn_end(struct bed *bed, struct range_model *seen, const struct tree_image *before,
		    int how)
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

static struct range_model txn_begin(struct bed *bed, struct tree_image *before)
{
	struct range_model seen;

	rm_init(&seen);
	assert_int_equal(rm_copy(&seen, &bed->model), 0);
	*before = tree_image_of(&bed->tree);
	mt_txn_begin(&bed->txn, &bed->tree);
	return seen;
}

/* Runs @body for each mode, size of tree and end. */
static void everywhere(void (*body)(struct bed *bed, unsigned long n, int how))
{
	struct bed bed;

	for (unsigned int mode = 0; mode < 8; mode++) {
		unsigned int flags = (mode & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (mode & 2 ? MT_FLAGS_ALLOC_RANGE : 0) |
				     (mode & 4 ? MT_FLAGS_LOCK_EXTERN : 0);

		for (size_t s = 0; s < NR_SIZES; s++)
			for (int how = 0; how < NR_ENDS; how++) {
				/* Large ones in one mode only where everything takes ten times as long. */
				if (sizes[s] > 100 && mode != 3 && env_scaled(100) < 100)
					continue;
				bed_make(&bed, flags, sizes[s]);
				body(&bed, sizes[s], how);
				bed_free(&bed);
			}
	}
}

/* ---- Seeing */

static void sees_its_own(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before, now;
	struct range_model seen = txn_begin(bed, &before);

	for (unsigned long i = 0; i < 40; i++) {
		unsigned long key = STEP * (i * 7919 % (n + 20)) + i % 11;
		unsigned long last = key + (i % 5 ? i : STEP * n / 9);

		txn_store(bed, &seen, key, last, i % 4 == 3 ? NULL : xa_mk_value(100000 + i));
		for (unsigned long at = key ? key - 1 : 0; at <= key + 1; at++) {
			expect_at(bed, &seen, at, true);
			expect_at(bed, &bed->model, at, false);
		}
		expect_at(bed, &seen, last, true);
		expect_at(bed, &bed->model, last, false);
		now = tree_image_of(&bed->tree);
		assert_true(tree_image_equal(&before, &now));
	}
	assert_int_equal(mt_txn_stores(&bed->txn), 40);
	txn_end(bed, &seen, &before, how);
	for (unsigned long key = 0; key < STEP * (n + 30); key += STEP / 4)
		expect_at(bed, &bed->model, key, false);
}

static void own_writes_are_seen_inside_only(void **state)
{
	(void)state;
	everywhere(sees_its_own);
}

static void does_nothing(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before, now;
	struct range_model seen = txn_begin(bed, &before);

	assert_int_equal(mt_txn_stores(&bed->txn), 0);
	txn_end(bed, &seen, &before, how);
	now = tree_image_of(&bed->tree);
	assert_true(tree_image_equal(&before, &now));
	(void)n;
}

static void empty_transactions_change_nothing(void **state)
{
	(void)state;
	everywhere(does_nothing);
}

static void errs(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen = txn_begin(bed, &before);

	txn_store(bed, &seen, STEP * n + 3, STEP * n + 90, xa_mk_value(1));
	assert_int_equal(mt_txn_store_range(&bed->txn, 5, 4, xa_mk_value(2), GFP_KERNEL), -EINVAL);
	assert_int_equal(mt_txn_store_range(&bed->txn, 5, 6, xa_mk_internal(3), GFP_KERNEL),
			 -EINVAL);
	expect_tree(bed, &bed->txn.view, &seen);
	txn_store(bed, &seen, 5, 6, xa_mk_value(2));
	assert_int_equal(mt_txn_stores(&bed->txn), 2);
	txn_end(bed, &seen, &before, how);
}

static void mistakes_leave_it_as_it_was(void **state)
{
	(void)state;
	everywhere(errs);
}

/* ---- Erasing, growing, shrinking */

static void erases_each(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen = txn_begin(bed, &before);
	void *gone;

	for (unsigned long i = 0; i < n; i++) {
		unsigned long key = STEP * (i * 7 % n) + (n > 1 ? i % 8 : 0);

		assert_int_equal(mt_txn_erase(&bed->txn, key, &gone, GFP_KERNEL), 0);
		assert_ptr_equal(gone, rm_erase(&seen, key));
		assert_int_equal(mt_txn_erase(&bed->txn, key, &gone, GFP_KERNEL), 0);
		assert_null(gone);
	}
	assert_int_equal(mt_txn_stores(&bed->txn), n);
	assert_int_equal(mt_txn_erase(&bed->txn, 5, NULL, GFP_KERNEL), 0);
	assert_true(mtree_empty(&bed->txn.view));
	assert_int_equal(mt_height(&bed->txn.view), 0);
	txn_end(bed, &seen, &before, how);
	assert_int_equal(mtree_empty(&bed->tree), how == END_COMMIT || n == 0);
}

static void erasing_one_by_one(void **state)
{
	(void)state;
	everywhere(erases_each);
}

/* From all to nothing, to much, to one entry without a node, to a little, to nothing, in one transaction. */
static void turns_over(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen = txn_begin(bed, &before);

	txn_store(bed, &seen, 0, ULONG_MAX, NULL);
	assert_int_equal(mt_height(&bed->txn.view), 0);
	for (unsigned long i = 0; i < 1500; i++)
		txn_store(bed, &seen, 3 * i, 3 * i + 1, xa_mk_value(i));
	assert_int_equal(mt_height(&bed->txn.view), 3);
	expect_tree(bed, &bed->txn.view, &seen);
	txn_store(bed, &seen, 10, ULONG_MAX, NULL);
	assert_int_equal(mt_height(&bed->txn.view), 1);
	txn_store(bed, &seen, 0, ULONG_MAX, NULL);
	txn_store(bed, &seen, 0, 0, xa_mk_value(9));
	assert_int_equal(mt_height(&bed->txn.view), 0);
	expect_at(bed, &seen, 0, true);
	txn_store(bed, &seen, 0, ULONG_MAX, xa_mk_value(10));
	assert_int_equal(mt_height(&bed->txn.view), 1);
	if (n % 2)
		txn_store(bed, &seen, 0, ULONG_MAX, NULL);
	txn_end(bed, &seen, &before, how);
}

static void height_goes_up_and_down(void **state)
{
	(void)state;
	everywhere(turns_over);
}

/* Several, one after the other, each on what the one before has left. */
static void follows(struct bed *bed, unsigned long n, int how)
{
	for (unsigned long t = 0; t < 12; t++) {
		struct tree_image before;
		struct range_model seen = txn_begin(bed, &before);

		for (unsigned long i = 0; i < t * 9; i++)
			txn_store(bed, &seen, STEP * (i * (t + 3) % (n + 9)) + t,
				  STEP * (i * (t + 3) % (n + 9)) + t + 20 * (i % 3),
				  i % 5 ? xa_mk_value(1000 * t + i) : NULL);
		txn_end(bed, &seen, &before, t % 3 == 2 ? !how : how);
		plain_store(bed, STEP * t, STEP * t + 2, t % 2 ? xa_mk_value(t) : NULL);
	}
}

static void one_after_the_other(void **state)
{
	(void)state;
	everywhere(follows);
}

/* ---- Gap search */

static void expect_gaps(struct bed *bed, struct maple_tree *tree, const struct range_model *model,
			unsigned long n)
{
	MA_STATE(mas, tree, 0, 0);

	(void)bed;
	for (unsigned long size = 1; size < 600; size += 1 + size / 3) {
		for (unsigned long min = 0; min < STEP * n + 100; min += 1 + STEP * n / 5) {
			unsigned long start, max = min + STEP * n / 2 + size;
			int err = rm_gap_first(model, size, min, max, &start);

			assert_int_equal(mas_empty_area(&mas, min, max, size), err);
			if (!err)
				assert_int_equal(mas.index, start);
			err = rm_gap_last(model, size, min, max, &start);
			assert_int_equal(mas_empty_area_rev(&mas, min, max, size), err);
			if (!err)
				assert_int_equal(mas.index, start);
		}
	}
}

static void keeps_gaps(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen;

	if (!(bed->tree.ma_flags & MT_FLAGS_ALLOC_RANGE))
		return;
	seen = txn_begin(bed, &before);
	for (unsigned long i = 0; i < 60; i++) {
		unsigned long key = STEP * (i * 97 % (n + 3));

		txn_store(bed, &seen, key + STEP / 2, key + STEP * (i % 4) + STEP - 1,
			  i % 3 ? xa_mk_value(i) : NULL);
	}
	expect_gaps(bed, &bed->tree, &bed->model, n);
	expect_gaps(bed, &bed->txn.view, &seen, n);
	txn_end(bed, &seen, &before, how);
	expect_gaps(bed, &bed->tree, &bed->model, n);
}

static void gaps_are_found_as_before_or_as_stored(void **state)
{
	(void)state;
	everywhere(keeps_gaps);
}

/* ---- Cursors and copies */

static void walks_again(struct bed *bed, unsigned long n, int how)
{
	MA_STATE(mas, &bed->tree, 0, 0);
	struct tree_image before;
	struct range_model seen;

	if (n < 2)
		return;
	for (unsigned long at = 0; at + 8 < n; at += n / 3) {
		unsigned long key = STEP * at;
		void *next = how == END_COMMIT ? xa_mk_value(77) : entry_of(at + 1);

		plain_store(bed, key, key + STEP / 2 - 1, xa_mk_value(1));
		plain_store(bed, key + STEP, key + STEP + STEP / 2 - 1, entry_of(at + 1));
		mas_set(&mas, key);
		assert_ptr_equal(mas_walk(&mas), xa_mk_value(1));
		seen = txn_begin(bed, &before);
		txn_store(bed, &seen, key + STEP, key + STEP + 3, xa_mk_value(77));
		txn_store(bed, &seen, key + STEP + 4, STEP * n, NULL);
		/* In between the cursor sees the tree as it is outside. */
		assert_ptr_equal(mas_next(&mas, ULONG_MAX), entry_of(at + 1));
		assert_ptr_equal(mas_prev(&mas, 0), xa_mk_value(1));
		txn_end(bed, &seen, &before, how);
		assert_ptr_equal(mas_next(&mas, ULONG_MAX), next);
		assert_int_equal(mas.index, key + STEP);
		assert_int_equal(mas.last, key + STEP + (how == END_COMMIT ? 3 : STEP / 2 - 1));
		assert_ptr_equal(mas_prev(&mas, 0), xa_mk_value(1));
		if (how == END_COMMIT)
			return;
	}
}

static void cursors_find_their_place_again(void **state)
{
	(void)state;
	everywhere(walks_again);
}

/* A reader in its section keeps what it stands on, also when all of that has left the tree. */
static void lock_free_cursors_go_on(void **state)
{
	struct range_model seen;
	struct tree_image before;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 3000);
	bed_unlock(&bed);
	for (unsigned long at = 0; at < 2900; at += 131) {
		MA_STATE(mas, &bed.tree, STEP * at, STEP * at);
		unsigned long last = 0;

		mt_rcu_read_lock(&bed.tree);
		assert_non_null(mas_walk(&mas));
		bed_lock(&bed);
		seen = txn_begin(&bed, &before);
		for (unsigned long i = at + 1; i < 3000; i += 2)
			txn_store(&bed, &seen, STEP * i, STEP * i + STEP / 2 - 1,
				  xa_mk_value(1000000 + at));
		if (at % 2)
			txn_store(&bed, &seen, 0, STEP * at + STEP - 1, NULL);
		txn_end(&bed, &seen, &before, END_COMMIT);
		bed_unlock(&bed);
		for (unsigned long i = at + 1; i < 3000; i++) {
			void *entry = mas_next(&mas, ULONG_MAX);

			assert_ptr_equal(entry, rm_load(&bed.model, STEP * i));
			assert_int_equal(mas.index, STEP * i);
			assert_true(mas.last > last);
			last = mas.last;
		}
		mt_rcu_read_unlock(&bed.tree);
	}
	bed_lock(&bed);
	bed_free(&bed);
}

struct nodes {
	const void *enode[1000];
	unsigned long nr;
};

static void add_nodes(struct nodes *nodes, const void *enode)
{
	assert_true(nodes->nr < 1000);
	nodes->enode[nodes->nr++] = enode;
	for (unsigned int i = 0; !smr_enode_leaf(enode) && i < smr_count(enode); i++)
		add_nodes(nodes, smr_slots(enode)[i]);
}

static bool has_node(const struct nodes *nodes, const void *enode)
{
	for (unsigned long i = 0; i < nodes->nr; i++)
		if (nodes->enode[i] == enode)
			return true;
	return false;
}

/* All that have left the tree are dead, whatever a reader on them knows of the tree, and no others. */
static void replaced_nodes_are_dead(void **state)
{
	struct nodes before = { .nr = 0 }, after = { .nr = 0 };
	struct tree_image image;
	struct range_model seen;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, 5000);
	mt_rcu_read_lock(&bed.tree);
	add_nodes(&before, bed.tree.ma_root);
	seen = txn_begin(&bed, &image);
	for (unsigned long i = 0; i < 5000; i += 90)
		txn_store(&bed, &seen, STEP * i, STEP * i + 1 + i % 60, NULL);
	txn_end(&bed, &seen, &image, END_COMMIT);
	add_nodes(&after, bed.tree.ma_root);
	for (unsigned long i = 0; i < before.nr; i++)
		assert_int_equal(smr_node_of(before.enode[i])->dead,
				 !has_node(&after, before.enode[i]));
	mt_rcu_read_unlock(&bed.tree);
	bed_free(&bed);
}

static void is_copied(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before, image;
	struct range_model seen = txn_begin(bed, &before);
	struct maple_tree copy;

	for (unsigned long i = 0; i < 50; i++)
		txn_store(bed, &seen, STEP * (i * 13 % (n + 1)) + 1, STEP * (i * 13 % (n + 1)) + 4,
			  xa_mk_value(i));
	txn_end(bed, &seen, &before, how);
	mt_init_flags(&copy, bed->tree.ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	mt_set_mem(&copy, bed->mem);
	if (mt_external_lock(&copy))
		mt_set_external_lock_check(&copy, bed, bed_held);
	else
		mtree_lock_nested(&copy, 1);
	assert_int_equal(__mt_dup(&bed->tree, &copy, GFP_KERNEL), 0);
	expect_tree(bed, &copy, &bed->model);
	image = tree_image_of(&copy);
	assert_int_equal(image.marked, 0);
	assert_int_equal(image.numbered, 0); /* by a transaction of another tree */
	__mt_destroy(&copy);
	if (!mt_external_lock(&copy))
		mtree_unlock(&copy);
}

static void copies_of_the_tree_are_ordinary(void **state)
{
	(void)state;
	everywhere(is_copied);
}

/* ---- Numbers */

/* Stores all over the tree in one transaction. */
static void store_everywhere(struct bed *bed, unsigned long n, unsigned long round, int how)
{
	struct tree_image before;
	struct range_model seen = txn_begin(bed, &before);

	for (unsigned long i = 0; i < n; i += 5)
		txn_store(bed, &seen, STEP * i + 1, STEP * i + 2, xa_mk_value(n * round + i));
	txn_end(bed, &seen, &before, how);
}

/* A transaction with the number of an earlier one does not take that one's nodes for its own. */
static void numbers_begin_again(void **state)
{
	struct bed bed;

	(void)state;
	for (int how = 0; how < NR_ENDS; how++) {
		bed_make(&bed, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 400);
		store_everywhere(&bed, 400, 1, END_COMMIT);
		for (unsigned int round = 2; round < 5; round++) {
			bed.tree.ma_txns = UINT_MAX;
			store_everywhere(&bed, 400, round, how);
			assert_int_equal(bed.tree.ma_txns, 1);
		}
		store_everywhere(&bed, 400, 5, END_COMMIT);
		bed_free(&bed);
	}
}

/* ---- Once per transaction */

static unsigned long built(const struct bed *bed)
{
	return bed->txn.view.ma_nodes_built;
}

static void copies_once(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen;
	unsigned int height = mt_height(&bed->tree);
	unsigned long mid = STEP * (n / 2), nodes = 0;

	if (height == 0)
		return;
	seen = txn_begin(bed, &before);
	/* A thousand stores in one place: the way down to it, once. */
	for (unsigned long i = 0; i < 1000; i++)
		txn_store(bed, &seen, mid, mid + STEP / 2 - 1, xa_mk_value(i));
	assert_int_equal(built(bed), height);
	/* Also when they move bounds to and fro, once the leaf is made for such bounds. */
	for (unsigned long i = 0; i < 2000; i++) {
		if (i == 100)
			nodes = built(bed);
		txn_store(bed, &seen, mid, mid + STEP / 2 - 1 + (i % 2 ? 3 : 0),
			  i % 3 ? xa_mk_value(i) : NULL);
	}
	assert_in_range(nodes, height, 3 * height + 3);
	assert_int_equal(built(bed), nodes);
	txn_end(bed, &seen, &before, how);
}

/* What is there already is stored again: nothing has to be copied for that. */
static void copies_nothing_for_nothing(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen;

	seen = txn_begin(bed, &before);
	for (unsigned long i = 0; i < n; i++) {
		txn_store(bed, &seen, STEP * i, n == 1 ? 0 : STEP * i + STEP / 2 - 1, entry_of(i));
		txn_store(bed, &seen, STEP * i + STEP / 2, STEP * (i + 1) - 1, NULL);
	}
	assert_int_equal(built(bed), 0);
	txn_end(bed, &seen, &before, how);
}

static void copies_all_once(struct bed *bed, unsigned long n, int how)
{
	struct tree_image before;
	struct range_model seen;
	struct mt_stats stats;

	mt_stats(&bed->tree, &stats);
	if (stats.nodes == 0)
		return;
	seen = txn_begin(bed, &before);
	for (unsigned int round = 0; round < 3; round++)
		for (unsigned long i = 0; i < n; i++)
			txn_store(bed, &seen, STEP * i, STEP * i + STEP / 2 - 1,
				  xa_mk_value(round * n + i));
	assert_int_equal(built(bed), stats.nodes);
	txn_end(bed, &seen, &before, how);
	if (how == END_COMMIT)
		assert_int_equal(bed->tree.ma_nodes_retired, stats.nodes_retired + stats.nodes);
	else
		assert_int_equal(bed->tree.ma_nodes_retired, stats.nodes_retired);
}

static void a_node_is_copied_once(void **state)
{
	(void)state;
	everywhere(copies_once);
	everywhere(copies_nothing_for_nothing);
	everywhere(copies_all_once);
}

/* A store in a leaf that was not touched yet: that leaf, and what of the way to it is not yet the transaction's. */
static void an_untouched_leaf_costs_one_leaf(void **state)
{
	struct tree_image before;
	struct range_model seen;
	struct mt_stats stats;
	struct bed bed;
	unsigned long first, inner;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, 5000);
	mt_stats(&bed.tree, &stats);
	inner = stats.nodes - stats.level_nodes[0];
	seen = txn_begin(&bed, &before);
	for (unsigned long i = 0; i < 5000; i += 100) {
		first = built(&bed);
		txn_store(&bed, &seen, STEP * i, STEP * i + STEP / 2 - 1, xa_mk_value(i + 1));
		assert_in_range(built(&bed) - first, 1, stats.height);
	}
	assert_in_range(built(&bed), 50, 50 + inner);
	txn_end(&bed, &seen, &before, END_COMMIT);
	bed_free(&bed);
}

/* ---- Memory */

static void replaced_nodes_come_back(void **state)
{
	struct mt_mem_stats mem;
	struct tree_image before;
	struct range_model seen;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, 5000);
	seen = txn_begin(&bed, &before);
	for (unsigned long i = 0; i < 5000; i++)
		txn_store(&bed, &seen, STEP * i, STEP * i + 1, NULL);
	mt_mem_barrier(bed.mem);
	mt_mem_stats(bed.mem, &mem);
	assert_int_equal(mem.nodes_limbo, 0); /* nothing is retired before the commit, */
	assert_int_equal(mem.nodes_used, before.nodes + tree_image_of(&bed.txn.view).nodes);
	txn_end(&bed, &seen, &before, END_COMMIT);
	mt_mem_barrier(bed.mem);
	mt_mem_stats(bed.mem, &mem);
	assert_int_equal(mem.nodes_limbo, 0); /* and everything after it is free again. */
	bed_free(&bed);
}

/* An abort gives nodes back at once, for nobody has seen them: no grace period. */
static void aborts_wait_for_nobody(void **state)
{
	struct mt_mem_stats mem;
	struct tree_image before;
	struct range_model seen;
	struct bed bed;

	(void)state;
	bed_make(&bed, MT_FLAGS_USE_RCU, 2000);
	mt_mem_barrier(bed.mem);
	seen = txn_begin(&bed, &before);
	for (unsigned long i = 0; i < 3000; i++)
		txn_store(&bed, &seen, 5 * i, 5 * i + 2, xa_mk_value(i));
	txn_end(&bed, &seen, &before, END_ABORT);
	mt_mem_stats(bed.mem, &mem);
	assert_int_equal(mem.nodes_limbo, 0);
	bed_free(&bed);
}

/* ---- Misuse */

static void other_writes_meanwhile_are_caught(void **state)
{
	MA_STATE(mas, NULL, 40, 45);
	struct bed bed;
	int status;
	pid_t pid;

	(void)state;
	bed_make(&bed, 0, 100);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		mt_txn_begin(&bed.txn, &bed.tree);
		mas.tree = &bed.tree;
		mas_store_gfp(&mas, NULL, GFP_KERNEL);
		mt_txn_commit(&bed.txn);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	bed_free(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_writes_are_seen_inside_only),
		cmocka_unit_test(empty_transactions_change_nothing),
		cmocka_unit_test(mistakes_leave_it_as_it_was),
		cmocka_unit_test(erasing_one_by_one),
		cmocka_unit_test(height_goes_up_and_down),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(gaps_are_found_as_before_or_as_stored),
		cmocka_unit_test(cursors_find_their_place_again),
		cmocka_unit_test(lock_free_cursors_go_on),
		cmocka_unit_test(replaced_nodes_are_dead),
		cmocka_unit_test(copies_of_the_tree_are_ordinary),
		cmocka_unit_test(numbers_begin_again),
		cmocka_unit_test(a_node_is_copied_once),
		cmocka_unit_test(an_untouched_leaf_costs_one_leaf),
		cmocka_unit_test(replaced_nodes_come_back),
		cmocka_unit_test(aborts_wait_for_nobody),
		cmocka_unit_test(other_writes_meanwhile_are_caught),
	};

	int failed;

	arena = mt_mem_create(0, NULL);
	if (!arena)
		return 99;
	failed = cmocka_run_group_tests_name("tree_txn", tests, NULL, NULL);
	if (!failed)
		mt_mem_destroy(arena);
	return failed;
}
