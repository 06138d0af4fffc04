/* SPDX-License-Identifier: MIT */
/*
 * Shows that the bound has no padding, and what it amounts to: how many of the pledged nodes are
 * used if every node below the top is full, the stores are as expensive as possible, and nothing
 * comes back meanwhile?
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "tree/plan.h"

#include <samara/credits.h>

#define STEP (1UL << 36)

/* ---- Full trees ---- */

static void put(struct maple_tree *mt, unsigned long first, unsigned long last, unsigned long n)
{
	MA_STATE(mas, mt, first, last);

	assert_int_equal(mas_store_gfp(&mas, xa_mk_value(n), GFP_KERNEL), 0);
}

/* Cuts the widest range of the leaf at @key in two. */
static void cut_widest(struct maple_tree *mt, unsigned long key)
{
	unsigned long first = 0, last = 0, end;
	MA_STATE(mas, mt, key, key);

	mas_walk(&mas);
	end = mas.max;
	for (mas_set(&mas, mas.min), mas_walk(&mas);; mas_set(&mas, mas.last + 1), mas_walk(&mas)) {
		if (mas.last - mas.index > last - first && mas.last != ULONG_MAX) {
			first = mas.index;
			last = mas.last;
		}
		if (mas.last >= end)
			break;
	}
	put(mt, first, first + (last - first) / 2, key % 1000);
}

/* Returns a key in any of the leaves below @enode, whose first key is @key. */
static unsigned long any_key(const void *enode, unsigned long key, struct rng *rng)
{
	while (!smr_enode_leaf(enode)) {
		unsigned int i = (unsigned int)rng_below(rng, smr_count(enode));

		key = i ? smr_start(enode, i) : key;
		enode = smr_slots(enode)[i];
	}
	return key;
}

/* Cuts leaves until every node at level @l below the top is as full as possible. */
static void fill_level(struct maple_tree *mt, unsigned int l)
{
	unsigned int cap = l ? smr_kind_cap(SMR_NINNER) : smr_kind_cap(SMR_NLEAF);
	struct rng rng = rng_make(env_seed(), l);
	unsigned long key = 0, max;

	for (;;) {
		MA_STATE(mas, mt, key, key);
		unsigned int d;

		mas_walk(&mas);
		d = mas.depth - l;
		if (smr_count(mas.path[d]) < cap) {
			cut_widest(mt, any_key(mas.path[d], key, &rng));
			continue;
		}
		max = smr_path_max(mas.path, mas.slot, d);
		if (max == ULONG_MAX)
			return;
		key = max + 1;
	}
}

static void full_tree(struct maple_tree *mt, unsigned long ranges)
{
	for (unsigned long i = 0; i < ranges; i++)
		put(mt, i * STEP, (i + 1) * STEP - 1, i % 1000);
	for (unsigned int l = mt_height(mt) - 1; l-- > 0;)
		fill_level(mt, l);
}

/* ---- What is used of what is pledged ---- */

/* Finds the most expensive store across a boundary of the top, of those not made yet. */
static unsigned int dearest(struct maple_tree *mt, unsigned long *first, unsigned long *last)
{
	unsigned int most = 0;

	for (unsigned int i = 1; i < smr_count(mt->ma_root); i++) {
		unsigned long key = smr_start(mt->ma_root, i);
		MA_STATE(mas, mt, key - 2, key + 1);
		struct smr_write w;

		smr_plan(&w, &mas, mas.index, mas.last, xa_mk_value(7), false);
		if (w.nodes > most) {
			most = w.nodes;
			*first = key - 2;
			*last = key + 1;
		}
	}
	return most;
}

static void strict_is_tight(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	unsigned long first = 0, last = 0, built, pledged, nr = 3;
	struct mt_credits c;

	(void)state;
	mtree_lock(&mt);
	full_tree(&mt, 3000);
	mtree_unlock(&mt);
	mt_credits_init(&c, &mt, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&c, nr, GFP_KERNEL), 0);
	pledged = mt.ma_pledge.pledged;
	assert_int_equal(mt_credits_bytes(&c), pledged * MT_NODE_SIZE);
	built = mt.ma_nodes_built;
	mt_credits_begin(&c, nr);
	mtree_lock(&mt);
	for (unsigned long i = 0; i < nr; i++) {
		assert_true(dearest(&mt, &first, &last) > 0);
		MA_STATE(mas, &mt, first, last);

		assert_int_equal(mas_store_credit(&mas, xa_mk_value(7), &c), 0);
	}
	built = mt.ma_nodes_built - built;
	print_message("strict: %lu of %lu nodes pledged are used by %lu stores in a tree of height "
		      "%u: %.2f\n",
		      built, pledged, nr, mt_height(&mt), (double)built / (double)pledged);
	assert_true(2 * built >= pledged);
	mtree_unlock(&mt);
	mt_credits_release(&c);
	mtree_destroy(&mt);
}

static unsigned long nodes_of(struct maple_tree *mt)
{
	struct mt_stats stats;

	mt_stats(mt, &stats);
	return stats.nodes;
}

/* Returns the first key behind the leaf of @key; 0: there is none. */
static unsigned long behind(struct maple_tree *mt, unsigned long key)
{
	MA_STATE(mas, mt, key, key);

	mas_walk(&mas);
	return mas.max + 1;
}

/* Whether a store of one key in the cursor's leaf would result in one more leaf. */
static bool adds_leaf(struct ma_state *mas)
{
	struct smr_write w;
	unsigned int before;

	smr_plan(&w, mas, mas->index, mas->last, xa_mk_value(7), false);
	if (w.form == SMR_SHARE || (w.form == SMR_SUBTREE && w.shared))
		before = smr_share_leaves(&w.share);
	else if (w.form == SMR_SUBTREE)
		before = w.level[0].neighbour ? 2 : 1;
	else
		return false;
	return w.level[0].parts > before;
}

/* Returns a key for such a store, in the first possible leaf from that of @key on. */
static unsigned long next_split(struct maple_tree *mt, unsigned long key)
{
	for (unsigned long n = 0; n < mt->ma_pledge.leaves; n++) {
		MA_STATE(mas, mt, key, key);

		key = behind(mt, key);
		mas_walk(&mas);
		mas_set(&mas, mas.index + (mas.last - mas.index) / 2);
		if (adds_leaf(&mas))
			return mas.index;
	}
	fail_msg("no store comes to a leaf more");
	return 0;
}

/* Each store splits the next leaf that can be split, going round the tree. */
static void recycling_is_tight(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	unsigned long nr, pledged, grown, key = 0, before;
	struct mt_credits c;
	char why[WHY_SIZE];

	(void)state;
	mtree_lock(&mt);
	full_tree(&mt, 41 * env_scaled(3000));
	before = nodes_of(&mt);
	nr = mt.ma_pledge.leaves / 3 - 1;
	mtree_unlock(&mt);
	mt_credits_init(&c, &mt, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&c, 1), 0);
	assert_int_equal(mt_credits_reserve(&c, nr, GFP_KERNEL), 0);
	pledged = mt.ma_pledge.pledged;
	for (unsigned long i = 0; i < nr; i++) {
		mtree_lock(&mt);
		key = next_split(&mt, key);
		mtree_unlock(&mt);
		assert_int_equal(mtree_store_range_credit(&c, key, key, xa_mk_value(3)), 0);
		mtree_lock(&mt);
		key = behind(&mt, key);
		mtree_unlock(&mt);
	}
	mtree_lock(&mt);
	grown = nodes_of(&mt) - before;
	if (!tree_sound(&mt, why))
		fail_msg("%s", why);
	mtree_unlock(&mt);
	print_message(
		"recycling: %lu of %lu nodes pledged are in the tree after %lu stores: %.2f\n",
		grown, pledged, nr, (double)grown / (double)pledged);
	assert_true(2 * grown >= pledged);
	assert_int_equal(mt_credits_left(&c), 0);
	assert_int_equal(mt.ma_pledge.pledged, 0);
	mtree_destroy(&mt);
}

/* ---- What a credit costs ---- */

/* Stores mappings with gaps between them, in random order. */
static void random_tree(struct maple_tree *mt, unsigned long mappings)
{
	for (unsigned long i = 0; i < mappings; i++) {
		struct rng rng = rng_make(env_seed(), i);
		unsigned long key = rng_next(&rng) >> 12;
		int err;

		do
			err = mtree_insert_range(mt, key, key + 0xfff, xa_mk_value(i), GFP_KERNEL);
		while (err && (key = rng_next(&rng) >> 12));
	}
}

static void credits_are_small(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	unsigned long mappings = env_scaled(1000000), nr = env_scaled(100000);
	struct mt_credits c, strict;
	double each, strict_each;

	(void)state;
	random_tree(&mt, mappings);
	mt_credits_init(&c, &mt, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_reserve(&c, nr, GFP_KERNEL), 0);
	each = (double)mt_credits_bytes(&c) / (double)nr;
	mt_credits_release(&c);
	mt_credits_init(&strict, &mt, MT_CREDITS_STRICT);
	assert_int_equal(mt_credits_reserve(&strict, nr, GFP_KERNEL), 0);
	strict_each = (double)mt_credits_bytes(&strict) / (double)nr;
	mt_credits_release(&strict);
	print_message("%lu mappings, %lu credits: %.0f bytes each, %.0f in strict mode\n", mappings,
		      nr, each, strict_each);
	assert_true(each <= 1024);
	assert_int_equal(mt.ma_pledge.pledged, 0);
	mtree_destroy(&mt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_is_tight),
		cmocka_unit_test(recycling_is_tight),
		cmocka_unit_test(credits_are_small),
	};

	return cmocka_run_group_tests_name("credits_bound", tests, NULL, NULL);
}
