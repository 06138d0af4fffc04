/* SPDX-License-Identifier: MIT */
/* mt_check() finds each kind of damage, which is done to a sound tree and undone. */
#include "support/cm.h"

#include "support/child.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/gap.h"
#include "tree/run.h"

#include <errno.h>
#include <string.h>

static struct maple_tree tree;

static void make(unsigned int flags, unsigned long n, unsigned long step)
{
	mt_init_flags(&tree, flags);
	for (unsigned long i = 0; i < n; i++)
		assert_int_equal(mtree_store_range(&tree, step * i, step * i + 4, xa_mk_value(i),
						   GFP_KERNEL),
				 0);
}

static int drop(void **state)
{
	(void)state;
	mtree_destroy(&tree);
	return 0;
}

static void expect_sound(void)
{
	char why[WHY_SIZE];

	mtree_lock(&tree);
	if (!tree_sound(&tree, why))
		fail_msg("%s", why);
	mtree_unlock(&tree);
}

/* Expects a fault; @part: some words of the reason. */
static void expect_fault(const char *part)
{
	char why[WHY_SIZE] = "";

	mtree_lock(&tree);
	assert_int_equal(mt_check(&tree, why, sizeof(why)), -EUCLEAN);
	/* The reason is optional. */
	assert_int_equal(mt_check(&tree, NULL, 0), -EUCLEAN);
	mtree_unlock(&tree);
	if (!strstr(why, part))
		fail_msg("\"%s\" does not speak of \"%s\"", why, part);
}

/* Finds the leaf that holds @key and its parent. */
static void find_leaf(unsigned long key, void **leaf, void **parent)
{
	MA_STATE(mas, &tree, key, key);

	mtree_lock(&tree);
	assert_non_null(mas_walk(&mas));
	mtree_unlock(&tree);
	*leaf = mas.node;
	*parent = mas.depth ? mas.path[mas.depth - 1u] : NULL;
}

/* Sets @field to @value, expects the fault @part, and restores it. */
#define DAMAGE(field, value, part)                   \
	do {                                         \
		__typeof__(field) before_ = (field); \
		(field) = (value);                   \
		expect_fault(part);                  \
		(field) = before_;                   \
		expect_sound();                      \
	} while (0)

static void shape(void **state)
{
	void *leaf, *parent;

	(void)state;
	make(0, 500, 10);
	find_leaf(2000, &leaf, &parent);
	DAMAGE(smr_node_of(leaf)->dead, 1, "dead");
	DAMAGE(smr_node_of(leaf)->count, SMR_LEAF_MIN - 1, "items");
	DAMAGE(smr_node_of(leaf)->count, SMR_SLEAF_CAP + 1, "items");
	DAMAGE(smr_node_of(parent)->count, 1, "items");
	DAMAGE(smr_slots(parent)[1], smr_enode_make(smr_node_of(smr_slots(parent)[1]), SMR_NINNER),
	       "inner node");
	DAMAGE(smr_slots(parent)[1], (void *)((uintptr_t)smr_slots(parent)[1] | 32),
	       "unknown bits");
	DAMAGE(smr_slots(parent)[1], NULL, "no node");
}

static void bounds(void **state)
{
	struct smr_node *node;
	void *leaf, *parent;

	(void)state;
	make(0, 500, NARROW_UNIT);
	find_leaf(200 * NARROW_UNIT, &leaf, &parent);
	node = smr_node_of(leaf);
	assert_int_equal(smr_enode_kind(leaf), SMR_NLEAF);
	DAMAGE(node->b32[3], node->b32[2], "starts at");
	DAMAGE(node->b32[3], node->b32[5], "starts at");
	DAMAGE(node->b32[node->count - 2], INT32_MAX - 5, "starts at");
	node = smr_node_of(parent);
	DAMAGE(node->b32[0], node->b32[1], "starts at");
	DAMAGE(node->b32[node->count - 1], 7, "padding");
	DAMAGE(node->b32[SMR_NINNER_CAP - 2], INT32_MAX - 1, "padding");
	/* The last leaf has all keys above, so its last bound may be any in ascending order. */
	find_leaf(499 * NARROW_UNIT, &leaf, &parent);
	node = smr_node_of(leaf);
	assert_int_equal(smr_enode_kind(leaf), SMR_NLEAF);
	assert_uint_in_range(node->count, 2, SMR_NLEAF_CAP - 1);
	DAMAGE(node->b32[node->count - 2], INT32_MAX, "out of range");
	DAMAGE(node->b32[node->count - 1], 7, "padding");
	DAMAGE(node->b32[SMR_NLEAF_CAP - 2], INT32_MIN, "padding");
}

static void short_bounds(void **state)
{
	struct smr_node *node;
	void *leaf, *parent;

	(void)state;
	make(0, 500, 10);
	mtree_store_range(&tree, 2000, 2049, xa_mk_value(1), GFP_KERNEL); /* leaves are full */
	find_leaf(2000, &leaf, &parent);
	node = smr_node_of(leaf);
	assert_int_equal(smr_enode_kind(leaf), SMR_SLEAF);
	assert_uint_in_range(node->count, 6, SMR_SLEAF_CAP - 1);
	DAMAGE(node->b16[3], node->b16[2], "starts at");
	DAMAGE(node->b16[3], node->b16[5], "starts at");
	DAMAGE(node->b16[node->count - 1], 7, "padding");
	DAMAGE(node->b16[SMR_SLEAF_BOUNDS - 1], INT16_MAX - 1, "padding");
	DAMAGE(node->base, node->base + (1UL << 16), "block");
	DAMAGE(node->base, node->base + 1, "block");
	DAMAGE(node->shift, 48, "block");
}

static void wide_bounds(void **state)
{
	struct smr_node *node;
	void *leaf, *parent;

	(void)state;
	make(0, 100, (1UL << 56) + 1);
	find_leaf(20 * ((1UL << 56) + 1), &leaf, &parent);
	assert_true((uintptr_t)leaf & SMR_ENODE_WIDE);
	node = smr_node_of(leaf);
	DAMAGE(node->b64[3], node->b64[4], "starts at");
	find_leaf(99 * ((1UL << 56) + 1), &leaf, &parent);
	assert_true((uintptr_t)leaf & SMR_ENODE_WIDE);
	node = smr_node_of(leaf);
	assert_uint_in_range(node->count, 2, SMR_WLEAF_CAP - 1);
	DAMAGE(node->b64[node->count - 1], 7, "padding");
	DAMAGE(node->b64[SMR_WLEAF_CAP - 2], INT64_MAX - 1, "padding");
}

/* The last range of a leaf and the first of the next both hold NULL. */
static void gaps_that_meet(void **state)
{
	void *leaf, *parent, **last, **first;

	(void)state;
	make(0, 500, 10);
	find_leaf(2, &leaf, &parent);
	last = smr_slots(leaf) + smr_count(leaf) - 1;
	first = smr_slots(smr_slots(parent)[1]);
	assert_true(!*last != !*first);
	smr_node_of(leaf)->mark = SMR_PIECES;
	smr_node_of(smr_slots(parent)[1])->mark = SMR_PIECES;
	if (*last)
		DAMAGE(*last, NULL, "two gaps");
	else
		DAMAGE(*first, NULL, "two gaps");
}

/* One entry may be missing between gaps, not two. */
static void gaps_in_pieces(void **state)
{
	void *leaf, *parent, **slots, *entry;
	struct smr_node *node;
	unsigned int last;

	(void)state;
	make(0, 500, 10);
	find_leaf(2000, &leaf, &parent);
	node = smr_node_of(leaf);
	slots = smr_slots(leaf);
	last = smr_count(leaf) - 1;
	for (unsigned int i = 1; i + 2 < last; i++) {
		entry = slots[i];
		if (!entry)
			continue;
		DAMAGE(slots[i], NULL, "not marked");
		slots[i] = NULL;
		node->mark = SMR_PIECES;
		expect_sound();
		DAMAGE(slots[i + 2], NULL, "pieces");
		slots[i] = entry;
		/* Joined ranges must lie in a leaf that says so. */
		DAMAGE(slots[i + 1], smr_joined(), "joined");
		node->dead = SMR_JOINED;
		slots[i + 1] = smr_joined();
		expect_sound();
		slots[i + 1] = NULL;
		DAMAGE(slots[0], smr_joined(), "joined");
		node->dead = 0;
		node->mark = SMR_UNMARKED;
	}
}

static void gap_figures(void **state)
{
	void *leaf, *parent;

	(void)state;
	make(MT_FLAGS_ALLOC_RANGE, 500, 10);
	find_leaf(2000, &leaf, &parent);
	expect_sound();
	for (unsigned int i = 0; i < smr_count(parent); i++) {
		DAMAGE(smr_gaps(parent)[i], smr_gaps(parent)[i] + 1, "gap figure");
		DAMAGE(smr_gaps(parent)[i], 0, "gap figure");
	}
	assert_true(smr_count(parent) < smr_nr_gaps(parent));
	DAMAGE(smr_gaps(parent)[smr_count(parent)], 1, "unused gap figure");
	DAMAGE(smr_gaps(parent)[smr_nr_gaps(parent) - 1], 1, "unused gap figure");
}

static void heights(void **state)
{
	unsigned int flags;

	(void)state;
	make(0, 500, 10);
	flags = tree.ma_flags;
	DAMAGE(tree.ma_flags, flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK, "height");
	DAMAGE(tree.ma_flags, (flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK) | 0x7c, "height");
	DAMAGE(tree.ma_flags, flags + (1u << MT_FLAGS_HEIGHT_OFFSET), "level");
	mtree_destroy(&tree);
	make(0, 1, 10);
	mtree_destroy(&tree);
	DAMAGE(tree.ma_flags, 1u << MT_FLAGS_HEIGHT_OFFSET, "height");
}

static void nothing_but_a_gap(void **state)
{
	void *leaf, *parent;
	struct smr_node *node;
	unsigned int count;

	(void)state;
	make(0, 1, 10);
	find_leaf(2, &leaf, &parent);
	node = smr_node_of(leaf);
	count = node->count;
	assert_int_equal(count, 2); /* [0..4] and what is above */
	/*
	 * One range, the gap: the bound that is then unused must be padding, or that would be the
	 * fault found.
	 */
	node->count = 1;
	node->b32[0] = INT32_MAX;
	smr_slots(leaf)[0] = NULL;
	expect_fault("empty tree");
	node->count = (uint8_t)count;
	node->b32[0] = 5;
	expect_fault("no entry");
	smr_slots(leaf)[0] = xa_mk_value(0);
}

static int validate(void *arg)
{
	(void)arg;
	return -mt_validate(&tree);
}

/* Linux's name for it; prints the reason. */
static void the_reason_is_printed(void **state)
{
	char said[4096];
	unsigned int flags;

	(void)state;
	make(0, 100, 10);
	flags = tree.ma_flags;
	assert_int_equal(child_status(validate, NULL, said, sizeof(said)), 0);
	assert_string_equal(said, "");
	tree.ma_flags = flags + (1u << MT_FLAGS_HEIGHT_OFFSET);
	assert_int_equal(WEXITSTATUS(child_status(validate, NULL, said, sizeof(said))), EUCLEAN);
	tree.ma_flags = flags;
	assert_ptr_equal(strstr(said, "samara: tree "), said);
	assert_non_null(strstr(said, "level"));
}

#define test(name) cmocka_unit_test_teardown(name, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shape),          test(bounds),
		test(short_bounds),   test(wide_bounds),
		test(gaps_that_meet), test(gap_figures),
		test(heights),        test(nothing_but_a_gap),
		test(gaps_in_pieces), test(the_reason_is_printed),
	};

	return cmocka_run_group_tests_name("tree_validate", tests, NULL, NULL);
}
