/* SPDX-License-Identifier: MIT */
/* Entries over gaps in pieces: joined pieces are one range for as long as the leaf lives. */
#include "run_bed.h"

/* Stores an entry over all of the gap from b->at on. */
static void join_gap(struct bed *b, unsigned int ranges)
{
	note(b);
	fill(b, b->at, b->at + ranges * LEN - 1);
	assert_int_equal(pieces(b, b->at), ranges);
	assert_true(smr_has_joined(b->leaf));
	expect_quiet(b);
}

/* Without readers the leaf is changed in place, and the entry becomes one range. */
static void fills_in_place(struct bed *b)
{
	note(b);
	fill(b, b->at, b->at + 3 * LEN - 1);
	assert_int_equal(pieces(b, b->at), 1);
	assert_ptr_equal(leaf_of(b, b->at), b->leaf);
	assert_int_equal(b->tree.ma_nodes_built, b->built);
	assert_int_equal(smr_count(b->leaf), b->count - 2);
	assert_false(smr_has_joined(b->leaf));
}

static void fills(struct bed *b)
{
	make_gap(b);
	if (!in_rcu(b)) {
		fills_in_place(b);
		expect_all(b, b->at);
		return;
	}
	join_gap(b, 3);
	expect_all(b, b->at);
	/* The pieces stay joined for as long as the leaf lives, whatever they hold. */
	for (unsigned int i = 0; i < 2; i++) {
		fill(b, b->at, b->at + 3 * LEN - 1);
		expect_quiet(b);
		erase(b, b->at + (i + 1) * LEN);
		expect_quiet(b);
		assert_int_equal(pieces(b, b->at), 3);
		expect_all(b, b->at);
	}
	join_gap(b, 3);
	/* Slots beside the joined range change as before. */
	erase(b, b->at + 4 * LEN);
	fill(b, b->at + 4 * LEN, b->at + 5 * LEN - 1);
	expect_quiet(b);
	expect_all(b, b->at);
	/* Any other change of the leaf merges the pieces. */
	fill(b, b->at + LEN, b->at + LEN);
	assert_ptr_not_equal(leaf_of(b, b->at), b->leaf);
	assert_false(smr_has_joined(b->mas.node));
	assert_int_equal(pieces(b, b->at), 1);
	expect_all(b, b->at);
}

static void an_entry_over_a_gap_in_pieces(void **state)
{
	(void)state;
	on_beds(true, 1, fills);
}

/* Joins two of three pieces, then these and the third. */
static void fills_parts(struct bed *b)
{
	if (!in_rcu(b))
		return;
	for (unsigned int more = 0; more < 2; more++) {
		make_gap(b);
		fill(b, b->at + more * LEN, b->at + (more + 2) * LEN - 1);
		expect_quiet(b);
		assert_int_equal(pieces(b, b->at + LEN), 2);
		assert_int_equal(pieces(b, b->at + 2 * LEN * !more), 1);
		expect_all(b, b->at);
		erase(b, b->at + LEN);
		assert_int_equal(pieces(b, b->at + LEN), 3);
		expect_quiet(b);
		expect_all(b, b->at);
		join_gap(b, 3);
		expect_all(b, b->at);
		/* One more piece: the joined ones still count one by one. */
		erase(b, b->at);
		expect_quiet(b);
		erase(b, b->at + 3 * LEN);
		assert_int_equal(pieces(b, b->at), 1);
		expect(b);
		for (unsigned int i = 0; i < 4; i++)
			fill(b, b->at + i * LEN, b->at + i * LEN + LEN - 1);
	}
}

static void joined_again_with_more(void **state)
{
	(void)state;
	on_beds(true, 1, fills_parts);
}

/* If one range would leave the leaf too empty, pieces are joined without readers, too. */
static void fills_emptiest(struct bed *b)
{
	unsigned long u;

	if (in_rcu(b))
		return;
	leaf_of(b, b->at);
	u = smr_start(b->mas.node, 1) / b->unit;
	while (smr_count(leaf_of(b, u)) > SMR_LEAF_MIN)
		fill(b, u, b->mas.last / b->unit + LEN);
	/* Most of the leaf is now one range, and the rest lies behind it. */
	b->at = smr_start(b->mas.node, b->mas.end - 6u) / b->unit;
	make_gap(b);
	join_gap(b, 3);
	expect_all(b, b->at);
	fill(b, b->at + LEN, b->at + LEN);
	assert_int_equal(pieces(b, b->at), 1);
	expect_all(b, b->at);
}

static void without_readers_where_the_leaf_is_emptiest(void **state)
{
	(void)state;
	on_beds(true, 1, fills_emptiest);
}

/* Returns what a loop finds on its own; NULL: it leaves that to the library. */
static void *find_alone(struct ma_state *mas)
{
	struct mt_each_ each = each_from(mas);

	return mas_each_near_(mas, ULONG_MAX, &each);
}

/* The header's step does what it may, but nothing in a leaf with joined ranges. */
static void steps_inline(struct bed *b)
{
	MA_STATE(mas, &b->tree, first_key(b, b->at - LEN), first_key(b, b->at - LEN));

	if (!in_rcu(b))
		return;
	mas_walk(&mas);
	assert_ptr_equal(find_alone(&mas), mtree_load(&b->tree, first_key(b, b->at)));
	mas_prev(&mas, 0);
	make_gap(b); /* its pieces are passed all at once */
	assert_ptr_equal(find_alone(&mas), mtree_load(&b->tree, first_key(b, b->at + 3 * LEN)));
	mas_prev(&mas, 0);
	join_gap(b, 3);
	assert_null(find_alone(&mas));
	assert_ptr_equal(find_inline(&mas, ULONG_MAX), mtree_load(&b->tree, first_key(b, b->at)));
	assert_int_equal(mas.last, last_key(b, b->at + 3 * LEN - 1));
	assert_null(find_alone(&mas));
	find_inline(&mas, ULONG_MAX);
	assert_int_equal(mas.index, first_key(b, b->at + 3 * LEN));
}

static void inlines_leave_joined_ranges_alone(void **state)
{
	(void)state;
	on_beds(true, 1, steps_inline);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_over_a_gap_in_pieces),
		cmocka_unit_test(joined_again_with_more),
		cmocka_unit_test(without_readers_where_the_leaf_is_emptiest),
		cmocka_unit_test(inlines_leave_joined_ranges_alone),
	};

	return bed_run("tree_run_joined", tests, sizeof(tests) / sizeof(tests[0]));
}
