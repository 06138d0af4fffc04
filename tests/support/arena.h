/* SPDX-License-Identifier: MIT */
/* Tests in an arena of their own, which must have got everything back when they end. */
#ifndef TESTS_SUPPORT_ARENA_H
#define TESTS_SUPPORT_ARENA_H

#include "support/cm.h"

#include <samara/mem.h>

/* Runs a group of tests with *@arena created for them. */
static inline int arena_run(struct mt_mem **arena, const char *name, const struct CMUnitTest *tests,
			    size_t nr)
{
	int failed;

	*arena = mt_mem_create(0, NULL);
	if (!*arena)
		return 99;
	failed = _cmocka_run_group_tests(name, tests, nr, NULL, NULL);
	if (!failed)
		mt_mem_destroy(*arena);
	return failed;
}

#endif
