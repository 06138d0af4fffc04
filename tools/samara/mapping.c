/* SPDX-License-Identifier: MIT */
#include "mapping.h"

#include <stdlib.h>
#include <urcu/urcu-bp.h>

#include "tsan.h"

struct mapping_batch {
	struct rcu_head head;
	struct reclaimer *reclaimer;
	size_t count;
	struct mapping *mappings[MAPPING_BATCH];
};

/* Stands for the grace periods: read sections release it, callbacks acquire it. */
static char grace_period;

void mapping_read_done(void)
{
	tsan_release(&grace_period);
}

struct mapping *mapping_new(const struct as_mapping *what)
{
	struct mapping *mapping = malloc(sizeof(*mapping));

	if (!mapping)
		return NULL;
	mapping->what = *what;
	mapping->birth = 0;
	atomic_init(&mapping->cut, 0);
	atomic_init(&mapping->death, 0);
	atomic_init(&mapping->magic, MAPPING_ALIVE);
	return mapping;
}

void mapping_discard(struct mapping *mapping)
{
	free(mapping);
}

/* A reader that still sees the record notices by its magic, even without a sanitizer. */
static void bury(struct mapping *mapping)
{
	atomic_store_explicit(&mapping->magic, MAPPING_FREED, memory_order_relaxed);
	free(mapping);
}

static void free_batch(struct rcu_head *head)
{
	struct mapping_batch *batch = caa_container_of(head, struct mapping_batch, head);
	struct reclaimer *reclaimer;

	tsan_acquire(batch);
	reclaimer = batch->reclaimer;
	tsan_acquire(&grace_period);
	for (size_t i = 0; i < batch->count; i++)
		bury(batch->mappings[i]);
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

void reclaimer_init(struct reclaimer *reclaimer, bool rcu)
{
	*reclaimer = (struct reclaimer){ .rcu = rcu };
	pthread_mutex_init(&reclaimer->lock, NULL);
	pthread_cond_init(&reclaimer->changed, NULL);
}

void mapping_retire(struct reclaimer *reclaimer, struct mapping *mapping)
{
	struct mapping_batch *batch = reclaimer->batch;

	if (!reclaimer->rcu) {
		bury(mapping);
		return;
	}
	if (!batch)
		batch = malloc(sizeof(*batch));
	if (!batch) {
		/* No room to remember it: wait for the readers here and now. */
		urcu_bp_synchronize_rcu();
		tsan_acquire(&grace_period);
		bury(mapping);
		return;
	}
	if (!reclaimer->batch) {
		batch->count = 0;
		batch->reclaimer = reclaimer;
		reclaimer->batch = batch;
	}
	batch->mappings[batch->count++] = mapping;
	if (batch->count == MAPPING_BATCH)
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
