/* SPDX-License-Identifier: MIT */
#include "reclaim.h"

#include <stdlib.h>
#include <urcu/urcu-bp.h>

#include "tsan.h"

struct reclaim_batch {
	struct rcu_head head;
	struct reclaimer *reclaimer;
	size_t count;
	void *things[RECLAIM_BATCH];
};

/* Stands for the grace periods: read sections release it, callbacks acquire it. */
static char grace_period;

void reclaim_read_done(void)
{
	tsan_release(&grace_period);
}

static void free_batch(struct rcu_head *head)
{
	struct reclaim_batch *batch = caa_container_of(head, struct reclaim_batch, head);
	struct reclaimer *reclaimer;

	tsan_acquire(batch);
	reclaimer = batch->reclaimer;
	tsan_acquire(&grace_period);
	for (size_t i = 0; i < batch->count; i++)
		reclaimer->bury(batch->things[i]);
	pthread_mutex_lock(&reclaimer->lock);
	reclaimer->waiting--;
	pthread_cond_signal(&reclaimer->changed);
	pthread_mutex_unlock(&reclaimer->lock);
	free(batch);
}

static void send_batch(struct reclaimer *reclaimer)
{
	if (!reclaimer->batch)
		return;
	pthread_mutex_lock(&reclaimer->lock);
	reclaimer->waiting++;
	pthread_mutex_unlock(&reclaimer->lock);
	tsan_release(reclaimer->batch);
	urcu_bp_call_rcu(&reclaimer->batch->head, free_batch);
	reclaimer->batch = NULL;
}

void reclaimer_init(struct reclaimer *reclaimer, bool rcu, void (*bury)(void *thing))
{
	*reclaimer = (struct reclaimer){ .rcu = rcu, .bury = bury };
	pthread_mutex_init(&reclaimer->lock, NULL);
	pthread_cond_init(&reclaimer->changed, NULL);
}

void reclaimer_retire(struct reclaimer *reclaimer, void *thing)
{
	struct reclaim_batch *batch = reclaimer->batch;

	if (!reclaimer->rcu) {
		reclaimer->bury(thing);
		return;
	}
	if (!batch)
		batch = malloc(sizeof(*batch));
	if (!batch) {
		/* No room to remember it: wait for the readers here and now. */
		urcu_bp_synchronize_rcu();
		tsan_acquire(&grace_period);
		reclaimer->bury(thing);
		return;
	}
	if (!reclaimer->batch) {
		batch->count = 0;
		batch->reclaimer = reclaimer;
		reclaimer->batch = batch;
	}
	batch->things[batch->count++] = thing;
	if (batch->count == RECLAIM_BATCH)
		send_batch(reclaimer);
}

void reclaimer_finish(struct reclaimer *reclaimer)
{
	send_batch(reclaimer);
	/* Counted here rather than left to rcu_barrier(), which aborts when it cannot allocate. */
	pthread_mutex_lock(&reclaimer->lock);
	while (reclaimer->waiting)
		pthread_cond_wait(&reclaimer->changed, &reclaimer->lock);
	pthread_mutex_unlock(&reclaimer->lock);
	pthread_cond_destroy(&reclaimer->changed);
	pthread_mutex_destroy(&reclaimer->lock);
}
