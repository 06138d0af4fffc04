/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getcpu() */
#include "base/grace.h"

#include "base/order.h"
#include "base/park.h"
#include "base/rcu.h"
#include "base/thread.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct worker {
	struct smr_rcu_head *queue[SMR_GRACE_LISTS]; /* GUARD ORDER grace_queue; newest first */
	unsigned int event; /* GUARD ORDER grace_queue: the futex; counts notifications */
	bool hurry;  /* GUARD ORDER grace_queue: what is queued is wanted soon, patient or not */
	bool urgent; /* GUARD the worker: the same for what it has taken, or is to take next */
	unsigned int waiters; /* GUARD relaxed: how many threads wait for it to be done */
	uint64_t near;        /* GUARD relaxed: the thread to run near, and its CPU; 0: none */
	cpu_set_t allowed;    /* GUARD the worker: where it may run, while it is bound */
	int bound;            /* GUARD the worker: the CPU that it has bound itself to, or -1 */
	/* Never held while waiting for a grace period, so that fork() can take it too. */
	pthread_mutex_t run_lock;
	struct smr_rcu_head
		*taken[SMR_GRACE_LISTS]; /* GUARD run_lock: off the queues, not called yet */
};

#define WORKER                                        \
	{                                             \
		.run_lock = PTHREAD_MUTEX_INITIALIZER \
	}

static struct worker workers[SMR_RCU_FLAVORS] = { WORKER, WORKER, WORKER, WORKER };
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
bool smri_grace_runs[SMR_RCU_FLAVORS];
static smr_thread_local bool is_worker;

bool smr_grace_self(void)
{
	return is_worker;
}

static void notify(struct worker *w)
{
	/*
	 * ORDER grace_queue: a worker that reads the new event finds what it is about. PARTNER
	 * wait_for_work(), gather().
	 */
	smr_add(&w->event, 1, ORDER(grace_queue, release));
	smr_wake(&w->event, 1);
}

/*
 * Returns false if there was a hurry already. ORDER grace_queue: comes after what it is about.
 * PARTNER take_work().
 */
static bool note_hurry(struct worker *w)
{
	return !smr_xchg(&w->hurry, true, ORDER(grace_queue, release));
}

/* Puts a chain of heads, from @first to @last, on a queue. */
static void enqueue(struct worker *w, unsigned int list, struct smr_rcu_head *first,
		    struct smr_rcu_head *last)
{
	struct smr_rcu_head *newest = smr_load(&w->queue[list], RELAXED);

	/*
	 * ORDER grace_queue: the heads are written before the worker can take them. PARTNER
	 * take_work().
	 */
	do
		last->next = newest;
	while (!smr_cas(&w->queue[list], &newest, first, ORDER(grace_queue, release), RELAXED));
	if ((list != SMR_GRACE_NODES_PATIENT && note_hurry(w)) || !newest)
		notify(w);
}

void smr_grace_queue(enum mt_rcu_flavor flavor, struct smr_rcu_head *head, enum smr_grace_list list)
{
	enqueue(&workers[flavor], list, head, head);
}

void smr_grace_hurry(enum mt_rcu_flavor flavor)
{
	if (note_hurry(&workers[flavor]))
		notify(&workers[flavor]);
}

void smr_grace_await(enum mt_rcu_flavor flavor)
{
	struct worker *w = &workers[flavor];

	/* While other threads wait already, nothing gathers, and there is nothing to notify. */
	if (smr_add(&w->waiters, 1, RELAXED) == 0)
		notify(w);
}

void smr_grace_awaited(enum mt_rcu_flavor flavor)
{
	smr_sub(&workers[flavor].waiters, 1, RELAXED);
}

static bool take_work(struct worker *w)
{
	bool any = false;

	/*
	 * ORDER grace_queue: read before the queues, so that what a hurry is about is taken with
	 * it. PARTNER note_hurry().
	 */
	if (smr_xchg(&w->hurry, false, ORDER(grace_queue, acquire)))
		w->urgent = true;
	pthread_mutex_lock(&w->run_lock);
	for (unsigned int i = 0; i < SMR_GRACE_LISTS; i++) {
		/* ORDER grace_queue: acquires the heads. PARTNER enqueue(). */
		w->taken[i] = smr_xchg(&w->queue[i], NULL, ORDER(grace_queue, acquire));
		any |= w->taken[i] != NULL;
	}
	pthread_mutex_unlock(&w->run_lock);
	return any;
}

/* ---- Where the worker runs ---- */

void smr_grace_near(enum mt_rcu_flavor flavor, unsigned int tid)
{
	int cpu = sched_getcpu();

	if (cpu >= 0)
		smr_store(&workers[flavor].near, (uint64_t)tid << 32 | (unsigned int)cpu, RELAXED);
}

/*
 * Binds the calling thread to @cpu, if it may run there; -1: to no CPU in particular. It may run
 * where it was started, or where somebody has bound it since.
 */
static void bind_to(struct worker *w, int cpu)
{
	cpu_set_t now, one;

	if (cpu == w->bound || sched_getaffinity(0, sizeof(now), &now))
		return;
	if (w->bound < 0 || CPU_COUNT(&now) != 1 || !CPU_ISSET((size_t)w->bound, &now))
		w->allowed = now;
	CPU_ZERO(&one);
	if (cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, &w->allowed))
		CPU_SET((size_t)cpu, &one);
	else
		cpu = -1;
	/* If this fails because the CPU is gone by now, it is tried again with the next one. */
	(void)sched_setaffinity(0, sizeof(one), cpu >= 0 ? &one : &w->allowed);
	w->bound = cpu;
}

/* musl's sched_getscheduler() does not ask the kernel. @tid: 0 is the calling thread. */
static long policy_of(unsigned int tid)
{
	long policy = syscall(SYS_sched_getscheduler, tid);

	return policy < 0 ? policy : policy & ~SCHED_RESET_ON_FORK;
}

/* Returns true if the calling thread may hardly ever run on a CPU on which thread @tid runs. */
static bool is_preferred(unsigned int tid)
{
	long policy = policy_of(tid);

	if (policy == SCHED_FIFO || policy == SCHED_RR)
		return true;
	if (policy != SCHED_IDLE && policy_of(0) == SCHED_IDLE)
		return true;
	return getpriority(PRIO_PROCESS, tid) < getpriority(PRIO_PROCESS, 0);
}

/* Runs on the CPU of the thread that has asked for it last, unless that would not let it. */
static void go_near(struct worker *w)
{
	uint64_t near = smr_load(&w->near, RELAXED);

	if (near)
		bind_to(w, is_preferred((unsigned int)(near >> 32)) ? -1 : (int)(uint32_t)near);
}

/* ---- The worker ---- */

/*
 * Sleeps until something is queued, and takes it; bound to no CPU, where a real-time thread may be
 * running by then. A hurry while nothing is queued is about what another thread is about to queue
 * (request_grace() in mem/retire.c), and lasts until that comes.
 */
static void wait_for_work(struct worker *w)
{
	w->urgent = false;
	for (;;) {
		/*
		 * ORDER grace_queue: read before the queues, so that no wake-up in between is
		 * missed. PARTNER notify().
		 */
		unsigned int event = smr_load(&w->event, ORDER(grace_queue, acquire));

		if (take_work(w))
			return;
		bind_to(w, -1);
		smr_park(&w->event, event);
	}
}

/*
 * Returns true if more than nodes has been taken, which needs liburcu: a thread in a section that
 * has read no root is not known to base/quiet.h.
 */
static bool needs_liburcu(const struct worker *w)
{
	return w->taken[SMR_GRACE_ANY] || w->taken[SMR_GRACE_PARENT_ONLY];
}

/*
 * Sleeps while more gathers for the next time: longer while nobody is in a hurry, and not at all
 * while a thread waits.
 */
static void gather(struct worker *w)
{
	/* Only this thread changes what it depends on. */
	bool patient = !w->urgent && !needs_liburcu(w) && !w->taken[SMR_GRACE_NODES];
	uint64_t begin = smr_now(), until;
	unsigned int event;

	for (;;) {
		/* ORDER grace_queue: read before `waiters` and `hurry`. PARTNER notify(). */
		event = smr_load(&w->event, ORDER(grace_queue, acquire));
		if (smr_load(&w->waiters, RELAXED) > 0)
			break;
		until = begin + 1000 * (patient && !smr_load(&w->hurry, RELAXED)
						? SMR_GRACE_PATIENCE_US
						: SMR_GRACE_GATHER_US);
		if (smr_now() >= until)
			break;
		(void)smr_park_until(&w->event, event, until);
	}
}

/* A head is off the list before its callback is called, which may queue it again or free it. */
static void run_taken(struct worker *w)
{
	struct smr_rcu_head *head;

	pthread_mutex_lock(&w->run_lock);
	for (unsigned int i = 0; i < SMR_GRACE_LISTS; i++) {
		while ((head = w->taken[i])) {
			w->taken[i] = head->next;
			head->fn(head);
		}
	}
	pthread_mutex_unlock(&w->run_lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)(w - workers);

	is_worker = true;
	prctl(PR_SET_NAME, "samara-grace");
	/*
	 * Callbacks may read trees. A thread's first section takes liburcu's lock, which a thread
	 * that forks may hold while it waits for run_lock.
	 */
	smr_rcu_join();
	smr_quiet_keep_records();
	w->bound = -1;
	for (;;) {
		wait_for_work(w);
		gather(w);
		go_near(w);
		if (needs_liburcu(w) || !smr_rcu_quiet(flavor))
			smr_rcu_synchronize(flavor);
		run_taken(w);
	}
	return NULL;
}

static bool start_thread(struct worker *w)
{
	pthread_t thread;
	int err = smr_thread_start(&thread, worker_main, w);

	if (!err)
		pthread_detach(thread);
	return !err;
}

bool smri_grace_start(enum mt_rcu_flavor flavor)
{
	bool runs;

	pthread_mutex_lock(&start_lock);
	runs = smri_grace_runs[flavor] || start_thread(&workers[flavor]);
	smr_store(&smri_grace_runs[flavor], runs, RELAXED);
	pthread_mutex_unlock(&start_lock);
	return runs;
}

/* Takes start_lock last: a callback, under run_lock, may start another flavour's worker. */
void smr_grace_before_fork(void)
{
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++)
		pthread_mutex_lock(&workers[i].run_lock);
	pthread_mutex_lock(&start_lock);
}

void smr_grace_after_fork_parent(void)
{
	unsigned int i;

	pthread_mutex_unlock(&start_lock);
	for (i = 0; i < SMR_RCU_FLAVORS; i++)
		pthread_mutex_unlock(&workers[i].run_lock);
}

static void requeue(struct worker *w, unsigned int list)
{
	struct smr_rcu_head *last = w->taken[list];

	while (last && last->next)
		last = last->next;
	if (last)
		enqueue(w, list, w->taken[list], last);
	w->taken[list] = NULL;
}

static void discard(struct worker *w, unsigned int list)
{
	smr_store(&w->queue[list], NULL, RELAXED);
	w->taken[list] = NULL;
}

/*
 * The workers are gone, with whatever grace periods they were waiting for: what they had taken is
 * queued again. But not what is about nodes: a thread that no longer exists may have announced some
 * of that and not queued it yet, so the owner queues all of it again.
 */
void smr_grace_after_fork_child(void)
{
	unsigned int i;

	for (i = 0; i < SMR_RCU_FLAVORS; i++) {
		smri_grace_runs[i] = false;
		workers[i].waiters = 0;
		requeue(&workers[i], SMR_GRACE_ANY);
		for (unsigned int list = SMR_GRACE_ANY + 1; list < SMR_GRACE_LISTS; list++)
			discard(&workers[i], list);
	}
	smr_grace_after_fork_parent();
}
