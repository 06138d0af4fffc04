/* SPDX-License-Identifier: MIT */
/*
 * Edits inside a leaf: each gives what an ordinary store gives, gap figures included, and builds at
 * most one node; whatever would be more than that is left alone. Against a model, in dense trees
 * and trees with holes, of pages, of bytes, and of keys that fit no narrow leaf; with and without
 * lock-free readers, and in transactions; with and without a cursor.
 */
#include "support/arena.h"

#include "mem/take.h"
#include "support/env.h"
#include "support/memfault.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/edit.h"
#include "tree/walk.h"

#include <errno.h>
#include <samara/txn.h>
#include <string.h>

enum { RANGES = 200, UNITS = 8 * RANGES, STORES = 4000, CHECK = 8 };

static struct mt_mem *arena;

struct bed {
	struct maple_tree tree;
	struct range_model model; /* of @edited */
	bool in_txn;
	struct mt_txn txn;
	struct maple_tree *edited; /* the tree, or the view of txn */
	struct ma_state own, *mas; /* on @edited */
	unsigned long unit;        /* in keys */
	unsigned long edits, copies, by_path;
	struct rng rng;
};

static void *entry_of(struct bed *b)
{
	return xa_mk_value(rng_below(&b->rng, 1UL << 40));
}

static void store(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	if (b->in_txn) {
		assert_int_equal(mt_txn_store_range(&b->txn, first, last, entry, GFP_KERNEL), 0);
	} else {
		mas_set_range(&b->own, first, last);
		assert_int_equal(mas_store_gfp(&b->own, entry, GFP_KERNEL), 0);
	}
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/* Sets up @b; the lock is held from here on. */
static void bed_begin(struct bed *b, unsigned int flags, unsigned long unit)
{
	memset(b, 0, sizeof(*b));
	b->unit = unit;
	b->rng = rng_make(env_seed(), unit + flags);
	mt_init_flags(&b->tree, flags);
	mt_set_mem(&b->tree, arena);
	rm_init(&b->model);
	mtree_lock(&b->tree);
	mas_init(&b->own, &b->tree, 0);
	b->edited = &b->tree;
	b->mas = &b->own;
}

/* One in @holes ranges is left out; 0: none. */
static void bed_fill(struct bed *b, unsigned int holes)
{
	for (unsigned long i = 0; i < RANGES; i++)
		if (holes == 0 || !rng_one_in(&b->rng, holes))
			store(b, 8 * i * b->unit, 8 * (i + 1) * b->unit - 1, entry_of(b));
}

/* Opens a transaction; all nodes so far belong to the tree, not to it. */
static void bed_open_txn(struct bed *b)
{
	mt_txn_begin(&b->txn, &b->tree);
	b->in_txn = true;
	b->edited = &b->txn.view;
	b->mas = &b->txn.mas;
}

static void bed_check(struct bed *b)
{
	char why[WHY_SIZE];

	if (!tree_good(b->edited, &b->model, why))
		fail_msg("%s", why);
}

static void bed_free(struct bed *b)
{
	if (b->in_txn)
		mt_txn_commit(&b->txn);
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

/* Picks a range, most often close to the cursor. */
static void random_range(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long from = rng_below(&b->rng, UNITS), nr = 1 + rng_below(&b->rng, 12);

	if (!rng_one_in(&b->rng, 4))
		from = b->mas->index / b->unit + rng_below(&b->rng, 40);
	*first = from * b->unit + (rng_one_in(&b->rng, 16) ? rng_below(&b->rng, b->unit) : 0);
	*last = (from + nr) * b->unit - 1;
	if (rng_one_in(&b->rng, 16))
		*last += rng_below(&b->rng, b->unit);
}

/* Carries out @e with the nodes that it asks for. */
static void commit(struct bed *b, const struct smr_edit *e, void *entry)
{
	unsigned long retired = b->edited->ma_nodes_retired, seq = b->edited->ma_seq;
	void *leaf = b->mas->node;
	unsigned int ranges = smr_count(leaf);

	assert_int_equal(b->mas->alloc_nr, 0);
	if (e->nodes) {
		b->mas->alloc = smr_mem_take_one(arena, GFP_ATOMIC);
		b->mas->alloc_nr = 1;
		assert_non_null(b->mas->alloc);
	}
	mt_rcu_read_lock(b->edited); /* keeps the leaf for the look below */
	smr_edit_commit(e, b->mas, entry);
	assert_int_equal(b->mas->alloc_nr, 0);
	assert_int_equal(b->edited->ma_nodes_retired, retired + e->nodes);
	/* Readers and cursors can tell whether their place has changed. */
	assert_int_equal(smr_node_dead(leaf), e->nodes);
	mt_rcu_read_unlock(b->edited);
	assert_int_equal(b->mas->node != leaf, e->nodes);
	assert_true(b->edited->ma_seq > seq || smr_count(b->mas->node) == ranges);
	assert_true(b->edited->ma_seq > seq || !e->nodes);
	b->copies += e->nodes;
}

/* Expects the cursor on the range as it is now: [first..last], or the gap that contains it. */
static void edited(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	struct ma_state *mas = b->mas;

	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	assert_true(smr_path_fresh(mas));
	assert_ptr_equal(mas->path[mas->depth], mas->node);
	assert_int_equal(mas->slot[mas->depth], mas->offset);
	assert_int_equal(mas->status, ma_active);
	assert_int_equal(mas->end + 1, smr_count(mas->node));
	assert_ptr_equal(smr_slots(mas->node)[mas->offset], entry);
	assert_true(mas->index <= first && mas->last >= last);
	assert_true(!entry || (mas->index == first && mas->last == last));
	assert_int_equal(mas->last,
			 smr_leaf_last(mas->node, (unsigned int)mas->offset, mas->end, mas->max));
	b->edits++;
}

static bool try_store(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	struct smr_edit e;

	if (!smr_walk_to(b->mas, first))
		return false;
	if (b->in_txn) {
		if (!smr_edit_in_place(b->mas, first, last, entry))
			return false;
	} else {
		if (!smr_edit_plan_store(&e, b->mas, first, last, entry))
			return false;
		commit(b, &e, entry);
	}
	edited(b, first, last, entry);
	return true;
}

/* Erases the range of @key if that is an edit. */
static bool try_erase(struct bed *b, unsigned long key)
{
	unsigned long first, last;
	struct smr_edit e;

	if (!smr_walk_to(b->mas, key) || !smr_slots(b->mas->node)[b->mas->offset])
		return false;
	smr_range_here(b->mas);
	first = b->mas->index;
	last = b->mas->last;
	if (!smr_edit_plan_erase(&e, b->mas))
		return false;
	commit(b, &e, NULL);
	edited(b, first, last, NULL);
	return true;
}

/* Checks an edit that would leave the leaf too full or too empty, and so shared with a sibling. */
static void shared_by_path(const struct bed *b, const struct smr_edit *e, unsigned int cap,
			   unsigned long built)
{
	unsigned long nodes = b->edited->ma_nodes_built - built;

	assert_true(e->ranges > cap || e->ranges < SMR_LEAF_MIN);
	assert_uint_in_range(nodes, 2, 4);
}

/* Checks what an edit without a cursor changed; it must be one if @planned says so for a cursor. */
static void edited_by_path(struct bed *b, int err, bool planned, const struct smr_edit *e,
			   unsigned long built)
{
	assert_int_equal(err, planned ? 0 : -EAGAIN);
	assert_int_equal(b->edited->ma_nodes_built - built, planned ? e->nodes : 0);
	b->by_path += planned;
	b->copies += planned && e->nodes;
}

/* As smr_edit_range(), with a node from the magazine, which has some. */
static int on_credit(struct bed *b, const struct smr_path *path, unsigned long first,
		     unsigned long last, void *entry)
{
	void *node = smr_mem_take_one(arena, GFP_ATOMIC);

	assert_non_null(node);
	smr_mem_give(arena, node);
	return smr_edit_paid(b->edited, path, first, last, entry);
}

static void try_store_by_path(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	unsigned long built = b->edited->ma_nodes_built;
	struct smr_path path;
	struct smr_edit e;
	unsigned int cap;
	bool planned;
	int err;

	if (!smr_walk_to(b->mas, first))
		return;
	cap = smr_leaf_cap(smr_enode_kind(b->mas->node));
	planned = smr_edit_plan_store(&e, b->mas, first, last, entry);
	assert_int_equal(smr_edit_find(b->edited, first, &path), !smr_has_joined(b->mas->node));
	if (smr_has_joined(b->mas->node))
		return;
	if (rng_one_in(&b->rng, 2))
		err = smr_edit_range(b->edited, &path, first, last, entry, GFP_NOWAIT, false);
	else
		err = on_credit(b, &path, first, last, entry);
	if (!err && !planned)
		shared_by_path(b, &e, cap, built);
	else
		edited_by_path(b, err, planned, &e, built);
	if (!err)
		assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

static void try_erase_by_path(struct bed *b, unsigned long key)
{
	unsigned long built = b->edited->ma_nodes_built;
	void *former, *found;
	struct smr_path path;
	struct smr_edit e;
	bool planned;
	int err;

	if (!smr_walk_to(b->mas, key) || smr_has_joined(b->mas->node))
		return;
	former = smr_range_here(b->mas);
	planned = former && smr_edit_plan_erase(&e, b->mas);
	assert_true(smr_edit_find(b->edited, key, &path));
	err = smr_edit_remove(b->edited, &path, &found);
	if (!err && !planned)
		shared_by_path(b, &e, SMR_SLEAF_CAP, built);
	else
		edited_by_path(b, err, planned, &e, built);
	if (err)
		return;
	assert_ptr_equal(found, former);
	assert_int_equal(rm_store(&b->model, b->mas->index, b->mas->last, NULL), 0);
}

/* Makes STORES stores, some the ordinary way; returns how many were edits. */
static unsigned long edits_in(bool in_txn, unsigned int flags, unsigned long unit,
			      unsigned int holes)
{
	unsigned long first, last;
	struct bed b;

	bed_begin(&b, flags, unit);
	bed_fill(&b, holes);
	if (in_txn)
		bed_open_txn(&b);
	for (unsigned int i = 0; i < STORES; i++) {
		void *entry = rng_one_in(&b.rng, 2) ? NULL : entry_of(&b);

		random_range(&b, &first, &last);
		if (rng_one_in(&b.rng, 3))
			store(&b, first, last, entry);
		else if (!in_txn && rng_one_in(&b.rng, 8))
			try_erase_by_path(&b, first);
		else if (!in_txn && rng_one_in(&b.rng, 3))
			try_store_by_path(&b, first, last, entry);
		else if (rng_one_in(&b.rng, 4))
			try_erase(&b, first);
		else
			try_store(&b, first, last, entry);
		if (i % CHECK == 0)
			bed_check(&b);
	}
	bed_check(&b);
	/* Copies are for readers; a transaction's own leaves have none. */
	assert_int_equal(b.copies > 0, !in_txn && (flags & MT_FLAGS_USE_RCU));
	assert_true(in_txn || b.by_path > STORES / 32);
	bed_free(&b);
	return b.edits;
}

/* Of two thirds that might be edits, at least as many as surely lie inside a leaf. */
static void edits_come_to_stores(void **state)
{
	static const unsigned int flags[] = { 0, MT_FLAGS_USE_RCU, MT_FLAGS_ALLOC_RANGE,
					      MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU };
	static const unsigned long unit[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (unsigned int i = 0; i < 8 * ARRAY_SIZE(unit); i += env_stride()) {
		unsigned int flag = flags[i % 4], holes = i / 4 % 2 ? 3 : 0;

		assert_true(edits_in(false, flag, unit[i / 8], holes) > STORES / 8);
		assert_true(edits_in(true, flag, unit[i / 8], holes) > STORES / 8);
	}
}

/* ---- What it leaves alone ---- */

static void refuses(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	assert_false(try_store(b, first, last, entry));
	bed_check(b);
}

static void accepts(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	assert_true(try_store(b, first, last, entry));
	bed_check(b);
}

/* Makes the leaves around range 100 not full, and puts the cursor in one of them. */
static void bed_fill_loosely(struct bed *b)
{
	bed_fill(b, 0);
	store(b, 802 * b->unit, 804 * b->unit - 1, entry_of(b));
	assert_true(smr_walk_to(b->mas, 802 * b->unit));
	assert_true(smr_count(b->mas->node) + 2 <= smr_kind_cap(smr_enode_kind(b->mas->node)));
}

/* Gets the limits of the leaf of @key, which must have others on both sides. */
static void limits_at(struct bed *b, unsigned long key, unsigned long *min, unsigned long *max)
{
	assert_true(smr_walk_to(b->mas, key));
	*min = b->mas->min;
	*max = b->mas->max;
	assert_true(*min > 0 && *max < ULONG_MAX);
}

/* A transaction's stores into leaves that are not its own. */
static void leaves_the_trees_own_leaves_alone(void **state)
{
	struct bed b;

	(void)state;
	bed_begin(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, 1);
	bed_fill(&b, 0);
	bed_open_txn(&b);
	refuses(&b, 808, 815, entry_of(&b));
	store(&b, 802, 804, entry_of(&b)); /* now the leaf is its own */
	assert_true(try_store(&b, 808, 815, entry_of(&b)));
	bed_check(&b);
	bed_free(&b);
}

/*
 * For short, narrow and wide leaves: @check gets the limits of one among others that is not full.
 */
static void each_kind(void (*check)(struct bed *b, unsigned long unit, unsigned long min,
				    unsigned long max))
{
	static const unsigned long unit[] = { 1, NARROW_UNIT, WIDE_UNIT };
	unsigned long min, max;
	struct bed b;

	for (unsigned int u = 0; u < ARRAY_SIZE(unit); u++) {
		bed_begin(&b, MT_FLAGS_ALLOC_RANGE, unit[u]);
		bed_fill_loosely(&b);
		limits_at(&b, 800 * unit[u], &min, &max);
		check(&b, unit[u], min, max);
		bed_free(&b);
	}
}

static void refuses_further(struct bed *b, unsigned long unit, unsigned long min, unsigned long max)
{
	refuses(b, min + 8 * unit, max + 8 * unit, entry_of(b));
	refuses(b, min + 8 * unit, ULONG_MAX, entry_of(b));
	refuses(b, max + 1 - 8 * unit, max + 8 * unit, entry_of(b));
}

/* Stores that reach into the next leaf. */
static void stays_in_one_leaf(void **state)
{
	(void)state;
	each_kind(refuses_further);
}

/* Keys so far beyond a leaf's others that no bound of it reaches them. */
static void leaves_far_keys_alone(void **state)
{
	unsigned long start, far = 1UL << 32;
	struct bed b;

	(void)state;
	bed_begin(&b, MT_FLAGS_ALLOC_RANGE, 1);
	bed_fill(&b, 0);
	assert_true(smr_walk_to(b.mas, UNITS - 14));
	assert_int_equal(b.mas->max, ULONG_MAX);
	start = smr_start(b.mas->node, 2);
	refuses(&b, start, start + far + 7, entry_of(&b));
	refuses(&b, start + far, start + far + 7, entry_of(&b));
	bed_free(&b);
}

/* Entries that cut the first or last range, or cover it and more, stay in the leaf. */
static void cuts_ends(struct bed *b, unsigned long unit, unsigned long min, unsigned long max)
{
	accepts(b, min, min + 8 * unit - 1, entry_of(b));
	accepts(b, max + 1 - 8 * unit, max, entry_of(b));
	accepts(b, min + unit, min + 2 * unit - 1, entry_of(b));
	accepts(b, min, min + 2 * unit - 1, entry_of(b));
	accepts(b, min, min + 3 * unit - 1, entry_of(b));
	accepts(b, max + 1 - 2 * unit, max, entry_of(b));
	accepts(b, max + 1 - 4 * unit, max, entry_of(b));
	refuses(b, max + 1 - 8 * unit, max + 1, entry_of(b));
	assert_true(smr_walk_to(b->mas, max));
	if (b->mas->end + 3u <= smr_kind_cap(smr_enode_kind(b->mas->node)))
		accepts(b, max + 1 - 3 * unit, max - unit, entry_of(b));
}

/* NULL joins the gap beside it, which may be another leaf's. */
static void refuses_ends(struct bed *b, unsigned long unit, unsigned long min, unsigned long max)
{
	refuses(b, min, min + 8 * unit - 1, NULL);
	refuses(b, min + unit, min + 2 * unit - 1, NULL);
	refuses(b, max + 1 - 8 * unit, max, NULL);
	refuses(b, max + 1 - 3 * unit, max - unit, NULL);
	assert_false(try_erase(b, min));
	assert_false(try_erase(b, max));
	/* A gap beside a gap at the end becomes a piece of it. */
	store(b, min, min + 8 * unit - 1, NULL);
	limits_at(b, min + 8 * unit, &min, &max);
	if (b->mas->offset == 1) {
		assert_true(try_erase(b, min + 8 * unit));
		assert_int_equal(b->mas->index, min);
		bed_check(b);
	}
}

/* The first and the last range of a leaf. */
static void leaves_the_ends_alone(void **state)
{
	(void)state;
	each_kind(refuses_ends);
	each_kind(cuts_ends);
}

/* A tree of one range that grows and shrinks, and a tree of two. */
static void grow_alone(unsigned int flags, unsigned long unit)
{
	struct bed b;

	bed_begin(&b, flags, unit);
	store(&b, 0, unit - 1, entry_of(&b));
	if (unit == 1)
		store(&b, 0, unit, entry_of(&b)); /* alone at [0..0] it is in no leaf */
	for (unsigned long n = 2; n < 20; n++)
		accepts(&b, 0, n * unit - 1, entry_of(&b));
	refuses(&b, 0, ULONG_MAX, entry_of(&b));
	refuses(&b, 0, 20 * unit - 1, NULL);
	accepts(&b, 0, 10 * unit - 1, entry_of(&b));
	accepts(&b, 0, 19 * unit - 1, entry_of(&b));
	accepts(&b, 19 * unit, 20 * unit - 1, entry_of(&b));
	assert_true(try_erase(&b, 19 * unit)); /* leaves a gap in pieces */
	bed_check(&b);
	accepts(&b, 0, 22 * unit - 1, entry_of(&b));
	assert_int_equal(smr_count(b.mas->node), 2);
	assert_false(try_erase(&b, 0));
	bed_free(&b);
}

static void grows_alone(void **state)
{
	(void)state;
	for (unsigned int rcu = 0; rcu < 2; rcu++) {
		grow_alone(rcu ? MT_FLAGS_USE_RCU : 0, 1);
		grow_alone(rcu ? MT_FLAGS_USE_RCU : 0, PAGE_UNIT);
	}
}

/*
 * The largest gap of a leaf is filled from both ends until others are larger: in a tree with some
 * gaps, and in the first leaf of a tree that only has one in front.
 */
static void take_gap(struct bed *b, unsigned long first, unsigned long nr)
{
	for (unsigned long i = 0; i < nr; i++) {
		unsigned long at = i & 1 ? first + i / 2 : first + nr - 1 - i / 2;

		if (!try_store(b, at * b->unit, (at + 1) * b->unit - 1, entry_of(b)))
			store(b, at * b->unit, (at + 1) * b->unit - 1, entry_of(b));
		bed_check(b);
	}
}

static void keeps_figures(void **state)
{
	static const unsigned long unit[] = { 1, NARROW_UNIT, WIDE_UNIT };
	struct bed b;

	(void)state;
	for (unsigned int u = 0; u < ARRAY_SIZE(unit); u++)
		for (unsigned int holes = 0; holes < 4; holes += 3) {
			bed_begin(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, unit[u]);
			bed_fill(&b, holes);
			store(&b, 800 * unit[u], 848 * unit[u] - 1, NULL);
			take_gap(&b, 800, 48);
			store(&b, 0, 64 * unit[u] - 1, NULL);
			for (unsigned long i = 64; i-- > 0;)
				take_gap(&b, i, 1);
			bed_free(&b);
		}
}

/*
 * An entry at an end of a range erased earlier, inside a gap longer than all else in the leaf. The
 * piece on that side stays whole and is the longest gap now. @crowd varies the place in the leaf.
 */
static void take_place_in_gap(struct bed *b, unsigned long crowd, unsigned long front,
			      unsigned long behind)
{
	const unsigned long nr = 10000, at = crowd + front, end = at + nr + behind;
	unsigned long first = front > behind ? at : at + nr - 1;

	bed_begin(b, MT_FLAGS_ALLOC_RANGE, 1);
	for (unsigned long i = 0; i < crowd; i++)
		store(b, i, i, entry_of(b));
	for (unsigned long i = 0; i < 100; i++)
		store(b, end + i, end + i, entry_of(b));
	store(b, end + 100, ULONG_MAX, entry_of(b));
	store(b, at, at + nr - 1, entry_of(b));
	store(b, at, at + nr - 1, NULL);
	store(b, first, first, entry_of(b));
	bed_check(b);
	mas_reset(&b->own);
	assert_int_equal(mas_empty_area(&b->own, 0, ULONG_MAX, front > behind ? front : behind), 0);
	bed_free(b);
}

static void keeps_figures_of_pieces(void **state)
{
	struct bed b;

	(void)state;
	for (unsigned long crowd = 100; crowd < 150; crowd++) {
		take_place_in_gap(&b, crowd, 30000, 5000);
		take_place_in_gap(&b, crowd, 5000, 30000);
	}
}

/* Returns the first key of the leaf's first (last) entry. */
static unsigned long outer_entry(const struct ma_state *mas, bool last)
{
	void **slots = smr_slots(mas->node);
	unsigned int i = last ? mas->end : 0;

	while (!slots[i])
		i += last ? -1u : 1;
	return smr_leaf_first(mas->node, i, mas->min);
}

/*
 * Erases entries beside the gap that the cursor's leaf begins or ends with, which they join, until
 * the leaf would be too empty. Then it is left whole.
 */
static void join_outer_gap(struct bed *b, bool last)
{
	struct ma_state *mas = b->mas;
	unsigned int ranges;

	do
		ranges = mas->end + 1u;
	while (try_erase(b, outer_entry(mas, last)));
	assert_true(ranges < SMR_LEAF_MIN + 2 * SMR_RUN_MAX);
	smr_walk_to(mas, last ? mas->max : mas->min);
	smr_range_here(mas);
	assert_true(last ? mas->last == mas->max : mas->index == mas->min);
	bed_check(b);
}

/* All leaves that begin or end with a gap. */
static void joins_the_gap_at_an_end(void **state)
{
	static const unsigned long unit[] = { 1, NARROW_UNIT, WIDE_UNIT };
	unsigned int leaves[2] = { 0, 0 };
	unsigned long key;
	struct bed b;

	(void)state;
	for (unsigned int u = 0; u < ARRAY_SIZE(unit); u++) {
		bed_begin(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, unit[u]);
		for (unsigned long i = 1; i < RANGES; i++)
			store(&b, 8 * i * unit[u], (8 * i + 3) * unit[u] - 1, entry_of(&b));
		for (key = 0; smr_walk_to(b.mas, key) && key < UNITS * unit[u];
		     key = b.mas->max + 1) {
			bool last = smr_slots(b.mas->node)[0];

			if (last && smr_slots(b.mas->node)[b.mas->end])
				continue;
			join_outer_gap(&b, last);
			leaves[last]++;
			if (b.mas->max == ULONG_MAX)
				break;
		}
		bed_free(&b);
	}
	assert_true(leaves[false] > 0 && leaves[true] > 0);
}

/* Adds two ranges at a time for as long as it may, then removes one at a time. */
static void stays_between_full_and_empty(void **state)
{
	static const unsigned long unit[] = { 1, NARROW_UNIT, WIDE_UNIT };
	unsigned int ranges, cap;
	struct ma_state *mas;
	unsigned long key;
	struct bed b;

	(void)state;
	for (unsigned int u = 0; u < ARRAY_SIZE(unit); u++) {
		bed_begin(&b, MT_FLAGS_ALLOC_RANGE, unit[u]);
		bed_fill_loosely(&b);
		mas = b.mas;
		cap = smr_kind_cap(smr_enode_kind(mas->node));
		key = mas->min + 11 * unit[u];
		do {
			ranges = mas->end + 1u;
			key += 8 * unit[u];
		} while (try_store(&b, key, key + unit[u] - 1, entry_of(&b)));
		assert_true(b.edits > 0 && ranges + 2 > cap);
		bed_check(&b);
		do
			ranges = mas->end + 1u;
		while (try_store(&b, smr_start(mas->node, 1), smr_start(mas->node, 3) - 1,
				 entry_of(&b)));
		assert_int_equal(ranges, SMR_LEAF_MIN);
		bed_free(&b);
	}
}

/* Storing the same range again only changes a slot, and readers may go on in the leaf. */
static void swaps_take_no_node(void **state)
{
	struct smr_edit e;
	struct bed b;
	void *leaf;

	(void)state;
	bed_begin(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, 1);
	bed_fill(&b, 0);
	assert_true(smr_walk_to(b.mas, 808));
	leaf = b.mas->node;
	assert_true(smr_edit_plan_store(&e, b.mas, 808, 815, entry_of(&b)));
	assert_int_equal(e.nodes, 0);
	assert_true(smr_edit_plan_erase(&e, b.mas));
	assert_int_equal(e.nodes, 0);
	assert_true(try_store(&b, 808, 815, entry_of(&b)));
	assert_true(try_erase(&b, 808));
	assert_ptr_equal(b.mas->node, leaf);
	bed_check(&b);
	/* So do erases beside the gap that is there now, until it has as many pieces as it may. */
	assert_true(try_erase(&b, 816));
	assert_true(try_erase(&b, 800));
	assert_ptr_equal(b.mas->node, leaf);
	assert_int_equal(b.mas->index, 800);
	assert_int_equal(b.mas->last, 823);
	bed_check(&b);
	assert_true(smr_walk_to(b.mas, 824));
	assert_true(smr_edit_plan_erase(&e, b.mas));
	assert_int_equal(e.nodes, 1);
	/* Each piece is a range that can be stored again. */
	assert_true(try_store(&b, 816, 823, entry_of(&b)));
	assert_true(try_store(&b, 800, 807, entry_of(&b)));
	assert_ptr_equal(b.mas->node, leaf);
	bed_free(&b);
}

/*
 * Without a cursor: an insertion over something is left to edits with one; a failure to get memory
 * changes nothing.
 */
static void leaves_to_cursors(void **state)
{
	struct smr_path path;
	struct bed b;

	(void)state;
	bed_begin(&b, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, 1);
	bed_fill(&b, 0);
	store(&b, 803, 806, NULL);
	assert_true(smr_edit_find(b.edited, 802, &path));
	assert_int_equal(smr_edit_range(b.edited, &path, 802, 804, entry_of(&b), GFP_NOWAIT, true),
			 -EAGAIN);
	memfault_none();
	assert_int_equal(smr_edit_range(b.edited, &path, 802, 804, NULL, GFP_NOWAIT, false),
			 -ENOMEM);
	assert_int_equal(smr_edit_range(b.edited, &path, 802, 804, NULL, GFP_KERNEL, false),
			 -EAGAIN);
	memfault_ok();
	bed_check(&b);
	bed_free(&b);
}

/* If one leaf has all keys, narrow bounds reach as far as keys do. */
static void reaches_all_keys(void **state)
{
	const unsigned long part = 1UL << 60, size = 1UL << 52;
	struct bed b;

	(void)state;
	bed_begin(&b, 0, size);
	for (unsigned long i = 1; i < 15; i++)
		store(&b, i * part, i * part + size - 1, entry_of(&b));
	for (unsigned long i = 8; i < 14; i++) {
		assert_true(
			try_store(&b, i * part + 2 * size, i * part + 3 * size - 1, entry_of(&b)));
		assert_true(smr_enode_is(b.mas->node, SMR_NLEAF));
		bed_check(&b);
	}
	refuses(&b, 14 * part + 2 * size, ULONG_MAX, entry_of(&b));
	bed_free(&b);
}

/* What an insertion asks: whether all of its range is one gap. */
static void tells_what_is_free(void **state)
{
	struct smr_edit e;
	struct bed b;

	(void)state;
	bed_begin(&b, MT_FLAGS_ALLOC_RANGE, 1);
	bed_fill(&b, 0);
	store(&b, 803, 806, NULL);
	for (unsigned long first = 800; first < 808; first++)
		for (unsigned long last = first; last < 808; last++) {
			assert_true(smr_walk_to(b.mas, first));
			assert_true(smr_edit_plan_store(&e, b.mas, first, last, entry_of(&b)));
			assert_int_equal(smr_is_gap(smr_slots(b.mas->node), e.i, e.j),
					 first >= 803 && last <= 806);
		}
	bed_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_come_to_stores),
		cmocka_unit_test(leaves_the_trees_own_leaves_alone),
		cmocka_unit_test(stays_in_one_leaf),
		cmocka_unit_test(leaves_far_keys_alone),
		cmocka_unit_test(leaves_the_ends_alone),
		cmocka_unit_test(grows_alone),
		cmocka_unit_test(keeps_figures),
		cmocka_unit_test(keeps_figures_of_pieces),
		cmocka_unit_test(joins_the_gap_at_an_end),
		cmocka_unit_test(stays_between_full_and_empty),
		cmocka_unit_test(swaps_take_no_node),
		cmocka_unit_test(reaches_all_keys),
		cmocka_unit_test(leaves_to_cursors),
		cmocka_unit_test(tells_what_is_free),
	};

	return arena_run(&arena, "tree_edit", tests, sizeof(tests) / sizeof(tests[0]));
}
