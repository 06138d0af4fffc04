/* SPDX-License-Identifier: MIT */
/*
 * Stores of which much is known beforehand: the promised number of nodes holds for whatever the
 * store turns out to be, and drafts and stores with edges give what plain stores give. Against a
 * model, in dense trees and trees with holes, of pages and of bytes.
 */
#include "support/arena.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/credits.h"
#include "tree/draft.h"
#include "tree/run.h"
#include "tree/store.h"
#include "tree/write.h"

#include <string.h>

#define FLAGS (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)

enum { RANGES = 600, UNITS = 8 * RANGES };

static struct mt_mem *arena;
static unsigned int flags = FLAGS;

struct bed {
	struct maple_tree tree;
	struct range_model model;
	unsigned long unit; /* in keys */
	unsigned long one;  /* stores promised to take one node */
	unsigned long drafts;
	struct rng rng;
};

static void *entry_of(struct bed *b)
{
	return xa_mk_value(rng_below(&b->rng, 1UL << 40));
}

static void plain_store(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &b->tree, first, last);

	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/* An empty tree. The lock is held from here on. */
static void bed_init(struct bed *b, unsigned long unit, uint64_t n)
{
	memset(b, 0, sizeof(*b));
	b->unit = unit;
	b->rng = rng_make(env_seed(), n);
	mt_init_flags(&b->tree, flags);
	mt_set_mem(&b->tree, arena);
	rm_init(&b->model);
	mtree_lock(&b->tree);
}

/* One in @holes ranges is left out; 0: none. */
static void bed_make(struct bed *b, unsigned long unit, unsigned int holes, uint64_t n)
{
	bed_init(b, unit, n);
	for (unsigned long i = 0; i < RANGES; i++)
		if (holes == 0 || !rng_one_in(&b->rng, holes))
			plain_store(b, 8 * i * unit, 8 * (i + 1) * unit - 1, entry_of(b));
}

static void bed_check(struct bed *b)
{
	char why[WHY_SIZE];

	if (!tree_good(&b->tree, &b->model, why))
		fail_msg("%s", why);
}

static void bed_free(struct bed *b)
{
	bed_check(b);
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

/* Now and then off the units: something that none of their leaves can take as it is. */
static unsigned long random_off(struct bed *b)
{
	return rng_one_in(&b->rng, 16) ? rng_below(&b->rng, b->unit) : 0;
}

static void random_range(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long from = rng_below(&b->rng, UNITS), nr = 1 + rng_below(&b->rng, 24);

	*first = from * b->unit + random_off(b);
	*last = (from + (nr < UNITS - from ? nr : UNITS - from)) * b->unit + random_off(b) - 1;
}

/* ---- How many nodes ---- */

/* Moves one or both ends of [*first..*last], or none, in to the nearest end of a range. */
static void random_part(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long begin, end;

	rm_range(&b->model, *first, NULL, &end, NULL);
	rm_range(&b->model, *last, &begin, NULL, NULL);
	if (rng_one_in(&b->rng, 2) && end < *last)
		*first = end + 1;
	if (rng_one_in(&b->rng, 2) && begin > *first)
		*last = begin - 1;
}

static void store_as_promised(struct bed *b)
{
	unsigned long first, last, before = b->tree.ma_nodes_built, nr;
	struct ma_state mas;

	random_range(b, &first, &last);
	mas_init(&mas, &b->tree, first);
	mas_walk(&mas);
	nr = smr_nodes_within(&mas, first, last);
	random_part(b, &first, &last);
	plain_store(b, first, last, rng_one_in(&b->rng, 2) ? NULL : entry_of(b));
	assert_true(b->tree.ma_nodes_built - before <= nr);
	b->one += nr == 1;
}

/* Returns what is promised for a store over ranges [@i..@j] of the leaf, or their parts. */
static unsigned long promised(const struct ma_state *mas, unsigned int i, unsigned int j)
{
	return smr_nodes_within(mas, smr_start(mas->node, i), smr_start(mas->node, j + 1) - 1);
}

/*
 * One node is promised for all that the leaf has room for, and that leaves it enough, but for no
 * more. The leaf, which has no gaps, is full at first and loses a range each time.
 */
static void expect_limits(struct bed *b)
{
	MA_STATE(mas, &b->tree, 0, 0);
	unsigned int count, cap, most;

	do {
		mas_set(&mas, UNITS / 2 * b->unit);
		mas_walk(&mas);
		count = smr_count(mas.node);
		cap = smr_kind_cap(smr_enode_kind(mas.node));
		most = count - SMR_LEAF_MIN;
		assert_int_equal(promised(&mas, 2, 2) == 1, count + 2 <= cap);
		assert_int_equal(promised(&mas, 1, 1 + most) == 1, count < cap);
		assert_true(promised(&mas, 1, 2 + most) > 1);
		plain_store(b, smr_start(mas.node, 2), smr_start(mas.node, 4) - 1, entry_of(b));
	} while (count > SMR_LEAF_MIN + 1);
}

/* ---- Edges ---- */

/*
 * Gives the model what a store says of an edge: @entry for all that is left of the range at @key.
 */
static void model_edge(struct bed *b, unsigned long key, void *entry)
{
	unsigned long first, last;

	rm_range(&b->model, key, &first, &last, NULL);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/*
 * Picks entries for the rests of the ranges that [first..last] cuts; NULL where there is no rest,
 * and sometimes otherwise.
 */
static struct smr_edges pick_edges(struct bed *b, unsigned long first, unsigned long last)
{
	struct smr_edges edges = SMR_NO_EDGES;
	unsigned long begin, end;
	void *entry;

	rm_range(&b->model, first, &begin, NULL, &entry);
	if (entry && begin < first && !rng_one_in(&b->rng, 4))
		edges.left = entry_of(b);
	rm_range(&b->model, last, NULL, &end, &entry);
	if (entry && end > last && !rng_one_in(&b->rng, 4))
		edges.right = entry_of(b);
	return edges;
}

static void model_store(struct bed *b, unsigned long first, unsigned long last, void *entry,
			struct smr_edges edges)
{
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	if (edges.left)
		model_edge(b, first - 1, edges.left);
	if (edges.right)
		model_edge(b, last + 1, edges.right);
}

/* ---- Drafts ---- */

static void store_draft(struct bed *b, struct smr_draft *d, struct ma_state *mas,
			unsigned long first, unsigned long last)
{
	unsigned long before = b->tree.ma_nodes_built;
	struct smr_edges edges = pick_edges(b, first, last);
	void *entry = entry_of(b);

	smr_draft_store(d, mas, first, last, entry, edges);
	assert_null(d->leaf);
	assert_int_equal(b->tree.ma_nodes_built, before + 1);
	assert_int_equal(b->tree.ma_newest, first);
	assert_int_equal(mas->index, first);
	assert_int_equal(mas->last, last);
	assert_ptr_equal(smr_slots(mas->node)[mas->offset], entry);
	model_store(b, first, last, entry, edges);
}

/* Now and then makes [*first..*last] a range that has an entry; returns whether it did. */
static bool random_same(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long begin, end;
	void *entry;

	rm_range(&b->model, *first, &begin, &end, &entry);
	if (!entry || !rng_one_in(&b->rng, 8))
		return false;
	*first = begin;
	*last = end;
	return true;
}

static void draft_or_not(struct bed *b)
{
	unsigned long first, last;
	struct smr_draft d;
	struct ma_state mas;
	bool same;

	random_range(b, &first, &last);
	same = random_same(b, &first, &last);
	mas_init(&mas, &b->tree, first);
	mas_find(&mas, last); /* where a walk over the range stands */
	smr_draft_begin(&d, &mas, first, last);
	assert_false(same && d.leaf); /* such a store takes no node */
	if (!d.leaf) {
		plain_store(b, first, last, entry_of(b));
		return;
	}
	assert_int_equal(smr_nodes_within(&mas, first, last), 1);
	/* The walk goes on meanwhile. */
	while (rng_one_in(&b->rng, 2) && mas_find(&mas, last))
		;
	if (rng_one_in(&b->rng, 8)) {
		smr_draft_drop(&d, &mas);
		assert_int_equal(mas.alloc_nr, 1);
		mas_destroy(&mas);
	} else {
		store_draft(b, &d, &mas, first, last);
		b->drafts++;
	}
}

/* ---- In a leaf with joined ranges ---- */

enum { JOINED = 8 * 20, PIECES = 3 };

/* The units of an entry whose range is in pieces, in a leaf with room. */
static void make_joined(struct bed *b)
{
	unsigned long first = JOINED * b->unit, end = (JOINED + 8 * PIECES) * b->unit;
	MA_STATE(mas, &b->tree, first, first);

	plain_store(b, end + 32 * b->unit, end + 96 * b->unit - 1, entry_of(b));
	for (unsigned long key = first; key < end; key += 8 * b->unit)
		plain_store(b, key, key + 8 * b->unit - 1, NULL);
	plain_store(b, first, end - 1, entry_of(b));
	mas_walk(&mas);
	assert_true(smr_has_joined(mas.node));
}

/* Stores over [@first..@last], with a draft or with the number of nodes promised beforehand. */
static void store_beside_pieces(unsigned long unit, unsigned long first, unsigned long last,
				bool draft)
{
	unsigned long before, nr;
	struct smr_draft d;
	struct ma_state mas;
	struct bed b;

	bed_make(&b, unit, 0, first + 10 * last);
	make_joined(&b);
	first *= unit;
	last = (last + 1) * unit - 1;
	before = b.tree.ma_nodes_built;
	mas_init(&mas, &b.tree, first);
	mas_find(&mas, last);
	nr = smr_nodes_within(&mas, first, last);
	d.leaf = NULL;
	if (draft)
		smr_draft_begin(&d, &mas, first, last);
	if (d.leaf)
		store_draft(&b, &d, &mas, first, last);
	else
		plain_store(&b, first, last, draft ? entry_of(&b) : NULL);
	assert_true(b.tree.ma_nodes_built - before <= nr);
	bed_free(&b);
}

static void pieces_are_put_together(void **state)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++)
		for (unsigned long first = JOINED - 4; first < JOINED + 8 * PIECES; first += 4)
			for (unsigned long nr = 4; nr <= 16; nr += 4) {
				store_beside_pieces(units[i], first, first + nr - 1, false);
				store_beside_pieces(units[i], first, first + nr - 1, true);
			}
}

/* ---- Stores with edges ---- */

/* Stores on a credit, in a transaction or on its own. */
static void store_on_credit(struct bed *b, struct ma_state *mas, void *entry,
			    struct smr_edges edges)
{
	struct mt_credits c;
	struct mt_txn txn;

	mt_credits_init(&c, &b->tree, MT_CREDITS_STRICT);
	mtree_unlock(&b->tree);
	assert_int_equal(mt_credits_reserve(&c, 1, GFP_KERNEL), 0);
	mt_credits_begin(&c, 1);
	mtree_lock(&b->tree);
	mas_reset(mas);
	if (rng_one_in(&b->rng, 2)) {
		assert_int_equal(smr_store_credit(mas, entry, edges, &c), 0);
	} else {
		mt_txn_begin(&txn, &b->tree);
		assert_int_equal(
			smr_txn_store_credit(&txn, mas->index, mas->last, entry, edges, &c), 0);
		mt_txn_commit(&txn);
		mas_walk(mas);
	}
	mtree_unlock(&b->tree);
	mt_credits_release(&c);
	mtree_lock(&b->tree);
}

/* Stores through @mas in one of the ways there are; only the first may allocate. */
static void store_with(struct bed *b, struct ma_state *mas, void *entry, struct smr_edges edges)
{
	switch (rng_below(&b->rng, 3)) {
	case 0:
		assert_int_equal(smr_store_in_place(mas, entry, edges, GFP_KERNEL), 0);
		break;
	case 1:
		assert_int_equal(mas_preallocate_height(mas, mt_height(&b->tree), GFP_KERNEL), 0);
		assert_int_equal(smr_store_in_place(mas, entry, edges, GFP_NOWAIT), 0);
		break;
	case 2:
		store_on_credit(b, mas, entry, edges);
		break;
	}
	assert_int_equal(mas->alloc_nr, 0);
}

static void store_edges(struct bed *b)
{
	void *entry = rng_one_in(&b->rng, 2) ? entry_of(b) : NULL;
	struct smr_edges edges;
	unsigned long first, last;
	struct ma_state mas;

	random_range(b, &first, &last);
	edges = pick_edges(b, first, last);
	mas_init(&mas, &b->tree, first);
	mas.last = last;
	store_with(b, &mas, entry, edges);
	assert_true(mas.index <= first && mas.last >= last);
	assert_ptr_equal(smr_value(smr_slots(mas.node), mas.offset), entry);
	model_store(b, first, last, entry, edges);
}

/* ---- */

static void each_bed(void (*step)(struct bed *b), struct bed *sum)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++)
		for (unsigned int holes = 0; holes < 6; holes += holes ? 3 : 2) {
			struct bed b;

			bed_make(&b, units[i], holes, 10 * i + holes);
			for (uint64_t n = 0; n < env_ops(3000); n++) {
				step(&b);
				if (n % 64 == 0)
					bed_check(&b);
			}
			sum->one += b.one;
			sum->drafts += b.drafts;
			bed_free(&b);
		}
}

static void stores_take_what_was_promised(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(store_as_promised, &sum);
	assert_true(sum.one > 0);
}

/* From no node on. */
static void so_do_stores_into_small_trees(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 500; n++) {
		struct bed b;

		bed_init(&b, n % 2 ? 1 : PAGE_UNIT, n);
		for (unsigned int i = 0; i < 4; i++)
			store_as_promised(&b);
		bed_free(&b);
	}
}

static void one_node_is_promised_where_it_will_do(void **state)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++) {
		struct bed b;

		bed_make(&b, units[i], 0, i);
		expect_limits(&b);
		bed_free(&b);
	}
}

static void drafts_come_to_stores(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(draft_or_not, &sum);
	assert_true(sum.drafts > 0);
}

static void edges_come_to_stores(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(store_edges, &sum);
	flags = MT_FLAGS_ALLOC_RANGE; /* leaves are changed in place */
	each_bed(store_edges, &sum);
	flags = FLAGS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_take_what_was_promised),
		cmocka_unit_test(so_do_stores_into_small_trees),
		cmocka_unit_test(one_node_is_promised_where_it_will_do),
		cmocka_unit_test(drafts_come_to_stores),
		cmocka_unit_test(pieces_are_put_together),
		cmocka_unit_test(edges_come_to_stores),
	};

	return arena_run(&arena, "tree_draft", tests, sizeof(tests) / sizeof(tests[0]));
}
