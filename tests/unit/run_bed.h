/* SPDX-License-Identifier: MIT */
/*
 * The set-up for tests of ranges in pieces: a tree with such ranges beside its model.
 *
 * All is measured in units: one key, a page, or so large that no short, or no narrow, leaf has
 * them. Ranges are eight units long; each has an entry or, in a sparse tree, every other one. The
 * lock is held all the time.
 */
#ifndef TESTS_UNIT_RUN_BED_H
#define TESTS_UNIT_RUN_BED_H

#include "support/cm.h"

#include "support/arena.h"
#include "support/env.h"
#include "support/inlines.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/walk.h"
#include "txn_image.h"

#include <errno.h>
#include <limits.h>
#include <samara/txn.h>
#include <stdlib.h>

enum { LEN = 8, HALF = LEN / 2 };

static inline enum smr_kind leaf_kind(unsigned long unit)
{
	return unit == WIDE_UNIT ? SMR_WLEAF : unit == NARROW_UNIT ? SMR_NLEAF : SMR_SLEAF;
}

#define RCU_TREE (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)

static struct mt_mem *arena;

struct bed {
	struct maple_tree tree;
	struct range_model model;
	struct ma_state mas;
	unsigned long unit;
	unsigned long values; /* entries made so far, all different */
	unsigned long at;     /* the unit where a range with an entry begins, inside a leaf */
	unsigned int variant; /* of the test */
	bool held;            /* stores must not drop the lock */
	struct rng rng;
	/* What note() has seen. */
	void *leaf;
	unsigned int count;
	unsigned long built;
};

static inline bool in_rcu(const struct bed *b)
{
	return b->tree.ma_flags & MT_FLAGS_USE_RCU;
}

static inline unsigned long first_key(const struct bed *b, unsigned long unit)
{
	return unit * b->unit;
}

static inline unsigned long last_key(const struct bed *b, unsigned long unit)
{
	return (unit + 1) * b->unit - 1;
}

static inline void *new_entry(struct bed *b)
{
	return xa_mk_value(++b->values);
}

/*
 * Expects the cursor where a store or erase of the range around @key leaves it: on the range's last
 * piece, as if it had walked there.
 */
static inline void expect_cursor(struct bed *b, unsigned long key)
{
	MA_STATE(walk, &b->tree, key, key);
	unsigned long first, last;
	void *entry;

	rm_range(&b->model, key, &first, &last, &entry);
	assert_int_equal(b->mas.status, ma_active);
	assert_int_equal(b->mas.index, first);
	assert_int_equal(b->mas.last, last);
	assert_true(smr_path_fresh(&b->mas));
	assert_ptr_equal(smr_value(smr_slots(b->mas.node), (unsigned int)b->mas.offset), entry);
	mas_walk(&walk);
	assert_int_equal(b->mas.depth, walk.depth);
	for (unsigned int d = 0; d < walk.depth; d++) {
		assert_ptr_equal(b->mas.path[d], walk.path[d]);
		assert_int_equal(b->mas.slot[d], walk.slot[d]);
	}
	assert_ptr_equal(b->mas.node, walk.node);
	assert_int_equal(b->mas.offset, walk.offset);
}

/* Preallocates and stores, without dropping the lock. */
static inline void store_prealloc(struct bed *b, unsigned long first, unsigned long last,
				  void *entry)
{
	unsigned long built = b->tree.ma_nodes_built, end, nr;
	void *before;

	mas_set_range(&b->mas, first, last);
	assert_int_equal(mas_preallocate(&b->mas, entry, GFP_KERNEL), 0);
	nr = mas_allocated(&b->mas);
	rm_range(&b->model, first, NULL, &end, &before);
	if (!entry && !before && end >= last)
		assert_int_equal(nr, 0); /* it is NULL already */
	mas_store_prealloc(&b->mas, entry);
	assert_int_equal(b->tree.ma_nodes_built, built + nr);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	expect_cursor(b, first);
}

static inline void store_keys(struct bed *b, unsigned long first, unsigned long last, void *entry)
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

static inline void store(struct bed *b, unsigned long from, unsigned long to, void *entry)
{
	store_keys(b, first_key(b, from), last_key(b, to), entry);
}

/* Stores a new entry over units [@from..@to]. */
static inline void fill(struct bed *b, unsigned long from, unsigned long to)
{
	store(b, from, to, new_entry(b));
}

static inline void erase(struct bed *b, unsigned long unit)
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

/* Walks the cursor to @unit and returns the leaf. */
static inline void *leaf_of(struct bed *b, unsigned long unit)
{
	mas_set(&b->mas, first_key(b, unit));
	mas_walk(&b->mas);
	return b->mas.node;
}

/* Returns the number of pieces of the range that the cursor has walked to. */
static inline unsigned int pieces_here(const struct ma_state *mas)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int i = (unsigned int)mas->offset;

	if (smr_value(slots, i))
		return smr_tail(slots, i, mas->end) - smr_head(slots, i) + 1;
	return smr_run_to(slots, i, mas->end) - smr_run_from(slots, smr_head(slots, i)) + 1;
}

/* The same for the range at @unit. */
static inline unsigned int pieces(struct bed *b, unsigned long unit)
{
	leaf_of(b, unit);
	return pieces_here(&b->mas);
}

/* Sets up @b; the lock is held from here on. @dense: without gaps. */
static inline void bed_make(struct bed *b, unsigned int flags, unsigned long unit,
			    unsigned long ranges, bool dense)
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

static inline void bed_free(struct bed *b)
{
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
}

static inline void expect_no_nodes(void)
{
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

enum { RANGES = 160 };

/* Runs @variants of @body without and with lock-free readers, in leaves of each kind. */
static inline void on_beds(bool dense, unsigned int variants, void (*body)(struct bed *b))
{
	static const unsigned long unit[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };
	static const unsigned int flags[] = { MT_FLAGS_ALLOC_RANGE, RCU_TREE };
	struct bed b;

	for (unsigned int i = 0; i < 8 * variants; i++) {
		bed_make(&b, flags[i % 2], unit[i / 2 % 4], RANGES, dense);
		b.variant = i / 8;
		leaf_of(&b, b.at);
		assert_int_equal(smr_enode_kind(b.mas.node), leaf_kind(b.unit));
		body(&b);
		bed_free(&b);
	}
	expect_no_nodes();
}

/* ---- Expected contents ---- */

static inline void check_good(struct bed *b, struct maple_tree *mt, const struct range_model *model)
{
	char why[WHY_SIZE];

	if (!tree_good(mt, model, why))
		fail_msg("seed %llu, unit %#lx, flags %x: %s", (unsigned long long)env_seed(),
			 b->unit, b->tree.ma_flags, why);
}

static inline void expect(struct bed *b)
{
	check_good(b, &b->tree, &b->model);
}

typedef void *step_fn(struct ma_state *mas, unsigned long limit);

/* Expects the entries one by one, from the first (last) on. */
static inline void expect_steps_by(struct bed *b, step_fn *step, bool down, bool inlines)
{
	size_t n = rm_count(&b->model);
	const struct rm_range *r = b->model.ranges + (down ? n - 1 : 0);
	MA_STATE(mas, &b->tree, r->first, r->first);
	void *entry = mas_walk(&mas);

	for (size_t i = 0; i < n; i++, r += down ? -1 : 1) {
		assert_ptr_equal(entry, r->entry);
		assert_int_equal(mas.index, r->first);
		assert_int_equal(mas.last, r->last);
		if (inlines)
			let_inlines(&mas);
		entry = step(&mas, down ? 0 : ULONG_MAX);
	}
	assert_null(entry);
}

static inline void expect_steps(struct bed *b, step_fn *step, bool down)
{
	expect_steps_by(b, step, down, false);
	expect_steps_by(b, step, down, true);
}

static inline void expect_loop(struct bed *b)
{
	const struct rm_range *r = b->model.ranges;
	MA_STATE(mas, &b->tree, 0, 0);
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_ptr_equal(entry, r->entry);
		assert_int_equal(mas.index, r->first);
		assert_int_equal(mas.last, r->last);
		r++;
	}
	assert_int_equal(r - b->model.ranges, rm_count(&b->model));
}

/* Expects what readers of the normal API must return for @key. */
static inline void expect_reads(struct bed *b, unsigned long key)
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

/* The same at both ends of each unit in [@from..@to], and as a batch. */
static inline void expect_units(struct bed *b, unsigned long from, unsigned long to)
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

/*
 * Expects the model's contents by all ways of reading and, around @unit, at each key that may
 * matter.
 */
static inline void expect_all(struct bed *b, unsigned long unit)
{
	expect(b);
	expect_steps(b, mas_next, false);
	expect_steps(b, mas_find, false);
	expect_steps(b, mas_prev, true);
	expect_steps(b, mas_find_rev, true);
	expect_loop(b);
	expect_units(b, unit > 3 * LEN ? unit - 3 * LEN : 0, unit + 6 * LEN);
}

/* Until expect_quiet(), only slots of the leaf of b->at may change. */
static inline void note(struct bed *b)
{
	b->leaf = leaf_of(b, b->at);
	b->count = smr_count(b->leaf);
	b->built = b->tree.ma_nodes_built;
}

static inline void expect_quiet(struct bed *b)
{
	assert_ptr_equal(leaf_of(b, b->at), b->leaf);
	assert_int_equal(smr_count(b->leaf), b->count);
	assert_int_equal(b->tree.ma_nodes_built, b->built);
	assert_int_equal(b->mas.alloc_nr, 0);
}

/* Makes the three ranges from b->at on a gap in three pieces. */
static inline void make_gap(struct bed *b)
{
	note(b);
	erase(b, b->at);
	erase(b, b->at + 2 * LEN);
	erase(b, b->at + LEN);
	expect_quiet(b);
	assert_int_equal(pieces(b, b->at), 3);
}

/*
 * In a sparse tree: returns the unit of the first entry of a leaf that begins with a gap, or
 * (@high) of the last of one that ends with a gap.
 */
static inline unsigned long entry_at_end(struct bed *b, bool high)
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

/* ---- Ways to store ---- */

enum way { WAY_STORE, WAY_INSERT, WAY_PREALLOC, WAY_COMMIT, WAY_ABORT, NR_WAYS };

static inline void insert(struct bed *b, unsigned long first, unsigned long last, void *entry)
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

/* A transaction on b->tree, the model @seen in it, and an image of the tree from before. */
struct txn_case {
	struct mt_txn txn;
	struct range_model seen;
	struct tree_image before;
};

static inline void txn_case_begin(struct bed *b, struct txn_case *t)
{
	t->before = tree_image_of(&b->tree);
	rm_init(&t->seen);
	assert_int_equal(rm_copy(&t->seen, &b->model), 0);
	mt_txn_begin(&t->txn, &b->tree);
}

static inline void txn_store(struct bed *b, struct txn_case *t, unsigned long first,
			     unsigned long last, void *entry)
{
	assert_int_equal(mt_txn_store_range(&t->txn, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&t->seen, first, last, entry), 0);
	check_good(b, &t->txn.view, &t->seen);
}

static inline void expect_tree_as_before(struct bed *b, const struct txn_case *t)
{
	struct tree_image now = tree_image_of(&b->tree);

	assert_true(tree_image_equal(&t->before, &now));
}

static inline void txn_case_end(struct bed *b, struct txn_case *t, bool keep)
{
	expect_tree_as_before(b, t);
	if (keep) {
		mt_txn_commit(&t->txn);
		rm_destroy(&b->model);
		b->model = t->seen;
		return;
	}
	mt_txn_abort(&t->txn);
	rm_destroy(&t->seen);
	expect_tree_as_before(b, t);
}

/* Does two stores; the second is into a leaf of the transaction's own. */
static inline void store_in_txn(struct bed *b, unsigned long first, unsigned long last, void *entry,
				bool keep)
{
	struct txn_case t;

	txn_case_begin(b, &t);
	txn_store(b, &t, first, last, entry);
	txn_store(b, &t, first_key(b, b->at + LEN), last_key(b, b->at + 2 * LEN - 1),
		  entry ? NULL : new_entry(b));
	txn_case_end(b, &t, keep);
}

static inline void store_by(struct bed *b, enum way way, unsigned long first, unsigned long last,
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

/* Runs a group of tests in an arena of their own. */
static inline int bed_run(const char *name, const struct CMUnitTest *tests, size_t nr)
{
	return arena_run(&arena, name, tests, nr);
}

#endif
