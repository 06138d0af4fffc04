/* SPDX-License-Identifier: MIT */
/*
 * Mapping records: what the tree's entries point to. A record is complete before it is published
 * and does not change afterwards, except for the two stamps that say when it was removed.
 *
 * The writer numbers its stores 1, 2, ...: steps (see history.h). A record lives from the step that
 * stores it to the step that removes the last of its range. As each step replaces whole ranges or
 * trims them at one end, a record never covers more than one range.
 */
#ifndef SAMARA_TOOL_MAPPING_H
#define SAMARA_TOOL_MAPPING_H

#include <stdatomic.h>
#include <stdint.h>

#include "model/address_space.h"

#define MAPPING_ALIVE 0x6d617070u
#define MAPPING_FREED 0x64656164u

struct mapping {
	struct as_mapping what;  /* range, object, offset, flags */
	uint64_t birth;          /* the step that stores it */
	_Atomic(uint64_t) cut;   /* GUARD writer: the first step that took part of it; 0: none */
	_Atomic(uint64_t) death; /* GUARD writer: the step that took the rest; 0: alive */
	_Atomic(unsigned int) magic; /* MAPPING_ALIVE until a grace period after death */
};

/* Returns NULL without memory. */
struct mapping *mapping_new(const struct as_mapping *what);
/* Frees a record that was never published, or NULL. */
void mapping_discard(struct mapping *mapping);
/*
 * Frees a record that no reader can see any more. Marks it first, so that a reader that does see it
 * notices.
 */
void mapping_free(void *mapping);

#endif
