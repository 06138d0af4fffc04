/* SPDX-License-Identifier: MIT */
/*
 * The bound that credits rest on (docs/credits.md), store by store: very many stores, chosen for
 * the worst case, and after each the tree is walked and compared with what it was before. What one
 * store may do at most:
 *
 *   one leaf more, net; one node more on each level below the top; two at the top, and then the
 *   tree is higher;
 *   3h - 2 nodes built, where h is the greater of the heights before and after;
 *   M = nodes + crowding / unit - 2 * height rises by 1 + 1 / unit, and not at all if no leaf was
 *   added.
 *
 * The last holds for every unit from 14 to 16; all three are checked. So are the figures that the
 * tree itself keeps.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"

#include "tree/plan.h"

#include <samara/txn.h>
#include <stdio.h>

struct measure {
	unsigned long level[MT_PATH_MAX]; /* nodes; [0]: leaves */
	unsigned long nodes;
	unsigned long crowding; /* of all inner nodes but the top */
	unsigned long top;      /* of the top */
	unsigned long height;
	unsigned long built;
};

static unsigned long crowding(unsigned int children)
{
	return children > 17 ? children - 17 : 0;
}

static void add_node(struct measure *m, const void *enode, unsigned int level)
{
	m->level[level]++;
	m->nodes++;
	if (level == 0)
		return;
	if (level == 1) { /* the leaves need not be looked at */
		m->level[0] += smr_count(enode);
		m->nodes += smr_count(enode);
	} else {
		for (unsigned int i = 0; i < smr_count(enode); i++)
			add_node(m, smr_slots(enode)[i], level - 1);
	}
	m->crowding += crowding(smr_count(enode));
}

static struct measure measure(const struct maple_tree *mt)
{
	struct measure m = { .height = mt_height(mt), .built = mt->ma_nodes_built };

	if (m.height == 0)
		return m;
	add_node(&m, mt->ma_root, (unsigned int)m.height - 1);
	if (m.height > 1)
		m.top = crowding(smr_count(mt->ma_root));
	m.crowding -= m.top;
	return m;
}

/* ---- What a store may do ---- */

struct seen {
	unsigned long stores;
	unsigned long splits; /* of nodes above the leaves and below the top */
	unsigned long merges;
	unsigned long higher;
	unsigned long lower;
	unsigned long highest;
	unsigned long most_leaves;
	unsigned long most_built;
	long most_growth;
	long most; /* 16ths by which M rose, at most */
};

static unsigned long levels(const struct measure *m)
{
	return m->height ? m->height : 1;
}

/* Returns by how many units of 1 / @unit M has risen. */
static long rise(const struct measure *a, const struct measure *b, long unit)
{
	return unit * ((long)b->nodes - (long)a->nodes) + (long)b->crowding - (long)a->crowding -
	       2 * unit * ((long)levels(b) - (long)levels(a));
}

static bool level_good(const struct measure *a, const struct measure *b, unsigned int l)
{
	unsigned long low = a->height < b->height ? a->height : b->height;
	long more = (long)b->level[l] - (long)a->level[l];

	/* The top may split in two; then there is a new top. */
	return l < low ? more <= 1 : b->height <= a->height || b->level[l] <= 1;
}

static const char *fault_of(const struct measure *a, const struct measure *b, struct seen *seen)
{
	unsigned long high = levels(a) > levels(b) ? levels(a) : levels(b), built, leaves = 2;
	long more = (long)b->level[0] - (long)a->level[0];

	built = b->built - a->built;
	for (unsigned int l = 0; l < MT_PATH_MAX; l++)
		if (!level_good(a, b, l))
			return "a level grew by more than one node";
	if ((long)b->nodes - (long)a->nodes > (long)high)
		return "more nodes than levels were added";
	if (built > 3 * high - 2)
		return "more nodes were built than 3h - 2";
	for (long unit = 14; unit <= 16; unit++) {
		if (rise(a, b, unit) > (more > 0 ? unit + 1 : 0))
			return "the potential rose by too much";
	}
	for (unsigned long h = 2; h < b->height; h++)
		leaves *= SMR_INNER_MIN;
	if (b->height > 1 && b->level[0] < leaves)
		return "so few leaves should make a lower tree";
	seen->most_built = built > seen->most_built ? built : seen->most_built;
	return NULL;
}

static void note(const struct measure *a, const struct measure *b, struct seen *seen)
{
	long growth = (long)b->nodes - (long)a->nodes, most = rise(a, b, 16);

	seen->stores++;
	seen->highest = b->height > seen->highest ? b->height : seen->highest;
	seen->most_leaves = b->level[0] > seen->most_leaves ? b->level[0] : seen->most_leaves;
	seen->higher += b->height > a->height;
	seen->lower += b->height < a->height;
	for (unsigned int l = 1; l < MT_PATH_MAX; l++) {
		seen->splits += a->level[l] > 1 && b->level[l] > a->level[l];
		seen->merges += b->level[l] && b->level[l] < a->level[l];
	}
	seen->most_growth = growth > seen->most_growth ? growth : seen->most_growth;
	seen->most = most > seen->most ? most : seen->most;
}

static void check_store(const struct maple_tree *mt, const struct measure *before,
			struct measure *after, struct seen *seen)
{
	const char *fault;

	*after = measure(mt);
	fault = fault_of(before, after, seen);
	if (fault)
		fail_msg("store %lu: %s: %lu nodes to %lu, %lu leaves to %lu, crowding %lu to %lu, "
			 "height %lu to %lu, %lu built",
			 seen->stores, fault, before->nodes, after->nodes, before->level[0],
			 after->level[0], before->crowding, after->crowding, before->height,
			 after->height, after->built - before->built);
	/* The figures that the bound is computed from are kept by the tree, without a walk. */
	assert_int_equal(mt->ma_pledge.leaves, after->level[0]);
	assert_int_equal(mt->ma_pledge.crowding, after->crowding + after->top);
	note(before, after, seen);
}

/* ---- The adversary ---- */

struct store {
	unsigned long first, last;
	void *entry;
};

/* What the adversary does for a while. */
struct mood {
	unsigned long lo, hi; /* the keys it stores to */
	unsigned long align;  /* of keys; 0: none */
	unsigned int spans;   /* of 1000 stores, how many reach from one leaf into another */
	unsigned int leaves;  /* how many leaves further they reach at most */
	unsigned int sweeps;  /* of 1000 stores, how many clear any part of the tree */
	unsigned int tries;   /* stores considered for each one made */
	bool leaf_edges;      /* stores begin and end near the ends of leaves */
	unsigned int fixed;   /* steps from the top down that stay the same */
	unsigned long turn[MT_PATH_MAX];
};

static struct mood new_mood(struct rng *rng, unsigned long leaves, unsigned long limit)
{
	static const unsigned int tries[] = { 1, 1, 3, 8 }, far[] = { 1, 2, 3, 12, 40 };
	struct mood mood = { .hi = ULONG_MAX >> rng_below(rng, 58) };
	bool full = leaves > limit;

	mood.lo = rng_one_in(rng, 3) ? 0 : rng_next(rng) & ~mood.hi;
	mood.hi = full ? ULONG_MAX : mood.lo + mood.hi;
	mood.lo = full ? 0 : mood.lo;
	mood.align = rng_one_in(rng, 2) ? 0 : 1UL << rng_below(rng, 14);
	mood.leaves = far[rng_below(rng, 5)];
	/* One store in ten adds a leaf; unless the tree is full, that should outweigh the rest. */
	mood.spans = full ? 800 : (unsigned int)rng_below(rng, 80 / mood.leaves + 1);
	mood.sweeps = full && rng_one_in(rng, 16) ? 2 : 0;
	mood.tries = tries[rng_below(rng, 4)];
	mood.leaf_edges = rng_one_in(rng, 2);
	mood.fixed = full ? 0 : (unsigned int)rng_below(rng, 5);
	for (unsigned int d = 0; d < MT_PATH_MAX; d++)
		mood.turn[d] = rng_next(rng);
	return mood;
}

/*
 * Returns some key; half the time by descending through the nodes, with the first steps always the
 * same, so that places get crowded.
 */
static unsigned long some_key(struct maple_tree *mt, struct rng *rng, const struct mood *mood)
{
	unsigned long width = mood->hi - mood->lo;
	unsigned long key = mood->lo +
			    (width == ULONG_MAX ? rng_next(rng) : rng_below(rng, width + 1));
	bool descend = rng_one_in(rng, 2);
	void *enode = mt->ma_root;

	for (unsigned int d = 0; descend && smr_is_enode(enode); d++) {
		unsigned long turn = d < mood->fixed ? mood->turn[d] : rng_next(rng);
		unsigned int i = (unsigned int)(turn % smr_count(enode));

		key = i ? smr_start(enode, i) : key;
		if (smr_enode_leaf(enode))
			return key;
		enode = smr_slots(enode)[i];
	}
	return mood->align ? key & ~(mood->align - 1) : key;
}

/* A store inside the range at the cursor, or from one of its ends. */
static struct store think_cut(const struct ma_state *mas, struct rng *rng, const struct mood *mood)
{
	unsigned long third = (mas->last - mas->index) / 3;
	unsigned long mask = mood->align && third > mood->align ? ~(mood->align - 1) : ~0UL;
	struct store s = { mas->index, mas->last, NULL };

	if (third == 0)
		return s;
	if (!rng_one_in(rng, 8))
		s.first = (s.first + 1 + rng_below(rng, third)) & mask;
	if (!rng_one_in(rng, 8))
		s.last = (s.last - 1 - rng_below(rng, third)) | ~mask;
	if (s.first < mas->index || s.first > s.last || s.last > mas->last)
		s = (struct store){ mas->index, mas->last, NULL };
	return s;
}

static struct store think_span(struct maple_tree *mt, const struct ma_state *mas, struct rng *rng,
			       const struct mood *mood)
{
	struct store s = { mas->index + rng_below(rng, mas->last - mas->index), mas->max, NULL };
	unsigned long left = rng_below(rng, mood->leaves + 1);

	if (mood->leaf_edges)
		s.first = rng_one_in(rng, 2) ? mas->min : mas->max - rng_below(rng, 3);
	while (left-- > 0 && s.last != ULONG_MAX) {
		MA_STATE(next, mt, s.last + 1, 0);

		mas_walk(&next);
		s.last = next.max;
	}
	if (!mood->leaf_edges && s.last != ULONG_MAX)
		s.last += rng_below(rng, 16);
	return s;
}

static struct store think(struct maple_tree *mt, struct rng *rng, const struct mood *mood)
{
	unsigned int way = (unsigned int)rng_below(rng, 1000);
	MA_STATE(mas, mt, some_key(mt, rng, mood), 0);
	struct store s = { 0, ULONG_MAX, NULL };

	mas_walk(&mas);
	if (mas.status != ma_active) {
		s.first = some_key(mt, rng, mood);
		s.last = s.first + rng_below(rng, 1000);
	} else if (way < mood->sweeps) {
		s.first = rng_one_in(rng, 2) ? mas.index : 0;
		s.last = rng_one_in(rng, 2) ? some_key(mt, rng, mood) : ULONG_MAX;
	} else if (way < mood->sweeps + mood->spans) {
		s = think_span(mt, &mas, rng, mood);
	} else {
		s = think_cut(&mas, rng, mood);
	}
	if (s.last < s.first)
		s.last = s.first;
	s.entry = rng_one_in(rng, 3) ? NULL : xa_mk_value(rng_below(rng, 1000));
	return s;
}

/* Returns the one of the considered stores that would build most nodes. */
static struct store choose(struct maple_tree *mt, struct rng *rng, const struct mood *mood)
{
	struct store best = think(mt, rng, mood);
	unsigned int most = 0;

	for (unsigned int t = 1; t < mood->tries; t++) {
		struct store s = think(mt, rng, mood);
		MA_STATE(mas, mt, s.first, s.last);
		struct smr_write w;

		if (smr_plan(&w, &mas, s.first, s.last, s.entry, false) == 0 && w.nodes > most) {
			most = w.nodes;
			best = s;
		}
	}
	return best;
}

/* ---- The tests ---- */

static void make_store(struct maple_tree *mt, const struct store *s)
{
	MA_STATE(mas, mt, s->first, s->last);

	assert_int_equal(mas_store_gfp(&mas, s->entry, GFP_KERNEL), 0);
}

/* Stores ranges here and there until there are @leaves leaves. */
static void grow(struct maple_tree *mt, struct rng *rng, unsigned long leaves)
{
	bool pages = rng_one_in(rng, 2);

	while (mt->ma_pledge.leaves < leaves) {
		unsigned long first = rng_next(rng) >> (pages ? 17 : rng_below(rng, 9));
		unsigned long last = first + (pages ? 0 : rng_below(rng, 1000));
		struct store s = { first, last < first ? first : last, xa_mk_value(1) };

		s.first = pages ? s.first & ~0xfffUL : s.first;
		s.last = pages ? s.last | 0xfff : s.last;
		make_store(mt, &s);
	}
}

static void fight(struct maple_tree *mt, uint64_t seed, uint64_t stores, unsigned long limit,
		  struct seen *seen)
{
	struct measure before = measure(mt), after;
	struct mood mood = { 0 };
	char why[WHY_SIZE];

	for (uint64_t i = 0; i < stores; i++) {
		struct rng rng = rng_make(seed, i);
		struct store s;

		if (i % 512 == 0) {
			mood = new_mood(&rng, before.level[0], limit);
			if (i % (64 * 512) == 0)
				grow(mt, &rng, limit / 2);
			before = measure(mt);
		}
		s = choose(mt, &rng, &mood);
		make_store(mt, &s);
		check_store(mt, &before, &after, seen);
		before = after;
		if (i % 65536 == 0 && !tree_sound(mt, why))
			fail_msg("seed %lu, store %lu: %s", (unsigned long)seed, (unsigned long)i,
				 why);
	}
}

static void report(const char *name, const struct seen *seen)
{
	print_message(
		"%s: %lu stores, %lu inner splits, %lu merges, %lu times higher, %lu lower; "
		"at most %lu levels, %lu leaves, %lu nodes built, %ld added, M up by %ld/16\n",
		name, seen->stores, seen->splits, seen->merges, seen->higher, seen->lower,
		seen->highest, seen->most_leaves, seen->most_built, seen->most_growth, seen->most);
}

/* A test that never came near the limits that it checks would prove nothing. */
static void assert_thorough(const struct seen *seen)
{
	if (seen->stores < 100000)
		return;
	assert_true(seen->splits > 20);
	assert_true(seen->merges > 20);
	assert_int_equal(seen->most, 17);
	assert_true(seen->most_growth >= 2 && seen->most_built >= 7);
}

static void one_tree(const char *name, unsigned int flags, unsigned long limit, uint64_t stores)
{
	struct maple_tree mt = MTREE_INIT(mt, flags);
	struct seen seen = { 0 };

	mtree_lock(&mt);
	fight(&mt, env_seed() + limit, stores, limit, &seen);
	mtree_unlock(&mt);
	mtree_destroy(&mt);
	report(name, &seen);
	assert_thorough(&seen);
}

static void small_trees(void **state)
{
	(void)state;
	one_tree("up to 40 leaves", 0, 40, env_ops(400000));
}

static void middling_trees(void **state)
{
	(void)state;
	one_tree("up to 400 leaves", MT_FLAGS_ALLOC_RANGE, 400, env_ops(400000));
}

static void large_trees(void **state)
{
	(void)state;
	one_tree("up to 4000 leaves", 0, 4000, env_ops(200000));
}

static void beside_readers(void **state)
{
	(void)state;
	one_tree("in RCU mode", MT_FLAGS_USE_RCU, 300, env_ops(100000));
}

/* A transaction copies levels that would otherwise stay; the bound holds nevertheless. */
static void in_transactions(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, 0);
	struct measure before = { 0 }, after;
	struct seen seen = { 0 };
	struct mood mood = { 0 };

	(void)state;
	mtree_lock(&mt);
	for (uint64_t t = 0; t < env_ops(200000) / 50; t++) {
		struct rng rng = rng_make(env_seed() + 9, t);
		struct mt_txn txn;

		if (t % 8 == 0)
			mood = new_mood(&rng, before.level[0], 1000);
		if (t % 200 == 0)
			grow(&mt, &rng, 700);
		mt_txn_begin(&txn, &mt);
		before = measure(&txn.view);
		for (unsigned int i = 0; i < 50; i++) {
			struct store s = choose(&txn.view, &rng, &mood);

			assert_int_equal(
				mt_txn_store_range(&txn, s.first, s.last, s.entry, GFP_KERNEL), 0);
			check_store(&txn.view, &before, &after, &seen);
			before = after;
		}
		if (rng_one_in(&rng, 4))
			mt_txn_abort(&txn);
		else
			mt_txn_commit(&txn);
	}
	mtree_unlock(&mt);
	mtree_destroy(&mt);
	report("in transactions", &seen);
	assert_thorough(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_trees),     cmocka_unit_test(middling_trees),
		cmocka_unit_test(large_trees),     cmocka_unit_test(beside_readers),
		cmocka_unit_test(in_transactions),
	};

	return cmocka_run_group_tests_name("potential", tests, NULL, NULL);
}
