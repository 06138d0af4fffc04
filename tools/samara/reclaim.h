/* SPDX-License-Identifier: MIT */
/*
 * Frees things that readers may still see: at once, or in RCU mode in batches after a grace period,
 * for one call_rcu per thing would cost more than the tree does.
 */
#ifndef SAMARA_TOOL_RECLAIM_H
#define SAMARA_TOOL_RECLAIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define RECLAIM_BATCH 256

struct reclaim_batch;

struct reclaimer {
	bool rcu;
	void (*bury)(void *thing);   /* frees one */
	struct reclaim_batch *batch; /* being filled; NULL: none */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t waiting; /* GUARD lock: batches that wait for a grace period */
};

void reclaimer_init(struct reclaimer *reclaimer, bool rcu, void (*bury)(void *thing));
/*
 * Takes a thing that new readers cannot find; never fails. CONTEXT: one thread, not in a read
 * section (without memory for a batch it waits for a grace period).
 */
void reclaimer_retire(struct reclaimer *reclaimer, void *thing);
/*
 * Buries everything retired and ends @reclaimer. CONTEXT: waits for a grace period in RCU mode; not
 * in a read section.
 */
void reclaimer_finish(struct reclaimer *reclaimer);

/* Readers: the last thing in a read section that has looked at such things. */
void reclaim_read_done(void);

#endif
