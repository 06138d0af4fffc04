/* SPDX-License-Identifier: MIT */
/*
 * Gaps in pieces, as a user sees them: whatever erases and refills leave in a leaf, its ranges are
 * the model's. The tests also check that the intended path was taken: the leaf is the same, no node
 * has been built, and a range has as many pieces as it should.
 */
#include "run_bed.h"

#include "tree/pledge.h"

static void erases(struct bed *b)
{
	make_gap(b);
	assert_false(smr_has_joined(b->leaf));
	expect_all(b, b->at);
	/* In any order. */
	for (unsigned int i = 0; i < 3; i++)
		fill(b, b->at + i * LEN, b->at + i * LEN + LEN - 1);
	for (unsigned int i = 3; i-- > 0;)
		erase(b, b->at + i * LEN);
	expect_quiet(b);
	expect_all(b, b->at);
}

static void an_erase_beside_gaps_takes_no_node(void **state)
{
	(void)state;
	on_beds(true, 1, erases);
}

/* If it is known how many ranges there can be, no gap is in pieces. */
static void stays_whole(struct bed *b)
{
	smr_pledge_bound(&b->tree, RANGES);
	erase(b, b->at);
	erase(b, b->at + LEN);
	assert_int_equal(pieces(b, b->at), 1);
	expect_all(b, b->at);
}

static void a_gap_is_whole_in_a_tree_with_a_bound(void **state)
{
	(void)state;
	on_beds(true, 1, stays_whole);
}

/* A gap is one range, wherever a cursor comes from and wherever it turns round. */
static void turns(struct bed *b)
{
	unsigned long first = first_key(b, b->at), last = last_key(b, b->at + 3 * LEN - 1);
	void *before = mtree_load(&b->tree, first - 1), *behind = mtree_load(&b->tree, last + 1);
	struct ma_state *mas = &b->mas;

	make_gap(b);
	for (unsigned long unit = b->at; unit < b->at + 3 * LEN; unit++) {
		mas_set(mas, first_key(b, unit));
		assert_null(mas_walk(mas));
		expect_cursor(b, first);
		assert_ptr_equal(mas_next_range(mas, ULONG_MAX), behind);
		assert_int_equal(mas->index, last + 1);
		assert_null(mas_prev_range(mas, 0));
		expect_cursor(b, first);
		assert_ptr_equal(mas_prev_range(mas, 0), before);
		assert_int_equal(mas->last, first - 1);
		assert_null(mas_next_range(mas, ULONG_MAX));
		expect_cursor(b, first);
		mas_set(mas, first_key(b, unit));
		mas_walk(mas);
		assert_ptr_equal(mas_find_range(mas, ULONG_MAX), behind);
		assert_null(mas_find_range_rev(mas, 0));
		expect_cursor(b, first);
		assert_ptr_equal(mas_find_range_rev(mas, 0), before);
		mas_set(mas, first_key(b, unit));
		assert_ptr_equal(mas_find(mas, ULONG_MAX), behind);
		mas_set(mas, first_key(b, unit));
		assert_ptr_equal(mas_find_rev(mas, 0), before);
	}
}

static void a_gap_in_pieces_is_one_range(void **state)
{
	(void)state;
	on_beds(true, 1, turns);
}

/*
 * Down from a part of a gap in pieces, which may begin where a piece does: the step must not return
 * the gap.
 */
static void down_from_a_part(struct bed *b)
{
	static step_fn *const step[] = { mas_prev, mas_prev_range, mas_find_rev,
					 mas_find_range_rev };
	struct ma_state *mas = &b->mas;
	unsigned long below = first_key(b, b->at) - 1, low = b->at * b->unit;
	void *before = rm_load(&b->model, below);

	make_gap(b);
	for (unsigned int i = 0; i < 4 * 2 * ARRAY_SIZE(step); i++) {
		unsigned long from = first_key(b, b->at + LEN * (1 + i / 4 % 2)) + i / 8 % 4;

		mas_set(mas, from);
		assert_null(mas_walk(mas));
		__mas_set_range(mas, from, mas->last - 1);
		let_inlines(mas);
		assert_null(step[i % 4](mas, i % 4 < 2 ? from - 1 : from));
		mas_set(mas, from);
		assert_null(mas_walk(mas));
		__mas_set_range(mas, from, mas->last - 1);
		let_inlines(mas);
		assert_ptr_equal(step[i % 4](mas, 0), before);
		assert_int_equal(mas->last, low - 1);
		if (i % 4 > 1 || from == low)
			continue;
		mas_set(mas, from);
		assert_int_equal(mas_empty_area(mas, from, from + 1, 1), 0);
		assert_ptr_equal(step[i % 4](mas, 0), before);
		assert_int_equal(mas->last, low - 1);
	}
}

static void down_from_a_part_of_a_gap(void **state)
{
	(void)state;
	on_beds(true, 1, down_from_a_part);
}

/* A fourth piece is one too many: the gap becomes one range, in a new leaf or in place. */
static void refuses_fourth(struct bed *b)
{
	for (int side = -1; side <= 3; side += 4) {
		fill(b, b->at, b->at + 3 * LEN - 1);
		for (unsigned int i = 0; i < 3; i++)
			fill(b, b->at + i * LEN, b->at + i * LEN + LEN - 1);
		make_gap(b);
		erase(b, b->at + (unsigned long)(side * LEN));
		assert_int_equal(leaf_of(b, b->at) != b->leaf, in_rcu(b));
		assert_int_equal(b->tree.ma_nodes_built, b->built + in_rcu(b));
		assert_int_equal(smr_count(b->mas.node), b->count - 3);
		assert_int_equal(pieces(b, b->at), 1);
		expect(b);
		fill(b, b->at + (unsigned long)(side * LEN),
		     b->at + (unsigned long)(side * LEN) + LEN - 1);
	}
}

static void a_fourth_piece_is_refused(void **state)
{
	(void)state;
	on_beds(true, 1, refuses_fourth);
}

/* Each piece is a range that can be stored again and then swapped. */
static void refills(struct bed *b)
{
	static const unsigned int order[][3] = { { 0, 1, 2 }, { 1, 0, 2 }, { 2, 1, 0 } };

	for (unsigned int o = 0; o < 3; o++) {
		make_gap(b);
		for (unsigned int i = 0; i < 3; i++) {
			unsigned long from = b->at + order[o][i] * LEN;

			fill(b, from, from + LEN - 1);
			fill(b, from, from + LEN - 1);
			expect_quiet(b);
			expect(b);
		}
	}
}

static void the_same_range_again_is_a_slot(void **state)
{
	(void)state;
	on_beds(true, 1, refills);
}

/* Expects the store to ask for no nodes beforehand; preallocating may widen the cursor. */
static void expect_prepared(struct bed *b, unsigned long from, unsigned long to)
{
	mas_set_range(&b->mas, first_key(b, from), last_key(b, to));
	assert_int_equal(mas_preallocate(&b->mas, NULL, GFP_KERNEL), 0);
	assert_int_equal(mas_allocated(&b->mas), 0);
	mas_store_prealloc(&b->mas, NULL);
	assert_int_equal(rm_store(&b->model, first_key(b, from), last_key(b, to), NULL), 0);
	expect_cursor(b, first_key(b, from));
	expect_quiet(b);
}

static void nulls(struct bed *b)
{
	unsigned long at = b->at;

	make_gap(b);
	for (unsigned long from = at; from < at + 3 * LEN; from++)
		for (unsigned long to = from; to < at + 3 * LEN; to++) {
			expect_prepared(b, from, to);
			store(b, from, to, NULL);
			expect_quiet(b);
		}
	expect(b);
	/* An entry between gaps, with parts of the gaps that the store takes in on either side. */
	for (unsigned long less = 0; less <= LEN; less++)
		for (unsigned long more = 0; more <= LEN; more++) {
			fill(b, at + LEN, at + 2 * LEN - 1);
			expect_prepared(b, at + LEN - less, at + 2 * LEN - 1 + more);
			fill(b, at + LEN, at + 2 * LEN - 1);
			store(b, at + LEN - less, at + 2 * LEN - 1 + more, NULL);
			expect_quiet(b);
			assert_int_equal(pieces(b, at), 3);
		}
	expect(b);
	/* The same with entries beside it at first. */
	fill(b, at, at + LEN - 1);
	fill(b, at + LEN, at + 2 * LEN - 1);
	expect_prepared(b, at + LEN, at + 2 * LEN);
	expect_prepared(b, at, at + 2 * LEN);
	expect(b);
}

static void null_over_a_gap_is_nothing(void **state)
{
	(void)state;
	on_beds(true, 1, nulls);
}

/* ---- Free places ---- */

static void expect_area(struct bed *b, unsigned long min, unsigned long max, unsigned long size)
{
	struct ma_state *mas = &b->mas;
	unsigned long start;

	for (unsigned int high = 0; high < 2; high++) {
		int want = (high ? rm_gap_last : rm_gap_first)(&b->model, size, min, max, &start);

		mas_reset(mas);
		assert_int_equal((high ? mas_empty_area_rev : mas_empty_area)(mas, min, max, size),
				 want);
		if (want)
			continue;
		assert_int_equal(mas->index, start);
		assert_int_equal(mas->last, start + size - 1);
		assert_int_equal(mas->status, ma_active);
	}
}

/* Stores where the search found a place and left the cursor, and erases it again. */
static void use_area(struct bed *b, unsigned long unit)
{
	unsigned long first = first_key(b, unit), last = last_key(b, unit + 3 * LEN - 1);
	void *entry = new_entry(b);

	note(b);
	assert_int_equal(mas_empty_area(&b->mas, first, last, last - first + 1), 0);
	assert_int_equal(b->mas.index, first);
	assert_null(mas_store(&b->mas, entry));
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	expect_cursor(b, first);
	if (in_rcu(b))
		expect_quiet(b);
	expect(b);
	erase(b, unit);
}

/* All other gaps are a third as long, except the one at the end. */
static void finds_areas(struct bed *b)
{
	static const unsigned int units[] = { 1, LEN, LEN + 1, 2 * LEN, 20, 3 * LEN, 3 * LEN + 1 };
	unsigned int where = b->variant / 2;

	if (where > 0)
		b->at = entry_at_end(b, where > 1);
	note(b);
	erase(b, b->at);
	expect_quiet(b);
	assert_int_equal(pieces(b, b->at), 3);
	if (b->variant % 2)
		use_area(b, b->at - LEN);
	for (unsigned long from = b->at - 3 * LEN; from < b->at + 4 * LEN; from += HALF)
		for (unsigned long to = from; to < b->at + 4 * LEN; to += HALF)
			for (unsigned int i = 0; i < 7; i++) {
				unsigned long size = units[i] * b->unit;

				expect_area(b, first_key(b, from), last_key(b, to), size);
				expect_area(b, 0, last_key(b, to), size - 1 + (size == 1));
				expect_area(b, first_key(b, from), ULONG_MAX, size);
			}
	use_area(b, b->at - LEN);
}

static void places_in_all_pieces_together(void **state)
{
	(void)state;
	on_beds(false, 6, finds_areas);
}

/*
 * In a leaf with few ranges, at the cursor: storing the same range again only changes a slot, and
 * so does NULL.
 */
static void swaps_there(struct bed *b)
{
	struct ma_state *mas = &b->mas;
	unsigned long first = mas->index, last = mas->last;
	void *leaf = mas->node, *const *slots = smr_slots(leaf);
	unsigned long built = b->tree.ma_nodes_built, i = mas->offset;

	store_keys(b, first, last, new_entry(b));
	assert_ptr_equal(leaf, mas->node);
	if (i > 0 && i < mas->end &&
	    smr_may_run(&b->tree, smr_run_from(slots, (unsigned int)i),
			smr_run_to(slots, (unsigned int)i, mas->end), mas->end)) {
		store_keys(b, first, last, NULL);
		store_keys(b, first, last, new_entry(b));
	}
	assert_int_equal(b->tree.ma_nodes_built, built);
}

/* Walks the cursor to @key and returns the leaf. */
static void *leaf_at(struct bed *b, unsigned long key)
{
	mas_set(&b->mas, key);
	mas_walk(&b->mas);
	return b->mas.node;
}

/* Clears ranges [@i..@j] of the leaf at @key. */
static void clear_ranges(struct bed *b, unsigned long key, unsigned int i, unsigned int j)
{
	const void *leaf = leaf_at(b, key);

	store_keys(b, smr_start(leaf, i), smr_start(leaf, j + 1) - 1, NULL);
}

/* Leaves the leaf at @key few ranges, and erases every other entry between gaps, into pieces. */
static void thin_out(struct bed *b, unsigned long key)
{
	void *const *slots = smr_slots(leaf_at(b, key));
	unsigned int i = slots[7] ? 8 : 7, j = b->mas.end - (slots[b->mas.end - 7u] ? 8u : 7u);

	clear_ranges(b, key, i, j);
	for (i = 2; leaf_at(b, key) && i < b->mas.end; i++) {
		slots = smr_slots(b->mas.node);
		if (slots[i - 2] && slots[i])
			clear_ranges(b, key, i, i);
	}
}

/*
 * Two leaves that share may become one with fewer ranges than any other, once their pieces have
 * been put together.
 */
static void few_ranges(struct bed *b)
{
	unsigned long left, right;

	leaf_at(b, 0);
	left = b->mas.min;
	right = b->mas.max + 1;
	thin_out(b, left);
	thin_out(b, right);
	clear_ranges(b, right, 1, smr_count(leaf_at(b, right)) - 2);
	leaf_at(b, left);
	assert_uint_in_range(b->mas.end, 2, SMR_LEAF_MIN - 2);
	for (unsigned long i = 0, count = b->mas.end + 1ul; i < count; i++) {
		b->mas.offset = i;
		smr_range_here(&b->mas);
		if (mtree_load(&b->tree, b->mas.index))
			swaps_there(b);
	}
}

static void a_leaf_may_have_few_ranges(void **state)
{
	(void)state;
	on_beds(false, 1, few_ranges);
}

/*
 * Erases what lies at @unit, which only changes a slot; a store over [@from..@to] then takes one
 * node.
 */
static void replace_by(struct bed *b, unsigned long unit, unsigned long from, unsigned long to)
{
	unsigned long built = b->tree.ma_nodes_built;

	erase(b, unit);
	assert_int_equal(b->tree.ma_nodes_built, built);
	fill(b, from, to);
	assert_int_equal(b->tree.ma_nodes_built - built, in_rcu(b));
	assert_int_equal(pieces(b, from - 1), 1);
	assert_int_equal(pieces(b, to + 1), 1);
}

/*
 * An entry between gaps shrinks, in either direction, and grows again. What it leaves of its old
 * place becomes part of the gap beside it, so the next erase only changes a slot, too.
 */
static void shrinks_and_grows(struct bed *b)
{
	unsigned long from = b->at, to = b->at + LEN - 1, middle = b->at + HALF;

	for (unsigned int round = 0; round < 8; round++) {
		if (round % 2 == b->variant)
			replace_by(b, middle, middle, to);
		else
			replace_by(b, middle, from, middle);
		replace_by(b, middle, from, to);
	}
	expect_all(b, b->at);
}

static void a_range_that_changes_its_size_takes_a_node(void **state)
{
	(void)state;
	on_beds(false, 2, shrinks_and_grows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_erase_beside_gaps_takes_no_node),
		cmocka_unit_test(a_gap_is_whole_in_a_tree_with_a_bound),
		cmocka_unit_test(a_gap_in_pieces_is_one_range),
		cmocka_unit_test(down_from_a_part_of_a_gap),
		cmocka_unit_test(a_fourth_piece_is_refused),
		cmocka_unit_test(the_same_range_again_is_a_slot),
		cmocka_unit_test(null_over_a_gap_is_nothing),
		cmocka_unit_test(a_leaf_may_have_few_ranges),
		cmocka_unit_test(places_in_all_pieces_together),
		cmocka_unit_test(a_range_that_changes_its_size_takes_a_node),
	};

	return bed_run("tree_run", tests, sizeof(tests) / sizeof(tests[0]));
}
