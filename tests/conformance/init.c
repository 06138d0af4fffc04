/* SPDX-License-Identifier: MIT */
/* Types, constants, initialisers, lock macros, and the cursor's set-up calls. */
#include "support/cm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <samara/maple_tree.h>

_Static_assert(MAPLE_NODE_SLOTS == 31 && MAPLE_RANGE64_SLOTS == 16 && MAPLE_ARANGE64_SLOTS == 10,
	       "");
_Static_assert(MAPLE_ALLOC_SLOTS == 30 && MAPLE_NODE_MASK == 255 && MAPLE_HEIGHT_MAX == 31, "");
_Static_assert(MAPLE_RESERVED_RANGE == 4096, "");
_Static_assert(MT_FLAGS_ALLOC_RANGE == 1 && MT_FLAGS_USE_RCU == 2, "");
_Static_assert(MT_FLAGS_HEIGHT_OFFSET == 2 && MT_FLAGS_HEIGHT_MASK == 0x7c, "");
_Static_assert(MT_FLAGS_LOCK_MASK == 0x300 && MT_FLAGS_LOCK_IRQ == 0x100, "");
_Static_assert(MT_FLAGS_LOCK_BH == 0x200 && MT_FLAGS_LOCK_EXTERN == 0x300, "");
_Static_assert(MT_FLAGS_ALLOC_WRAPPED == 0x800, "");
_Static_assert(ma_active == 0 && ma_start == 1 && ma_root == 2 && ma_none == 3 && ma_pause == 4 &&
		       ma_overflow == 5 && ma_underflow == 6 && ma_error == 7,
	       "");

static unsigned long object;

static DEFINE_MTREE(static_tree);
static struct maple_tree flagged = MTREE_INIT(flagged, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_BH);
static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;
static struct maple_tree external = MTREE_INIT_EXT(external, MT_FLAGS_LOCK_EXTERN, user_lock);

/* Expects an empty tree that is ready for use. */
static void expect_fresh(struct maple_tree *tree, unsigned int flags)
{
	assert_true(mtree_empty(tree));
	assert_int_equal(mt_height(tree), 0);
	assert_int_equal(tree->ma_flags, flags);
	assert_null(mtree_load(tree, 0));
	assert_null(mtree_load(tree, ULONG_MAX));
}

/* The first stores of a process must not block. CONTEXT: nothing has used the default arena. */
static void stores_from_the_start(void **state)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC };
	struct maple_tree tree = MTREE_INIT(tree, 0);
	struct mt_mem_stats stats;

	(void)state;
	maple_tree_init();
	mt_mem_stats(mt_mem_default(), &stats);
	assert_int_equal(stats.reserve_left, stats.reserve_size);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(mtree_store_range(&tree, 10 * i, 10 * i + 5, &object, gfps[i]), 0);
	mtree_destroy(&tree);
}

static void static_initialisers(void **state)
{
	(void)state;
	expect_fresh(&static_tree, 0);
	expect_fresh(&flagged, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_BH);
	expect_fresh(&external, MT_FLAGS_LOCK_EXTERN);
	assert_false(mt_external_lock(&static_tree));
	assert_false(mt_external_lock(&flagged));
	assert_true(mt_external_lock(&external));
	assert_int_equal(mtree_store(&static_tree, 5, &object, GFP_KERNEL), 0);
	assert_ptr_equal(mtree_load(&static_tree, 5), &object);
	mtree_destroy(&static_tree);
	assert_int_equal(mtree_store(&flagged, 5, &object, GFP_KERNEL), 0);
	mtree_destroy(&flagged);
	expect_fresh(&flagged, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_BH);
}

static void run_time_initialisers(void **state)
{
	struct maple_tree tree;

	(void)state;
	memset(&tree, 0xa5, sizeof(tree));
	mt_init(&tree);
	mt_on_stack(tree);
	expect_fresh(&tree, 0);
	assert_int_equal(mtree_store(&tree, 0, &object, GFP_KERNEL), 0);
	/* Initialises over it: an entry at 0 owns no memory, so nothing leaks here. */
	mt_init_flags(&tree, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	expect_fresh(&tree, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	assert_true(mt_in_rcu(&tree));
	assert_int_equal(mtree_store(&tree, 7, &object, GFP_KERNEL), 0);
	mtree_destroy(&tree);
}

/* With an external lock the lock field is the caller's: initialising leaves it alone. */
static void external_init_keeps_lock(void **state)
{
	struct maple_tree tree;

	(void)state;
	memset(&tree, 0, sizeof(tree));
	tree.ma_external_lock = &user_lock;
	mt_init_flags(&tree, MT_FLAGS_LOCK_EXTERN);
	assert_ptr_equal(tree.ma_external_lock, &user_lock);
}

static void heights_and_flags(void **state)
{
	DEFINE_MTREE(tree);
	struct maple_tree other;

	(void)state;
	assert_int_equal(mtree_store(&tree, 0, &object, GFP_KERNEL), 0);
	assert_int_equal(mt_height(&tree), 0);
	assert_false(mtree_empty(&tree));
	assert_int_equal(mtree_store(&tree, 3, &object, GFP_KERNEL), 0);
	assert_int_equal(mt_height(&tree), 1);
	for (unsigned long i = 0; i < 1000; i++)
		assert_int_equal(mtree_store(&tree, 10 * i, &object, GFP_KERNEL), 0);
	assert_true(mt_height(&tree) >= 2);
	assert_int_equal(tree.ma_flags & ~MT_FLAGS_HEIGHT_MASK, 0);
	mt_init_flags(&other, tree.ma_flags); /* as for a copy; the height does not carry over */
	expect_fresh(&other, 0);
	assert_int_equal(mt_check(&other, NULL, 0), 0);
	other = (struct maple_tree)MTREE_INIT(other, tree.ma_flags);
	expect_fresh(&other, 0);
	mtree_destroy(&tree);
	expect_fresh(&tree, 0);
	mtree_destroy(&tree);
	expect_fresh(&tree, 0);
}

/*
 * Whether the tree is in the form without nodes depends on its past: once it has nodes, it keeps
 * one until it is empty.
 */
static void compact_form_is_history(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	assert_int_equal(mtree_store(&tree, 0, &object, GFP_KERNEL), 0);
	assert_int_equal(mtree_store(&tree, 7, &object, GFP_KERNEL), 0);
	assert_ptr_equal(mtree_erase(&tree, 7), &object);
	assert_int_equal(mt_height(&tree), 1);
	assert_ptr_equal(mas_walk(&mas), &object);
	assert_int_equal(mas.status, ma_active);
	assert_null(mas_next_range(&mas, ULONG_MAX));
	assert_int_equal(mas.status, ma_active);
	assert_ptr_equal(mtree_erase(&tree, 0), &object);
	assert_int_equal(mt_height(&tree), 0);
	assert_int_equal(mtree_store(&tree, 0, &object, GFP_KERNEL), 0);
	assert_int_equal(mt_height(&tree), 0);
	mtree_destroy(&tree);
}

static void lock_macros(void **state)
{
	struct maple_tree not_named_mt = MTREE_INIT(not_named_mt, 0);
	MA_STATE(mas, &not_named_mt, 0, 0);
	unsigned long flags = 1;

	(void)state;
	mtree_lock(&not_named_mt);
	assert_true(mt_lock_is_held(&not_named_mt));
	assert_true(mt_write_lock_is_held(&not_named_mt));
	mtree_unlock(&not_named_mt);
	assert_false(mt_lock_is_held(&not_named_mt));
	mtree_lock_nested(&not_named_mt, 1);
	assert_true(mt_lock_held(&not_named_mt.ma_lock));
	mtree_unlock(&not_named_mt);
	mas_lock(&mas);
	mas_unlock(&mas);
	mas_lock_nested(&mas, 2);
	mas_unlock(&mas);
	mas_lock_irqsave(&mas, flags);
	assert_true(mt_lock_is_held(&not_named_mt));
	mas_unlock_irqrestore(&mas, flags);
	assert_false(mt_lock_is_held(&not_named_mt));
}

static bool held;

static bool is_held(void *lock)
{
	assert_ptr_equal(lock, &user_lock);
	return held;
}

static void external_lock(void **state)
{
	struct maple_tree tree = MTREE_INIT_EXT(tree, MT_FLAGS_LOCK_EXTERN, user_lock);
	MA_STATE(mas, &tree, 5, 9);

	(void)state;
	assert_true(mt_lock_is_held(&tree)); /* not known: assumed */
	mt_set_external_lock(&tree, &user_lock);
	assert_true(mt_lock_is_held(&tree));
	mt_set_external_lock_check(&tree, &user_lock, is_held);
	assert_false(mt_lock_is_held(&tree));
	held = true;
	assert_true(mt_lock_is_held(&tree));
	assert_int_equal(mas_store_gfp(&mas, &object, GFP_KERNEL), 0);
	mt_set_in_rcu(&tree);
	assert_true(mt_in_rcu(&tree));
	mt_clear_in_rcu(&tree);
	assert_false(mt_in_rcu(&tree));
	assert_ptr_equal(mtree_load(&tree, 7), &object);
	__mt_destroy(&tree);
	assert_true(mtree_empty(&tree));
	assert_ptr_equal(tree.ma_external_lock, &user_lock);
	held = false;
}

/* Telling a tree with its own lock that another one protects it has no effect. */
static void external_lock_of_another(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	mt_set_external_lock_check(&tree, &user_lock, is_held);
	assert_int_equal(mtree_store(&tree, 5, &object, GFP_KERNEL), 0);
	assert_false(mt_lock_is_held(&tree));
	mtree_lock(&tree);
	assert_true(mt_lock_is_held(&tree));
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

static void rcu_switch(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	for (unsigned long i = 0; i < 300; i++)
		assert_int_equal(mtree_store(&tree, 3 * i, xa_mk_value(i), GFP_KERNEL), 0);
	for (int turn = 0; turn < 3; turn++) {
		unsigned int height = mt_height(&tree);

		mt_set_in_rcu(&tree);
		mt_set_in_rcu(&tree);
		assert_true(mt_in_rcu(&tree));
		assert_int_equal(mt_height(&tree), height);
		mt_clear_in_rcu(&tree);
		mt_clear_in_rcu(&tree);
		assert_false(mt_in_rcu(&tree));
		for (unsigned long i = 0; i < 300; i++)
			assert_ptr_equal(mtree_load(&tree, 3 * i), xa_mk_value(i));
	}
	mtree_destroy(&tree);
}

static void flavours(void **state)
{
	DEFINE_MTREE(tree);

	(void)state;
	assert_int_equal(mt_rcu_flavor(&tree), MT_RCU_BP);
	assert_int_equal(mt_set_rcu_flavor(&tree, MT_RCU_MEMB), 0);
	assert_int_equal(mt_rcu_flavor(&tree), MT_RCU_MEMB);
	assert_int_equal(mt_set_rcu_flavor(&tree, (enum mt_rcu_flavor)9), -EINVAL);
	assert_int_equal(mt_rcu_flavor(&tree), MT_RCU_MEMB);
	assert_int_equal(mt_set_rcu_flavor(&tree, MT_RCU_BP), 0);
	mt_set_in_rcu(&tree);
	assert_int_equal(mt_set_rcu_flavor(&tree, MT_RCU_MB), -EBUSY);
	assert_int_equal(mt_rcu_flavor(&tree), MT_RCU_BP);
	mtree_destroy(&tree);
}

static void arenas(void **state)
{
	struct mt_mem *mem = mt_mem_create(4 * MT_CHUNK_SIZE, NULL);
	DEFINE_MTREE(tree);
	struct mt_mem_stats stats;

	(void)state;
	assert_non_null(mem);
	assert_null(mt_mem_create(MT_CHUNK_SIZE - 1, NULL));
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	assert_int_equal(mtree_store(&tree, 5, &object, GFP_KERNEL), 0);
	assert_int_equal(mt_set_mem(&tree, NULL), -EBUSY);
	mt_mem_stats(mem, &stats);
	assert_true(stats.nodes_used >= 1);
	mtree_destroy(&tree);
	assert_int_equal(mt_set_mem(&tree, NULL), 0);
	mt_mem_destroy(mem);
}

static void cursor_setup(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 3, 8);
	struct ma_state other;

	(void)state;
	assert_int_equal(mas.status, ma_start);
	assert_int_equal(mas.index, 3);
	assert_int_equal(mas.last, 8);
	assert_int_equal(mas_allocated(&mas), 0);
	memset(&other, 0xa5, sizeof(other));
	mas_init(&other, &tree, 77);
	assert_ptr_equal(other.tree, &tree);
	assert_int_equal(other.status, ma_start);
	assert_int_equal(other.index, 77);
	assert_int_equal(other.last, 77);
	assert_int_equal(mas_allocated(&other), 0);
	mas_walk(&other);
	mas_set_range(&other, 1, 2);
	assert_int_equal(other.status, ma_start);
	assert_int_equal(other.index, 1);
	assert_int_equal(other.last, 2);
	mas_pause(&other);
	assert_int_equal(other.status, ma_pause);
	mas_reset(&other);
	assert_int_equal(other.status, ma_start);
	assert_int_equal(other.last, 2);
	mas_destroy(&other);
	mas_destroy(&other);
	assert_int_equal(other.status, ma_start);
	assert_int_equal(other.index, 1);
}

/* Users compare node and assign offset, as Linux's own tests do. */
static void cursor_private_fields(void **state)
{
	DEFINE_MTREE(tree);
	MA_STATE(low, &tree, 0, 0);
	MA_STATE(high, &tree, 19990, 19990);

	(void)state;
	for (unsigned long i = 0; i < 2000; i++)
		assert_int_equal(mtree_store(&tree, 10 * i, xa_mk_value(i), GFP_KERNEL), 0);
	mtree_lock(&tree);
	assert_ptr_equal(mas_walk(&low), xa_mk_value(0));
	assert_ptr_equal(mas_walk(&high), xa_mk_value(1999));
	assert_true(mas_is_active(&low) && mas_is_active(&high));
	assert_ptr_not_equal(low.node, high.node);
	mas_reset(&low);
	low.offset = 0;
	assert_ptr_equal(mas_walk(&low), xa_mk_value(0));
	mtree_unlock(&tree);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_from_the_start), /* first */
		cmocka_unit_test(static_initialisers),
		cmocka_unit_test(run_time_initialisers),
		cmocka_unit_test(external_init_keeps_lock),
		cmocka_unit_test(heights_and_flags),
		cmocka_unit_test(compact_form_is_history),
		cmocka_unit_test(lock_macros),
		cmocka_unit_test(external_lock),
		cmocka_unit_test(external_lock_of_another),
		cmocka_unit_test(rcu_switch),
		cmocka_unit_test(flavours),
		cmocka_unit_test(arenas),
		cmocka_unit_test(cursor_setup),
		cmocka_unit_test(cursor_private_fields),
	};

	return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
