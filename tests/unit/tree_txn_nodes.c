/* SPDX-License-Identifier: MIT */
/*
 * Transactions and nodes: what their numbers tell, how many are copied, and when their memory comes
 * back.
 */
#include "txn_bed.h"

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
	/* A thousand stores in one place: only the path down to it is copied, once. */
	for (unsigned long i = 0; i < 1000; i++)
		txn_store(bed, &seen, mid, mid + STEP / 2 - 1, xa_mk_value(i));
	assert_int_equal(built(bed), height);
	/* Even if they move bounds to and fro, once the leaf suits such bounds. */
	for (unsigned long i = 0; i < 2000; i++) {
		if (i == 100)
			nodes = built(bed);
		txn_store(bed, &seen, mid, mid + STEP / 2 - 1 + (i % 2 ? 3 : 0),
			  i % 3 ? xa_mk_value(i) : NULL);
	}
	assert_uint_in_range(nodes, height, 3 * height + 3);
	assert_int_equal(built(bed), nodes);
	txn_end(bed, &seen, &before, how);
}

/* Storing what is there already copies nothing. */
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

/*
 * A store into an untouched leaf copies that leaf, and what of the path to it is not yet the
 * transaction's.
 */
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
		assert_uint_in_range(built(&bed) - first, 1, stats.height);
	}
	assert_uint_in_range(built(&bed), 50, 50 + inner);
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

/* An abort gives nodes back at once, without a grace period: no reader has seen them. */
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

/* A few hundred nodes in many chunks, most with so few that a magazine could keep them. */
static void what_empties_the_tree_keeps_nothing(void **state)
{
	const unsigned long n = 120000, part = n / 6;
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct maple_tree tree = MTREE_INIT(tree, 0);
	struct mt_mem_stats stats;
	struct mt_txn txn;

	(void)state;
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	for (unsigned long i = 0; i < n; i++)
		assert_int_equal(mtree_store_range(&tree, STEP * i, STEP * i + 5, xa_mk_value(i),
						   GFP_KERNEL),
				 0);
	for (unsigned long i = 0; i < n; i += part)
		assert_int_equal(mtree_store_range(&tree, STEP * (i + 40), STEP * (i + part) - 1,
						   NULL, GFP_KERNEL),
				 0);
	mt_mem_trim(mem);
	mt_mem_stats(mem, &stats);
	assert_true(stats.chunks > 1 && stats.nodes_used > 0);
	mtree_lock(&tree);
	mt_txn_begin(&txn, &tree);
	assert_int_equal(mt_txn_store_range(&txn, 0, ULONG_MAX, NULL, GFP_KERNEL), 0);
	mt_txn_commit(&txn);
	mtree_unlock(&tree);
	mt_mem_barrier(mem);
	mt_mem_stats(mem, &stats);
	assert_int_equal(stats.chunks, 1);
	mt_mem_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_begin_again),
		cmocka_unit_test(a_node_is_copied_once),
		cmocka_unit_test(an_untouched_leaf_costs_one_leaf),
		cmocka_unit_test(replaced_nodes_come_back),
		cmocka_unit_test(aborts_wait_for_nobody),
		cmocka_unit_test(what_empties_the_tree_keeps_nothing),
	};

	return bed_run("tree_txn_nodes", tests, ARRAY_SIZE(tests));
}
