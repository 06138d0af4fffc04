/* SPDX-License-Identifier: MIT */
/*
 * What users must not do, with the library as they have it (debug builds stop there). It is
 * refused, and nothing changes.
 */
#include "support/cm.h"

#include <errno.h>
#include <samara/credits.h>

#define ENTRY xa_mk_value(7)

static void expect_sound(struct maple_tree *mt)
{
	mtree_lock(mt);
	assert_int_equal(mt_check(mt, NULL, 0), 0);
	mtree_unlock(mt);
}

/* ---- Stores on credits that one has not got ---- */

static int store_credit(struct mt_credits *c, unsigned long index)
{
	MA_STATE(mas, c->mt, index, index);
	int err;

	mtree_lock(c->mt);
	err = mas_store_credit(&mas, ENTRY, c);
	mtree_unlock(c->mt);
	return err;
}

static void more_than_is_reserved(void **state)
{
	DEFINE_MTREE(tree);
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_RECYCLING);
	assert_int_equal(mtree_store_range_credit(&c, 5, 6, ENTRY), -ENOSPC);
	assert_true(mtree_empty(&tree));
	assert_int_equal(mt_credits_reserve(&c, 2, GFP_KERNEL), 0);
	mt_credits_begin(&c, 5);
	assert_int_equal(store_credit(&c, 1), 0);
	assert_int_equal(store_credit(&c, 2), 0);
	assert_int_equal(store_credit(&c, 3), -ENOSPC);
	assert_int_equal(mtree_store_range_credit(&c, 3, 3, ENTRY), -ENOSPC);
	assert_ptr_equal(mtree_load(&tree, 2), ENTRY);
	assert_null(mtree_load(&tree, 3));
	assert_int_equal(mt_credits_left(&c), 0);
	expect_sound(&tree);
	mt_credits_release(&c);
	mtree_destroy(&tree);
}

/* Beginning more than a batch at once counts as one batch; the rest is left for the next time. */
static void more_than_a_batch(void **state)
{
	DEFINE_MTREE(tree);
	struct mt_credits c;

	(void)state;
	mt_credits_init(&c, &tree, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&c, 3), 0);
	assert_int_equal(mt_credits_reserve(&c, 5, GFP_KERNEL), 0);
	mt_credits_begin(&c, 5);
	for (unsigned long i = 1; i <= 3; i++)
		assert_int_equal(store_credit(&c, i), 0);
	assert_int_equal(store_credit(&c, 4), -ENOSPC);
	assert_int_equal(mt_credits_left(&c), 2);
	assert_null(mtree_load(&tree, 4));
	mt_credits_begin(&c, 2);
	assert_int_equal(store_credit(&c, 4), 0);
	assert_int_equal(store_credit(&c, 5), 0);
	expect_sound(&tree);
	mt_credits_release(&c);
	mtree_destroy(&tree);
}

/* ---- Another store than the one that was preallocated for ---- */

enum { CRUMBS = 400 };

static struct maple_tree filler, crumbs[CRUMBS];

static void tree_in(struct maple_tree *tree, struct mt_mem *mem, unsigned int flags)
{
	mt_init_flags(tree, flags);
	assert_int_equal(mt_set_mem(tree, mem), 0);
}

/* Uses up all nodes, those of the emergency reserve too. */
static void use_up(struct mt_mem *mem)
{
	int err = 0;

	tree_in(&filler, mem, 0);
	for (unsigned long i = 0; !err; i++)
		err = mtree_store_range(&filler, 3 * i, 3 * i + 1, ENTRY, GFP_KERNEL);
	assert_int_equal(err, -ENOMEM);
	err = 0;
	for (unsigned int i = 0; i < CRUMBS; i++) {
		tree_in(&crumbs[i], mem, 0);
		if (!err)
			err = mtree_store(&crumbs[i], 5, ENTRY, GFP_ATOMIC);
	}
	assert_int_equal(err, -ENOMEM);
}

static void another_store_than_preallocated(void **state)
{
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct mt_mem_stats before, after;
	struct maple_tree tree;
	MA_STATE(mas, &tree, 1000, 1009);

	(void)state;
	tree_in(&tree, mem, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < 1000; i++)
		assert_int_equal(mtree_store_range(&tree, 20 * i, 20 * i + 9, ENTRY, GFP_KERNEL),
				 0);
	mt_mem_barrier(mem);
	mt_mem_stats(mem, &before);
	mtree_lock(&tree);
	assert_int_equal(mas_preallocate(&mas, ENTRY, GFP_KERNEL), 0);
	assert_int_equal(mas.alloc_nr, 0); /* the same range again needs none */
	mtree_unlock(&tree);
	use_up(mem);
	mtree_lock(&tree);
	mas_set_range(&mas, 1003, 15003);
	mas_store_prealloc(&mas, NULL);
	assert_true(mas_is_err(&mas));
	assert_int_equal(xa_err(mas.node), -ENOMEM);
	assert_int_equal(mas.alloc_nr, 0);
	mtree_unlock(&tree);
	expect_sound(&tree);
	for (unsigned long i = 0; i < 1000; i++)
		assert_ptr_equal(mtree_load(&tree, 20 * i + 9), ENTRY);
	mtree_destroy(&filler);
	for (unsigned int i = 0; i < CRUMBS; i++)
		mtree_destroy(&crumbs[i]);
	mt_mem_stats(mem, &after);
	assert_int_equal(after.nodes_used, before.nodes_used);
	mtree_destroy(&tree);
	mt_mem_destroy(mem);
}

/* Nodes preallocated by height are for any range, except one that ends before it begins. */
static void a_range_the_wrong_way_round(void **state)
{
	struct maple_tree tree;
	MA_STATE(mas, &tree, 55, 52);

	(void)state;
	mt_init(&tree);
	for (unsigned long i = 0; i < 30; i++)
		assert_int_equal(mtree_store_range(&tree, 10 * i, 10 * i + 9, ENTRY, GFP_KERNEL),
				 0);
	mtree_lock(&tree);
	assert_int_equal(mas_preallocate_height(&mas, 3, GFP_KERNEL), 0);
	mas_store_prealloc(&mas, ENTRY);
	assert_true(mas_is_err(&mas));
	assert_int_equal(xa_err(mas.node), -EINVAL);
	assert_int_equal(mas.alloc_nr, 0);
	mtree_unlock(&tree);
	expect_sound(&tree);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_is_reserved),
		cmocka_unit_test(more_than_a_batch),
		cmocka_unit_test(another_store_than_preallocated),
		cmocka_unit_test(a_range_the_wrong_way_round),
	};

	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL);
}
