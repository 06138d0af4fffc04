/* SPDX-License-Identifier: MIT */
#include "reclaim.h"

#include <stdlib.h>
#include <time.h>
#include <urcu/urcu-bp.h>

#include "tsan.h"

struct reclaim_batch {
	struct reclaim_batch *next;
	size_t count;
	void *things[RECLAIM_BATCH];
};

/*
 * Stands for grace periods: leaving a read-side critical section releases it, waiting for a grace
 * period acquires it.
 */
static char grace_period;

void reclaim_read_done(void)
{
	tsan_release(&grace_period);
}

static void wait_for_readers(void)
{
	urcu_bp_synchronize_rcu();
	tsan_acquire(&grace_period);
}

/* Frees all of them after one grace period. */
static void free_batches(const struct reclaimer *reclaimer, struct reclaim_batch *batch)
{
	struct reclaim_batch *next;

	wait_for_readers();
	for (; batch; batch = next) {
		next = batch->next;
		for (size_t i = 0; i < batch->count; i++)
			reclaimer->free_thing(batch->things[i]);
		free(batch);
	}
}

static void *reclaim_main(void *arg)
{
	static const struct timespec rest = { .tv_nsec = 10000000 };
	struct reclaimer *reclaimer = arg;
	struct reclaim_batch *batches;

	pthread_mutex_lock(&reclaimer->lock);
	while (reclaimer->sent || !reclaimer->ending) {
		batches = reclaimer->sent;
		reclaimer->sent = NULL;
		if (!batches) {
			pthread_cond_wait(&reclaimer->changed, &reclaimer->lock);
			continue;
		}
		pthread_mutex_unlock(&reclaimer->lock);
		free_batches(reclaimer, batches);
		/*
		 * A grace period interrupts all running threads, so let some more gather for the
		 * next.
		 */
		nanosleep(&rest, NULL);
		pthread_mutex_lock(&reclaimer->lock);
	}
	pthread_mutex_unlock(&reclaimer->lock);
	return NULL;
}

static void send_batch(struct reclaimer *reclaimer)
{
	struct reclaim_batch *batch = reclaimer->batch;

	if (!batch)
		return;
	reclaimer->batch = NULL;
	batch->next = NULL;
	if (!reclaimer->threaded) {
		free_batches(reclaimer, batch);
		return;
	}
	pthread_mutex_lock(&reclaimer->lock);
	batch->next = reclaimer->sent;
	reclaimer->sent = batch;
	pthread_cond_signal(&reclaimer->changed);
	pthread_mutex_unlock(&reclaimer->lock);
}

void reclaimer_init(struct reclaimer *reclaimer, bool rcu, void (*free_thing)(void *thing))
{
	*reclaimer = (struct reclaimer){ .rcu = rcu, .free_thing = free_thing };
	pthread_mutex_init(&reclaimer->lock, NULL);
	pthread_cond_init(&reclaimer->changed, NULL);
	reclaimer->threaded = rcu &&
			      !pthread_create(&reclaimer->thread, NULL, reclaim_main, reclaimer);
}

void reclaimer_retire(struct reclaimer *reclaimer, void *thing)
{
	struct reclaim_batch *batch = reclaimer->batch;

	if (!reclaimer->rcu) {
		reclaimer->free_thing(thing);
		return;
	}
	if (!batch)
		batch = malloc(sizeof(*batch));
	if (!batch) {
		/* No memory to remember it: wait for the readers here and now. */
		wait_for_readers();
		reclaimer->free_thing(thing);
		return;
	}
	if (!reclaimer->batch) {
		batch->count = 0;
		reclaimer->batch = batch;
	}
	batch->things[batch->count++] = thing;
	if (batch->count == RECLAIM_BATCH)
		send_batch(reclaimer);
}

void reclaimer_finish(struct reclaimer *reclaimer)
{
	send_batch(reclaimer);
	if (reclaimer->threaded) {
		pthread_mutex_lock(&reclaimer->lock);
		reclaimer->ending = true;
		pthread_cond_signal(&reclaimer->changed);
		pthread_mutex_unlock(&reclaimer->lock);
		pthread_join(reclaimer->thread, NULL);
	}
	pthread_cond_destroy(&reclaimer->changed);
	pthread_mutex_destroy(&reclaimer->lock);
}
