/* SPDX-License-Identifier: MIT */
/* Where the steps of a random round come from. */
#ifndef TESTS_PROPERTY_GENERATE_H
#define TESTS_PROPERTY_GENERATE_H

#include "support/rig.h"

#include <stdint.h>

/* The properties of one round; they follow from seed and round alone. */
struct profile {
	unsigned int flags; /* of the tree */
	unsigned int keys;  /* how keys are spread, see key_spreads[] */
	unsigned long size; /* about how many ranges the tree should hold */
	unsigned long steps;
};

/* @steps: the most that a round may have. */
struct profile profile_make(uint64_t seed, uint64_t round, unsigned long steps);
const char *profile_keys(const struct profile *profile);

/* Returns step @number of the round, which depends on what the model holds at the moment. */
struct op generate(const struct profile *profile, const struct rig *rig, uint64_t seed,
		   uint64_t round, uint64_t number);

#endif
