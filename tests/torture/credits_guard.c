/* SPDX-License-Identifier: MIT */
#include "credits_guard.h"

#include "support/guard.h"

#include "base/base.h"
#include "base/park.h"

#include <pthread.h>
#include <samara/maple_tree.h>
#include <stdio.h>
#include <stdlib.h>

enum { STARTING, IDLE, JOB, DONE, FAULT };

static struct {
	unsigned int state; /* one of the above; the futex of both threads */
	bool filtered;
	void (*fn)(void *arg);
	void *arg;
	char fault[256];
} guard;

static unsigned int wait_while(unsigned int value, unsigned int or_value)
{
	unsigned int state;

	for (;;) {
		state = __atomic_load_n(&guard.state, __ATOMIC_ACQUIRE);
		if (state != value && state != or_value)
			return state;
		smr_park(&guard.state, state);
	}
}

static void move_to(unsigned int state)
{
	__atomic_store_n(&guard.state, state, __ATOMIC_RELEASE);
	smr_wake(&guard.state, 2);
}

__attribute__((noreturn)) static void stop(void)
{
	move_to(FAULT);
	for (;;)
		smr_park(&guard.state, FAULT);
}

/* ---- Assertions of the library: they replace its own, which print and abort ---- */

__attribute__((noreturn, cold)) void smr_assert_fail(const char *what, const char *file, int line)
{
	if (!guard_inside()) {
		fprintf(stderr, "samara: %s:%d: assertion failed: %s\n", file, line, what);
		abort();
	}
	snprintf(guard.fault, sizeof(guard.fault), "%s:%d: %s", file, line, what);
	stop();
}

/* ---- The thread ---- */

/* Notes what the thread did wrong, and stops it. */
static void stop_for(const char *what)
{
	snprintf(guard.fault, sizeof(guard.fault), "the storing thread: %s", what);
	stop();
}

static void *guarded_thread(void *arg)
{
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);

	(void)arg;
	/* A thread asks the system for its id once, when it takes its first lock. */
	mtree_lock(&tree);
	mtree_unlock(&tree);
	/*
	 * Assertions about read-side critical sections make liburcu register the thread, which
	 * takes system calls.
	 */
	mt_rcu_read_lock(&tree);
	mt_rcu_read_unlock(&tree);
	guard.filtered = guard_thread();
	move_to(IDLE);
	for (;;) {
		wait_while(IDLE, DONE);
		guard_enter();
		guard.fn(guard.arg);
		guard_leave();
		move_to(DONE);
	}
	return NULL;
}

bool credits_guard_start(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, guarded_thread, NULL))
		abort();
	pthread_detach(thread);
	wait_while(STARTING, STARTING);
	return guard.filtered;
}

const char *credits_guard_run(void (*fn)(void *arg), void *arg)
{
	guard_begin();
	guard_set_fault(stop_for);
	guard.fn = fn;
	guard.arg = arg;
	move_to(JOB);
	return wait_while(JOB, JOB) == FAULT ? guard.fault : NULL;
}
