/* SPDX-License-Identifier: MIT */
/*
 * A leaf too full or too empty shares with a sibling, whatever then becomes of the node above: the
 * result is the very nodes that the ordinary way of storing makes. Each time there is a copy of the
 * tree, in which the leaf is marked to go that way. If a leaf shares with both siblings, all keep
 * their encoding and are filled evenly.
 */
#include "run_bed.h"

#include "tree/gap.h"
#include "tree/plan.h"

#include <samara/credits.h>

enum { STEPS = 6000, SPACE = 8000, SMALL = 80, CREDITS = 20 };

struct growth {
	unsigned long unit;
	unsigned int odd;    /* one in this many ranges ends inside a unit; 0: none */
	unsigned int null;   /* one in this many stores is NULL while it grows; 0: none */
	unsigned long space; /* where ranges begin, in lengths of one */
};

/* ---- Two trees of the same nodes ---- */

static void same_leaf(const struct smr_node *a, const struct smr_node *b, enum smr_kind kind)
{
	for (unsigned int i = 0; i < smr_kind_bounds(kind); i++)
		assert_int_equal(smr_kind_bound(a, kind, i), smr_kind_bound(b, kind, i));
	assert_memory_equal(smr_kind_slots((struct smr_node *)a, kind),
			    smr_kind_slots((struct smr_node *)b, kind), a->count * sizeof(void *));
}

static void same_inner(const void *one, const void *other, bool gaps)
{
	const struct smr_node *a = smr_node_of(one), *b = smr_node_of(other);
	enum smr_kind kind = smr_enode_kind(one);

	for (unsigned int i = 0; i < smr_kind_bounds(kind); i++)
		assert_int_equal(smr_kind_bound(a, kind, i), smr_kind_bound(b, kind, i));
	if (gaps)
		assert_memory_equal(smr_gaps(one), smr_gaps(other),
				    smr_nr_gaps(one) * sizeof(uint32_t));
}

/* Compares all but transactions and marks on nodes above leaves. */
static void same_nodes(const void *one, const void *other, bool gaps)
{
	const struct smr_node *a = smr_node_of(one), *b = smr_node_of(other);

	assert_int_equal(smr_enode_kind(one), smr_enode_kind(other));
	assert_int_equal(a->base, b->base);
	assert_int_equal(a->shift, b->shift);
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->dead, b->dead);
	if (smr_enode_leaf(one)) {
		assert_int_equal(a->mark, b->mark);
		same_leaf(a, b, smr_enode_kind(one));
		return;
	}
	same_inner(one, other, gaps);
	for (unsigned int i = 0; i < a->count; i++)
		same_nodes(smr_slots(one)[i], smr_slots(other)[i], gaps);
}

static void same_census(const struct maple_tree *a, const struct maple_tree *b)
{
	assert_int_equal(a->ma_pledge.leaves, b->ma_pledge.leaves);
	assert_int_equal(a->ma_pledge.inner, b->ma_pledge.inner);
	assert_int_equal(a->ma_pledge.crowding, b->ma_pledge.crowding);
	assert_int_equal(a->ma_newest, b->ma_newest);
	assert_int_equal(mt_height(a), mt_height(b));
}

/* ---- What the tree counts of itself ---- */

struct sum {
	unsigned long leaves, inner, crowding;
};

static void add_nodes(const void *enode, struct sum *sum)
{
	if (smr_enode_leaf(enode)) {
		sum->leaves++;
		return;
	}
	sum->inner++;
	sum->crowding += smr_crowding(smr_count(enode));
	for (unsigned int i = 0; i < smr_count(enode); i++)
		add_nodes(smr_slots(enode)[i], sum);
}

static void expect_census(const struct maple_tree *mt)
{
	struct sum sum = { 0, 0, 0 };

	add_nodes(mt->ma_root, &sum);
	assert_int_equal(mt->ma_pledge.leaves, sum.leaves);
	assert_int_equal(mt->ma_pledge.inner, sum.inner);
	assert_int_equal(mt->ma_pledge.crowding, sum.crowding);
}

/* ---- One store in both ---- */

/* Makes a copy in which the leaf of @first goes the ordinary way. */
static void make_copy(struct bed *b, struct maple_tree *copy, unsigned long first)
{
	MA_STATE(mas, copy, first, first);

	mt_init_flags(copy, b->tree.ma_flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	mt_set_mem(copy, arena);
	mtree_lock_nested(copy, 1);
	assert_int_equal(__mt_dup(&b->tree, copy, GFP_KERNEL), 0);
	copy->ma_newest = b->tree.ma_newest;
	mas_walk(&mas);
	smr_node_of(mas.node)->mark = SMR_PIECES;
	smr_node_of(mas.node)->dead |= SMR_JOINED;
}

static void store_by_plan(struct maple_tree *copy, unsigned long first, unsigned long last,
			  void *entry)
{
	MA_STATE(mas, copy, first, last);

	assert_int_equal(mas_preallocate(&mas, entry, GFP_KERNEL), 0);
	mas_store_prealloc(&mas, entry);
}

/*
 * Plans a store: what it takes, and what it owes holders of @credits, who have what they need
 * before it. @leaves: how many leaves the tree can come to, 0: not known.
 */
static struct smr_write plan_among(struct maple_tree *mt, unsigned long credits,
				   unsigned long leaves, unsigned long first, unsigned long last,
				   void *entry)
{
	__typeof__(mt->ma_pledge) before = mt->ma_pledge;
	MA_STATE(mas, mt, first, last);
	struct smr_write w;

	mt->ma_pledge.recycling = credits;
	mt->ma_pledge.bound = leaves;
	mt->ma_pledge.pledged = smr_pledge_required(mt);
	assert_int_equal(smr_plan(&w, &mas, first, last, entry, false), 0);
	mt->ma_pledge = before;
	return w;
}

/* Whether it is an edit of a leaf that shares. */
static bool shares(const struct smr_write *w)
{
	return w->form == SMR_SHARE || (w->form == SMR_SUBTREE && w->shared);
}

static void same_plans(struct bed *b, struct maple_tree *copy, unsigned long first,
		       unsigned long last, void *entry)
{
	for (unsigned long credits = 1; credits < CREDITS; credits++) {
		/* If it is known, gaps are in one piece, so NULL may give something else. */
		bool known = entry && credits % 3 == 0;
		unsigned long most = known ? copy->ma_pledge.leaves + credits : 0;
		struct smr_write share = plan_among(&b->tree, credits, most, first, last, entry);
		struct smr_write any = plan_among(copy, credits, most, first, last, entry);

		assert_true(shares(&share));
		assert_false(shares(&any));
		assert_int_equal(any.form, SMR_SUBTREE);
		assert_int_equal(share.nodes, any.nodes);
		assert_int_equal(share.pledge, any.pledge);
	}
}

/* Nodes for stores that must not wait for any. */
static void fill_magazine(struct bed *b)
{
	MA_STATE(mas, &b->tree, 0, 0);

	assert_int_equal(mas_preallocate_height(&mas, 2, GFP_KERNEL), 0);
	mas_destroy(&mas);
}

static void store_by_path(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	struct smr_path path;

	fill_magazine(b);
	assert_true(smr_edit_find(&b->tree, first, &path));
	assert_int_equal(smr_edit_range(&b->tree, &path, first, last, entry, GFP_NOWAIT, false), 0);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/* Expects the cursor to stand as if it had walked there. */
static void expect_path(const struct ma_state *mas)
{
	MA_STATE(walk, mas->tree, mas->index, mas->index);

	mas_walk(&walk);
	assert_int_equal(mas->depth, walk.depth);
	for (unsigned int d = 0; d <= walk.depth; d++) {
		assert_ptr_equal(mas->path[d], walk.path[d]);
		assert_int_equal(mas->slot[d], walk.slot[d]);
	}
	assert_ptr_equal(mas->node, walk.node);
	assert_int_equal(mas->min, walk.min);
	assert_int_equal(mas->max, walk.max);
	assert_int_equal(mas->end, walk.end);
	assert_int_equal(mas->offset, walk.offset);
}

static void store_by_cursor(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	store_prealloc(b, first, last, entry);
	expect_path(&b->mas);
}

/* Stores with or without a cursor; must take as many nodes as planned. */
static void store_by_share(struct bed *b, unsigned long first, unsigned long last, void *entry,
			   const struct smr_write *w)
{
	unsigned long built = b->tree.ma_nodes_built, seq = b->tree.ma_seq;

	if (rng_one_in(&b->rng, 2))
		store_by_cursor(b, first, last, entry);
	else
		store_by_path(b, first, last, entry);
	assert_int_equal(b->tree.ma_nodes_built - built, w->nodes);
	assert_int_equal(b->tree.ma_seq, seq + 1); /* other cursors have lost their place */
}

/*
 * How many stores shared: of full leaves; of empty ones; with the node above then too full or too
 * empty; with leaves that keep their encoding; with both siblings; and, in to[], by the number of
 * new leaves.
 */
struct count {
	unsigned long full, empty, above, written, three, to[SMR_SHARES_MAX + 1];
};

/*
 * Expects the leaf that begins with @key to have the encoding of @like and to be filled evenly.
 * Returns the number of its ranges.
 */
static unsigned int expect_part(struct bed *b, const struct smr_node *like, enum smr_kind kind,
				const struct smr_share *s, unsigned long key)
{
	MA_STATE(mas, &b->tree, key, key);
	unsigned int least = s->ranges / s->leaves->parts;
	const struct smr_node *node;

	mas_walk(&mas);
	node = smr_node_of(mas.node);
	assert_int_equal(smr_enode_kind(mas.node), kind);
	assert_int_equal(node->base, like->base);
	assert_int_equal(node->shift, like->shift);
	assert_uint_in_range(node->count, least, least + (s->ranges % s->leaves->parts != 0));
	assert_int_equal(mas.min, key);
	return node->count;
}

/* Returns what holders of @credits credits need. */
static unsigned long required_among(struct maple_tree *mt, unsigned long credits)
{
	__typeof__(mt->ma_pledge) before = mt->ma_pledge;
	unsigned long required;

	mt->ma_pledge.recycling = credits;
	required = smr_pledge_required(mt);
	mt->ma_pledge = before;
	return required;
}

/* Checks what three leaves become, and what holders of credits are owed for that. */
static void store_three(struct bed *b, unsigned long first, unsigned long last, void *entry,
			struct smr_write *w)
{
	struct smr_share *s = &w->share;
	const void *parent = s->path[s->depth];
	struct smr_node like = *smr_node_of(s->leaf);
	enum smr_kind kind = smr_enode_kind(s->leaf);
	unsigned long needed[CREDITS], owed[CREDITS];
	unsigned int ranges = 0;

	s->leaves = &w->level[0];
	assert_true(w->form == SMR_SHARE && !s->decoded && s->left && s->right);
	assert_uint_in_range(s->leaves->parts, 3, 4);
	/* The proof in docs/credits.md counts on both, even if three leaves stay three. */
	assert_true(s->depth > 0);
	assert_in_range(smr_count(parent), 3, smr_kind_cap(smr_enode_kind(parent)) - 1);
	for (unsigned long c = 1; c < CREDITS; c++) {
		needed[c] = required_among(&b->tree, c);
		owed[c] = plan_among(&b->tree, c, 0, first, last, entry).pledge;
	}
	store_by_share(b, first, last, entry, w);
	for (unsigned long c = 1; c < CREDITS; c++) {
		unsigned long needs = required_among(&b->tree, c);

		assert_int_equal(owed[c], needs > needed[c] ? needs - needed[c] : 0);
	}
	for (unsigned int c = 0; c < s->leaves->parts; c++)
		ranges += expect_part(b, &like, kind, s, s->leaves->start[c]);
	assert_int_equal(ranges, s->ranges);
	assert_int_equal(mt_check(&b->tree, NULL, 0), 0);
	expect_census(&b->tree);
}

static void store_both(struct bed *b, unsigned long first, unsigned long last, void *entry,
		       struct count *count)
{
	struct smr_write w = plan_among(&b->tree, 0, 0, first, last, entry);
	struct maple_tree copy;

	if (!shares(&w)) {
		store_keys(b, first, last, entry);
		return;
	}
	*(w.edit.ranges < SMR_LEAF_MIN ? &count->empty : &count->full) += 1;
	count->above += w.form == SMR_SUBTREE;
	count->written += !w.share.decoded;
	count->to[w.level[0].parts]++;
	assert_true(w.form == SMR_SUBTREE || w.nodes <= smr_store_nodes(mt_height(&b->tree)));
	if (smr_share_leaves(&w.share) == 3) {
		count->three++;
		store_three(b, first, last, entry, &w);
		return;
	}
	make_copy(b, &copy, first);
	same_plans(b, &copy, first, last, entry);
	store_by_plan(&copy, first, last, entry);
	store_by_share(b, first, last, entry, &w);
	same_nodes(b->tree.ma_root, copy.ma_root, smr_tracks_gaps(&copy));
	same_census(&b->tree, &copy);
	expect_census(&b->tree);
	__mt_destroy(&copy);
	mtree_unlock(&copy);
}

/* ---- Trees that grow, and shrink ---- */

/*
 * Stores the first range of the leaf of @key again, if it has an entry; returns the unit where it
 * ends.
 */
static unsigned long begin_leaf_again(struct bed *b, unsigned long key)
{
	struct ma_state *mas = &b->mas;

	mas_set(mas, key);
	mas_walk(mas);
	mas_set(mas, mas->node ? mas->min : key);
	if (mas_walk(mas) && mas->last < ULONG_MAX)
		store_keys(b, mas->index, mas->last, new_entry(b));
	return mas->last / b->unit;
}

static void *random_entry(struct bed *b, const struct growth *g, bool shrinks)
{
	if (shrinks ? rng_one_in(&b->rng, 2) : g->null && rng_one_in(&b->rng, g->null))
		return NULL;
	return new_entry(b);
}

static void grow(const struct growth *g, unsigned int flags, uint64_t seed, struct count *count)
{
	unsigned long at = 0;
	struct bed b;

	bed_make(&b, flags, g->unit, 2, false);
	b.held = true;
	b.rng = rng_make(34, seed);
	for (unsigned int i = 0; i < STEPS; i++) {
		bool shrinks = i > STEPS / 2;
		unsigned long last;

		/* Some follow the last one, or the first of a leaf. */
		if (rng_one_in(&b.rng, 8))
			at = begin_leaf_again(&b, first_key(&b, LEN * rng_below(&b.rng, SPACE)));
		else if (!rng_one_in(&b.rng, 8))
			at = LEN * rng_below(&b.rng, SPACE);
		at += 1 + rng_below(&b.rng, 2);
		last = last_key(&b, at + rng_below(&b.rng, shrinks ? 16 * LEN : HALF));
		if (g->odd && rng_one_in(&b.rng, g->odd))
			last -= b.unit / 2;
		store_both(&b, first_key(&b, at), last, random_entry(&b, g, shrinks), count);
		if (i % 1000 == 0)
			expect(&b);
	}
	expect(&b);
	bed_free(&b);
}

static void comes_to_the_same_nodes(void **state)
{
	static const struct growth all[] = {
		{ .unit = 1, .null = 5 },
		{ .unit = PAGE_UNIT },
		{ .unit = PAGE_UNIT, .odd = 300, .null = 10 },
		/* Units become smaller, and leaves become short, as the tree grows. */
		{ .unit = 512 * PAGE_UNIT, .null = 10 },
		{ .unit = 200 },
		/* Leaves of one base and different units. */
		{ .unit = 601 * PAGE_UNIT, .odd = 40 },
		{ .unit = NARROW_UNIT, .null = 5 },
		{ .unit = WIDE_UNIT, .null = 5 },
	};
	static const unsigned int flags[] = { 0, MT_FLAGS_USE_RCU, MT_FLAGS_ALLOC_RANGE, RCU_TREE };

	unsigned long three = 0, four = 0;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		struct count count = { 0 };

		for (unsigned int f = 0; f < ARRAY_SIZE(flags); f++)
			grow(&all[i], flags[f], i + f, &count);
		assert_true(count.full > 100 && count.empty > 50);
		assert_true(count.above > 20 && count.written > 100);
		assert_true(count.to[1] > 0 && count.to[2] > 100 && count.to[3] > 100);
		three += count.three;
		four += count.to[4];
	}
	assert_true(three > 800 && four > 300);
	expect_no_nodes();
}

/* ---- Leaves that get another encoding ---- */

/* The encoding of leaves changes only while a tree is small. */
enum { ROUNDS = 100, KEYS = 150 };

typedef unsigned long place_fn(struct rng *rng, unsigned int i);

/* Half near 0, at any key, and half far apart: a leaf of both is wide, others are narrow. */
static unsigned long near_and_far(struct rng *rng, unsigned int i)
{
	if (i % 2)
		return (rng_below(rng, 1UL << 20) + 1) << 43;
	return rng_below(rng, 1UL << 30);
}

/* At pages, and a few inside them, all measured from 0. */
static unsigned long at_pages(struct rng *rng, unsigned int i)
{
	unsigned long page = rng_below(rng, (1UL << 31) / PAGE_UNIT) * PAGE_UNIT;

	return i % 32 ? page : page + 1;
}

static void grow_small(place_fn *place, unsigned int flags, struct count *count)
{
	struct bed b;

	bed_make(&b, flags, 1, 2, false);
	b.held = true;
	b.rng = rng_make(35, count->full);
	for (unsigned int i = 0; i < KEYS; i++) {
		unsigned long key = place(&b.rng, i);

		store_both(&b, key, key | (PAGE_UNIT - 1), new_entry(&b), count);
	}
	expect(&b);
	bed_free(&b);
}

static void comes_to_other_nodes(void **state)
{
	static place_fn *const places[] = { near_and_far, at_pages };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		struct count count = { 0 };

		for (unsigned int n = 0; n < ROUNDS; n++)
			grow_small(places[i], n % 2 ? RCU_TREE : 0, &count);
		assert_true(count.full > ROUNDS);
	}
	expect_no_nodes();
}

/* Two leaves below the root become one, which becomes the root; and two again. */
static void comes_to_the_top(void **state)
{
	struct count count = { 0 };
	struct bed b;

	(void)state;
	bed_make(&b, RCU_TREE, PAGE_UNIT, 2, false);
	b.held = true;
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned long u = 0; u < SMALL; u++)
			store_both(&b, first_key(&b, u), last_key(&b, u), new_entry(&b), &count);
		while (mt_height(&b.tree) > 1) {
			unsigned long u = rng_below(&b.rng, SMALL);

			store_both(&b, first_key(&b, u), last_key(&b, u + 4), new_entry(&b),
				   &count);
		}
	}
	assert_true(count.above >= 10);
	bed_free(&b);
	expect_no_nodes();
}

/*
 * Replaces ranges of the leaf of @key, except the first and the last, by fewer that begin half a
 * unit later. Returns where the leaf ends.
 */
static unsigned long shift_ranges(struct bed *b, unsigned long key)
{
	unsigned long half = b->unit / 2, len = 2 * LEN * b->unit, max;

	mas_set(&b->mas, key);
	mas_walk(&b->mas);
	max = b->mas.max;
	for (unsigned int i = 0; key < max - 4 * LEN * b->unit; i++, key += len) {
		len = (i < 4 ? 2 : 1) * LEN * b->unit;
		store_keys(b, key + LEN * b->unit + half, key + LEN * b->unit + len + half - 1,
			   new_entry(b));
	}
	return max;
}

/*
 * Ranges begin at half pages but leaves at pages, as the node above encodes them: it has no bound
 * for leaves that would meet at half a page, so no three of them share.
 */
static void meets_amid_a_page(void **state)
{
	static const unsigned int flags[] = { 0, RCU_TREE };
	unsigned long first, key, end;
	struct bed b;

	(void)state;
	for (unsigned int f = 0; f < ARRAY_SIZE(flags); f++) {
		struct count count = { 0 };

		bed_make(&b, flags[f], PAGE_UNIT, 3000, true);
		b.held = true;
		/* The fourth leaf below the second node, and its siblings. */
		leaf_of(&b, 0);
		assert_int_equal(b.mas.depth, 2);
		key = smr_child_start(b.mas.path[0], 1);
		mas_set(&b.mas, key);
		mas_walk(&b.mas);
		first = smr_child_start(b.mas.path[1], 3);
		shift_ranges(&b, smr_child_start(b.mas.path[1], 2));
		end = shift_ranges(&b, first);
		shift_ranges(&b, end + 1);
		for (key = first + 12 * LEN * b.unit; count.full == 0; key += 3 * LEN * b.unit) {
			assert_true(key < end);
			store_both(&b, key + b.unit + b.unit / 2, key + 2 * b.unit + b.unit / 2 - 1,
				   new_entry(&b), &count);
		}
		assert_int_equal(count.three, 0);
		assert_int_equal(count.above, 1);
		expect(&b);
		bed_free(&b);
	}
	expect_no_nodes();
}

/* Stores without a cursor while there are credits: what these need is there all the time. */
static void pays_holders(void **state)
{
	static const unsigned int flags[] = { 0, RCU_TREE };
	struct mt_credits c;
	struct bed b;

	(void)state;
	for (unsigned int f = 0; f < ARRAY_SIZE(flags); f++) {
		bed_make(&b, flags[f], PAGE_UNIT, 2, false);
		mtree_unlock(&b.tree);
		mt_credits_init(&c, &b.tree, MT_CREDITS_RECYCLING);
		assert_int_equal(mt_credits_reserve(&c, 200, GFP_KERNEL), 0);
		for (unsigned int i = 0; i < STEPS; i++) {
			unsigned long at = LEN * rng_below(&b.rng, SPACE);

			assert_int_equal(mtree_store_range(&b.tree, first_key(&b, at),
							   last_key(&b, at + HALF), new_entry(&b),
							   GFP_KERNEL),
					 0);
			assert_true(smr_pledge_required(&b.tree) <= b.tree.ma_pledge.pledged);
		}
		mt_credits_release(&c);
		mtree_lock(&b.tree);
		bed_free(&b);
	}
	expect_no_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_to_the_same_nodes),
		cmocka_unit_test(comes_to_other_nodes),
		cmocka_unit_test(comes_to_the_top),
		cmocka_unit_test(meets_amid_a_page),
		cmocka_unit_test(pays_holders),
	};

	return bed_run("tree_share", tests, sizeof(tests) / sizeof(tests[0]));
}
