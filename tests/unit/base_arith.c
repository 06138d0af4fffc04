/* SPDX-License-Identifier: MIT */
#include "base/base.h"
#include "support/cm.h"
#include <limits.h>

static void range_last(void **state)
{
	unsigned long last = 7;

	(void)state;
	assert_false(smr_range_last(0, 0, &last));
	assert_false(smr_range_last(5, 0, &last));
	assert_true(smr_range_last(5, 1, &last) && last == 5);
	assert_true(smr_range_last(0, ULONG_MAX, &last) && last == ULONG_MAX - 1);
	assert_true(smr_range_last(1, ULONG_MAX, &last) && last == ULONG_MAX);
	assert_false(smr_range_last(2, ULONG_MAX, &last));
	assert_true(smr_range_last(ULONG_MAX, 1, &last) && last == ULONG_MAX);
	assert_false(smr_range_last(ULONG_MAX, 2, &last));
}

static void add_and_multiply(void **state)
{
	unsigned long result;

	(void)state;
	assert_true(smr_checked_add(ULONG_MAX, 0, &result) && result == ULONG_MAX);
	assert_false(smr_checked_add(ULONG_MAX, 1, &result));
}

struct outer {
	int before;
	struct inner {
		int x;
	} member;
};

static void container(void **state)
{
	struct outer object = { 1, { 2 } };
	struct inner *member = &object.member;

	(void)state;
	assert_ptr_equal(container_of(member, struct outer, member), &object);
}

/* A disabled assertion is compiled but not evaluated; an enabled one is evaluated once. */
static void assertions(void **state)
{
	int evaluated = 0;

	(void)state;
	SMR_ASSERT_OFF(++evaluated);
	assert_int_equal(evaluated, 0);
	SMR_ASSERT_ON(++evaluated);
	assert_int_equal(evaluated, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_last),
		cmocka_unit_test(add_and_multiply),
		cmocka_unit_test(container),
		cmocka_unit_test(assertions),
	};

	return cmocka_run_group_tests_name("base_arith", tests, NULL, NULL);
}
