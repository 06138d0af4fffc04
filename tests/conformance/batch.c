/* SPDX-License-Identifier: MIT */
/* mtree_load_batch() finds for each key what mtree_load() finds. */
#include "support/cm.h"

#include <samara/maple_tree.h>
#include <stdlib.h>

enum { KEYS = 1000 };

static void same_as_load(struct maple_tree *tree, const unsigned long *index, size_t n)
{
	static char untouched;
	void *entry[KEYS + 1];

	for (size_t i = 0; i <= n; i++)
		entry[i] = &untouched;
	mtree_load_batch(tree, index, entry, n);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(entry[i], mtree_load(tree, index[i]));
	assert_ptr_equal(entry[n], &untouched);
}

static void trees_without_nodes(void **state)
{
	const unsigned long index[] = { 0, 1, ULONG_MAX, 0 };
	DEFINE_MTREE(tree);

	(void)state;
	same_as_load(&tree, index, 4);
	assert_int_equal(mtree_store(&tree, 0, xa_mk_value(3), GFP_KERNEL), 0);
	same_as_load(&tree, index, 4);
	mtree_destroy(&tree);
	assert_int_equal(mtree_reserve(&tree, 0, 0, GFP_KERNEL), 0);
	same_as_load(&tree, index, 4);
	mtree_destroy(&tree);
}

/*
 * Every length around the size of a group, keys in no order and with repetitions, narrow nodes
 * (@unit 1) and wide ones.
 */
static void any_length(unsigned long unit, unsigned int flags)
{
	unsigned long index[KEYS];
	struct maple_tree tree;

	mt_init_flags(&tree, flags);
	for (unsigned long i = 0; i < 3000; i++)
		assert_int_equal(mtree_store_range(&tree, 3 * i * unit, (3 * i + 1) * unit,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
	assert_int_equal(
		mtree_reserve(&tree, 30 * unit + unit + 1, 30 * unit + unit + 1, GFP_KERNEL), 0);
	for (unsigned long i = 0; i < KEYS; i++)
		index[i] = i * 7919 % 9100 * unit + i % 3;
	for (size_t n = 0; n <= 200; n++)
		same_as_load(&tree, index + n, n);
	same_as_load(&tree, index, KEYS);
	mtree_destroy(&tree);
}

static void lengths(void **state)
{
	(void)state;
	any_length(4, 0);
	any_length(4096, MT_FLAGS_USE_RCU);
	any_length((1UL << 50) + 1, MT_FLAGS_USE_RCU);
}

/*
 * The last key together with near ones, where the bounds of the top are in single keys and begin at
 * 0.
 */
static void last_key(void **state)
{
	unsigned long index[100];
	struct maple_tree tree;

	(void)state;
	mt_init_flags(&tree, 0);
	for (unsigned long i = 0; i < 3000; i++)
		assert_int_equal(mtree_store(&tree, i, xa_mk_value(i), GFP_KERNEL), 0);
	assert_int_equal(mtree_store(&tree, ULONG_MAX, xa_mk_value(3000), GFP_KERNEL), 0);
	for (unsigned long i = 0; i < 100; i++)
		index[i] = i % 7 == 1 ? ULONG_MAX : i * 31;
	for (size_t n = 0; n <= 100; n++)
		same_as_load(&tree, index, n);
	mtree_destroy(&tree);
}

/*
 * The first keys of ranges and the keys before them, including the edges of all nodes, even the
 * top.
 */
static void edges(void **state)
{
	enum { RANGES = 6000 };
	unsigned long index[KEYS];
	struct maple_tree tree;

	(void)state;
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < RANGES; i++)
		assert_int_equal(mtree_store_range(&tree, i * 4096, i * 4096 + 4095, xa_mk_value(i),
						   GFP_KERNEL),
				 0);
	for (unsigned long i = 0; i < RANGES; i += KEYS / 2) {
		for (unsigned long k = 0; k < KEYS; k++)
			index[k] = (i + k / 2) * 4096 - k % 2;
		same_as_load(&tree, index, KEYS);
	}
	mtree_destroy(&tree);
}

/*
 * Keys taken in turn from places that lie far apart, of pages and of bytes, so that nodes at one
 * depth measure their ranges in different units; and keys between these places, and beyond.
 */
static void places(void **state)
{
	static const struct {
		unsigned long at, unit;
	} place[] = {
		{ 0x400000, 4096 },    { 0x555555554000, 4096 },        { 0x7f0000000000, 4096 },
		{ 0x7f8000000123, 3 }, { 0xffff800000000000, 1 << 21 }, { 0xffffffff00000000, 8 },
	};
	enum { PLACES = sizeof(place) / sizeof(*place), RANGES = 700 };
	unsigned long index[KEYS], start;
	struct maple_tree tree;

	(void)state;
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < PLACES * RANGES; i++) {
		start = place[i % PLACES].at + 3 * (i / PLACES) * place[i % PLACES].unit;
		assert_int_equal(mtree_store_range(&tree, start, start + place[i % PLACES].unit - 1,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
	}
	for (unsigned long i = 0; i < KEYS; i++)
		index[i] = place[i * 7 % 11 % PLACES].at +
			   (i * 7919 % (3 * RANGES + 50) - 25) * place[i * 5 % 11 % PLACES].unit;
	for (size_t n = 0; n <= 200; n++)
		same_as_load(&tree, index + n, n);
	same_as_load(&tree, index, KEYS);
	mtree_destroy(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_without_nodes),
		cmocka_unit_test(lengths),
		cmocka_unit_test(last_key),
		cmocka_unit_test(edges),
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
