/* SPDX-License-Identifier: MIT */
/*
 * A library with assertions reports a mistake and aborts; one without goes on. Usage:
 * stops|goes-on, whichever the library must do.
 */
#include "support/child.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/txn.h>
#include <string.h>

#define ENTRY xa_mk_value(7)

enum { REFUSED = 11 }; /* the exit status of a mistake that the library refuses */

static bool stops;

static void expect(int (*mistake)(void *), const char *report, int otherwise)
{
	char said[4096];
	int status = child_status(mistake, NULL, said, sizeof(said));

	if (stops) {
		assert_true(has_aborted(status));
		assert_non_null(strstr(said, "assertion failed"));
		assert_non_null(strstr(said, report));
		if (SHOWS_STACKS) /* from the mistake, in this program, to main() */
			assert_non_null(strstr(said, "test-conformance-stops"));
	} else {
		assert_string_equal(said, "");
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), otherwise);
	}
}

static int stores_unannounced(void *arg)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	struct mt_credits c;
	int err;

	(void)arg;
	mt_credits_init(&c, &tree, MT_CREDITS_RECYCLING);
	if (mt_credits_reserve(&c, 2, GFP_KERNEL))
		return 1;
	mtree_lock(&tree);
	err = mas_store_credit(&mas, ENTRY, &c);
	mtree_unlock(&tree);
	return err == -ENOSPC ? REFUSED : 1;
}

static void an_unannounced_store_on_a_credit(void **state)
{
	(void)state;
	expect(stores_unannounced, "credits.c", REFUSED);
}

static int stores_beside_a_transaction(void *arg)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	struct mt_txn txn;
	int err;

	(void)arg;
	mtree_lock(&tree);
	mt_txn_begin(&txn, &tree);
	err = mt_txn_store_range(&txn, 10, 19, ENTRY, GFP_KERNEL) ||
	      mas_store_gfp(&mas, ENTRY, GFP_KERNEL);
	if (!err)
		mt_txn_commit(&txn);
	mtree_unlock(&tree);
	return err;
}

static void a_foreign_store_in_a_transaction(void **state)
{
	(void)state;
	expect(stores_beside_a_transaction, "smr_txn_is_open", 0);
}

static int stores_with_too_few(void *arg)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	int err;

	(void)arg;
	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	/* One node, since the tree has none yet. */
	if (mas_preallocate_height(&mas, 0, GFP_KERNEL))
		return 1;
	for (unsigned long i = 0; i < 10000; i++)
		if (mtree_store_range(&tree, 20 * i, 20 * i + 9, ENTRY, GFP_KERNEL))
			return 1;
	mas_set_range(&mas, 1003, 150003);
	mtree_lock(&tree);
	mas_store_prealloc(&mas, ENTRY);
	err = mas_is_err(&mas);
	mtree_unlock(&tree);
	return err;
}

static void a_tree_higher_than_preallocated_for(void **state)
{
	(void)state;
	expect(stores_with_too_few, "store.c", 0);
}

static int stores_by_itself(void *arg)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_LOCK_EXTERN);

	(void)arg;
	return mtree_store(&tree, 5, ENTRY, GFP_KERNEL);
}

/* Without an internal lock it would take whatever is in its place. */
static void the_normal_api_with_an_external_lock(void **state)
{
	(void)state;
	expect(stores_by_itself, "check.h", 0);
}

static int destroys_an_arena_in_use(void *arg)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct maple_tree tree;

	(void)arg;
	mt_init(&tree);
	if (!mem || mt_set_mem(&tree, mem) || mtree_store(&tree, 5, ENTRY, GFP_KERNEL))
		return 1;
	mt_mem_destroy(mem);
	return 0;
}

/* This is only reported. */
static void an_arena_that_is_in_use(void **state)
{
	char said[4096];
	int status = child_status(destroys_an_arena_in_use, NULL, said, sizeof(said));

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	if (stops)
		assert_non_null(strstr(said, "1 nodes are still in use"));
	else
		assert_string_equal(said, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unannounced_store_on_a_credit),
		cmocka_unit_test(a_foreign_store_in_a_transaction),
		cmocka_unit_test(a_tree_higher_than_preallocated_for),
		cmocka_unit_test(the_normal_api_with_an_external_lock),
		cmocka_unit_test(an_arena_that_is_in_use),
	};

	if (argc != 2)
		return 99;
	stops = strcmp(argv[1], "stops") == 0;
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
