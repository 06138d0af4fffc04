/* SPDX-License-Identifier: MIT */
/*
 * What a library with assertions does about mistakes: it says so and aborts. One without goes on.
 * Usage: stops|goes-on, which of the two the library must do.
 */
#include "support/cm.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/txn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRY xa_mk_value(7)

enum { REFUSED = 11 }; /* the exit status of a mistake that the library refuses */

static bool stops;

/* Makes @mistake in a child; what it says on stderr, and how it ends. */
static int status_of(int (*mistake)(void), char *said, size_t size)
{
	size_t nr = 0;
	ssize_t got;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		_exit(mistake());
	}
	close(fd[1]);
	while (nr < size - 1 && (got = read(fd[0], said + nr, size - 1 - nr)) > 0)
		nr += (size_t)got;
	said[nr] = 0;
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect(int (*mistake)(void), const char *report, int otherwise)
{
	char said[4096];
	int status = status_of(mistake, said, sizeof(said));

	if (stops) {
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
		assert_non_null(strstr(said, "assertion failed"));
		assert_non_null(strstr(said, report));
	} else {
		assert_string_equal(said, "");
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), otherwise);
	}
}

static int stores_unannounced(void)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	struct mt_credits c;
	int err;

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

static int stores_beside_a_transaction(void)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	struct mt_txn txn;
	int err;

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
	expect(stores_beside_a_transaction, "txn.c", 0);
}

static int stores_with_too_few(void)
{
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 5, 5);
	int err;

	mt_init_flags(&tree, MT_FLAGS_USE_RCU);
	/* One node, as long as the tree has none. */
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

static int destroys_an_arena_in_use(void)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct maple_tree tree;

	mt_init(&tree);
	if (!mem || mt_set_mem(&tree, mem) || mtree_store(&tree, 5, ENTRY, GFP_KERNEL))
		return 1;
	mt_mem_destroy(mem);
	return 0;
}

/* That is not worth an abort. */
static void an_arena_that_is_in_use(void **state)
{
	char said[4096];
	int status = status_of(destroys_an_arena_in_use, said, sizeof(said));

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
		cmocka_unit_test(an_arena_that_is_in_use),
	};

	if (argc != 2)
		return 99;
	stops = strcmp(argv[1], "stops") == 0;
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
