/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads that take a VM off a list, work for it a turn, and take the next. The VM is off
 * the list meanwhile, so no two of them work for the same one, and none ever waits for another:
 * whatever a callback of one VM waits for, it keeps one thread from the others and no more.
 */
#include "bind/bind_internal.h"

#include "base/park.h"
#include "lock/check.h"
#include "mem/heap.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>

enum { SHARED_THREADS = 2, MAX_THREADS = 1024 };

struct bind_workers {
	struct mt_lock lock;               /* RANK workers */
	struct gpuvm_queues *head, **tail; /* GUARD lock: VMs that have something to do */
	unsigned int idle;                 /* GUARD lock: threads that sleep, or are about to */
	unsigned int event;                /* GUARD writes: lock; the futex of idle threads */
	bool stop;                         /* GUARD lock */
	unsigned int nr;
	pthread_t thread[];
};

void smri_bind_enlist(struct gpuvm_queues *q)
{
	struct bind_workers *w = q->workers;
	bool wake;

	mt_lock_acquire(&w->lock);
	q->next = NULL;
	*w->tail = q;
	w->tail = &q->next;
	wake = w->idle > 0;
	if (wake)
		smr_store(&w->event, w->event + 1, RELAXED);
	mt_lock_release(&w->lock);
	if (wake)
		smr_wake(&w->event, 1);
}

/* The next VM; NULL: the pool ends. */
static struct gpuvm_queues *next_vm(struct bind_workers *w)
{
	struct gpuvm_queues *q;
	unsigned int event;

	mt_lock_acquire(&w->lock);
	while (!w->head && !w->stop) {
		event = w->event;
		w->idle++;
		mt_lock_release(&w->lock);
		smr_park(&w->event, event);
		mt_lock_acquire(&w->lock);
		w->idle--;
	}
	q = w->head;
	if (q) {
		w->head = q->next;
		if (!w->head)
			w->tail = &w->head;
	}
	mt_lock_release(&w->lock);
	return q;
}

static void *work(void *arg)
{
	struct gpuvm_queues *q;

	while ((q = next_vm(arg)))
		smri_bind_work(q);
	return NULL;
}

/* Ends the first @nr threads. */
static void stop(struct bind_workers *w, unsigned int nr)
{
	smr_check_wait("threads that run jobs");
	mt_lock_acquire(&w->lock);
	w->stop = true;
	smr_store(&w->event, w->event + 1, RELAXED);
	mt_lock_release(&w->lock);
	smr_wake(&w->event, INT_MAX);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(w->thread[i], NULL);
}

/* Signals are for the program's own threads, but for those that a thread causes itself. */
static int start_thread(pthread_t *thread, struct bind_workers *w)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t all, before;
	int err;

	sigfillset(&all);
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&all, own[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

struct bind_workers *bind_workers_create(unsigned int nr)
{
	struct bind_workers *w;

	if (nr == 0 || nr > MAX_THREADS)
		return NULL;
	w = smr_heap_alloc(sizeof(*w) + nr * sizeof(w->thread[0]));
	if (!w)
		return NULL;
	smr_lock_init(&w->lock, SMR_RANK_WORKERS);
	w->tail = &w->head;
	for (w->nr = 0; w->nr < nr; w->nr++) {
		if (start_thread(&w->thread[w->nr], w)) {
			stop(w, w->nr);
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
	stop(workers, workers->nr);
	smr_assert(!workers->head);
	smr_heap_free(workers);
}

/* ---- The shared pool: there is one as long as a VM uses it ---- */

static struct {
	pthread_mutex_t lock; /* held over the start and end of threads, so no struct mt_lock */
	struct bind_workers *workers;
	unsigned long users;
} shared = { PTHREAD_MUTEX_INITIALIZER, NULL, 0 };

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
