/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces, as a user sees them: whatever erases and refills leave behind in a leaf, its
 * ranges are those of the model. That the way meant is the one taken is looked at, too: the leaf is
 * the one it was, no node has been built, and a range is in as many pieces as it ought to be.
 */
#include "run_bed.h"

#include "support/cursor_model.h"

enum { RANGES = 160 };

/* Without and with lock-free readers, in leaves of either kind, so many variants of @body. */
static void on_beds(bool dense, unsigned int variants, void (*body)(struct bed *b))
{
	static const unsigned long unit[] = { 1, 4096, WIDE_UNIT };
	static const unsigned int flags[] = { MT_FLAGS_ALLOC_RANGE, RCU_TREE };
	struct bed b;

	for (unsigned int i = 0; i < 6 * variants; i++) {
		bed_make(&b, flags[i % 2], unit[i / 2 % 3], RANGES, dense);
		b.variant = i / 6;
		leaf_of(&b, b.at);
		assert_int_equal(smr_kind_wide(smr_enode_kind(b.mas.node)), b.unit == WIDE_UNIT);
		body(&b);
		bed_free(&b);
	}
	expect_no_nodes();
}

/* ---- Gaps ---- */

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

/* A gap is one range, wherever a cursor comes from, and where it turns round. */
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

/* With limits that cut what is in pieces, and from whatever a cursor may have come to. */
static void move_about(struct bed *b, unsigned int moves)
{
	static step_fn *const step[NR_MOVES] = {
		[MOVE_NEXT] = mas_next,         [MOVE_NEXT_RANGE] = mas_next_range,
		[MOVE_PREV] = mas_prev,         [MOVE_PREV_RANGE] = mas_prev_range,
		[MOVE_FIND] = find_inline,      [MOVE_FIND_RANGE] = mas_find_range,
		[MOVE_FIND_REV] = mas_find_rev, [MOVE_FIND_RANGE_REV] = mas_find_range_rev,
	};
	struct cursor_model c = { .ranges = &b->model, .form = FORM_NODES };

	c.vague = true; /* no place yet */
	for (unsigned int i = 0; i < moves; i++) {
		unsigned long key = first_key(b, b->at - 2 * LEN + rng_below(&b->rng, 7 * LEN));
		enum cursor_move move = (enum cursor_move)rng_below(&b->rng, NR_MOVES);
		bool up = move < MOVE_PREV || move == MOVE_FIND || move == MOVE_FIND_RANGE;
		unsigned long limit = rng_one_in(&b->rng, 2) ? key : up ? ULONG_MAX : 0;
		void *want, *got;

		if (c.vague || rng_one_in(&b->rng, 8)) {
			mas_set(&b->mas, key);
			c.index = c.last = key;
			c.status = ma_start;
		}
		want = cursor_model_move(&c, move, limit);
		got = step[move] ? step[move](&b->mas, limit) : mas_walk(&b->mas);
		assert_ptr_equal(got, want);
		if (c.vague)
			continue;
		assert_int_equal(b->mas.index, c.index);
		assert_int_equal(b->mas.last, c.last);
		assert_int_equal(b->mas.status, c.status);
	}
}

/* Down from a part of a gap in pieces, which may begin where a piece does: not into the gap. */
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

/* A fourth piece is one too many: the gap becomes one range, be that by a new leaf or in place. */
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

/* Each piece is a range that can be stored again, and then is there to be swapped. */
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

/* @prepared: nodes that the store asks for beforehand. The cursor may be wider then. */
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
	/* An entry between gaps, and what of these the store takes in on either side. */
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
	/* With what is beside it to begin with. */
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

/* ---- Joined ranges ---- */

/* An entry over all of the gap from b->at on. */
static void join_gap(struct bed *b, unsigned int ranges)
{
	note(b);
	fill(b, b->at, b->at + ranges * LEN - 1);
	assert_int_equal(pieces(b, b->at), ranges);
	assert_true(smr_has_joined(b->leaf));
	expect_quiet(b);
}

/* Without readers, where the leaf is changed in place, it is one range then. */
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
	/* The pieces are one for as long as the leaf is there, whatever they hold. */
	for (unsigned int i = 0; i < 2; i++) {
		fill(b, b->at, b->at + 3 * LEN - 1);
		expect_quiet(b);
		erase(b, b->at + (i + 1) * LEN);
		expect_quiet(b);
		assert_int_equal(pieces(b, b->at), 3);
		expect_all(b, b->at);
	}
	join_gap(b, 3);
	/* Slots beside it change as ever. */
	erase(b, b->at + 4 * LEN);
	fill(b, b->at + 4 * LEN, b->at + 5 * LEN - 1);
	expect_quiet(b);
	expect_all(b, b->at);
	/* Any other change of the leaf puts them together. */
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

/* Two of three pieces, then these and the third. */
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
		/* One piece more: the joined ones count as what they are. */
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

/* Where one range would leave the leaf too empty, pieces do without readers, too. */
static void fills_emptiest(struct bed *b)
{
	unsigned long u;

	if (in_rcu(b))
		return;
	leaf_of(b, b->at);
	u = smr_start(b->mas.node, 1) / b->unit;
	while (smr_count(leaf_of(b, u)) > SMR_LEAF_MIN)
		fill(b, u, b->mas.last / b->unit + LEN);
	/* Most of the leaf is one range now, and the rest lies behind it. */
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

/* The header's step does what it may, and nothing in a leaf with joined ranges. */
static void steps_inline(struct bed *b)
{
	MA_STATE(mas, &b->tree, first_key(b, b->at - LEN), first_key(b, b->at - LEN));

	if (!in_rcu(b))
		return;
	mas_walk(&mas);
	let_inlines(&mas);
	assert_ptr_equal(mas_find_near_(&mas, ULONG_MAX),
			 mtree_load(&b->tree, first_key(b, b->at)));
	mas_prev(&mas, 0);
	make_gap(b);
	let_inlines(&mas);
	assert_null(mas_find_near_(&mas, ULONG_MAX)); /* two gaps are more than it knows of */
	join_gap(b, 3);
	let_inlines(&mas);
	assert_null(mas_find_near_(&mas, ULONG_MAX));
	assert_ptr_equal(find_inline(&mas, ULONG_MAX), mtree_load(&b->tree, first_key(b, b->at)));
	assert_int_equal(mas.last, last_key(b, b->at + 3 * LEN - 1));
	let_inlines(&mas);
	assert_null(mas_find_near_(&mas, ULONG_MAX));
	find_inline(&mas, ULONG_MAX);
	assert_int_equal(mas.index, first_key(b, b->at + 3 * LEN));
}

static void inlines_leave_joined_ranges_alone(void **state)
{
	(void)state;
	on_beds(true, 1, steps_inline);
}

/* ---- At the ends of leaves, and where leaves come and go ---- */

/* In a sparse tree: the first entry of a leaf that begins, or the last of one that ends, a gap. */
static unsigned long entry_at_end(struct bed *b, bool high)
{
	for (unsigned long u = 3 * LEN;; u = b->mas.max / b->unit + 1) {
		void *leaf = leaf_of(b, u);
		void *const *slots = smr_slots(leaf);
		unsigned int end = b->mas.end;

		assert_true(b->mas.max < ULONG_MAX);
		if (b->mas.min > 0 && !slots[high ? end : 0])
			return smr_start(leaf, high ? end - 1 : 1) / b->unit;
	}
}

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

/* The first and the last key there are. */
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

/* A leaf has an entry: without the last of them there is no tree. */
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

/* The leaf of b->at begins, or ends, elsewhere than it did when note() saw it. */
static bool leaf_has_moved(struct bed *b, unsigned long min, unsigned long max)
{
	leaf_of(b, b->at);
	return b->mas.min != min || b->mas.max != max;
}

/* Halves of ranges behind, or before, b->at until there are too many. */
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

/* One range where many were, on either side, so that too few are left. */
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

/* What is in the pieces meanwhile: a gap, an entry, a gap that was an entry. */
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

/* ---- Whatever is stored over pieces ---- */

enum { STATES = 6 };

/* Three pieces from b->at on, in each state that they can be in. */
static void prepare(struct bed *b, unsigned int state)
{
	unsigned long at = b->at;

	make_gap(b);
	if (state == 1 || state == 2)
		fill(b, at, at + 3 * LEN - 1);
	if (state == 3 || state == 4)
		fill(b, at, at + 2 * LEN - 1);
	if (state == 5)
		fill(b, at + LEN, at + 3 * LEN - 1);
	if (state == 2 || state == 4)
		erase(b, at);
}

static void moves(struct bed *b)
{
	prepare(b, b->variant);
	move_about(b, 3000);
}

/* Makes the leaf of @unit as small as a leaf may be, with half of its entries erased. */
static void thin(struct bed *b, unsigned long unit)
{
	unsigned long low, high;
	void *leaf = leaf_of(b, unit);
	unsigned int n = smr_count(leaf);

	low = b->mas.min / b->unit;
	if (n > 20) { /* one entry takes the place of those amid the leaf */
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
	static const unsigned long unit[] = { 1, WIDE_UNIT };
	struct bed b;

	(void)state;
	for (unsigned int k = 0; k < 4; k++) {
		unsigned long low, high;
		unsigned int n;

		bed_make(&b, flags[k / 2], unit[k % 2], 400, false);
		leaf_of(&b, b.at);
		low = b.mas.min / b.unit;
		high = b.mas.max / b.unit;
		thin(&b, low - 1);
		thin(&b, high + 1);
		expect(&b);
		fill(&b, low, high); /* one range is left of this leaf */
		n = smr_count(leaf_of(&b, low));
		print_message("unit %#lx, flags %x: %u ranges\n", b.unit, flags[k / 2], n);
		assert_true(n < SMR_LEAF_MIN);
		expect_all(&b, low);
		fill(&b, low + 1, low + 1); /* and joins another at the next store */
		assert_true(smr_count(leaf_of(&b, low)) >= SMR_LEAF_MIN);
		expect_all(&b, low);
		bed_free(&b);
	}
	expect_no_nodes();
}

static void cursors_stop_and_go_on(void **state)
{
	(void)state;
	on_beds(true, STATES, moves);
}

/* From the range before the pieces to the one behind them, in steps of half a range. */
enum { STEPS = 5 * LEN / HALF, PAIRS = STEPS * (STEPS + 1) / 2 };

/* Of all kinds of them the first few are a sample. */
enum { STORES = NR_WAYS * 2 * STATES * PAIRS, SPREAD = 7919 };

static void stores(struct bed *b)
{
	unsigned int n = b->variant * SPREAD % STORES;
	enum way way = (enum way)(n % NR_WAYS);
	bool null = (n /= NR_WAYS) % 2;
	unsigned int state = (n /= 2) % STATES, pair = n / STATES, from = 0;
	unsigned long first, last;

	for (; pair >= STEPS - from; from++)
		pair -= STEPS - from;
	first = first_key(b, b->at - LEN + HALF * from);
	last = last_key(b, b->at - LEN + HALF * (from + pair + 1) - 1);
	prepare(b, state);
	store_by(b, way, first, last, null ? NULL : new_entry(b));
	expect(b);
	expect_units(b, b->at - LEN, b->at + 4 * LEN);
	move_about(b, 40);
}

static void every_store(void **state)
{
	(void)state;
	on_beds(true, (unsigned int)env_scaled(STORES), stores);
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

/* Stores where the search has found a place, where the cursor is then, and erases it again. */
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

/* All other gaps are a third as long, but for the one at the end. */
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

/* ---- Looking inside ---- */

static unsigned long gaps_of(const struct range_model *model)
{
	unsigned long last = ULONG_MAX, gaps = 0;
	void *entry;

	do {
		rm_range(model, last + 1, NULL, &last, &entry);
		gaps += !entry;
	} while (last < ULONG_MAX);
	return gaps;
}

static void expect_dump(struct bed *b)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	mt_dump_to(&b->tree, mt_dump_dec, out);
	fclose(out);
	assert_int_equal(strstr(text, ": joined\n") != NULL,
			 smr_has_joined(leaf_of(b, b->at)) != 0);
	free(text);
}

/* The copy has pieces of its own. */
static void expect_copy(struct bed *b)
{
	unsigned long key = first_key(b, b->at + LEN);
	struct range_model model;
	struct maple_tree copy;

	rm_init(&model);
	assert_int_equal(rm_copy(&model, &b->model), 0);
	mt_init_flags(&copy, b->tree.ma_flags & RCU_TREE);
	mt_set_mem(&copy, arena);
	mtree_unlock(&b->tree);
	assert_int_equal(mtree_dup(&b->tree, &copy, GFP_KERNEL), 0);
	check_good(b, &copy, &model);
	assert_ptr_equal(mtree_erase(&copy, key), rm_erase(&model, key));
	check_good(b, &copy, &model);
	assert_int_equal(mtree_store(&copy, key, b, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&model, key, key, b), 0);
	check_good(b, &copy, &model);
	mtree_destroy(&copy);
	rm_destroy(&model);
	mtree_lock(&b->tree);
	expect(b);
}

static void looks(struct bed *b)
{
	struct mt_stats stats;

	prepare(b, b->variant);
	mt_stats(&b->tree, &stats);
	assert_int_equal(stats.entries, rm_count(&b->model));
	assert_int_equal(stats.gaps, gaps_of(&b->model));
	expect_dump(b);
	expect_copy(b);
}

static void counted_printed_and_copied(void **state)
{
	(void)state;
	on_beds(true, STATES, looks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_erase_beside_gaps_takes_no_node),
		cmocka_unit_test(a_gap_in_pieces_is_one_range),
		cmocka_unit_test(down_from_a_part_of_a_gap),
		cmocka_unit_test(a_fourth_piece_is_refused),
		cmocka_unit_test(the_same_range_again_is_a_slot),
		cmocka_unit_test(null_over_a_gap_is_nothing),
		cmocka_unit_test(an_entry_over_a_gap_in_pieces),
		cmocka_unit_test(joined_again_with_more),
		cmocka_unit_test(without_readers_where_the_leaf_is_emptiest),
		cmocka_unit_test(inlines_leave_joined_ranges_alone),
		cmocka_unit_test(at_the_ends_of_leaves),
		cmocka_unit_test(at_the_ends_of_the_tree),
		cmocka_unit_test(the_last_entry_is_no_piece),
		cmocka_unit_test(leaves_split_and_merge),
		cmocka_unit_test(few_are_left_when_put_together),
		cmocka_unit_test(cursors_stop_and_go_on),
		cmocka_unit_test(every_store),
		cmocka_unit_test(places_in_all_pieces_together),
		cmocka_unit_test(counted_printed_and_copied),
	};

	return bed_run("tree_run", tests, sizeof(tests) / sizeof(tests[0]));
}
