/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <string.h>

#include "tools/samara/latency.h"

static struct latency latency;

static int clear(void **state)
{
	(void)state;
	memset(&latency, 0, sizeof(latency));
	return 0;
}

static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(latency_at(&latency, 5000), 0);
	assert_int_equal(latency_at(&latency, 10000), 0);
}

static void test_small_values_are_exact(void **state)
{
	(void)state;
	for (uint64_t ns = 1; ns <= 60; ns++)
		latency_add(&latency, ns);
	assert_int_equal(latency_at(&latency, 0), 1);
	assert_int_equal(latency_at(&latency, 5000), 30);
	assert_int_equal(latency_at(&latency, 9000), 54);
	assert_int_equal(latency_at(&latency, 9999), 60);
	assert_int_equal(latency_at(&latency, 10000), 60);
}

/* A percentile is never below the value it stands for, and at most 1/32 above it. */
static void test_error_is_bounded(void **state)
{
	(void)state;
	for (uint64_t ns = 1; ns && ns < UINT64_MAX / 3; ns += ns / 3 + 1) {
		uint64_t at;

		clear(NULL);
		latency_add(&latency, ns);
		latency_add(&latency, UINT64_MAX);
		at = latency_at(&latency, 5000);
		assert_true(at >= ns);
		assert_true(at - ns <= ns / 32);
	}
	assert_int_equal(latency_at(&latency, 10000), UINT64_MAX);
}

static void test_tail(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 9990; i++)
		latency_add(&latency, 10);
	for (unsigned int i = 0; i < 9; i++)
		latency_add(&latency, 20);
	latency_add(&latency, 1000000);
	assert_int_equal(latency_at(&latency, 9900), 10);
	assert_int_equal(latency_at(&latency, 9990), 10);
	assert_int_equal(latency_at(&latency, 9991), 20);
	assert_int_equal(latency_at(&latency, 9999), 20);
	assert_int_equal(latency_at(&latency, 10000), 1000000);
	assert_int_equal(latency.max, 1000000);
}

static void test_merge(void **state)
{
	static struct latency other;

	(void)state;
	memset(&other, 0, sizeof(other));
	for (uint64_t ns = 1; ns <= 10; ns++) {
		latency_add(&latency, ns);
		latency_add(&other, ns + 10);
	}
	latency_merge(&latency, &other);
	assert_int_equal(latency.count, 20);
	assert_int_equal(latency.max, 20);
	assert_int_equal(latency_at(&latency, 5000), 10);
	assert_int_equal(latency_at(&latency, 7500), 15);
}

static void test_clock(void **state)
{
	uint64_t before = latency_now();

	(void)state;
	assert_true(before > 0);
	assert_true(latency_now() >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty, clear),
		cmocka_unit_test_setup(test_small_values_are_exact, clear),
		cmocka_unit_test_setup(test_error_is_bounded, clear),
		cmocka_unit_test_setup(test_tail, clear),
		cmocka_unit_test_setup(test_merge, clear),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
