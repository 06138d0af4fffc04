/* SPDX-License-Identifier: MIT */
/*
 * Readers without the lock that are overtaken by a writer amid a step: the cursor's place was good
 * when they looked, and when they get to the nodes above the whole tree is gone. The moment is made
 * by hand, from one that is over.
 */
#include "support/cm.h"

#include "tree/node.h"

static struct maple_tree tree;

/* The tree goes, but for what a reader at the end of a leaf looks at first. */
static void overtake(struct ma_state *mas)
{
	mtree_destroy(&tree);
	smr_node_of(mas->node)->dead = 0;
	mas->seq = tree.ma_seq;
}

static void begin(struct ma_state *mas, unsigned long index)
{
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < 500; i++)
		assert_int_equal(mtree_store(&tree, i, xa_mk_value(i), GFP_KERNEL), 0);
	mt_rcu_read_lock(&tree);
	mas_init(mas, &tree, index);
	assert_ptr_equal(mas_walk(mas), xa_mk_value(index));
	assert_true(mas->min > 0 && mas->max < 499);
}

static void end(void)
{
	mt_rcu_read_unlock(&tree);
	mtree_destroy(&tree);
}

static void nothing_follows(void **state)
{
	struct ma_state mas;

	(void)state;
	for (unsigned int how = 0; how < 4; how++) {
		begin(&mas, 250);
		mas_set(&mas, mas.max);
		assert_non_null(mas_walk(&mas));
		overtake(&mas);
		if (how == 0)
			assert_null(mas_next(&mas, ULONG_MAX));
		else if (how == 1)
			assert_null(mas_next_range(&mas, ULONG_MAX));
		else if (how == 2)
			assert_null(mas_find(&mas, ULONG_MAX));
		else
			assert_null(mas_find_range(&mas, ULONG_MAX));
		assert_int_equal(mas.status, how == 2 ? ma_active : ma_overflow);
		/* It has no place any more, and finds that there is nothing. */
		assert_null(mas.node);
		assert_null(mas_find(&mas, ULONG_MAX));
		mas_reset(&mas);
		assert_null(mas_find(&mas, ULONG_MAX));
		end();
	}
}

static void nothing_precedes(void **state)
{
	struct ma_state mas;

	(void)state;
	for (unsigned int how = 0; how < 4; how++) {
		begin(&mas, 250);
		mas_set(&mas, mas.min);
		assert_non_null(mas_walk(&mas));
		overtake(&mas);
		if (how == 0)
			assert_null(mas_prev(&mas, 0));
		else if (how == 1)
			assert_null(mas_prev_range(&mas, 0));
		else if (how == 2)
			assert_null(mas_find_rev(&mas, 0));
		else
			assert_null(mas_find_range_rev(&mas, 0));
		/* The latter two look at the root first, as in a tree without nodes. */
		assert_int_equal(mas.status, how < 2 ? ma_underflow : ma_root);
		assert_null(mas.node);
		assert_null(mas_find_rev(&mas, 0));
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_follows),
		cmocka_unit_test(nothing_precedes),
	};

	return cmocka_run_group_tests_name("tree_iterate", tests, NULL, NULL);
}
