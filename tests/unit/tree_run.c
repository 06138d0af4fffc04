/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces, as a user sees them: whatever erases and refills leave behind in a leaf, its
 * ranges are those of the model. That the way meant is the one taken is looked at, too: the leaf is
 * the one it was, no node has been built, and a range is in as many pieces as it ought to be.
 *
 * Everything is measured in units: of one key, of a page, or so large that no narrow leaf has them.
 * Ranges are eight units long, with an entry each, or, in a sparse tree, every other one.
 */
#include "support/cm.h"

#include "support/cursor_model.h"
#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/walk.h"
#include "txn_image.h"

#include <errno.h>
#include <limits.h>
#include <samara/txn.h>
#include <stdlib.h>

enum { RANGES = 160, LEN = 8, HALF = LEN / 2 };

#define WIDE_UNIT ((1UL << 40) + 1) /* starts so far apart, and without an alignment */
#define RCU_TREE (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)

static struct mt_mem *arena;

struct bed {
	struct maple_tree tree;
	struct range_model model;
	struct ma_state mas;
	unsigned long unit;
	unsigned long values; /* entries made so far: each is another one */
	unsigned long at;     /* the unit at which a range with an entry begins, amid a leaf */
	unsigned int variant; /* of the test */
	bool held;            /* stores must not drop the lock */
	struct rng rng;
	/* What note() has seen. */
	void *leaf;
	unsigned int count;
	unsigned long built;
};

static bool in_rcu(const struct bed *b)
{
	return b->tree.ma_flags & MT_FLAGS_USE_RCU;
}

static unsigned long first_key(const struct bed *b, unsigned long unit)
{
	return unit * b->unit;
}

static unsigned long last_key(const struct bed *b, unsigned long unit)
{
	return (unit + 1) * b->unit - 1;
}

static void *new_entry(struct bed *b)
{
	return xa_mk_value(++b->values);
}

/* The cursor is where a store, or an erase, of what is around @key leaves it. */
static void expect_cursor(struct bed *b, unsigned long key)
{
	unsigned long first, last;
	void *entry;

	rm_range(&b->model, key, &first, &last, &entry);
	assert_int_equal(b->mas.status, ma_active);
	assert_int_equal(b->mas.index, first);
	assert_int_equal(b->mas.last, last);
	assert_true(smr_path_fresh(&b->mas));
	assert_ptr_equal(smr_value(smr_slots(b->mas.node), (unsigned int)b->mas.offset), entry);
}

/* Keeps the lock. */
static void store_prealloc(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	unsigned long built = b->tree.ma_nodes_built, end, nr;
	void *before;

	mas_set_range(&b->mas, first, last);
	assert_int_equal(mas_preallocate(&b->mas, entry, GFP_KERNEL), 0);
	nr = mas_allocated(&b->mas);
	rm_range(&b->model, first, NULL, &end, &before);
	if (!entry && !before && end >= last)
		assert_int_equal(nr, 0); /* it is so already */
	mas_store_prealloc(&b->mas, entry);
	assert_int_equal(b->tree.ma_nodes_built, built + nr);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	expect_cursor(b, first);
}

static void store_keys(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	if (b->held) {
		store_prealloc(b, first, last, entry);
		return;
	}
	mas_set_range(&b->mas, first, last);
	assert_int_equal(mas_store_gfp(&b->mas, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	expect_cursor(b, first);
}

static void store(struct bed *b, unsigned long from, unsigned long to, void *entry)
{
	store_keys(b, first_key(b, from), last_key(b, to), entry);
}

/* A new entry over units [@from..@to]. */
static void fill(struct bed *b, unsigned long from, unsigned long to)
{
	store(b, from, to, new_entry(b));
}

static void erase(struct bed *b, unsigned long unit)
{
	unsigned long key = first_key(b, unit) + b->unit / 2, first, last;
	void *entry;

	rm_range(&b->model, key, &first, &last, &entry);
	if (b->held) {
		if (entry)
			store_prealloc(b, first, last, NULL);
		return;
	}
	mas_set(&b->mas, key);
	assert_ptr_equal(mas_erase(&b->mas), rm_erase(&b->model, key));
	expect_cursor(b, key);
}

/* The cursor on @unit, in its leaf. */
static void *leaf_of(struct bed *b, unsigned long unit)
{
	mas_set(&b->mas, first_key(b, unit));
	mas_walk(&b->mas);
	return b->mas.node;
}

/* In how many pieces is the range of @unit? */
static unsigned int pieces(struct bed *b, unsigned long unit)
{
	void *const *slots = smr_slots(leaf_of(b, unit));
	unsigned int i = (unsigned int)b->mas.offset, end = b->mas.end;

	if (smr_value(slots, i))
		return smr_tail(slots, i, end) - smr_head(slots, i) + 1;
	return smr_run_to(slots, i, end) - smr_run_from(slots, smr_head(slots, i)) + 1;
}

/* The lock is held from here on. @dense: without gaps. */
static void bed_make(struct bed *b, unsigned int flags, unsigned long unit, unsigned long ranges,
		     bool dense)
{
	*b = (struct bed){ .unit = unit, .rng = rng_make(env_seed(), unit + flags) };
	mt_init_flags(&b->tree, flags);
	mt_set_mem(&b->tree, arena);
	rm_init(&b->model);
	mas_init(&b->mas, &b->tree, 0);
	mtree_lock(&b->tree);
	for (unsigned long n = dense ? 0 : 1; n < ranges; n += dense ? 1 : 2)
		fill(b, LEN * n, LEN * n + LEN - 1);
	leaf_of(b, LEN * ranges / 2);
	b->at = smr_start(b->mas.node, b->mas.end / 2u) / unit;
	if (!mtree_load(&b->tree, first_key(b, b->at)))
		b->at += LEN;
}

static void bed_free(struct bed *b)
{
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
}

static void expect_no_nodes(void)
{
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

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

/* ---- What is there ---- */

static void check_good(struct bed *b, struct maple_tree *mt, const struct range_model *model)
{
	char why[WHY_SIZE];

	if (!tree_good(mt, model, why))
		fail_msg("seed %llu, unit %#lx, flags %x: %s", (unsigned long long)env_seed(),
			 b->unit, b->tree.ma_flags, why);
}

static void expect(struct bed *b)
{
	check_good(b, &b->tree, &b->model);
}

typedef void *step_fn(struct ma_state *mas, unsigned long limit);

/* The entries one by one, beginning on the first (last). */
static void expect_steps(struct bed *b, step_fn *step, bool down)
{
	size_t n = rm_count(&b->model);
	const struct rm_range *r = b->model.ranges + (down ? n - 1 : 0);
	MA_STATE(mas, &b->tree, r->first, r->first);
	void *entry = mas_walk(&mas);

	for (size_t i = 0; i < n; i++, r += down ? -1 : 1) {
		assert_ptr_equal(entry, r->entry);
		assert_int_equal(mas.index, r->first);
		assert_int_equal(mas.last, r->last);
		entry = step(&mas, down ? 0 : ULONG_MAX);
	}
	assert_null(entry);
}

/* The library under test has its checker see each step; without, the header makes most of them. */
static void let_inlines(struct ma_state *mas)
{
	if (mas->status == ma_active && mas->node)
		mas->reach = mas->end;
}

static void *find_inline(struct ma_state *mas, unsigned long max)
{
	let_inlines(mas);
	return mas_find_inline_(mas, max);
}

static void expect_loop(struct bed *b)
{
	const struct rm_range *r = b->model.ranges;
	MA_STATE(mas, &b->tree, 0, 0);
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_ptr_equal(entry, r->entry);
		assert_int_equal(mas.index, r->first);
		assert_int_equal(mas.last, r->last);
		let_inlines(&mas);
		r++;
	}
	assert_int_equal(r - b->model.ranges, rm_count(&b->model));
}

/* What the normal API's readers say of @key. */
static void expect_reads(struct bed *b, unsigned long key)
{
	unsigned long index = key, first, last, end;
	void *here, *entry;

	rm_range(&b->model, key, &first, &last, &here);
	assert_ptr_equal(mtree_load(&b->tree, key), here);
	if (!rm_next(&b->model, last, NULL, &end, &entry))
		entry = NULL;
	assert_ptr_equal(mt_next(&b->tree, key, ULONG_MAX), entry);
	assert_ptr_equal(mt_find(&b->tree, &index, ULONG_MAX), here ? here : entry);
	if (here || entry)
		assert_int_equal(index, (here ? last : end) + 1);
	if (!rm_prev(&b->model, first, NULL, NULL, &entry))
		entry = NULL;
	assert_ptr_equal(mt_prev(&b->tree, key, 0), entry);
}

/* The same at both ends of all units [@from..@to], and as a batch. */
static void expect_units(struct bed *b, unsigned long from, unsigned long to)
{
	size_t n = 2 * (to - from + 1);
	unsigned long *key = malloc(n * sizeof(*key));
	void **entry = malloc(n * sizeof(*entry));

	assert_true(key && entry);
	for (size_t i = 0; i < n; i++) {
		key[i] = i % 2 ? last_key(b, from + i / 2) : first_key(b, from + i / 2);
		expect_reads(b, key[i]);
		mas_set(&b->mas, key[i]);
		assert_ptr_equal(mas_walk(&b->mas), rm_load(&b->model, key[i]));
		expect_cursor(b, key[i]);
	}
	mtree_load_batch(&b->tree, key, entry, n);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(entry[i], rm_load(&b->model, key[i]));
	free(key);
	free(entry);
}

/* In all ways to look at it, and around @unit at each key that may make a difference. */
static void expect_all(struct bed *b, unsigned long unit)
{
	expect(b);
	expect_steps(b, mas_next, false);
	expect_steps(b, mas_find, false);
	expect_steps(b, find_inline, false);
	expect_steps(b, mas_prev, true);
	expect_steps(b, mas_find_rev, true);
	expect_loop(b);
	expect_units(b, unit > 3 * LEN ? unit - 3 * LEN : 0, unit + 6 * LEN);
}

/* From here on until expect_quiet() only slots of the leaf of b->at change. */
static void note(struct bed *b)
{
	b->leaf = leaf_of(b, b->at);
	b->count = smr_count(b->leaf);
	b->built = b->tree.ma_nodes_built;
}

static void expect_quiet(struct bed *b)
{
	assert_ptr_equal(leaf_of(b, b->at), b->leaf);
	assert_int_equal(smr_count(b->leaf), b->count);
	assert_int_equal(b->tree.ma_nodes_built, b->built);
	assert_int_equal(b->mas.alloc_nr, 0);
}

/* ---- Gaps ---- */

/* The three ranges from b->at on are a gap, each of them a piece. */
static void make_gap(struct bed *b)
{
	note(b);
	erase(b, b->at);
	erase(b, b->at + 2 * LEN);
	erase(b, b->at + LEN);
	expect_quiet(b);
	assert_int_equal(pieces(b, b->at), 3);
}

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
	for (unsigned int rcu = 0; rcu < 2; rcu++) {
		bed_make(&b, rcu ? RCU_TREE : 0, 1, 4, false);
		for (unsigned long key = LEN; key < 4 * LEN; key += 2 * LEN) {
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

static void cursors_stop_and_go_on(void **state)
{
	(void)state;
	on_beds(true, STATES, moves);
}

enum way { WAY_STORE, WAY_INSERT, WAY_PREALLOC, WAY_COMMIT, WAY_ABORT, NR_WAYS };

static void insert(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	int want = rm_insert(&b->model, first, last, entry), got;
	unsigned long built = b->tree.ma_nodes_built;

	mtree_unlock(&b->tree);
	got = mtree_insert_range(&b->tree, first, last, entry, GFP_KERNEL);
	mtree_lock(&b->tree);
	assert_int_equal(got, want);
	if (got)
		assert_int_equal(b->tree.ma_nodes_built, built);
}

static void txn_store(struct bed *b, struct mt_txn *txn, struct range_model *seen,
		      unsigned long first, unsigned long last, void *entry)
{
	assert_int_equal(mt_txn_store_range(txn, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(seen, first, last, entry), 0);
	check_good(b, &txn->view, seen);
}

/* Two stores, of which the second is one into a leaf of the transaction's own. */
static void store_in_txn(struct bed *b, unsigned long first, unsigned long last, void *entry,
			 bool keep)
{
	struct tree_image before = tree_image_of(&b->tree), after;
	struct range_model seen;
	struct mt_txn txn;

	rm_init(&seen);
	assert_int_equal(rm_copy(&seen, &b->model), 0);
	mt_txn_begin(&txn, &b->tree);
	txn_store(b, &txn, &seen, first, last, entry);
	txn_store(b, &txn, &seen, first_key(b, b->at + LEN), last_key(b, b->at + 2 * LEN - 1),
		  entry ? NULL : new_entry(b));
	after = tree_image_of(&b->tree);
	assert_true(tree_image_equal(&before, &after));
	if (keep) {
		mt_txn_commit(&txn);
		rm_destroy(&b->model);
		b->model = seen;
		return;
	}
	mt_txn_abort(&txn);
	rm_destroy(&seen);
	after = tree_image_of(&b->tree);
	assert_true(tree_image_equal(&before, &after));
}

static void store_by(struct bed *b, enum way way, unsigned long first, unsigned long last,
		     void *entry)
{
	switch (way) {
	case WAY_INSERT:
		if (entry)
			insert(b, first, last, entry);
		break;
	case WAY_PREALLOC:
		store_prealloc(b, first, last, entry);
		break;
	case WAY_COMMIT:
	case WAY_ABORT:
		store_in_txn(b, first, last, entry, way == WAY_COMMIT);
		break;
	default:
		store_keys(b, first, last, entry);
	}
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

/* ---- At random ---- */

enum { MANY_RANGES = 1600, OPS = 6000, CHECK = 16, NEAR = 12, LONG_GAP = 64 * LEN };

/* Where random stores are, for a while, so that each finds what those before it have left. */
struct hunt {
	struct bed *b;
	unsigned long from;   /* unit */
	unsigned long joined; /* stores that have joined pieces */
};

static unsigned long hunted(struct hunt *h)
{
	return h->from + rng_below(&h->b->rng, NEAR * LEN);
}

/* One of the ways outside of transactions, of which some drop the lock. */
static void hunt_store(struct hunt *h, unsigned long first, unsigned long last, void *entry)
{
	struct bed *b = h->b;
	enum way way = b->held ? WAY_STORE : (enum way)rng_below(&b->rng, WAY_COMMIT);

	if (way == WAY_INSERT && !entry)
		way = WAY_STORE;
	store_by(b, way, first, last, entry);
	h->joined += entry && pieces(b, first / b->unit) > 1;
}

static void hunt_erase(struct hunt *h)
{
	erase(h->b, hunted(h));
}

/* All of a gap, but not of the one behind everything. */
static void hunt_gap(struct hunt *h)
{
	unsigned long first, last;
	void *entry;

	rm_range(&h->b->model, first_key(h->b, hunted(h)), &first, &last, &entry);
	if (!entry && last - first < LONG_GAP * h->b->unit)
		hunt_store(h, first, last, new_entry(h->b));
}

/* Some neighbouring pieces of a gap. */
static void hunt_pieces(struct hunt *h)
{
	struct bed *b = h->b;
	void *leaf = leaf_of(b, hunted(h)), *const *slots = smr_slots(leaf);
	unsigned int i = (unsigned int)b->mas.offset, end = b->mas.end, from, to;
	unsigned long first, last;

	if (smr_value(slots, i))
		return;
	from = smr_run_from(slots, smr_head(slots, i));
	to = smr_run_to(slots, i, end);
	from = smr_head(slots, from + (unsigned int)rng_below(&b->rng, to - from + 1));
	to = smr_tail(slots, from + (unsigned int)rng_below(&b->rng, to - from + 1), end);
	first = smr_leaf_first(leaf, from, b->mas.min);
	last = smr_leaf_last(leaf, to, end, b->mas.max);
	if (last - first < LONG_GAP * b->unit)
		hunt_store(h, first, last, new_entry(b));
}

/* The same range again, or NULL in its place, and perhaps where NULL is already. */
static void hunt_range(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long first, last, end;
	bool swap = rng_one_in(&b->rng, 2);
	void *entry;

	rm_range(&b->model, first_key(b, hunted(h)), &first, &last, &entry);
	if (!entry)
		return;
	if (!swap && last < ULONG_MAX) {
		rm_range(&b->model, last + 1, NULL, &end, &entry);
		if (!entry && end - last < LONG_GAP * b->unit)
			last += b->unit * rng_below(&b->rng, (end - last) / b->unit + 1);
	}
	hunt_store(h, first, last, swap ? new_entry(b) : NULL);
}

static void hunt_part(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long from = hunted(h), to = from + rng_below(&b->rng, 3 * LEN);

	hunt_store(h, first_key(b, from), last_key(b, to),
		   rng_one_in(&b->rng, 2) ? NULL : new_entry(b));
}

static void hunt_txn(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long from = hunted(h), to = from + rng_below(&b->rng, 2 * LEN);

	b->at = hunted(h);
	store_in_txn(b, first_key(b, from), last_key(b, to), rng_one_in(&b->rng, 2) ? b : NULL,
		     rng_one_in(&b->rng, 2));
}

/* An entry that follows another goes, and so does that: then one takes the place of both. */
static void hunt_pair(struct hunt *h)
{
	struct bed *b = h->b;
	unsigned long unit = hunted(h), first, last, end;
	void *entry, *other;

	rm_range(&b->model, first_key(b, unit), &first, &last, &entry);
	if (last - first >= LONG_GAP * b->unit)
		return;
	rm_range(&b->model, last + 1, NULL, &end, &other);
	if (!entry || !other)
		return;
	erase(b, first / b->unit);
	erase(b, end / b->unit);
	hunt_store(h, first, end, new_entry(b));
}

/* Four ranges as they were in the beginning. */
static void hunt_restore(struct hunt *h)
{
	unsigned long from = hunted(h) / LEN * LEN;

	for (unsigned int i = 0; i < 4; i++, from += LEN)
		fill(h->b, from, from + LEN - 1);
}

/* Erases and refills for the most part. */
static void hunt_on(struct hunt *h)
{
	static void (*const act[])(struct hunt * h) = {
		hunt_erase, hunt_erase, hunt_erase, hunt_erase,   hunt_erase,  hunt_erase,
		hunt_gap,   hunt_gap,   hunt_gap,   hunt_pieces,  hunt_pieces, hunt_pieces,
		hunt_range, hunt_part,  hunt_pair,  hunt_restore,
	};

	if (rng_one_in(&h->b->rng, 64))
		h->from = LEN * rng_below(&h->b->rng, MANY_RANGES - NEAR);
	act[rng_below(&h->b->rng, sizeof(act) / sizeof(act[0]))](h);
}

/* How many stores have joined pieces. */
static unsigned long hunt_in(unsigned int flags, unsigned long unit)
{
	struct hunt h = { 0 };
	struct bed b;

	h.b = &b;
	bed_make(&b, flags, unit, MANY_RANGES, true);
	for (uint64_t i = env_scaled(OPS); i > 0; i--) {
		hunt_on(&h);
		expect_reads(&b, first_key(&b, hunted(&h)));
		expect_reads(&b, last_key(&b, hunted(&h)));
		if (i % (8 * CHECK) == 0)
			hunt_txn(&h);
		if (i % CHECK == 0)
			expect(&b);
	}
	b.at = h.from;
	expect_all(&b, h.from);
	bed_free(&b);
	return h.joined;
}

static void erases_and_refills_at_random(void **state)
{
	static const unsigned int flags[] = { MT_FLAGS_ALLOC_RANGE, MT_FLAGS_USE_RCU, RCU_TREE };
	static const unsigned long unit[] = { 1, 4096, WIDE_UNIT };
	unsigned long joined;

	(void)state;
	for (unsigned int u = 0; u < 3; u++)
		for (unsigned int f = 0; f < 3; f++) {
			joined = hunt_in(flags[f], unit[u]);
			print_message("unit %#lx, flags %x: %lu joined\n", unit[u], flags[f],
				      joined);
			assert_true(joined > 0 || !(flags[f] & MT_FLAGS_USE_RCU));
		}
	expect_no_nodes();
}

/* ---- Cursors that others' stores overtake ---- */

struct stayer {
	struct ma_state mas;
	step_fn *step;
	bool down, gaps;
	bool goes_on; /* from a limit, just as from elsewhere */
};

/* What a step began with, and what the model says to it. */
struct step {
	unsigned long from, to, limit;
	bool ends; /* what the cursor has passed reaches up to the limit by now */
	void *want;
	unsigned long first, last;
};

static struct step step_of(struct bed *b, const struct stayer *s, unsigned long limit)
{
	struct step t = { .from = s->mas.index, .to = s->mas.last, .limit = limit };
	unsigned long first, last;

	rm_range(&b->model, s->down ? t.from : t.to, &first, &last, NULL);
	t.ends = s->down ? first <= limit : last >= limit;
	if (s->down && !(rm_prev(&b->model, t.from, &t.first, &t.last, &t.want) && t.last >= limit))
		t.want = NULL;
	if (!s->down && !(rm_next(&b->model, t.to, &t.first, &t.last, &t.want) && t.first <= limit))
		t.want = NULL;
	return t;
}

/* Is the cursor on a gap, or a part of one, behind which nothing has been left out? */
static bool gap_beside(struct bed *b, const struct stayer *s, const struct step *t)
{
	unsigned long first, last, edge = s->down ? s->mas.last + 1 : s->mas.index - 1;
	void *entry;

	rm_range(&b->model, s->down ? t->from : t->to, &first, &last, NULL);
	if (s->down ? edge > t->from || edge < first : edge < t->to || edge > last)
		return false;
	rm_range(&b->model, s->mas.index, &first, &last, &entry);
	return !entry && s->mas.index >= first && s->mas.last <= last;
}

/* A step that has not come to an entry ends where the cursor was, or on what is there. */
static bool stands_well(struct bed *b, const struct stayer *s, const struct step *t)
{
	unsigned long first, last;
	void *entry;

	if (s->mas.index == t->from && s->mas.last == t->to)
		return true;
	rm_range(&b->model, s->mas.index, &first, &last, &entry);
	return entry ? s->mas.index == first && s->mas.last == last
		     : s->mas.index >= first && s->mas.last <= last;
}

/*
 * From where it was to what is beside that now. A range that covers what the cursor has passed is
 * not returned, nor is a part of one.
 */
static void stayer_step(struct hunt *h, struct stayer *s)
{
	struct bed *b = h->b;
	unsigned long any = first_key(b, hunted(h));
	struct step t = step_of(b, s, rng_one_in(&b->rng, 2) ? any : s->down ? 0 : ULONG_MAX);
	void *entry = s->step(&s->mas, t.limit);
	bool good = entry == t.want;

	if (entry)
		good = good && s->mas.index == t.first && s->mas.last == t.last;
	else if (s->gaps)
		good = t.ends ? stands_well(b, s, &t) : gap_beside(b, s, &t);
	else
		good = good && stands_well(b, s, &t);
	if (!good)
		fail_msg("%s from [%#lx..%#lx] to %#lx: %p at [%#lx..%#lx], not %p at [%#lx..%#lx]",
			 s->down ? "down" : "up", t.from, t.to, t.limit, entry, s->mas.index,
			 s->mas.last, t.want, t.first, t.last);
}

static void stayer_go(struct hunt *h, struct stayer *s)
{
	enum maple_status stopped = s->down ? ma_underflow : ma_overflow;

	if ((s->mas.status == ma_active || (s->goes_on && s->mas.status == stopped)) &&
	    !rng_one_in(&h->b->rng, 40)) {
		stayer_step(h, s);
		return;
	}
	mas_set(&s->mas, first_key(h->b, hunted(h)));
	mas_walk(&s->mas);
}

enum { STAYERS = 8 };

static void stayers_begin(struct bed *b, struct stayer *s)
{
	static const struct stayer kinds[STAYERS] = {
		{ .step = mas_next, .goes_on = true },
		{ .step = mas_find },
		{ .step = find_inline },
		{ .step = mas_next_range, .gaps = true, .goes_on = true },
		{ .step = mas_find_range, .gaps = true },
		{ .step = mas_prev, .down = true, .goes_on = true },
		{ .step = mas_find_rev, .down = true },
		{ .step = mas_prev_range, .down = true, .gaps = true, .goes_on = true },
	};

	for (unsigned int i = 0; i < STAYERS; i++) {
		s[i] = kinds[i];
		mas_init(&s[i].mas, &b->tree, 0);
	}
}

enum { SECTION = 60 }; /* stores that a section is longer than */

/* Each takes steps while stores come between: all under the lock, or these only. */
static void stay(struct hunt *h, bool lockless)
{
	struct bed *b = h->b;
	struct stayer s[STAYERS];

	stayers_begin(b, s);
	for (unsigned int i = 0; i < SECTION; i++) {
		for (unsigned int k = 0; k < 4; k++)
			stayer_go(h, &s[rng_below(&b->rng, STAYERS)]);
		if (lockless)
			mtree_lock(&b->tree);
		hunt_on(h);
		if (lockless)
			mtree_unlock(&b->tree);
	}
}

static void stay_in(unsigned int flags, unsigned long unit)
{
	struct hunt h = { 0 };
	struct bed b;

	h.b = &b;
	bed_make(&b, flags, unit, MANY_RANGES, true);
	b.held = true;
	for (uint64_t i = env_scaled(5 * OPS / SECTION); i > 0; i--) {
		stay(&h, false);
		if (!in_rcu(&b))
			continue;
		mtree_unlock(&b.tree);
		mt_rcu_read_lock(&b.tree);
		stay(&h, true);
		mt_rcu_read_unlock(&b.tree);
		mtree_lock(&b.tree);
	}
	expect(&b);
	bed_free(&b);
}

static void cursors_that_stay(void **state)
{
	(void)state;
	stay_in(MT_FLAGS_ALLOC_RANGE, 4096);
	stay_in(RCU_TREE, 4096);
	stay_in(RCU_TREE, WIDE_UNIT);
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_erase_beside_gaps_takes_no_node),
		cmocka_unit_test(a_gap_in_pieces_is_one_range),
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
		cmocka_unit_test(cursors_stop_and_go_on),
		cmocka_unit_test(every_store),
		cmocka_unit_test(places_in_all_pieces_together),
		cmocka_unit_test(counted_printed_and_copied),
		cmocka_unit_test(erases_and_refills_at_random),
		cmocka_unit_test(cursors_that_stay),
	};
	int failed;

	arena = mt_mem_create(0, NULL);
	if (!arena)
		return 99;
	failed = cmocka_run_group_tests_name("tree_run", tests, NULL, NULL);
	if (!failed)
		mt_mem_destroy(arena);
	return failed;
}
