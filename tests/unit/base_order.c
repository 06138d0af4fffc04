/* SPDX-License-Identifier: MIT */
#include "base/order.h"
#include "support/cm.h"
#include <stdbool.h>

static void names_keep_their_order(void **state)
{
	(void)state;
	assert_int_equal(ORDER(lock, acquire), __ATOMIC_ACQUIRE);
	assert_int_equal(ORDER(lock, release), __ATOMIC_RELEASE);
	assert_int_equal(ORDER(lock, acq_rel), __ATOMIC_ACQ_REL);
	assert_int_equal(ORDER(lock, seq_cst), __ATOMIC_SEQ_CST);
}

static void operations(void **state)
{
	unsigned long word = 5, old = 4;

	(void)state;
	assert_int_equal(smr_load(&word, RELAXED), 5);
	smr_store(&word, 6, ORDER(lock, release));
	assert_int_equal(smr_xchg(&word, 7, ORDER(lock, acq_rel)), 6);
	assert_int_equal(smr_add(&word, 3, RELAXED), 7);
	assert_int_equal(smr_sub(&word, 1, RELAXED), 10);
	assert_int_equal(smr_or(&word, 2, RELAXED), 9);
	assert_int_equal(word, 11);
	assert_false(smr_cas(&word, &old, 9, ORDER(lock, acquire), RELAXED));
	assert_int_equal(old, 11);
	assert_true(smr_cas(&word, &old, 9, ORDER(lock, acquire), RELAXED));
	assert_int_equal(word, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_keep_their_order),
		cmocka_unit_test(operations),
	};

	return cmocka_run_group_tests_name("base_order", tests, NULL, NULL);
}
