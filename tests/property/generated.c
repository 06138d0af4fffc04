/* SPDX-License-Identifier: MIT */
/*
 * What random rounds consist of: whatever the keys, every kind of step occurs in all its variants.
 */
#include "generate.h"
#include "support/cm.h"

#define STEPS 20000
#define ROUNDS 30

/* The values of bits 0 and 1 of a step's first number, as a set: bit n for value n. */
static unsigned int variants(const struct profile *profile, uint64_t round, enum op_kind kind)
{
	struct rig rig;
	unsigned int seen = 0;

	assert_true(rig_init(&rig, profile->flags));
	for (uint64_t number = 0; number < STEPS; number++) {
		struct op op = generate(profile, &rig, 1, round, number);

		if (op.kind == kind)
			seen |= 1U << (op.n[0] & 3);
	}
	assert_true(rig_fini(&rig));
	return seen;
}

static void all_variants_with_all_keys(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct profile profile = profile_make(1, round, STEPS);

		print_message("%s\n", profile_keys(&profile));
		assert_int_equal(variants(&profile, round, OP_rcu), 0xf);
		assert_int_equal(variants(&profile, round, OP_dup), 0xf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_variants_with_all_keys),
	};

	return cmocka_run_group_tests_name("generated", tests, NULL, NULL);
}
