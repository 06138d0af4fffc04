/* SPDX-License-Identifier: MIT */
/* The check of a replay accepts a space like the model, and refuses any other. */
#include "support/cm.h"

#include <errno.h>
#include <string.h>

#include "tools/samara/check.h"

static struct space space;
static struct address_space model;
static char why[256];

static const struct trace_op around = { .verb = TRACE_UNMAP, .addr = 0x30000, .length = 0x1000 };

static bool invalid; /* to the library's own check */

int __real_mt_check(const struct maple_tree *mt, char *why_not, size_t size);
int __wrap_mt_check(const struct maple_tree *mt, char *why_not, size_t size);

int __wrap_mt_check(const struct maple_tree *mt, char *why_not, size_t size)
{
	if (!invalid)
		return __real_mt_check(mt, why_not, size);
	strcpy(why_not, "a node is wrong");
	return -EUCLEAN;
}

static void apply(const struct trace_op *op)
{
	const char *fault = "";

	assert_int_equal(space_apply(&space, op, &fault), 0);
	assert_int_equal(as_apply(&model, op, &fault), 0);
}

static void map(uint64_t addr)
{
	struct trace_op op = { .verb = TRACE_MAP,
			       .addr = addr,
			       .length = 0x4000,
			       .object = 3,
			       .offset = 0x7000,
			       .flags = TRACE_READ };

	apply(&op);
}

/* Sets up mappings at 10000, 20000 and so on up to 60000, each 4000 long. */
static int begin(void **state)
{
	(void)state;
	space_init(&space, false, NULL);
	as_init(&model);
	for (uint64_t addr = 0x10000; addr <= 0x60000; addr += 0x10000)
		map(addr);
	strcpy(why, "nothing");
	return 0;
}

static int end(void **state)
{
	(void)state;
	space_destroy(&space);
	as_destroy(&model);
	return 0;
}

static struct mapping *at(uint64_t addr)
{
	struct mapping *mapping = mtree_load(&space.tree, addr);

	assert_non_null(mapping);
	return mapping;
}

static void expect_refused(const char *text)
{
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), -EUCLEAN);
	assert_string_equal(why, text);
}

static void a_space_like_the_model(void **state)
{
	(void)state;
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), 0);
	assert_int_equal(check_around(&space, &model, &around, why, sizeof(why)), 0);
	apply(&(struct trace_op){ .verb = TRACE_UNMAP, .length = 0x100000 });
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), 0);
	assert_int_equal(check_around(&space, &model, &around, why, sizeof(why)), 0);
	assert_string_equal(why, "nothing");
}

static void each_part_of_a_record(void **state)
{
	struct mapping *mapping = at(0x30000);
	struct as_mapping *what = &mapping->what;
	const struct as_mapping was = *what, wrong[] = {
		{ was.first + 1, was.last, was.object, was.offset, was.flags },
		{ was.first, was.last - 1, was.object, was.offset, was.flags },
		{ was.first, was.last, was.object + 1, was.offset, was.flags },
		{ was.first, was.last, was.object, was.offset + 1, was.flags },
		{ was.first, was.last, was.object, was.offset, was.flags | TRACE_EXEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		*what = wrong[i];
		assert_int_equal(check_all(&space, &model, why, sizeof(why)), -EUCLEAN);
		assert_int_equal(check_around(&space, &model, &around, why, sizeof(why)), -EUCLEAN);
	}
	expect_refused("the tree has 30000-33fff object 3 offset 7000 rxp where there should be "
		       "30000-33fff object 3 offset 7000 rp");
	*what = was;
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), 0);
}

/* A record with the right range, which the tree has at another. */
static void the_range_in_the_tree(void **state)
{
	struct mapping *mapping = at(0x30000);

	(void)state;
	assert_int_equal(mtree_store_range(&space.tree, 0x30000, 0x34fff, mapping, GFP_KERNEL), 0);
	expect_refused("the tree has 30000-33fff object 3 offset 7000 rp at 30000-34fff");
	assert_int_equal(mtree_store_range(&space.tree, 0x34000, 0x34fff, NULL, GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&space.tree, 0x30000, 0x30fff, NULL, GFP_KERNEL), 0);
	expect_refused("the tree has 30000-33fff object 3 offset 7000 rp at 31000-33fff");
}

static void what_only_one_has(void **state)
{
	const char *fault = "";
	struct trace_op op = { .verb = TRACE_UNMAP, .addr = 0x60000, .length = 0x4000 };

	(void)state;
	assert_int_equal(as_apply(&model, &op, &fault), 0);
	expect_refused("the tree has 60000-63fff object 3 offset 7000 rp where there should be "
		       "nothing");
	assert_int_equal(space_apply(&space, &op, &fault), 0);
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), 0);
	op.addr = 0x50000;
	assert_int_equal(space_apply(&space, &op, &fault), 0);
	expect_refused("the tree has nothing where there should be 50000-53fff object 3 offset "
		       "7000 rp");
}

static void the_tree_itself(void **state)
{
	(void)state;
	invalid = true;
	expect_refused("a node is wrong");
	invalid = false;
}

/* Figures count live mappings, so a wrong count is a mistake, too. */
static void the_number_of_mappings(void **state)
{
	(void)state;
	space.live++;
	expect_refused("7 mappings are alive, 6 should be");
	space.live -= 2;
	expect_refused("5 mappings are alive, 6 should be");
	space.live++;
	assert_int_equal(check_all(&space, &model, why, sizeof(why)), 0);
}

/* Whether the check around @op sees that the mapping at @addr is wrong. */
static bool sees(const struct trace_op *op, uint64_t addr)
{
	struct mapping *mapping = at(addr);
	int err;

	mapping->what.object++;
	err = check_around(&space, &model, op, why, sizeof(why));
	mapping->what.object--;
	assert_true(err == 0 || err == -EUCLEAN);
	return err != 0;
}

/* An operation may damage the mappings on either side of it, but no others. */
static void around_an_operation(void **state)
{
	struct trace_op move = { .verb = TRACE_MOVE,
				 .addr = 0x15000,
				 .length = 0x1000,
				 .new_addr = 0x55000,
				 .new_length = 0x1000 };

	(void)state;
	for (unsigned int i = 1; i <= 6; i++)
		assert_int_equal(sees(&around, 0x10000 * i), i >= 2 && i <= 4);
	for (unsigned int i = 1; i <= 6; i++)
		assert_int_equal(sees(&move, 0x10000 * i), i != 3 && i != 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_space_like_the_model, begin, end),
		cmocka_unit_test_setup_teardown(each_part_of_a_record, begin, end),
		cmocka_unit_test_setup_teardown(the_range_in_the_tree, begin, end),
		cmocka_unit_test_setup_teardown(what_only_one_has, begin, end),
		cmocka_unit_test_setup_teardown(the_tree_itself, begin, end),
		cmocka_unit_test_setup_teardown(the_number_of_mappings, begin, end),
		cmocka_unit_test_setup_teardown(around_an_operation, begin, end),
	};

	return cmocka_run_group_tests_name("tool_check", tests, NULL, NULL);
}
