/* SPDX-License-Identifier: MIT */
/* The function that every fuzz driver calls. */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include "support/ops.h"

#include <stdint.h>

/*
 * Takes @size bytes for steps (at most FUZZ_STEPS) and applies them to a tree and the model. If the
 * two differ, prints the steps, as a file for tests/regress, and aborts.
 */
void fuzz_tree(const uint8_t *data, size_t size);

#define FUZZ_STEPS 2000

/* Decodes the bytes without running them: puts the steps into @ops. Returns their number. */
size_t fuzz_decode(const uint8_t *data, size_t size, unsigned int *flags, struct op *ops,
		   size_t max);

#endif
