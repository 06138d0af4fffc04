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

/* Entries at every @stride-th key, and the cursor at one of them. */
static void begin(struct ma_state *mas, unsigned long index, unsigned long stride)
{
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < 500; i++)
		assert_int_equal(
			mtree_store(&tree, stride * i, xa_mk_value(stride * i), GFP_KERNEL), 0);
	mt_rcu_read_lock(&tree);
	mas_init(mas, &tree, index);
	assert_ptr_equal(mas_walk(mas), xa_mk_value(index));
	assert_true(mas->min > 0 && mas->max < stride * 499);
}

static void end(void)
{
	mt_rcu_read_unlock(&tree);
	mtree_destroy(&tree);
}

/* A step from the end of a leaf that lies that way. */
static const struct step {
	void *(*take)(struct ma_state *mas, unsigned long limit);
	bool up;
	enum maple_status status; /* afterwards */
} steps[] = {
	{ mas_next, true, ma_overflow },
	{ mas_next_range, true, ma_overflow },
	{ mas_find, true, ma_active },
	{ mas_find_range, true, ma_overflow },
	{ mas_prev, false, ma_underflow },
	{ mas_prev_range, false, ma_underflow },
	/* These look at the root first, as in a tree without nodes. */
	{ mas_find_rev, false, ma_root },
	{ mas_find_range_rev, false, ma_root },
};

static void overtaken(const struct step *step)
{
	unsigned long limit = step->up ? ULONG_MAX : 0;
	struct ma_state mas;

	begin(&mas, 250, 1);
	mas_set(&mas, step->up ? mas.max : mas.min);
	assert_non_null(mas_walk(&mas));
	overtake(&mas);
	assert_null(step->take(&mas, limit));
	assert_int_equal(mas.status, step->status);
	/* It has no place any more, and finds that there is nothing. */
	assert_null(mas.node);
	assert_null(step->take(&mas, limit));
	mas_reset(&mas);
	assert_null(mas_find(&mas, ULONG_MAX));
	end();
}

static void nothing_is_there_any_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		overtaken(&steps[i]);
}

/* Puts the cursor on an entry that has nothing but a gap between it and that end of its leaf. */
static void stand_before_gap(struct ma_state *mas, bool up)
{
	unsigned long index = mas->index;

	while (up ? mas->offset + 1 != mas->end : mas->offset != 1) {
		index = up ? index + 2 : index - 2;
		assert_true(index > 0 && index < 1000);
		mas_set(mas, index);
		assert_ptr_equal(mas_walk(mas), xa_mk_value(index));
	}
}

/* A gap is passed in the leaf before the nodes above are looked at. */
static void nothing_is_there_behind_a_gap(void **state)
{
	static const struct step passing[] = {
		{ mas_next, true, ma_overflow },
		{ mas_find, true, ma_active },
		{ mas_prev, false, ma_underflow },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
		struct ma_state mas;

		begin(&mas, 500, 2);
		stand_before_gap(&mas, passing[i].up);
		overtake(&mas);
		assert_null(passing[i].take(&mas, passing[i].up ? ULONG_MAX : 0));
		assert_int_equal(mas.status, passing[i].status);
		assert_null(mas.node);
		assert_null(passing[i].take(&mas, passing[i].up ? ULONG_MAX : 0));
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there_any_more),
		cmocka_unit_test(nothing_is_there_behind_a_gap),
	};

	return cmocka_run_group_tests_name("tree_iterate", tests, NULL, NULL);
}
