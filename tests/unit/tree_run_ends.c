/* SPDX-License-Identifier: MIT */
/* Ranges in pieces at the ends of leaves and of the tree, and where leaves split and merge. */
#include "run_bed.h"

static void fills_ends(struct bed *b)
{
	for (unsigned int high = 0; high < 2; high++) {
		unsigned long u = entry_at_end(b, high);

		b->at = u;
		note(b);
		erase(b, u);
		expect_quiet(b);
		assert_int_equal(pieces(b, u), 3);
		expect_all(b, u);
		fill(b, u - LEN, u + 2 * LEN - 1);
		if (in_rcu(b)) {
			expect_quiet(b);
			assert_int_equal(pieces(b, u), 3);
			assert_int_equal(b->mas.offset, high ? b->mas.end : 2);
		}
		expect_all(b, u);
		erase(b, u);
		expect_all(b, u);
		fill(b, u - HALF, u + LEN + HALF - 1);
		expect_all(b, u);
		erase(b, u);
		expect_all(b, u);
		fill(b, u - LEN, u - 1);
		expect_all(b, u);
	}
}

static void at_the_ends_of_leaves(void **state)
{
	(void)state;
	on_beds(false, 1, fills_ends);
}

/* Ranges at the first and the last key of all. */
static void fills_tree_ends(struct bed *b)
{
	unsigned long last = b->model.ranges[rm_count(&b->model) - 1].first;

	b->at = LEN;
	note(b);
	erase(b, LEN);
	expect_quiet(b);
	assert_int_equal(pieces(b, 0), 3);
	store_keys(b, 0, last_key(b, 3 * LEN - 1), new_entry(b));
	assert_int_equal(pieces(b, 0), in_rcu(b) ? 3 : 1);
	expect_all(b, 0);
	erase(b, 0);
	expect_all(b, 0);
	b->at = last / b->unit;
	note(b);
	erase(b, b->at);
	expect_quiet(b);
	assert_int_equal(pieces(b, b->at), 3);
	expect_all(b, b->at);
	store_keys(b, last - LEN * b->unit, ULONG_MAX, new_entry(b));
	assert_int_equal(pieces(b, b->at), in_rcu(b) ? 3 : 1);
	expect_all(b, b->at);
	erase(b, b->at);
	expect_all(b, b->at);
}

static void at_the_ends_of_the_tree(void **state)
{
	(void)state;
	on_beds(false, 1, fills_tree_ends);
}

/* A leaf must have an entry: without the last of them there is no tree. */
static void the_last_entry_is_no_piece(void **state)
{
	struct bed b;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		unsigned long ranges = i / 2 ? 2 : 4;

		bed_make(&b, i % 2 ? RCU_TREE : 0, 1, ranges, false);
		for (unsigned long key = LEN; key < ranges * LEN; key += 2 * LEN) {
			mas_set(&b.mas, key);
			assert_ptr_equal(mas_erase(&b.mas), rm_erase(&b.model, key));
			expect(&b);
		}
		assert_true(mtree_empty(&b.tree));
		bed_free(&b);
	}
	expect_no_nodes();
}

/* Whether the leaf of b->at begins or ends elsewhere than [@min..@max]. */
static bool leaf_has_moved(struct bed *b, unsigned long min, unsigned long max)
{
	leaf_of(b, b->at);
	return b->mas.min != min || b->mas.max != max;
}

/* Stores halves of ranges behind, or before, b->at until there are too many. */
static void crowd(struct bed *b, bool high)
{
	unsigned long min = (leaf_of(b, b->at), b->mas.min), max = b->mas.max;
	unsigned long u = high ? b->at + 4 * LEN : b->at - 2 * LEN;

	while (!leaf_has_moved(b, min, max)) {
		assert_true(first_key(b, u) > min && last_key(b, u) < max);
		fill(b, u, u + HALF - 1);
		expect(b);
		u = high ? u + LEN : u - LEN;
	}
}

/* Replaces many ranges by one, on either side, so that too few are left. */
static void thin_out(struct bed *b, bool high)
{
	unsigned long min = (leaf_of(b, b->at), b->mas.min), max = b->mas.max;

	for (unsigned int side = 0; side < 2; side++, high = !high) {
		if (high)
			store_keys(b, first_key(b, b->at + 4 * LEN), max, NULL);
		else
			store_keys(b, min, last_key(b, b->at - 2 * LEN), new_entry(b));
		expect(b);
	}
	assert_true(leaf_has_moved(b, min, max));
}

/* What the pieces hold meanwhile: a gap, an entry, a gap that was an entry. */
static void moves_leaf(struct bed *b)
{
	unsigned int what = b->variant % 3;
	bool high = b->variant / 3 % 2, split = b->variant / 6;

	make_gap(b);
	if (what > 0)
		fill(b, b->at, b->at + 3 * LEN - 1);
	if (what > 1)
		erase(b, b->at);
	assert_int_equal(pieces(b, b->at), in_rcu(b) || what == 0 ? 3 : 1);
	if (split)
		crowd(b, high);
	else
		thin_out(b, high);
	assert_int_equal(pieces(b, b->at), 1);
	assert_false(smr_has_joined(b->mas.node));
	expect_all(b, b->at);
}

static void leaves_split_and_merge(void **state)
{
	(void)state;
	on_beds(true, 12, moves_leaf);
}

/* Makes the leaf of @unit as small as a leaf may be, with half of its entries erased. */
static void thin(struct bed *b, unsigned long unit)
{
	unsigned long low, high;
	void *leaf = leaf_of(b, unit);
	unsigned int n = smr_count(leaf);

	low = b->mas.min / b->unit;
	if (n > 20) { /* one entry replaces those inside the leaf */
		high = smr_start(leaf, n - 9) / b->unit;
		fill(b, smr_start(leaf, 9) / b->unit, high - 1);
		leaf_of(b, low);
	}
	high = b->mas.max / b->unit;
	for (bool odd = false; low < high; low++) {
		leaf_of(b, low);
		if (!mtree_load(&b->tree, first_key(b, low)) || b->mas.offset == 0 ||
		    b->mas.offset == b->mas.end)
			continue;
		odd = !odd;
		if (odd)
			erase(b, low);
		low = b->mas.last / b->unit;
	}
}

static void few_are_left_when_put_together(void **state)
{
	static const unsigned int flags[] = { RCU_TREE, MT_FLAGS_ALLOC_RANGE };
	static const unsigned long unit[] = { 1, NARROW_UNIT, WIDE_UNIT };
	struct bed b;

	(void)state;
	for (unsigned int k = 0; k < 6; k++) {
		unsigned long low, high;
		unsigned int n;

		bed_make(&b, flags[k / 3], unit[k % 3], 400, false);
		leaf_of(&b, b.at);
		low = b.mas.min / b.unit;
		high = b.mas.max / b.unit;
		thin(&b, low - 1);
		thin(&b, high + 1);
		expect(&b);
		fill(&b, low, high); /* one range is left in this leaf */
		n = smr_count(leaf_of(&b, low));
		print_message("unit %#lx, flags %x: %u ranges\n", b.unit, flags[k / 3], n);
		assert_true(n < SMR_LEAF_MIN);
		expect_all(&b, low);
		fill(&b, low + 1, low + 1); /* it joins another at the next store */
		assert_true(smr_count(leaf_of(&b, low)) >= SMR_LEAF_MIN);
		expect_all(&b, low);
		bed_free(&b);
	}
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_ends_of_leaves),
		cmocka_unit_test(at_the_ends_of_the_tree),
		cmocka_unit_test(the_last_entry_is_no_piece),
		cmocka_unit_test(leaves_split_and_merge),
		cmocka_unit_test(few_are_left_when_put_together),
	};

	return bed_run("tree_run_ends", tests, sizeof(tests) / sizeof(tests[0]));
}
