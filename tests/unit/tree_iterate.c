/* SPDX-License-Identifier: MIT */
/*
 * Lock-free readers that a writer overtakes during a step: the cursor's place was good when they
 * looked, but when they get to the nodes above, the whole tree is gone. The moment is simulated
 * after the fact.
 */
#include "support/cm.h"

#include "model/range_model.h"
#include "support/env.h"
#include "support/inlines.h"
#include "support/rng.h"
#include "support/units.h"
#include "tree/walk.h"

static struct maple_tree tree;

/* Destroys the tree, except for what a reader at the end of a leaf looks at first. */
static void overtake(struct ma_state *mas)
{
	mtree_destroy(&tree);
	smr_node_of(mas->node)->dead = 0;
	mas->seq = tree.ma_seq;
}

/* Makes entries at every @stride-th key and puts the cursor on one of them. */
static void begin(struct ma_state *mas, unsigned long index, unsigned long stride)
{
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < 500; i++)
		assert_int_equal(
			mtree_store(&tree, stride * i, xa_mk_value(stride * i), GFP_KERNEL), 0);
	mt_rcu_read_lock(&tree);
	mas_init(mas, &tree, index);
	assert_ptr_equal(mas_walk(mas), xa_mk_value(index));
	assert_true(mas->min > 0 && mas->max < stride * 499);
}

static void end(void)
{
	mt_rcu_read_unlock(&tree);
	mtree_destroy(&tree);
}

/* A step from the end of a leaf in its direction. */
static const struct step {
	void *(*take)(struct ma_state *mas, unsigned long limit);
	bool up;
	bool gaps;                /* stops at gaps, too */
	enum maple_status status; /* afterwards */
	bool root;                /* looks at the root first, as in a tree without nodes */
} steps[] = {
	{ mas_next, true, false, ma_overflow, false },
	{ mas_next_range, true, true, ma_overflow, false },
	{ mas_find, true, false, ma_active, false },
	{ mas_find_range, true, true, ma_overflow, false },
	{ mas_prev, false, false, ma_none, false },
	{ mas_prev_range, false, true, ma_none, false },
	{ mas_find_rev, false, false, ma_root, true },
	{ mas_find_range_rev, false, true, ma_root, true },
};

static void overtaken(const struct step *step, bool inlines)
{
	unsigned long limit = step->up ? ULONG_MAX : 0;
	struct ma_state mas;

	begin(&mas, 250, 1);
	mas_set(&mas, step->up ? mas.max : mas.min);
	assert_non_null(mas_walk(&mas));
	overtake(&mas);
	if (inlines)
		let_inlines(&mas);
	assert_null(step->take(&mas, limit));
	assert_int_equal(mas.status, step->status);
	/* The cursor has no place any more, and finds nothing. */
	assert_null(mas.node);
	assert_null(step->take(&mas, limit));
	mas_reset(&mas);
	assert_null(mas_find(&mas, ULONG_MAX));
	end();
}

static void nothing_is_there_any_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		overtaken(&steps[i], false);
		overtaken(&steps[i], true);
	}
}

/* Puts the cursor on an entry with only a gap between it and that end of its leaf. */
static void stand_before_gap(struct ma_state *mas, bool up)
{
	unsigned long index = mas->index;

	while (up ? mas->offset + 1 != mas->end : mas->offset != 1) {
		index = up ? index + 2 : index - 2;
		assert_true(index > 0 && index < 1000);
		mas_set(mas, index);
		assert_ptr_equal(mas_walk(mas), xa_mk_value(index));
	}
}

/* The step passes a gap in the leaf before it looks at the nodes above. */
static void nothing_is_there_behind_a_gap(void **state)
{
	(void)state;
	for (const struct step *step = steps; step < steps + ARRAY_SIZE(steps); step++) {
		struct ma_state mas;

		if (step->gaps)
			continue;
		begin(&mas, 500, 2);
		stand_before_gap(&mas, step->up);
		overtake(&mas);
		assert_null(step->take(&mas, step->up ? ULONG_MAX : 0));
		assert_int_equal(mas.status, step->status);
		assert_null(mas.node);
		assert_null(step->take(&mas, step->up ? ULONG_MAX : 0));
		end();
	}
}

/* Returns the key that lies @far beyond @key in that direction. */
static unsigned long beyond(bool up, unsigned long key, unsigned long far)
{
	return up ? key + far : key - far;
}

/*
 * A range has been stored over the end of the leaf: it is returned if it is new; else the step
 * passes it, unless it reaches to the limit.
 */
static void comes_over_the_end(bool up, bool is_new, bool ends)
{
	void *const over = xa_mk_value(1);
	unsigned long key, near, far;
	struct ma_state mas;

	begin(&mas, 500, 2);
	key = up ? mas.max : mas.min;
	mas_set(&mas, key);
	mas_walk(&mas);
	near = beyond(!up, key, 3);
	far = beyond(up, key, 5);
	assert_int_equal(
		mtree_store_range(&tree, up ? near : far, up ? far : near, over, GFP_KERNEL), 0);
	assert_true(smr_node_dead(mas.path[mas.depth - 1]));
	near = beyond(up, near, !is_new);
	assert_int_equal(up ? smr_range_up(&mas, near, beyond(true, far, !ends))
			    : smr_range_down(&mas, near, beyond(false, far, !ends)),
			 is_new || !ends);
	assert_int_equal(smr_slot_value(smr_slots(mas.node) + mas.offset) == over, is_new || ends);
	if (!is_new && !ends)
		assert_int_equal(up ? smr_piece_first(&mas) : smr_piece_last(&mas),
				 beyond(up, far, 1));
	end();
}

static void range_comes_over_the_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		comes_over_the_end(i & 1, i & 2, i & 4);
}

/* Moves the cursor to the end of a leaf that has a gap there, and joins the three ranges there. */
static void join_at_end(struct ma_state *mas, bool up, void *over)
{
	unsigned long key = up ? mas->max : mas->min, first;

	while (key % 2 == 0) {
		mas_set(mas, beyond(up, key, 1));
		mas_walk(mas);
		key = up ? mas->max : mas->min;
	}
	first = up ? key - 2 : key;
	mtree_erase(&tree, first + 1);
	assert_int_equal(mtree_store_range(&tree, first, first + 2, over, GFP_KERNEL), 0);
	mas_set(mas, key);
	assert_ptr_equal(mas_walk(mas), over);
	assert_true(smr_has_joined(mas->node));
}

/* The same for a range in pieces: it is new if all of it is, and returned as a whole. */
static void comes_in_pieces(bool up, bool is_new)
{
	void *const over = xa_mk_value(1);
	unsigned long key, near;
	struct ma_state mas;

	begin(&mas, 500, 2);
	join_at_end(&mas, up, over);
	key = up ? mas.max : mas.min;
	smr_mark_dead(smr_node_of(mas.path[mas.depth - 1]));
	near = beyond(!up, key, is_new ? 2 : 1);
	assert_true(up ? smr_range_up(&mas, near, ULONG_MAX) : smr_range_down(&mas, near, 0));
	assert_int_equal(smr_slot_value(smr_slots(mas.node) + mas.offset) == over, is_new);
	assert_int_equal(up ? smr_piece_first(&mas) : smr_piece_last(&mas),
			 is_new ? near : beyond(up, key, 1));
	end();
}

static void pieces_come_to_the_end(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		comes_in_pieces(i & 1, i & 2);
}

/* ---- Overtaken where it has just looked ---- */

bool __real_smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max);
bool __real_smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min);
bool __wrap_smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max);
bool __wrap_smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min);

/* What is stored over the end of the leaf before a reader steps beyond it; NULL: nothing. */
static void *over_the_end;

static void store_over(unsigned long first, unsigned long last)
{
	void *over = over_the_end;

	over_the_end = NULL; /* the store makes such steps itself */
	if (over)
		assert_int_equal(mtree_store_range(&tree, first, last, over, GFP_KERNEL), 0);
}

bool __wrap_smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max)
{
	store_over(mas->max - 1, mas->max + 5);
	return __real_smr_range_up(mas, from, max);
}

bool __wrap_smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min)
{
	store_over(mas->min - 5, mas->min + 1);
	return __real_smr_range_down(mas, to, min);
}

/*
 * The cursor was on an entry that is now part of a gap that reaches to the end of the leaf; or it
 * has no place yet.
 */
static void stands_in_a_gap(const struct step *step, bool anew)
{
	void *const over = xa_mk_value(1);
	unsigned long at;
	struct ma_state mas;

	begin(&mas, 500, 2);
	at = step->up ? (mas.max & ~1UL) - 8 : ((mas.min + 1) & ~1UL) + 8;
	mas_set(&mas, at);
	assert_non_null(mas_walk(&mas));
	for (unsigned long i = 0; i <= 8; i += 2)
		mtree_erase(&tree, beyond(step->up, at, i));
	if (anew)
		mas_set(&mas, at);
	over_the_end = over;
	assert_ptr_equal(step->take(&mas, step->up ? ULONG_MAX : 0), over);
	end();
}

/* The cursor turns round at the end of a leaf, where its entry has become part of a gap. */
static void turns_in_a_gap(const struct step *step)
{
	void *const over = xa_mk_value(1);
	struct ma_state mas;
	unsigned long at;

	begin(&mas, 500, 2);
	at = step->up ? mas.max & ~1UL : (mas.min + 1) & ~1UL;
	mas_set(&mas, at);
	assert_non_null(mas_walk(&mas));
	assert_null(step->up ? mas_prev(&mas, at) : mas_next(&mas, at));
	assert_int_equal(mas.status, step->up ? ma_underflow : ma_overflow);
	mtree_erase(&tree, at);
	over_the_end = over;
	assert_ptr_equal(step->take(&mas, step->up ? ULONG_MAX : 0), over);
	end();
}

/*
 * A cursor has returned nothing of the gap it stands in: what was stored over the gap's end is new.
 */
static void range_comes_over_a_gap(void **state)
{
	(void)state;
	for (const struct step *step = steps; step < steps + ARRAY_SIZE(steps); step++) {
		stands_in_a_gap(step, false);
		stands_in_a_gap(step, true);
		if (!step->root) /* for mas_find_rev() this is no turn */
			turns_in_a_gap(step);
	}
}

/*
 * The cursor is on [0..0] of a tree without nodes when a range is stored over it: that is not
 * returned, nor is a gap in its place.
 */
static void range_grows_over_the_root(void **state)
{
	static void *(*const find[])(struct ma_state * mas, unsigned long max) = { mas_find,
										   mas_find_range };

	(void)state;
	for (size_t i = 0; i < 4 * ARRAY_SIZE(find); i++) {
		void *over = i & 1 ? xa_mk_value(1) : NULL, *behind = i & 2 ? xa_mk_value(2) : NULL;
		struct ma_state mas;

		mt_init_flags(&tree, MT_FLAGS_USE_RCU);
		assert_int_equal(mtree_store(&tree, 0, xa_mk_value(0), GFP_KERNEL), 0);
		mt_rcu_read_lock(&tree);
		mas_init(&mas, &tree, 0);
		assert_ptr_equal(mas_find(&mas, ULONG_MAX), xa_mk_value(0));
		assert_int_equal(mtree_store_range(&tree, 20, 29, xa_mk_value(3), GFP_KERNEL), 0);
		assert_int_equal(mtree_store_range(&tree, 0, 9, over, GFP_KERNEL), 0);
		assert_int_equal(mtree_store_range(&tree, 10, 19, behind, GFP_KERNEL), 0);
		if (behind) {
			assert_ptr_equal(find[i / 4](&mas, ULONG_MAX), behind);
			assert_int_equal(mas.index, 10);
		} else if (over && i / 4) {
			assert_null(find[i / 4](&mas, ULONG_MAX));
			assert_int_equal(mas.index, 10);
		}
		assert_ptr_equal(find[i / 4](&mas, ULONG_MAX), xa_mk_value(3));
		assert_int_equal(mas.index, 20);
		end();
	}
}

/* ---- At random ---- */

enum { UNITS = 1600, ROUNDS = 1200, NEAR = 40 };

struct chase {
	struct range_model model; /* of the current tree */
	struct ma_state mas;
	struct rng rng;
	unsigned long unit, limit;
};

static void put(struct chase *c, unsigned long from, unsigned long units, void *entry)
{
	unsigned long first = from * c->unit, last = (from + units) * c->unit - 1;

	assert_int_equal(mtree_store_range(&tree, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&c->model, first, last, entry), 0);
}

/* Stores over all of the gap at @from, if there is one: its pieces are then joined. */
static void fill_gap(struct chase *c, unsigned long from)
{
	unsigned long first, last;
	void *entry;

	rm_range(&c->model, from * c->unit, &first, &last, &entry);
	if (!entry && last < UNITS * c->unit)
		put(c, first / c->unit, (last - first) / c->unit + 1,
		    xa_mk_value(rng_below(&c->rng, 1 << 30)));
}

/* Half of all changes erase one range or several. */
static void change(struct chase *c, unsigned long from)
{
	unsigned long units = 1 + rng_below(&c->rng, 4);

	switch (rng_below(&c->rng, 5)) {
	case 0:
		assert_ptr_equal(mtree_erase(&tree, from * c->unit),
				 rm_erase(&c->model, from * c->unit));
		break;
	case 1:
		put(c, from, units, NULL);
		break;
	case 2:
		fill_gap(c, from);
		break;
	default:
		put(c, from, units, xa_mk_value(rng_below(&c->rng, 1 << 30)));
	}
}

/* What others do during the reader's step: a little nearby, or everything. */
static void others(struct chase *c)
{
	unsigned long at = c->mas.min / c->unit, n = 1 + rng_below(&c->rng, 60);

	if (rng_one_in(&c->rng, 8)) { /* at most an entry at 0 is left: no nodes */
		void *entry = rng_one_in(&c->rng, 2) ? NULL : xa_mk_value(1);

		mtree_destroy(&tree);
		rm_destroy(&c->model);
		assert_int_equal(mtree_store(&tree, 0, entry, GFP_KERNEL), 0);
		assert_int_equal(rm_store(&c->model, 0, 0, entry), 0);
		return;
	}
	while (n-- > 0) {
		if (rng_one_in(&c->rng, 4))
			at = rng_below(&c->rng, UNITS);
		change(c, at + rng_below(&c->rng, NEAR));
	}
}

/* The next entry in that direction that the leaf has, whether or not it is still the tree's. */
static bool leaf_has(const struct ma_state *mas, bool up, struct rm_range *found)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int end = mas->end, i = up ? (unsigned int)mas->offset + 1 : 0, tail;
	bool any = false;

	for (; i <= end && !(up && any); i = tail + 1) {
		tail = smr_tail(slots, i, end);
		if (!smr_slot_read(slots + i) || smr_is_joined(smr_slot_read(slots + i)))
			continue;
		if (!up && smr_leaf_last(mas->node, tail, end, mas->max) >= mas->index)
			break;
		*found = (struct rm_range){ smr_leaf_first(mas->node, i, mas->min),
					    smr_leaf_last(mas->node, tail, end, mas->max),
					    smr_slot_read(slots + i) };
		any = true;
	}
	return any;
}

/* The next entry in that direction that the tree has, wholly beyond @key. */
static bool tree_has(const struct chase *c, bool up, unsigned long key, struct rm_range *found)
{
	bool any = false;

	for (size_t i = 0; i < c->model.count && !(up && any); i++) {
		if (up ? c->model.ranges[i].first <= key : c->model.ranges[i].last >= key)
			continue;
		*found = c->model.ranges[i];
		any = true;
	}
	return any;
}

/*
 * Whether an entry has come to @key, where the leaf ended, that is beyond what was @shown, if
 * anything.
 */
static bool has_come(const struct chase *c, bool up, unsigned long key,
		     const struct rm_range *shown, struct rm_range *found)
{
	rm_range(&c->model, key, &found->first, &found->last, &found->entry);
	return found->entry && (up ? found->first > shown->last : found->last < shown->first);
}

/* Whether what has come to @key, where the leaf ended, also covers what is wanted behind it. */
static bool covers_both(const struct rm_range *late, bool up, unsigned long key,
			unsigned long limit)
{
	return up ? late->last > key && limit > key : late->first < key && limit < key;
}

/*
 * Whether a step that stops at gaps, too, has come to another one. A find that cannot go on stays
 * active.
 */
static bool at_gap(const struct ma_state *mas, const struct rm_range *before, bool up)
{
	if (mas->status != ma_active || mas->index == before->first)
		return false;
	assert_true(up ? mas->index > before->last : mas->last < before->first);
	return true;
}

static bool within(unsigned long limit, bool up, unsigned long first, unsigned long last)
{
	return up ? first <= limit : last >= limit;
}

/*
 * Follows the cursor up to the limit and then to the end of the tree, except for a find that would
 * begin anew. What has come to the end of the leaf may be too late, unless it also lies behind
 * that.
 */
static void follow(struct chase *c, const struct step *step)
{
	struct ma_state *mas = &c->mas;
	void *leaf = mas->node, *entry;
	struct rm_range due = { 0, 0, NULL }, late = due, before;
	unsigned long key, end = step->up ? ULONG_MAX : 0;
	bool any, comes;

	do {
		before = (struct rm_range){ mas->index, mas->last, NULL };
		key = step->up ? mas->last : mas->index;
		if (mas->node == leaf)
			key = step->up ? mas->max : mas->min;
		any = mas->node == leaf && leaf_has(mas, step->up, &due);
		comes = mas->node == leaf && !any && has_come(c, step->up, key, &before, &late);
		any = any || tree_has(c, step->up, key, &due);
		if (rng_one_in(&c->rng, 2))
			let_inlines(mas);
		entry = step->take(mas, c->limit);
		if (!entry && step->gaps && at_gap(mas, &before, step->up)) {
			assert_true(within(c->limit, step->up, mas->index, mas->last));
			continue;
		}
		if (comes && (entry == late.entry || covers_both(&late, step->up, key, c->limit))) {
			due = late;
			any = true;
		}
		any = any && within(c->limit, step->up, due.first, due.last);
		assert_ptr_equal(entry, any ? due.entry : NULL);
		if (!any && (c->limit == end || step->take == mas_find_range || !mas->node))
			return;
		if (!any)
			c->limit = end;
		else
			assert_true(mas->index == due.first && mas->last == due.last);
	} while (true);
}

/* Picks a limit: none, or one close to that end of the leaf. */
static void limit(struct chase *c, bool up)
{
	unsigned long edge = up ? c->mas.max : c->mas.min;
	unsigned long from = rng_below(&c->rng, NEAR) * c->unit;

	c->limit = up ? ULONG_MAX : 0;
	if (rng_one_in(&c->rng, 2) && (up ? from < ULONG_MAX - edge : from < edge))
		c->limit = up ? edge + from : edge - from;
}

static void chase(struct chase *c, const struct step *step)
{
	mt_init_flags(&tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	rm_init(&c->model);
	for (unsigned long n = 0; n < UNITS; n++)
		change(c, rng_below(&c->rng, UNITS));
	mt_rcu_read_lock(&tree);
	mas_init(&c->mas, &tree, rng_below(&c->rng, UNITS) * c->unit);
	mas_walk(&c->mas);
	if (rng_one_in(&c->rng, 2)) { /* near the end of the leaf */
		mas_set(&c->mas, step->up ? c->mas.max : c->mas.min);
		mas_walk(&c->mas);
	}
	limit(c, step->up);
	others(c);
	smr_node_of(c->mas.node)->dead &= (uint8_t)~SMR_DEAD;
	c->mas.seq = tree.ma_seq;
	if (!step->root || smr_is_enode(smr_root(&tree))) /* else it is no step */
		follow(c, step);
	end();
	rm_destroy(&c->model);
}

static void overtaken_at_random(void **state)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (uint64_t n = env_scaled(ROUNDS); n-- > 0;) {
		struct chase c = { .rng = rng_make(env_seed(), n), .unit = units[n % 4] };

		chase(&c, &steps[n / 4 % ARRAY_SIZE(steps)]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there_any_more),
		cmocka_unit_test(nothing_is_there_behind_a_gap),
		cmocka_unit_test(range_comes_over_the_end),
		cmocka_unit_test(pieces_come_to_the_end),
		cmocka_unit_test(range_comes_over_a_gap),
		cmocka_unit_test(range_grows_over_the_root),
		cmocka_unit_test(overtaken_at_random),
	};

	return cmocka_run_group_tests_name("tree_iterate", tests, NULL, NULL);
}
