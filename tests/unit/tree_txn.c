/* SPDX-License-Identifier: MIT */
/*
 * Transactions on one thread: what is seen inside and outside, and what an abort and a commit leave
 * behind. Every test runs in each mode of the tree.
 */
#include "support/child.h"
#include "txn_bed.h"

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

/*
 * From everything to nothing, to much, to one entry without a node, to a little, to nothing, in one
 * transaction.
 */
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

/* Several in a row, each on the result of the one before. */
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
		/* Meanwhile the cursor sees the tree as it is outside. */
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

/* A reader in its section keeps what it stands on, even if all of that has left the tree. */
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

/*
 * All nodes that have left the tree are dead, whatever a reader on them knows of the tree, and no
 * others.
 */
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
		mt_set_external_lock_check(&copy, &bed->held, flag_is_set);
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
/* ---- Misuse, in a child, which is another thread and needs the lock for itself */

static void begin(struct bed *bed)
{
	bed_lock(bed);
	mt_txn_begin(&bed->txn, &bed->tree);
}

static int write_meanwhile(void *arg)
{
	struct bed *bed = arg;
	MA_STATE(mas, &bed->tree, 40, 45);

	begin(bed);
	mas_store_gfp(&mas, NULL, GFP_KERNEL);
	mt_txn_commit(&bed->txn);
	return 0;
}

/* Changes one word and no node. */
static int swap_meanwhile(void *arg)
{
	struct bed *bed = arg;
	MA_STATE(mas, &bed->tree, STEP, STEP);

	begin(bed);
	mas_walk(&mas);
	mas_store_gfp(&mas, xa_mk_value(1), GFP_NOWAIT);
	return 0;
}

static int change_mode_meanwhile(void *arg)
{
	struct bed *bed = arg;

	begin(bed);
	mt_clear_in_rcu(&bed->tree);
	return 0;
}

static int destroy_meanwhile(void *arg)
{
	struct bed *bed = arg;

	begin(bed);
	__mt_destroy(&bed->tree);
	return 0;
}

static int end_twice(void *arg)
{
	struct bed *bed = arg;

	begin(bed);
	mt_txn_commit(&bed->txn);
	mt_txn_abort(&bed->txn);
	return 0;
}

static bool is_caught(struct bed *bed, int (*mistake)(void *))
{
	bool caught;

	bed_unlock(bed);
	caught = child_aborts(mistake, bed);
	bed_lock(bed);
	return caught;
}

static void other_writes_meanwhile_are_caught(void **state)
{
	int (*const mistakes[])(void *) = { write_meanwhile, swap_meanwhile, destroy_meanwhile,
					    end_twice };
	struct bed bed;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(mistakes); i++) {
		bed_make(&bed, 0, 100);
		assert_true(is_caught(&bed, mistakes[i]));
		bed_free(&bed);
	}
	bed_make(&bed, MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU, 100);
	assert_true(is_caught(&bed, change_mode_meanwhile));
	bed_free(&bed);
}

/* The view of an empty tree may already have nodes of the arena. */
static void the_arena_stays(void **state)
{
	struct bed bed;

	(void)state;
	bed_make(&bed, 0, 0);
	mt_txn_begin(&bed.txn, &bed.tree);
	assert_int_equal(mt_set_mem(&bed.tree, NULL), -EBUSY);
	mt_txn_abort(&bed.txn);
	bed_free(&bed);
}

/* A transaction may still change what the preallocation would be for. */
static void preallocating_meanwhile(void **state)
{
	struct bed bed;
	MA_STATE(mas, &bed.tree, 5, 5);

	(void)state;
	bed_make(&bed, 0, 100);
	mt_txn_begin(&bed.txn, &bed.tree);
	assert_int_equal(mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL), -EBUSY);
	assert_int_equal(mas.alloc_nr, 0);
	mt_txn_abort(&bed.txn);
	assert_int_equal(mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL), 0);
	mas_store_prealloc(&mas, xa_mk_value(1));
	assert_int_equal(rm_store(&bed.model, 5, 5, xa_mk_value(1)), 0);
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
		cmocka_unit_test(other_writes_meanwhile_are_caught),
		cmocka_unit_test(the_arena_stays),
		cmocka_unit_test(preallocating_meanwhile),
	};

	return bed_run("tree_txn", tests, ARRAY_SIZE(tests));
}
