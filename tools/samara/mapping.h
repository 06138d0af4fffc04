/* SPDX-License-Identifier: MIT */
/*
 * Mapping records: what the tree's entries point to. A record is complete before it is published
 * and does not change afterwards, but for the two stamps that say when it was on its way out.
 *
 * The writer numbers its stores 1, 2, ...: steps (see history.h). A record lives from the step
 * that stores it to the step that takes the last of its range away; as each step replaces whole
 * ranges or trims them at one end, a record never covers more than one range.
 */
#ifndef SAMARA_TOOL_MAPPING_H
#define SAMARA_TOOL_MAPPING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
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

#define MAPPING_BATCH 256

struct mapping_batch;

/*
 * Frees records: at once, or in RCU mode in batches after a grace period, for one call_rcu per
 * record would cost more than the tree does.
 */
struct reclaimer {
	bool rcu;
	struct mapping_batch *batch; /* being filled; NULL: none */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t waiting; /* GUARD lock: batches that wait for a grace period */
};

/* Readers: the last thing in a read section that has looked at records. */
void mapping_read_done(void);

/* NULL without memory. */
struct mapping *mapping_new(const struct as_mapping *what);
/* For a record that was never published. NULL is fine. */
void mapping_discard(struct mapping *mapping);

void reclaimer_init(struct reclaimer *reclaimer, bool rcu);
/*
 * Takes a record that no step leaves in the tree; never fails. CONTEXT: after its last step, one
 * thread, not in a read section (without memory for a batch it waits for a grace period).
 */
void mapping_retire(struct reclaimer *reclaimer, struct mapping *mapping);
/*
 * Frees everything retired and ends @reclaimer. CONTEXT: waits for a grace period in RCU mode;
 * not in a read section.
 */
void reclaimer_finish(struct reclaimer *reclaimer);

#endif
