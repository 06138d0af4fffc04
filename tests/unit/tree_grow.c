/* SPDX-License-Identifier: MIT */
/*
 * Successive stores, upwards or downwards, at the end of the tree or inside it, leave full leaves
 * behind.
 */
#include "run_bed.h"

enum { STORES = 4000, OTHERS = 300 };

struct growth {
	bool down, amid, dense;
};

/* Returns the unit of the @n-th range stored; ranges lie @stride apart. */
static unsigned long place(const struct growth *g, unsigned long n)
{
	unsigned long stride = g->dense ? LEN : 2 * LEN;

	return 2 * LEN * (OTHERS + 2) + stride * (g->down ? STORES - 1 - n : n);
}

/* Fills in what lies before and behind the place where the tree grows. */
static void surround(struct bed *b, const struct growth *g)
{
	unsigned long behind = place(g, g->down ? 0 : STORES - 1) + 4 * LEN;

	for (unsigned int i = 0; g->amid && i < OTHERS; i++) {
		fill(b, 2 * LEN * i, 2 * LEN * i + LEN - 1);
		fill(b, behind + 2 * LEN * i, behind + 2 * LEN * i + LEN - 1);
	}
}

static unsigned long ranges(const struct growth *g)
{
	unsigned long entries = STORES + (g->amid ? 2 * OTHERS : 0);

	return g->dense ? entries + (g->amid ? 2 * OTHERS : 0) : 2 * entries;
}

static void leaves_are_full(struct bed *b, const struct growth *g)
{
	unsigned int cap = smr_leaf_cap(leaf_kind(b->unit));
	unsigned long least = ranges(g) / cap, leaves = b->tree.ma_pledge.leaves;

	if (leaves < least || leaves > least + least / 8 + 2 * OTHERS / cap + 3)
		fail_msg("unit %#lx, flags %x, %s%s%s: %lu leaves, %lu would do", b->unit,
			 b->tree.ma_flags, g->down ? "down" : "up", g->amid ? ", amid others" : "",
			 g->dense ? ", no gaps" : "", leaves, least);
}

static void grows(const struct growth *g, unsigned int flags, unsigned long unit)
{
	struct bed b;

	bed_make(&b, flags, unit, 2, false);
	surround(&b, g);
	for (unsigned long n = 0; n < STORES; n++) {
		fill(&b, place(g, n), place(g, n) + LEN - 1);
		if (n % 512 == 511)
			expect(&b);
	}
	expect(&b);
	leaves_are_full(&b, g);
	bed_free(&b);
}

static void in_any_direction(void **state)
{
	static const unsigned long unit[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };
	static const unsigned int flags[] = { MT_FLAGS_ALLOC_RANGE, RCU_TREE };

	(void)state;
	for (unsigned int i = 0; i < 8 * 2 * ARRAY_SIZE(unit); i += env_stride()) {
		struct growth g = { i & 1, i & 2, i & 4 };

		grows(&g, flags[i / 8 % 2], unit[i / 16]);
	}
	expect_no_nodes();
}

/* At the end of the tree this holds even if another store comes between any two. */
static void with_others_between(void **state)
{
	static const unsigned long unit[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(unit); i++) {
		struct growth g = { .dense = i % 2 };
		struct bed b;

		bed_make(&b, RCU_TREE, unit[i / 2], 2, false);
		for (unsigned long n = 0; n < STORES; n++) {
			fill(&b, place(&g, n), place(&g, n) + LEN - 1);
			fill(&b, LEN + n % 2, 2 * LEN - 1);
		}
		expect(&b);
		leaves_are_full(&b, &g);
		bed_free(&b);
	}
	expect_no_nodes();
}

/*
 * New ranges have one range between them: each store cuts off half of an old one. Upwards, the
 * first store in a leaf has the newest range in the leaf before, and is not seen to follow it.
 */
static void with_one_range_between(void **state)
{
	(void)state;
	for (unsigned int down = 0; down < 2; down++) {
		unsigned long least = 2 * STORES / smr_leaf_cap(leaf_kind(PAGE_UNIT));
		struct bed b;

		bed_make(&b, RCU_TREE, PAGE_UNIT, STORES, true);
		for (unsigned long n = 0; n < STORES; n++) {
			unsigned long at = down ? LEN * (STORES - 1 - n) + HALF : LEN * n;

			fill(&b, at, at + HALF - 1);
		}
		expect(&b);
		assert_uint_in_range(b.tree.ma_pledge.leaves, least,
				     least + least / (down ? 8 : 3));
		bed_free(&b);
	}
	expect_no_nodes();
}

/* Growth in transactions of @stores each. */
static void grows_by(unsigned long stores)
{
	static const struct growth g = { .down = true, .amid = true };
	struct mt_txn txn;
	struct bed b;

	bed_make(&b, RCU_TREE, PAGE_UNIT, 2, false);
	surround(&b, &g);
	for (unsigned long n = 0; n < STORES;) {
		mt_txn_begin(&txn, &b.tree);
		for (unsigned long i = 0; i < stores; i++, n++) {
			unsigned long first = first_key(&b, place(&g, n));
			unsigned long last = last_key(&b, place(&g, n) + LEN - 1);
			void *entry = new_entry(&b);

			assert_int_equal(mt_txn_store_range(&txn, first, last, entry, GFP_KERNEL),
					 0);
			assert_int_equal(rm_store(&b.model, first, last, entry), 0);
		}
		mt_txn_commit(&txn);
	}
	expect(&b);
	leaves_are_full(&b, &g);
	bed_free(&b);
	expect_no_nodes();
}

/* With one store each, the next transaction goes on where the last one's was. */
static void in_transactions(void **state)
{
	(void)state;
	grows_by(1);
	grows_by(5);
}

/* Leaves left full are not rebuilt by stores beside them. */
static void full_leaves_stay(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct growth g = { i & 1, i & 2, i & 4 };
		unsigned int cap = smr_leaf_cap(leaf_kind(PAGE_UNIT)), seen = 0;
		void *leaf, *full = NULL;
		struct bed b;

		bed_make(&b, RCU_TREE, PAGE_UNIT, 2, false);
		surround(&b, &g);
		for (unsigned long n = 0; n < STORES; n++) {
			fill(&b, place(&g, n), place(&g, n) + LEN - 1);
			leaf = n < 100 ? NULL : leaf_of(&b, place(&g, 50));
			if (full)
				assert_ptr_equal(leaf, full);
			else if (leaf && smr_count(leaf) == cap)
				full = leaf;
			seen += full != NULL;
		}
		assert_true(seen > STORES / 2);
		bed_free(&b);
	}
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_any_direction),       cmocka_unit_test(with_others_between),
		cmocka_unit_test(with_one_range_between), cmocka_unit_test(in_transactions),
		cmocka_unit_test(full_leaves_stay),
	};

	return bed_run("tree_grow", tests, sizeof(tests) / sizeof(tests[0]));
}
