/* SPDX-License-Identifier: MIT */
#include "base/hooks.h"
#include "support/cm.h"

static int reset(void **state)
{
	(void)state;
	smr_hook_reset();
	return 0;
}

static void nothing_fails_unasked(void **state)
{
	(void)state;
	assert_false(smr_hook_fail_alloc(true));
	assert_false(smr_hook_fail_alloc(false));
	assert_int_equal(smr_hook_allocations(), 2);
	assert_int_equal(smr_hook_failures(), 0);
}

static void the_nth_fails_once(void **state)
{
	(void)state;
	smr_hook_fail_alloc(true);
	smr_hook_set_fail_at(2);
	assert_int_equal(smr_hook_allocations(), 0);
	assert_false(smr_hook_fail_alloc(true));
	assert_true(smr_hook_fail_alloc(false));
	assert_false(smr_hook_fail_alloc(true));
	assert_int_equal(smr_hook_allocations(), 3);
	assert_int_equal(smr_hook_failures(), 1);
}

static void modes(void **state)
{
	(void)state;
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	assert_true(smr_hook_fail_alloc(false));
	assert_false(smr_hook_fail_alloc(true));
	smr_hook_set_mem(SMR_HOOK_MEM_NONE);
	assert_true(smr_hook_fail_alloc(false));
	assert_true(smr_hook_fail_alloc(true));
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	assert_false(smr_hook_fail_alloc(false));
}

static void count_call(void *arg)
{
	++*(int *)arg;
}

static void unlocked_calls_back(void **state)
{
	int calls = 0;

	(void)state;
	smr_hook_unlocked();
	smr_hook_set_unlocked(count_call, &calls);
	smr_hook_unlocked();
	smr_hook_unlocked();
	assert_int_equal(calls, 2);
	smr_hook_reset();
	smr_hook_unlocked();
	assert_int_equal(calls, 2);
}

static void note_point(enum smr_hook_point point, void *arg)
{
	*(enum smr_hook_point *)arg = point;
}

static void points_call_back(void **state)
{
	enum smr_hook_point last = SMR_HOOK_LOOKS;

	(void)state;
	smr_hook_at(SMR_HOOK_IN_HAND);
	smr_hook_set_point(note_point, &last);
	smr_hook_at(SMR_HOOK_IN_HAND);
	assert_int_equal(last, SMR_HOOK_IN_HAND);
	smr_hook_reset();
	smr_hook_at(SMR_HOOK_LOOKS);
	assert_int_equal(last, SMR_HOOK_IN_HAND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_fails_unasked, reset),
		cmocka_unit_test_setup(the_nth_fails_once, reset),
		cmocka_unit_test_setup(modes, reset),
		cmocka_unit_test_setup(unlocked_calls_back, reset),
		cmocka_unit_test_setup(points_call_back, reset),
	};

	return cmocka_run_group_tests_name("base_hooks", tests, NULL, NULL);
}
