/* SPDX-License-Identifier: MIT */
/* LeakSanitizer, if the program has it, finds the objects that entries point to. */
#include "support/cm.h"

#include <samara/maple_tree.h>
#include <samara/mem.h>
#include <stdlib.h>

enum { OBJECTS = 1000 };

__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

/*
 * Where the objects are, in a form in which LeakSanitizer does not see it. On the stack there may
 * be pointers to a few, but not to all.
 */
static uintptr_t hidden[OBJECTS];

static bool finds_leaks(void)
{
	return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0;
}

__attribute__((noinline)) static void store_objects(struct maple_tree *mt)
{
	for (unsigned long i = 0; i < OBJECTS; i++) {
		void *object = malloc(40);

		assert_non_null(object);
		hidden[i] = ~(uintptr_t)object;
		assert_int_equal(mtree_store_range(mt, 10 * i, 10 * i + 4, object, GFP_KERNEL), 0);
	}
}

static void free_objects(void)
{
	for (unsigned int i = 0; i < OBJECTS; i++)
		free((void *)~hidden[i]);
}

/* Objects of a tree are no leaks as long as they are in it. */
static void objects_of_a_tree(struct mt_mem *mem, unsigned int flags)
{
	static struct maple_tree mt;
	bool leaks;

	assert_non_null(mem);
	mt_init_flags(&mt, flags);
	assert_int_equal(mt_set_mem(&mt, mem), 0);
	store_objects(&mt);
	leaks = finds_leaks();
	mtree_destroy(&mt);
	assert_false(leaks);
	mt_mem_barrier(mem);
	leaks = finds_leaks();
	free_objects();
	mt_mem_destroy(mem);
	if (!leaks)
		skip(); /* they are not looked for */
}

static void objects_of_a_plain_tree(void **state)
{
	(void)state;
	objects_of_a_tree(mt_mem_create(0, NULL), 0);
}

static void objects_of_a_tree_in_rcu_mode(void **state)
{
	(void)state;
	objects_of_a_tree(mt_mem_create(0, NULL), MT_FLAGS_USE_RCU);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_of_a_plain_tree),
		cmocka_unit_test(objects_of_a_tree_in_rcu_mode),
	};

	return cmocka_run_group_tests_name("mem_leaks", tests, NULL, NULL);
}
