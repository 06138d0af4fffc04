/* SPDX-License-Identifier: MIT */
/* The one body that every fuzz driver calls. */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include "support/ops.h"

#include <stdint.h>

/*
 * Takes @size bytes for steps (at most FUZZ_STEPS), does them to a tree and the model, and aborts
 * after printing them, as a file for tests/regress, when the two differ.
 */
void fuzz_tree(const uint8_t *data, size_t size);

#define FUZZ_STEPS 2000

/* The same without the rig: what the bytes mean. Steps are put into @ops; their number. */
size_t fuzz_decode(const uint8_t *data, size_t size, unsigned int *flags, struct op *ops,
		   size_t max);

#endif
