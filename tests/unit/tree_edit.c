/* SPDX-License-Identifier: MIT */
/*
 * Edits amid a leaf: they come to what any store would, gap figures included, and build nothing; and whatever is more than that is
 * left alone. Beside a model, in dense and in holey trees of pages, of bytes, and of keys that fit no narrow leaf.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/edit.h"
#include "tree/walk.h"

#include <samara/txn.h>
#include <string.h>

enum { RANGES = 200, UNITS = 8 * RANGES, STORES = 4000, CHECK = 8 };

static struct mt_mem *arena;

struct bed {
	struct maple_tree tree;
	struct range_model model; /* of the transaction's view */
	struct mt_txn txn;
	unsigned long unit; /* of keys */
	unsigned long edits;
	struct rng rng;
};

static void *entry_of(struct bed *b)
{
	return xa_mk_value(rng_below(&b->rng, 1UL << 40));
}

static void txn_store(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	assert_int_equal(mt_txn_store_range(&b->txn, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/* One in @holes ranges is none; 0: all are. The lock is held, and a transaction open, from here on. */
static void bed_make(struct bed *b, unsigned int flags, unsigned long unit, unsigned int holes)
{
	memset(b, 0, sizeof(*b));
	b->unit = unit;
	b->rng = rng_make(env_seed(), unit + holes + flags);
	mt_init_flags(&b->tree, flags);
	mt_set_mem(&b->tree, arena);
	rm_init(&b->model);
	mtree_lock(&b->tree);
	mt_txn_begin(&b->txn, &b->tree);
	for (unsigned long i = 0; i < RANGES; i++)
		if (holes == 0 || !rng_one_in(&b->rng, holes))
			txn_store(b, 8 * i * unit, 8 * (i + 1) * unit - 1, entry_of(b));
	/* What there is belongs to the tree, and not to the transaction that is open now. */
	mt_txn_commit(&b->txn);
	mt_txn_begin(&b->txn, &b->tree);
}

static void bed_check(struct bed *b)
{
	char why[WHY_SIZE];

	if (!tree_good(&b->txn.view, &b->model, why))
		fail_msg("%s", why);
}

static void bed_free(struct bed *b)
{
	mt_txn_commit(&b->txn);
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

/* Close to the cursor, most often. */
static void random_range(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long from = rng_below(&b->rng, UNITS), nr = 1 + rng_below(&b->rng, 12);

	if (!rng_one_in(&b->rng, 4))
		from = b->txn.mas.index / b->unit + rng_below(&b->rng, 40);
	*first = from * b->unit + (rng_one_in(&b->rng, 16) ? rng_below(&b->rng, b->unit) : 0);
	*last = (from + nr) * b->unit - 1;
}

static void try_edit(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	struct ma_state *mas = &b->txn.mas;
	unsigned long built = b->txn.view.ma_nodes_built;

	if (!smr_edit_amid(mas, first, last, entry))
		return;
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	assert_int_equal(b->txn.view.ma_nodes_built, built);
	assert_true(smr_path_fresh(mas));
	assert_int_equal(mas->end + 1, smr_count(mas->node));
	assert_ptr_equal(smr_slots(mas->node)[mas->offset], entry);
	b->edits++;
}

/* Of @STORES stores, some of which any store's way takes, how many were edits. */
static unsigned long edits_in(unsigned int flags, unsigned long unit, unsigned int holes)
{
	unsigned long first, last;
	struct bed b;

	bed_make(&b, flags, unit, holes);
	for (unsigned int i = 0; i < STORES; i++) {
		void *entry = rng_one_in(&b.rng, 2) ? NULL : entry_of(&b);

		random_range(&b, &first, &last);
		if (rng_one_in(&b.rng, 3))
			txn_store(&b, first, last, entry);
		else
			try_edit(&b, first, last, entry);
		if (i % CHECK == 0)
			bed_check(&b);
	}
	bed_check(&b);
	bed_free(&b);
	return b.edits;
}

/* Of two thirds that might have been, at least as many as are surely amid a leaf. */
static void edits_come_to_stores(void **state)
{
	static const unsigned int flags[] = { 0, MT_FLAGS_USE_RCU, MT_FLAGS_ALLOC_RANGE,
					      MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU };

	(void)state;
	for (unsigned int f = 0; f < 4; f++)
		for (unsigned int holes = 0; holes < 4; holes += 3) {
			assert_true(edits_in(flags[f], 1, holes) > STORES / 8);
			assert_true(edits_in(flags[f], 4096, holes) > STORES / 8);
		}
}

/* Starts so far apart, and without an alignment, that leaves are wide: these are not edited. */
static void leaves_wide_leaves_alone(void **state)
{
	(void)state;
	assert_int_equal(edits_in(MT_FLAGS_ALLOC_RANGE, (1UL << 40) + 1, 0), 0);
}

/* ---- What it leaves alone ---- */

static void stand_at(struct bed *b, unsigned long key)
{
	void *root;

	assert_true(smr_walk(&b->txn.mas, key, &root));
}

static void refuses(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	assert_false(smr_edit_amid(&b->txn.mas, first, last, entry));
	bed_check(b);
}

/* A place that is not known, or not in a leaf of the transaction's own, or where the store does not lie. */
static void edits_where_the_cursor_stands(void **state)
{
	struct bed b;
	unsigned long min, max;

	(void)state;
	bed_make(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, 1, 0);
	refuses(&b, 808, 815, entry_of(&b));
	stand_at(&b, 800);
	refuses(&b, 808, 815, entry_of(&b));
	txn_store(&b, 802, 804, entry_of(&b)); /* now the leaf is */
	min = b.txn.mas.min;
	max = b.txn.mas.max;
	try_edit(&b, 808, 815, entry_of(&b));
	assert_int_equal(b.edits, 1);
	refuses(&b, min - 8, min - 1, entry_of(&b));
	refuses(&b, max + 1, max + 8, entry_of(&b));
	refuses(&b, 800, max + 8, entry_of(&b));
	b.txn.mas.seq--;
	refuses(&b, 808, 815, entry_of(&b));
	b.txn.mas.seq++;
	bed_free(&b);
}

/* Keys that are so far behind a leaf's others that no bound of it reaches them. */
static void leaves_far_keys_alone(void **state)
{
	unsigned long start, far = 1UL << 32;
	struct bed b;

	(void)state;
	bed_make(&b, MT_FLAGS_ALLOC_RANGE, 1, 0);
	txn_store(&b, UNITS - 14, UNITS - 13, entry_of(&b));
	assert_int_equal(b.txn.mas.max, ULONG_MAX);
	start = smr_start(b.txn.mas.node, 2);
	refuses(&b, start, start + far + 7, entry_of(&b));
	refuses(&b, start + far, start + far + 7, entry_of(&b));
	bed_free(&b);
}

/* The first and the last range of a leaf, to which a gap beside it may belong. */
static void leaves_the_ends_alone(void **state)
{
	struct bed b;
	unsigned long min, max;

	(void)state;
	bed_make(&b, MT_FLAGS_ALLOC_RANGE, 1, 0);
	txn_store(&b, 802, 804, entry_of(&b));
	min = b.txn.mas.min;
	max = b.txn.mas.max;
	refuses(&b, min, min + 7, NULL);
	refuses(&b, min + 1, min + 2, entry_of(&b));
	refuses(&b, max - 7, max, NULL);
	refuses(&b, max - 3, max - 2, entry_of(&b));
	/* A gap beside a gap at the end is one with it. */
	txn_store(&b, min, min + 7, NULL);
	stand_at(&b, min + 8);
	assert_int_equal(b.txn.mas.offset, 1);
	refuses(&b, min + 8, min + 15, NULL);
	bed_free(&b);
}

/* Stores two ranges more each time for as long as it may, then one less. */
static void stays_between_full_and_empty(void **state)
{
	struct ma_state *mas;
	unsigned long key, edits;
	unsigned int ranges;
	struct bed b;

	(void)state;
	bed_make(&b, MT_FLAGS_ALLOC_RANGE, 1, 0);
	mas = &b.txn.mas;
	txn_store(&b, 802, 804, entry_of(&b));
	key = mas->min + 8 + 3;
	do {
		edits = b.edits;
		ranges = mas->end + 1u;
		try_edit(&b, key, key + 1, entry_of(&b));
		key += 8;
	} while (b.edits > edits);
	assert_true(edits > 0 && ranges + 2 > SMR_NLEAF_CAP);
	bed_check(&b);
	do {
		edits = b.edits;
		ranges = mas->end + 1u;
		try_edit(&b, smr_start(mas->node, 1), smr_start(mas->node, 3) - 1, entry_of(&b));
	} while (b.edits > edits);
	assert_int_equal(ranges, SMR_LEAF_MIN);
	bed_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_come_to_stores),
		cmocka_unit_test(leaves_wide_leaves_alone),
		cmocka_unit_test(edits_where_the_cursor_stands),
		cmocka_unit_test(leaves_far_keys_alone),
		cmocka_unit_test(leaves_the_ends_alone),
		cmocka_unit_test(stays_between_full_and_empty),
	};
	int failed;

	arena = mt_mem_create(0, NULL);
	if (!arena)
		return 99;
	failed = cmocka_run_group_tests_name("tree_edit", tests, NULL, NULL);
	mt_mem_destroy(arena);
	return failed;
}
