/* SPDX-License-Identifier: MIT */
/*
 * What the environment sets for a test:
 *   SAMARA_TEST_SEED   the seed of random tests; fixed by default, 0: taken from the clock
 *   SAMARA_TEST_OPS    the number of operations, in place of the test's own
 *   SAMARA_TEST_SCALE  percent of the test's own number, 100 by default
 */
#ifndef TESTS_SUPPORT_ENV_H
#define TESTS_SUPPORT_ENV_H

#include <stdint.h>

uint64_t env_seed(void);
/* Returns SAMARA_TEST_OPS if set, else SAMARA_TEST_SCALE percent of @ops; at least 1. */
uint64_t env_ops(uint64_t ops);
/* Returns SAMARA_TEST_SCALE percent of @n, at least 1; ignores SAMARA_TEST_OPS. */
uint64_t env_scaled(uint64_t n);
/*
 * Returns the stride for a list of cases that one thread goes through: 1 (all of them), or 5 at a
 * scale below 100. Five shares no factor with the numbers of flags and modes that such lists are
 * made of, so every fifth case still covers all of them.
 */
unsigned int env_stride(void);

#endif
