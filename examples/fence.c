/* SPDX-License-Identifier: MIT */
/*
 * A device that works for us, in a thread of its own: each job has a fence that is signalled when
 * the job is done. Four ways to learn of that: a wait, a callback, an eventfd in an event loop, and
 * a timeline that counts jobs.
 */
#include "expect.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <samara/fence.h>
#include <unistd.h>

enum { JOBS = 4, BROKEN = 2 };

struct job {
	struct fence *done;
	int result;
};

static struct job jobs[JOBS];
static struct timeline *progress;

/* Other threads wait for this one: between begin and end it must not allocate, free or wait. */
static void *device(void *unused)
{
	for (int i = 0; i < JOBS; i++) {
		fence_begin_signalling();
		jobs[i].result = 100 + i;
		fence_signal_error(jobs[i].done, i == BROKEN ? -EIO : 0);
		timeline_signal(progress, (uint64_t)i + 1);
		fence_end_signalling();
	}
	return unused;
}

static int called; /* written by the device's thread before it wakes the fence's waiters */

static void count(struct fence *f, struct fence_cb *cb)
{
	(void)cb;
	called += fence_error(f) == 0;
}

int main(void)
{
	struct fence_cb first = { 0 }, unwanted = { 0 };
	struct pollfd loop = { .events = POLLIN };
	struct fence *all[JOBS], *third;
	unsigned int which;
	pthread_t thread;

	progress = timeline_create("device", 0);
	EXPECT(progress);
	for (int i = 0; i < JOBS; i++) {
		all[i] = jobs[i].done = fence_create();
		EXPECT(all[i]);
	}
	third = timeline_fence(progress, 3);
	EXPECT(third && !fence_is_signaled(third));
	loop.fd = fence_eventfd(all[3]);
	EXPECT(loop.fd >= 0);
	EXPECT(fence_add_callback(all[0], &first, count) == 0);
	EXPECT(fence_add_callback(all[1], &unwanted, count) == 0);
	EXPECT(fence_remove_callback(all[1], &unwanted));
	EXPECT(fence_wait(all[0], 1000) == -ETIMEDOUT);

	EXPECT(pthread_create(&thread, NULL, device, NULL) == 0);

	/* A wait. What the device did before it signalled is visible now. */
	EXPECT(fence_wait(all[1], FENCE_FOREVER) == 0);
	EXPECT(jobs[0].result == 100 && jobs[1].result == 101);
	EXPECT(fence_wait_any(all, JOBS, FENCE_FOREVER, &which) == 0 && which == 0);

	/* A timeline: reaching 3 means that 1 and 2 are over too. */
	EXPECT(fence_wait(third, FENCE_FOREVER) == 0 && timeline_value(progress) >= 3);
	EXPECT(fence_error(all[BROKEN]) == -EIO);

	/* An event loop. */
	EXPECT(poll(&loop, 1, -1) == 1);
	EXPECT(fence_is_signaled(all[3]) && jobs[3].result == 103);
	EXPECT(fence_wait_all(all, JOBS, 0) == 0);

	EXPECT(pthread_join(thread, NULL) == 0);
	EXPECT(called == 1);
	EXPECT(fence_add_callback(all[0], &first, count) == -ENOENT); /* too late */
	close(loop.fd);
	fence_put(third);
	timeline_put(progress);
	for (int i = 0; i < JOBS; i++)
		fence_put(all[i]);
	return 0;
}
