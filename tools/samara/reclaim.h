/* SPDX-License-Identifier: MIT */
/*
 * Frees things that readers may still see: at once, or in RCU mode in batches after a grace period,
 * since one wait for each thing would cost more than the tree does. A thread waits and frees;
 * liburcu's call_rcu() would end the program when it finds no memory.
 */
#ifndef SAMARA_TOOL_RECLAIM_H
#define SAMARA_TOOL_RECLAIM_H

#include <pthread.h>
#include <stdbool.h>

#define RECLAIM_BATCH 256

struct reclaim_batch;

struct reclaimer {
	bool rcu;
	void (*free_thing)(void *thing); /* frees one thing */
	struct reclaim_batch *batch;     /* being filled; NULL: none */
	bool threaded; /* false: no thread could be started, so reclaimer_retire() waits */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct reclaim_batch *sent; /* GUARD lock: to be freed after a grace period */
	bool ending;                /* GUARD lock */
};

void reclaimer_init(struct reclaimer *reclaimer, bool rcu, void (*free_thing)(void *thing));
/*
 * Takes ownership of a thing that new readers cannot find; never fails. CONTEXT: one thread, not in
 * a read-side critical section (without memory for a batch, or a thread, it waits for a grace
 * period).
 */
void reclaimer_retire(struct reclaimer *reclaimer, void *thing);
/*
 * Frees everything retired and ends @reclaimer. CONTEXT: waits for a grace period in RCU mode; not
 * in a read-side critical section.
 */
void reclaimer_finish(struct reclaimer *reclaimer);

/* Readers: call last in a read-side critical section that has looked at such things. */
void reclaim_read_done(void);

#endif
