/* SPDX-License-Identifier: MIT */
/* The readers of a tree accept what is there and refuse records that cannot be. */
#include "support/cm.h"

#include "space_bed.h"
#include <string.h>

#include "tools/samara/readers.h"
#include "tools/samara/samara.h"

int complain(const char *format, ...)
{
	(void)format;
	return EXIT_FAILED;
}

static const struct trace_op op = { .verb = TRACE_MAP, .addr = 0x1000, .length = 0x1000 };
static struct mapping *mapping;

/* One mapping, made in step 1. */
static int begin(void **state)
{
	(void)state;
	space_bed_make(&op);
	mapping = mtree_load(&space.tree, 0x1000);
	assert_non_null(mapping);
	return 0;
}

/* Expects that the first wrong answer is described as @wrong; empty: that there is none. */
static void expect(const char *wrong)
{
	struct reader_counts counts = { .wrong = 0 };
	struct crew *readers;

	assert_int_equal(readers_start(&readers, &space, 1, 0), 0);
	crew_stop(readers, &counts);
	assert_int_equal(counts.wrong != 0, *wrong != 0);
	if (!strstr(counts.example, wrong))
		fail_msg("'%s' is not in '%s'", wrong, counts.example);
}

static void the_record(void **state)
{
	(void)state;
	expect("");
	atomic_store(&mapping->magic, MAPPING_FREED);
	expect("was freed under the reader's feet");
	atomic_store(&mapping->magic, MAPPING_ALIVE);
	mapping->birth = 2;
	expect("has a record of step 2 after step 1");
	mapping->birth = 1;
	atomic_store(&mapping->death, 1);
	expect("still has a record that died in step 1 after step 1");
	atomic_store(&mapping->death, 2);
	expect("");
	atomic_store(&mapping->death, 0);
	mapping->what.last = 0x17ff;
	expect("1000-1fff has the record of 1000-17ff");
	mapping->what.last = 0x2fff;
	expect("1000-1fff is part of 1000-2fff, which nobody cut");
	atomic_store(&mapping->cut, 1);
	expect("");
	mapping->what.last = 0x1fff;
}

/* The tree holds something other than the steps left there. */
static void the_steps(void **state)
{
	(void)state;
	history_begin(&history, 2, 0x1000, 0x1fff, NULL);
	expect("");
	history_finish(&history, 2);
	expect("had a mapping, which was never there from step 2 to step 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_record, begin, space_bed_free),
		cmocka_unit_test_setup_teardown(the_steps, begin, space_bed_free),
	};

	return cmocka_run_group_tests_name("tool_readers", tests, NULL, NULL);
}
