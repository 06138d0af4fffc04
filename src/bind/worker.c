/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads that take a VM off a list, work for it for a turn, and take the next. There is a
 * list of VMs that have jobs to run, and one of those that have some to clean up after. A VM is off
 * a list while a worker serves it, so no two workers do the same for it, and none ever waits for
 * another: whatever a callback of one VM waits for, it keeps a thread or two from the others and no
 * more.
 *
 * Running must not wait for cleaning up, which may wait for memory, and so for the run of any job.
 * So there are twice as many threads as bind_workers_create() is given, at most half of them at
 * either duty.
 */
#include "bind/bind_internal.h"

#include "base/park.h"
#include "base/thread.h"
#include "lock/check.h"
#include "mem/heap.h"

#include <limits.h>
#include <pthread.h>

enum { SHARED_THREADS = 2, MAX_THREADS = 1024 };

/* VMs that have something to do. */
struct list {
	struct gpuvm_queues *head, **tail; /* GUARD lock */
	unsigned int busy;                 /* GUARD lock: threads that perform the duty */
};

struct bind_workers {
	struct mt_lock lock; /* RANK workers */
	struct list list[SMRI_BIND_DUTIES];
	unsigned int idle;  /* GUARD lock: threads that sleep, or are about to */
	unsigned int event; /* GUARD writes: lock; the futex of idle threads */
	bool stop;          /* GUARD lock */
	unsigned int nr;    /* threads for each duty */
	pthread_t thread[];
};

/* Releases the lock, and wakes an idle thread if @more. CONTEXT: HOLDS w->lock. */
static void release(struct bind_workers *w, bool more)
{
	bool wake = more && w->idle > 0;

	if (wake)
		smr_store(&w->event, w->event + 1, RELAXED);
	mt_lock_release(&w->lock);
	if (wake)
		smr_wake(&w->event, 1);
}

void smri_bind_enlist(struct gpuvm_queues *q, enum smri_bind_duty duty, bool wake)
{
	struct bind_workers *w = q->workers;
	struct list *list = &w->list[duty];

	mt_lock_acquire(&w->lock);
	q->turn[duty].next = NULL;
	*list->tail = q;
	list->tail = &q->turn[duty].next;
	release(w, wake);
}

/*
 * Returns true if there is a VM for one more thread. If as many are busy as may be, the first to
 * finish takes it. CONTEXT, of these: HOLDS w->lock.
 */
static bool has_more(const struct bind_workers *w, enum smri_bind_duty duty)
{
	return w->list[duty].head && w->list[duty].busy < w->nr;
}

static struct gpuvm_queues *take(struct bind_workers *w, enum smri_bind_duty duty)
{
	struct list *list = &w->list[duty];
	struct gpuvm_queues *q = list->head;

	if (!has_more(w, duty))
		return NULL;
	list->busy++;
	list->head = q->turn[duty].next;
	if (!list->head)
		list->tail = &list->head;
	return q;
}

/* Runs come first, because fences wait for them. */
static struct gpuvm_queues *take_any(struct bind_workers *w, enum smri_bind_duty *duty)
{
	struct gpuvm_queues *q = take(w, *duty = SMRI_BIND_RUN);

	return q ? q : take(w, *duty = SMRI_BIND_CLEAN);
}

/* Returns the next VM, and what to do for it; NULL: the workers are to end. */
static struct gpuvm_queues *next_vm(struct bind_workers *w, enum smri_bind_duty *duty)
{
	struct gpuvm_queues *q;
	unsigned int event;

	while (!(q = take_any(w, duty)) && !w->stop) {
		event = w->event;
		w->idle++;
		mt_lock_release(&w->lock);
		smr_park(&w->event, event);
		mt_lock_acquire(&w->lock);
		w->idle--;
	}
	return q;
}

static void *work(void *arg)
{
	struct bind_workers *w = arg;
	struct gpuvm_queues *q;
	enum smri_bind_duty duty;

	mt_lock_acquire(&w->lock);
	while ((q = next_vm(w, &duty))) {
		/* The thread that enlisted it may have counted on this one. */
		release(w, has_more(w, SMRI_BIND_RUN) || has_more(w, SMRI_BIND_CLEAN));
		smri_bind_work(q, duty);
		mt_lock_acquire(&w->lock);
		w->list[duty].busy--;
	}
	mt_lock_release(&w->lock);
	return NULL;
}

/* Ends the first @nr threads. */
static void stop(struct bind_workers *w, unsigned int nr)
{
	int cancel = smr_cancel_off();

	smr_check_wait("threads that run jobs");
	mt_lock_acquire(&w->lock);
	w->stop = true;
	smr_store(&w->event, w->event + 1, RELAXED);
	mt_lock_release(&w->lock);
	smr_wake(&w->event, INT_MAX);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(w->thread[i], NULL);
	smr_cancel_restore(cancel);
}

struct bind_workers *bind_workers_create(unsigned int nr)
{
	struct bind_workers *w;
	unsigned int started;

	if (nr == 0 || nr > MAX_THREADS)
		return NULL;
	w = smr_heap_alloc(sizeof(*w) + SMRI_BIND_DUTIES * nr * sizeof(w->thread[0]));
	if (!w)
		return NULL;
	smr_lock_init(&w->lock, SMR_RANK_WORKERS);
	for (unsigned int duty = 0; duty < SMRI_BIND_DUTIES; duty++)
		w->list[duty].tail = &w->list[duty].head;
	w->nr = nr;
	for (started = 0; started < SMRI_BIND_DUTIES * nr; started++) {
		if (smr_thread_start(&w->thread[started], work, w)) {
			stop(w, started);
			smr_heap_free(w);
			return NULL;
		}
	}
	return w;
}

void bind_workers_destroy(struct bind_workers *workers)
{
	if (!workers)
		return;
	stop(workers, SMRI_BIND_DUTIES * workers->nr);
	for (unsigned int duty = 0; duty < SMRI_BIND_DUTIES; duty++)
		smr_assert(!workers->list[duty].head);
	smr_heap_free(workers);
}

/* ---- The shared workers: they exist as long as a VM uses them ---- */

static struct {
	pthread_mutex_t lock; /* held while threads start, so not a struct mt_lock */
	struct bind_workers *workers;
	unsigned long users;
} shared = { PTHREAD_MUTEX_INITIALIZER, NULL, 0 };

/* In a child the threads are not there, and one of the parent's may have held the lock. */
static void after_fork_child(void)
{
	pthread_mutex_init(&shared.lock, NULL);
	shared.workers = NULL;
	shared.users = 0;
}

__attribute__((constructor)) static void watch_forks(void)
{
	/* Fails only if out of memory at start-up; then a child waits for threads that are not. */
	(void)pthread_atfork(NULL, NULL, after_fork_child);
}

struct bind_workers *smri_bind_workers_get(void)
{
	struct bind_workers *workers;

	pthread_mutex_lock(&shared.lock);
	if (!shared.workers)
		shared.workers = bind_workers_create(SHARED_THREADS);
	workers = shared.workers;
	shared.users += workers != NULL;
	pthread_mutex_unlock(&shared.lock);
	return workers;
}

void smri_bind_workers_put(void)
{
	struct bind_workers *last = NULL;

	pthread_mutex_lock(&shared.lock);
	if (--shared.users == 0) {
		last = shared.workers;
		shared.workers = NULL;
	}
	pthread_mutex_unlock(&shared.lock);
	bind_workers_destroy(last);
}
