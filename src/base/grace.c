/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getcpu() */
#include "base/grace.h"

#include "base/order.h"
#include "base/park.h"
#include "base/rcu.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

struct worker {
	struct smr_rcu_head *queue; /* GUARD ORDER grace_queue; newest first */
	unsigned int event;         /* GUARD ORDER grace_queue: the futex; counts wake-ups */
	int near;                   /* GUARD relaxed: the CPU to run on, as far as that may be */
	bool started;               /* GUARD writes: start_lock; reads: relaxed */
	/* Who takes it waits for no grace period while holding it, so that fork() can take it too. */
	pthread_mutex_t run_lock;
	struct smr_rcu_head *taken; /* GUARD run_lock: off the queue, not called yet */
};

#define WORKER                                                    \
	{                                                         \
		.near = -1, .run_lock = PTHREAD_MUTEX_INITIALIZER \
	}

static struct worker workers[SMR_RCU_FLAVORS] = { WORKER, WORKER, WORKER, WORKER };
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

/* Puts a chain of heads, from @first to @last, on the queue. */
static void enqueue(struct worker *w, struct smr_rcu_head *first, struct smr_rcu_head *last)
{
	struct smr_rcu_head *newest = smr_load(&w->queue, RELAXED);

	/* ORDER grace_queue: the heads are written before the worker can take them. PARTNER wait_for_work(). */
	do
		last->next = newest;
	while (!smr_cas(&w->queue, &newest, first, ORDER(grace_queue, release), RELAXED));
	if (!newest) {
		/* ORDER grace_queue: who reads the new event finds the queue filled. PARTNER wait_for_work(). */
		smr_add(&w->event, 1, ORDER(grace_queue, release));
		smr_wake(&w->event, 1);
	}
}

void smr_grace_queue(enum mt_rcu_flavor flavor, struct smr_rcu_head *head)
{
	struct worker *w = &workers[flavor];

	enqueue(w, head, head);
	if (smr_unlikely(!smr_load(&w->started, RELAXED)))
		(void)smr_grace_start(flavor);
}

/* Sleeps until something is queued, and takes it. */
static void wait_for_work(struct worker *w)
{
	struct smr_rcu_head *head = NULL;

	while (!head) {
		/* ORDER grace_queue: read before the queue, lest a wake-up in between be missed. PARTNER enqueue(). */
		unsigned int event = smr_load(&w->event, ORDER(grace_queue, acquire));

		pthread_mutex_lock(&w->run_lock);
		/* ORDER grace_queue: acquires the heads. PARTNER enqueue(). */
		head = smr_xchg(&w->queue, NULL, ORDER(grace_queue, acquire));
		w->taken = head;
		pthread_mutex_unlock(&w->run_lock);
		if (!head)
			smr_park(&w->event, event);
	}
}

/* What a callback has been called for is no longer in the list: it may be queued again, or be freed. */
static void run_taken(struct worker *w)
{
	struct smr_rcu_head *head;

	pthread_mutex_lock(&w->run_lock);
	while ((head = w->taken)) {
		w->taken = head->next;
		head->fn(head);
	}
	pthread_mutex_unlock(&w->run_lock);
}

void smr_grace_near(enum mt_rcu_flavor flavor)
{
	smr_store(&workers[flavor].near, sched_getcpu(), RELAXED);
}

/* Moves the calling thread to @cpu, if that is one of those it @may run on. The CPU that it is bound to now. */
static int move_to(int cpu, const cpu_set_t *may, int bound)
{
	cpu_set_t one;

	if (cpu == bound || cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET((size_t)cpu, may))
		return bound;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	/* What fails here, a CPU that is gone by now, will be tried again when there is another. */
	(void)sched_setaffinity(0, sizeof(one), &one);
	return cpu;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)(w - workers);
	const struct timespec gather = { 0, SMR_GRACE_GATHER_US * 1000L };
	cpu_set_t may;
	int bound = -1;

	prctl(PR_SET_NAME, "samara-grace");
	if (sched_getaffinity(0, sizeof(may), &may))
		CPU_ZERO(&may);
	for (;;) {
		wait_for_work(w);
		bound = move_to(smr_load(&w->near, RELAXED), &may, bound);
		nanosleep(&gather, NULL);
		smr_rcu_synchronize(flavor);
		run_taken(w);
	}
	return NULL;
}

/* The user's signals are not for this thread. */
static bool start_thread(struct worker *w)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_detach(thread);
	return !err;
}

bool smr_grace_start(enum mt_rcu_flavor flavor)
{
	struct worker *w = &workers[flavor];
	bool started = smr_load(&w->started, RELAXED);

	if (smr_likely(started))
		return true;
	pthread_mutex_lock(&start_lock);
	started = w->started || start_thread(w);
	smr_store(&w->started, started, RELAXED);
	pthread_mutex_unlock(&start_lock);
	return started;
}

void smr_grace_before_fork(void)
{
	unsigned int i;

	pthread_mutex_lock(&start_lock);
	for (i = 0; i < SMR_RCU_FLAVORS; i++)
		pthread_mutex_lock(&workers[i].run_lock);
}

void smr_grace_after_fork_parent(void)
{
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++)
		pthread_mutex_unlock(&workers[i].run_lock);
	pthread_mutex_unlock(&start_lock);
}

/* The worker is gone, with whatever grace period it was waiting for: what it had taken is queued again. */
void smr_grace_after_fork_child(void)
{
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++) {
		struct worker *w = &workers[i];
		struct smr_rcu_head *last = w->taken;

		w->started = false;
		while (last && last->next)
			last = last->next;
		if (last)
			enqueue(w, w->taken, last);
		w->taken = NULL;
	}
	smr_grace_after_fork_parent();
}
