/* SPDX-License-Identifier: MIT */
#include "base/park.h"
#include "base/atomic.h"
#include "support/cm.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>

static unsigned int word;
static int passed;

static void *sleeper(void *unused)
{
	(void)unused;
	while (smr_load(&word, __ATOMIC_ACQUIRE) == 0)
		smr_park(&word, 0);
	smr_add(&passed, 1, RELAXED);
	return NULL;
}

/* Whether they already sleep or not, all get past the word once it has changed. */
static void all_are_woken(void **state)
{
	pthread_t threads[4];
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sleeper, NULL), 0);
	assert_int_equal(smr_load(&passed, RELAXED), 0);
	smr_store(&word, 1, __ATOMIC_RELEASE);
	smr_wake(&word, INT_MAX);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(passed, 4);
}

static void another_value_does_not_sleep(void **state)
{
	unsigned int other = 1;

	(void)state;
	errno = 0;
	smr_park(&other, 0);
	assert_int_equal(errno, 0);
}

static void a_deadline_ends_it(void **state)
{
	unsigned int other = 1;
	uint64_t deadline = smr_now() + 1000000;

	(void)state;
	errno = 0;
	assert_int_equal(smr_park_until(&other, 0, SMR_NEVER), 0); /* another value */
	while (smr_now() < deadline) {
		int err = smr_park_until(&other, 1, deadline);

		assert_true(err == 0 || err == -ETIMEDOUT);
	}
	assert_int_equal(smr_park_until(&other, 1, deadline), -ETIMEDOUT);
	assert_int_equal(smr_park_until(&other, 1, 0), -ETIMEDOUT);
	assert_int_equal(errno, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_woken),
		cmocka_unit_test(another_value_does_not_sleep),
		cmocka_unit_test(a_deadline_ends_it),
	};

	return cmocka_run_group_tests_name("base_park", tests, NULL, NULL);
}
