/* SPDX-License-Identifier: MIT */
/*
 * Every sequence of a few stores over a few keys, through the normal API and through a cursor,
 * compared with the model after the last (shorter sequences cover the earlier stores).
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/treecheck.h"

#include <stdio.h>

#define KEYS_MAX 8
#define STORES_MAX 4

struct space {
	unsigned long keys[KEYS_MAX]; /* ascending */
	unsigned int nr_keys;
	void *entries[3];
	unsigned int stores;
	unsigned int flags;
};

/* The number of different stores: pairs of keys, times entries. A store is a number below it. */
static unsigned int choices(const struct space *space)
{
	return space->nr_keys * (space->nr_keys + 1) / 2 * 3;
}

struct store {
	unsigned long first, last;
	void *entry;
};

static struct store decode(const struct space *space, unsigned int number)
{
	unsigned int pair = number / 3, first = 0;

	while (pair >= space->nr_keys - first) {
		pair -= space->nr_keys - first;
		first++;
	}
	return (struct store){ space->keys[first], space->keys[first + pair],
			       space->entries[number % 3] };
}

static void describe(const struct space *space, const unsigned int *sequence, unsigned int n,
		     const char *why)
{
	char text[512];
	int at = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct store store = decode(space, sequence[i]);

		at += snprintf(text + at, sizeof(text) - (size_t)at, " [%#lx..%#lx]=%p",
			       store.first, store.last, store.entry);
	}
	fail_msg("flags %#x:%s: %s", space->flags, text, why);
}

/* Makes the stores by mtree_store_range(). */
static bool run_normal(struct maple_tree *tree, struct range_model *model,
		       const struct space *space, const unsigned int *sequence, unsigned int n,
		       char *why)
{
	for (unsigned int i = 0; i < n; i++) {
		struct store store = decode(space, sequence[i]);

		if (mtree_store_range(tree, store.first, store.last, store.entry, GFP_KERNEL) !=
			    0 ||
		    rm_store(model, store.first, store.last, store.entry) != 0) {
			snprintf(why, WHY_SIZE, "refused");
			return false;
		}
	}
	return true;
}

/*
 * Makes the stores by mas_store() on one cursor, which must return what was at the first key and
 * know where it is.
 */
static bool run_cursor(struct maple_tree *tree, struct range_model *model,
		       const struct space *space, const unsigned int *sequence, unsigned int n,
		       char *why)
{
	MA_STATE(mas, tree, 0, 0);

	for (unsigned int i = 0; i < n; i++) {
		struct store store = decode(space, sequence[i]);
		void *want = rm_load(model, store.first), *got;

		do {
			mas_set_range(&mas, store.first, store.last);
			got = mas_store(&mas, store.entry);
		} while (mas_nomem(&mas, GFP_KERNEL));
		mas_destroy(&mas);
		if (got != want || mas_is_err(&mas) ||
		    rm_store(model, store.first, store.last, store.entry) != 0) {
			snprintf(why, WHY_SIZE, "mas_store: %p, should be %p", got, want);
			return false;
		}
	}
	if (mas.status == ma_active) {
		unsigned long first, last;

		rm_range(model, decode(space, sequence[n - 1]).first, &first, &last, NULL);
		if (mas.index != first || mas.last != last) {
			snprintf(why, WHY_SIZE, "the cursor is on %#lx..%#lx", mas.index, mas.last);
			return false;
		}
	}
	return true;
}

static void run_sequence(const struct space *space, const unsigned int *sequence, unsigned int n)
{
	static struct range_model model;
	struct maple_tree tree = MTREE_INIT(tree, space->flags);
	char why[WHY_SIZE];

	for (int cursor = 0; cursor < 2; cursor++) {
		bool good;

		model.count = 0;
		if (cursor)
			mtree_lock(&tree);
		good = (cursor ? run_cursor : run_normal)(&tree, &model, space, sequence, n, why);
		if (!cursor)
			mtree_lock(&tree);
		if (!good || !tree_good(&tree, &model, why))
			describe(space, sequence, n, why);
		mtree_unlock(&tree);
		mtree_destroy(&tree);
	}
}

/* Runs all sequences or, with a stride, an even selection of the longest. */
static void run_space(const struct space *space)
{
	unsigned int sequence[STORES_MAX];
	unsigned long nr = 1, stride = 1, percent = env_scaled(100);
	unsigned long nodes = nodes_in_use(mt_mem_default());

	for (unsigned int n = 1; n <= space->stores; n++) {
		nr *= choices(space);
		if (n == space->stores && percent < 100)
			stride = 400 / percent | 1;
		for (unsigned long i = 0; i < nr; i += stride) {
			unsigned long rest = i;

			for (unsigned int k = 0; k < n; k++) {
				sequence[k] = (unsigned int)(rest % choices(space));
				rest /= choices(space);
			}
			run_sequence(space, sequence, n);
		}
	}
	assert_int_equal(nodes_in_use(mt_mem_default()), nodes);
}

#define A ((void *)0x1000UL)
#define B ((void *)0x2000UL)

static void three_stores(void **state)
{
	static const struct space space = { { 0, 1, 2, 3, 4, ULONG_MAX }, 6, { NULL, A, B }, 3, 0 };

	(void)state;
	run_space(&space);
}

static void three_stores_in_the_middle(void **state)
{
	static const struct space space = {
		{ 5, 6, 7, 8, 9, 10 }, 6, { NULL, A, B }, 3, MT_FLAGS_ALLOC_RANGE
	};

	(void)state;
	run_space(&space);
}

static void four_stores(void **state)
{
	static const struct space space = { { 0, 1, 2, ULONG_MAX }, 4, { NULL, A, B }, 4, 0 };

	(void)state;
	run_space(&space);
}

static void zero_entries(void **state)
{
	static const struct space space = {
		{ 0, 1, ULONG_MAX }, 3, { NULL, A, (void *)1030UL }, 4, MT_FLAGS_ALLOC_RANGE
	};

	(void)state;
	run_space(&space);
}

static void ends_of_the_world(void **state)
{
	static const struct space space = { { 0, 1UL << 31, 1UL << 62, 1UL << 63, ULONG_MAX - 1,
					      ULONG_MAX },
					    6,
					    { NULL, A, B },
					    3,
					    MT_FLAGS_ALLOC_RANGE };

	(void)state;
	run_space(&space);
}

static void in_rcu_mode(void **state)
{
	static const struct space space = {
		{ 0, 1, 2, 3, ULONG_MAX }, 5, { NULL, A, B }, 3, MT_FLAGS_USE_RCU
	};

	(void)state;
	run_space(&space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_stores),      cmocka_unit_test(three_stores_in_the_middle),
		cmocka_unit_test(four_stores),       cmocka_unit_test(zero_entries),
		cmocka_unit_test(ends_of_the_world), cmocka_unit_test(in_rcu_mode),
	};

	return cmocka_run_group_tests_name("exhaustive", tests, NULL, NULL);
}
