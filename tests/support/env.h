/* SPDX-License-Identifier: MIT */
/*
 * What the environment asks of a test:
 *   SAMARA_TEST_SEED   the seed of random tests; a fixed one unless given, 0: from the clock
 *   SAMARA_TEST_OPS    how many operations, in place of the test's own number
 *   SAMARA_TEST_SCALE  percent of the test's own number, 100 unless given
 */
#ifndef TESTS_SUPPORT_ENV_H
#define TESTS_SUPPORT_ENV_H

#include <stdint.h>

uint64_t env_seed(void);
/* @ops as the environment has it: SAMARA_TEST_OPS, else SAMARA_TEST_SCALE percent, at least 1. */
uint64_t env_ops(uint64_t ops);
/* SAMARA_TEST_SCALE percent of @n, at least 1; SAMARA_TEST_OPS does not count. */
uint64_t env_scaled(uint64_t n);
/*
 * Of a list of cases that one thread goes through, every how many-th is to be: all, or, at a scale
 * below 100, every fifth. Five shares no factor with the numbers of flags and modes that such lists
 * are made of: what is left is spread over all of them.
 */
unsigned int env_stride(void);

#endif
