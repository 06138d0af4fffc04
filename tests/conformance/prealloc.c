/* SPDX-License-Identifier: MIT */
/*
 * mas_preallocate() is exact: for every kind of store, in small and tall trees, the cursor then
 * owns exactly the nodes that the store consumes. All allocations between the two calls are made to
 * fail.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/memfault.h"
#include "support/rng.h"
#include "support/treecheck.h"

#include <errno.h>

static unsigned long object_a[2], object_b[2];
#define A ((void *)object_a)
#define B ((void *)object_b)

/* The seed and number of the current store, for messages. */
static uint64_t seed, number;

#define check(condition)                                                                \
	do {                                                                            \
		if (!(condition))                                                       \
			fail_msg("%s (seed %llu, store %llu)", #condition,              \
				 (unsigned long long)seed, (unsigned long long)number); \
	} while (0)

static unsigned long built(const struct maple_tree *tree)
{
	return tree->ma_nodes_built;
}

static unsigned long used(void)
{
	return nodes_in_use(mt_mem_default());
}

/* Preallocates and stores. Returns the number of nodes that were used. */
static unsigned long exact_store(struct maple_tree *tree, unsigned long first, unsigned long last,
				 void *entry, gfp_t gfp)
{
	MA_STATE(mas, tree, first, last);
	unsigned long nodes_built, nodes;

	mtree_lock(tree);
	check(mas_preallocate(&mas, entry, gfp) == 0);
	check(mas.status == ma_active || mas.status == ma_none || mas.status == ma_root);
	nodes = mas_allocated(&mas);
	nodes_built = built(tree);
	memfault_none();
	mas_store_prealloc(&mas, entry);
	memfault_ok();
	check(mas_allocated(&mas) == 0);
	check(built(tree) - nodes_built == nodes);
	check(!mas_is_err(&mas));
	check(mas.index <= first && mas.last >= last);
	check(!entry || (mas.index == first && mas.last == last));
	mas_set(&mas, first);
	check(mas_walk(&mas) == entry);
	mtree_unlock(tree);
	return nodes;
}

/* Preallocates and gives back: nothing may have changed. */
static void abandoned_store(struct maple_tree *tree, unsigned long first, unsigned long last,
			    void *entry)
{
	MA_STATE(mas, tree, first, last);
	unsigned long nodes_built = built(tree), nodes_used = used();
	void *root = tree->ma_root;

	mtree_lock(tree);
	check(mas_preallocate(&mas, entry, GFP_KERNEL) == 0);
	check(used() == nodes_used + mas_allocated(&mas));
	mas_destroy(&mas);
	check(mas_allocated(&mas) == 0);
	check(tree->ma_root == root);
	check(built(tree) == nodes_built);
	check(used() == nodes_used);
	mtree_unlock(tree);
}

/* ---- The kinds of store, aimed at what the tree holds */

struct aim {
	unsigned long first, last;
	void *entry;
};

static void range_at(struct maple_tree *tree, unsigned long key, unsigned long *first,
		     unsigned long *last)
{
	MA_STATE(mas, tree, key, key);

	mtree_lock(tree);
	mas_walk(&mas);
	mtree_unlock(tree);
	*first = mas.index;
	*last = mas.last;
}

enum {
	AIM_SAME,
	AIM_INSIDE,
	AIM_LOW_PART,
	AIM_HIGH_PART,
	AIM_ACROSS,
	AIM_FAR,
	AIM_TO_END,
	AIM_FROM_0,
	AIM_KEY,
	AIM_ALL,
	NR_AIMS
};

static struct aim take_aim(struct maple_tree *tree, struct rng *rng, unsigned long space)
{
	unsigned long key = rng_below(rng, space), first, last;
	unsigned int how = (unsigned int)rng_below(rng, NR_AIMS);
	struct aim aim;

	/* A store over everything is rare, since it leaves nothing to aim at. */
	if (how == AIM_ALL && !rng_one_in(rng, 50))
		how = AIM_INSIDE;
	if ((how == AIM_TO_END || how == AIM_FROM_0) && !rng_one_in(rng, 20))
		how = AIM_SAME;
	range_at(tree, key, &first, &last);
	aim.first = key;
	aim.last = key;
	if (how == AIM_SAME || how == AIM_LOW_PART)
		aim.first = first;
	if (how == AIM_SAME || how == AIM_HIGH_PART)
		aim.last = last;
	if (how == AIM_INSIDE)
		aim.last = key + rng_below(rng, last - key < 64 ? last - key + 1 : 64);
	if (how == AIM_ACROSS)
		aim.last = key + rng_below(rng, 400);
	if (how == AIM_FAR)
		aim.last = key + rng_below(rng, space);
	if (how == AIM_TO_END || how == AIM_ALL)
		aim.last = ULONG_MAX;
	if (how == AIM_FROM_0 || how == AIM_ALL)
		aim.first = 0;
	if (aim.last < aim.first)
		aim.last = aim.first;
	aim.entry = rng_one_in(rng, 3) ? NULL : xa_mk_value(rng_below(rng, 1000));
	return aim;
}

/* Stores @n ranges of ten keys with gaps of ten, from key 0 on. */
static void grow(struct maple_tree *tree, unsigned long n)
{
	MA_STATE(mas, tree, 0, 0);

	mtree_lock(tree);
	for (unsigned long i = 0; i < n; i++) {
		mas_set_range(&mas, 20 * i, 20 * i + 9);
		check(mas_store_gfp(&mas, xa_mk_value(i), GFP_KERNEL) == 0);
	}
	mtree_unlock(tree);
}

static void sound(struct maple_tree *tree)
{
	char why[WHY_SIZE];

	mtree_lock(tree);
	if (!tree_sound(tree, why))
		fail_msg("%s (seed %llu, store %llu)", why, (unsigned long long)seed,
			 (unsigned long long)number);
	mtree_unlock(tree);
}

static void random_stores(unsigned int flags, unsigned long n, uint64_t stores)
{
	struct maple_tree tree = MTREE_INIT(tree, flags);
	unsigned long nodes_used = used();
	uint64_t every = stores / 20 + 1;

	grow(&tree, n);
	for (number = 0; number < stores; number++) {
		struct rng rng = rng_make(seed, number);
		struct aim aim = take_aim(&tree, &rng, 20 * n + 50);

		if (rng_one_in(&rng, 4))
			abandoned_store(&tree, aim.first, aim.last, aim.entry);
		else
			exact_store(&tree, aim.first, aim.last, aim.entry, GFP_KERNEL);
		if (n < 200 || number % every == 0)
			sound(&tree);
		if (aim.first == 0 && aim.last == ULONG_MAX)
			grow(&tree, n);
	}
	sound(&tree);
	mtree_destroy(&tree);
	check(used() == nodes_used);
}

static const unsigned int modes[] = { 0, MT_FLAGS_USE_RCU, MT_FLAGS_ALLOC_RANGE,
				      MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU };
#define NR_MODES (sizeof(modes) / sizeof(modes[0]))

static void small_trees(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++)
		for (unsigned long n = 0; n <= 60; n += 3)
			random_stores(modes[m], n, env_scaled(200));
}

static void two_levels(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++)
		random_stores(modes[m], 300, env_scaled(5000));
}

static void three_levels(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++)
		random_stores(modes[m], 6000, env_scaled(5000));
}

static void tall_trees(void **state)
{
	(void)state;
	random_stores(0, 100000, env_scaled(3000));
	random_stores(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, 100000, env_scaled(3000));
}

/* ---- What never takes a node */

static void free_of_charge(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++) {
		struct maple_tree tree = MTREE_INIT(tree, modes[m]);

		number = m;
		/* [0..0] of an empty tree and of one that holds only that. */
		check(exact_store(&tree, 0, 0, NULL, GFP_NOWAIT) == 0);
		check(exact_store(&tree, 0, 0, A, GFP_NOWAIT) == 0);
		check(exact_store(&tree, 0, 0, B, GFP_NOWAIT) == 0);
		check(exact_store(&tree, 0, 0, NULL, GFP_NOWAIT) == 0);
		/* The bounds of an entry and of a reservation. */
		grow(&tree, 500);
		check(mtree_reserve(&tree, 4010, 4014, GFP_KERNEL) == 0);
		memfault_none();
		check(exact_store(&tree, 4000, 4009, A, GFP_NOWAIT) == 0);
		memfault_none();
		check(exact_store(&tree, 4010, 4014, B, GFP_ATOMIC) == 0);
		memfault_none();
		check(exact_store(&tree, 4010, 4014, XA_ZERO_ENTRY, GFP_KERNEL) == 0);
		sound(&tree);
		mtree_destroy(&tree);
	}
}

/* A store over the same bounds does not even copy: the nodes stay the same. */
static void same_bounds_copies_nothing(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++) {
		struct maple_tree tree = MTREE_INIT(tree, modes[m]);
		unsigned long nodes, seq;

		grow(&tree, 500);
		nodes = built(&tree);
		seq = tree.ma_seq;
		memfault_none();
		for (unsigned long i = 0; i < 500; i++)
			check(mtree_store_range(&tree, 20 * i, 20 * i + 9, A, GFP_NOWAIT) == 0);
		memfault_ok();
		check(built(&tree) == nodes);
		check(tree.ma_seq == seq);
		for (unsigned long i = 0; i < 500; i++)
			check(mtree_load(&tree, 20 * i + 5) == A);
		mtree_destroy(&tree);
	}
}

/*
 * If the reserved part of a range is one piece, one store releases it, otherwise a transaction
 * does.
 */
static void one_piece_is_released_by_a_store(void **state)
{
	(void)state;
	for (size_t m = 0; m < NR_MODES; m++) {
		struct maple_tree tree = MTREE_INIT(tree, modes[m]);

		grow(&tree, 500);
		check(mtree_reserve(&tree, 5010, 5018, GFP_KERNEL) == 0);
		check(mtree_release(&tree, 5018, 5030) == 0); /* cut on either side, */
		check(mtree_release(&tree, 5000, 5010) == 0);
		check(mtree_release(&tree, 5013, 5014) == 0); /* and in the middle */
		check(mtree_release(&tree, 5013, 5014) == 0);
		check(tree.ma_txns == 0);
		check(mtree_insert_range(&tree, 5011, 5012, A, GFP_KERNEL) == -EEXIST);
		check(mtree_insert_range(&tree, 5012, 5014, A, GFP_KERNEL) == -EEXIST);
		check(mtree_insert_range(&tree, 5014, 5015, A, GFP_KERNEL) == -EEXIST);
		check(mtree_release(&tree, 4000, 5017) == 0);
		check(tree.ma_txns == 1);
		check(mtree_insert_range(&tree, 5010, 5018, A, GFP_KERNEL) == 0);
		for (unsigned long i = 0; i < 500; i++)
			check(mtree_load(&tree, 20 * i + 9) == xa_mk_value(i));
		sound(&tree);
		mtree_destroy(&tree);
	}
}

/* ---- The rules around the pair of calls */

static void topped_up(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5003, 5004);
	unsigned long nodes_used, nodes_built;

	(void)state;
	grow(&tree, 2000);
	nodes_used = used();
	nodes_built = built(&tree);
	mtree_lock(&tree);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(used() == nodes_used + mas_allocated(&mas));
	mas_set_range(&mas, 5003, 25000);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(used() == nodes_used + mas_allocated(&mas));
	memfault_none();
	mas_store_prealloc(&mas, A);
	memfault_ok();
	check(mas_allocated(&mas) == 0);
	check(built(&tree) > nodes_built);
	mas_set(&mas, 5000);
	check(mas_walk(&mas) == xa_mk_value(250) && mas.last == 5002);
	check(mas_next(&mas, ULONG_MAX) == A && mas.index == 5003 && mas.last == 25000);
	mtree_unlock(&tree);
	sound(&tree);
	mtree_destroy(&tree);
}

static void another_entry_may_be_stored(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 45, 88);

	(void)state;
	grow(&tree, 20);
	mtree_lock(&tree);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	memfault_none();
	mas_store_prealloc(&mas, B);
	memfault_ok();
	mas_set(&mas, 50);
	check(mas_walk(&mas) == B && mas.index == 45 && mas.last == 88);
	mtree_unlock(&tree);
	sound(&tree);
	mtree_destroy(&tree);
}

static void null_is_widened_at_once(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 40, 49);

	(void)state;
	grow(&tree, 20);
	mtree_lock(&tree);
	check(mas_preallocate(&mas, NULL, GFP_KERNEL) == 0);
	check(mas.index == 30 && mas.last == 59);
	memfault_none();
	mas_store_prealloc(&mas, NULL);
	memfault_ok();
	check(mas.index == 30 && mas.last == 59 && mas.status == ma_active);
	mtree_unlock(&tree);
	sound(&tree);
	mtree_destroy(&tree);
}

/* mas_store() uses preallocated nodes first, and keeps the rest until mas_destroy(). */
static void mas_store_uses_it_too(void **state)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &tree, 45, 88);
	unsigned long nodes_used;

	(void)state;
	grow(&tree, 20);
	mtree_lock(&tree);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(mas_allocated(&mas) > 0);
	memfault_none();
	mas_store(&mas, A);
	check(!mas_is_err(&mas));
	memfault_ok();
	mas_destroy(&mas);
	nodes_used = used();
	mas_set_range(&mas, 0, 9); /* same bounds: nodes preallocated for a split remain */
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(mas_allocated(&mas) == 0);
	mas_set_range(&mas, 3, 4);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	mas_set_range(&mas, 0, 9);
	mas_store(&mas, B);
	check(!mas_is_err(&mas));
	check(mas_allocated(&mas) > 0);
	check(used() == nodes_used + mas_allocated(&mas));
	mas_destroy(&mas);
	check(used() == nodes_used);
	mtree_unlock(&tree);
	sound(&tree);
	mtree_destroy(&tree);
}

/* mas_preallocate() for a small store gives back no nodes that are for any store. */
static void what_is_there_stays(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 9);
	unsigned long nodes;

	(void)state;
	grow(&tree, 20);
	mtree_lock(&tree);
	check(mas_preallocate_height(&mas, 4, GFP_KERNEL) == 0);
	nodes = mas_allocated(&mas);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	check(mas_allocated(&mas) == nodes);
	mas_store_prealloc(&mas, A);
	check(mas_allocated(&mas) == 0);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

static void failure_leaves_start(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 45, 88);
	unsigned long nodes_used;

	(void)state;
	grow(&tree, 20);
	mt_set_in_rcu(&tree); /* otherwise the leaf could be changed in place */
	nodes_used = used();
	mtree_lock(&tree);
	memfault_none();
	check(mas_preallocate(&mas, A, GFP_KERNEL) == -ENOMEM);
	memfault_ok();
	check(mas.status == ma_start && mas.index == 45 && mas.last == 88);
	check(mas_allocated(&mas) == 0);
	check(used() == nodes_used);
	check(mas_preallocate(&mas, A, GFP_KERNEL) == 0);
	mas_store_prealloc(&mas, A);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_trees),
		cmocka_unit_test(two_levels),
		cmocka_unit_test(three_levels),
		cmocka_unit_test(tall_trees),
		cmocka_unit_test(free_of_charge),
		cmocka_unit_test(same_bounds_copies_nothing),
		cmocka_unit_test(one_piece_is_released_by_a_store),
		cmocka_unit_test(topped_up),
		cmocka_unit_test(another_entry_may_be_stored),
		cmocka_unit_test(null_is_widened_at_once),
		cmocka_unit_test(mas_store_uses_it_too),
		cmocka_unit_test(what_is_there_stays),
		cmocka_unit_test(failure_leaves_start),
	};

	seed = env_seed();
	print_message("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests_name("prealloc", tests, NULL, NULL);
}
