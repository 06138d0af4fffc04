/* SPDX-License-Identifier: MIT */
/* Waiting for one fence, any or all: results, timeouts, interruptions. */
#include "base/atomic.h"
#include "base/park.h"
#include "fence/fence_internal.h"
#include "support/cm.h"
#include "support/memfault.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define MANY 40
#define UNTOUCHED 99u

static struct fence *f[MANY];

static int begin(void **state)
{
	(void)state;
	memfault_ok();
	for (int i = 0; i < MANY; i++)
		f[i] = fence_create();
	return 0;
}

static int end(void **state)
{
	(void)state;
	memfault_ok();
	for (int i = 0; i < MANY; i++) {
		assert_null(f[i]->first); /* no wait has left a callback behind */
		fence_put(f[i]);
	}
	return 0;
}

static void looking_does_not_wait(void **state)
{
	unsigned int which = UNTOUCHED;

	(void)state;
	assert_int_equal(fence_wait(f[0], 0), -ETIMEDOUT);
	assert_int_equal(fence_wait_any(f, 3, 0, &which), -ETIMEDOUT);
	assert_int_equal(which, UNTOUCHED);
	assert_int_equal(fence_wait_all(f, 3, 0), -ETIMEDOUT);
	memfault_none();
	assert_int_equal(fence_wait_any(f, MANY, 0, NULL), -ETIMEDOUT); /* allocates nothing */
	fence_signal(f[2]);
	assert_int_equal(fence_wait_any(f, 3, 0, &which), 0);
	assert_int_equal(which, 2);
	assert_int_equal(fence_wait_all(f, 3, 0), -ETIMEDOUT);
	assert_int_equal(fence_wait(f[2], 0), 0);
	fence_signal_error(f[1], -EIO);
	assert_int_equal(fence_wait_any(f, 3, 0, &which), 0);
	assert_int_equal(which, 1);
	fence_signal(f[0]);
	assert_int_equal(fence_wait_all(f, 3, 0), 0);
}

static void of_none(void **state)
{
	unsigned int which = UNTOUCHED;

	(void)state;
	assert_int_equal(fence_wait_any(NULL, 0, FENCE_FOREVER, &which), -EINVAL);
	assert_int_equal(which, UNTOUCHED);
	assert_int_equal(fence_wait_all(NULL, 0, FENCE_FOREVER), 0);
}

static void time_runs_out(void **state)
{
	const int64_t timeout = 2000000;
	uint64_t start = smr_now();
	unsigned int which = UNTOUCHED;

	(void)state;
	errno = ENOTTY;
	assert_int_equal(fence_wait(f[0], timeout), -ETIMEDOUT);
	assert_true(smr_now() - start >= (uint64_t)timeout);
	start = smr_now();
	assert_int_equal(fence_wait_any(f, 3, timeout, &which), -ETIMEDOUT);
	assert_int_equal(which, UNTOUCHED);
	assert_true(smr_now() - start >= (uint64_t)timeout);
	assert_int_equal(fence_wait_any(f, MANY, 1, NULL), -ETIMEDOUT);
	start = smr_now();
	fence_signal(f[0]);
	assert_int_equal(fence_wait_all(f, 3, timeout), -ETIMEDOUT);
	assert_true(smr_now() - start >= (uint64_t)timeout);
	assert_int_equal(errno, ENOTTY);
}

/* Signalled with an error counts as signalled. */
static void without_need_to_sleep(void **state)
{
	unsigned int which;

	(void)state;
	for (int i = 0; i < MANY; i++)
		fence_signal_error(f[i], -EIO);
	assert_int_equal(fence_wait(f[0], FENCE_FOREVER), 0);
	assert_int_equal(fence_wait(f[0], INT64_MIN), 0);
	assert_int_equal(fence_wait(f[0], INT64_MAX), 0);
	assert_int_equal(fence_wait_any(f, MANY, FENCE_FOREVER, &which), 0);
	assert_int_equal(which, 0);
	assert_int_equal(fence_wait_all(f, MANY, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(f[0]), -EIO);
}

/* ---- Sleeping until another thread signals */

/* Waits until a waiter sleeps or is about to: on the fence's own word, or with a callback on it. */
static void await_waiter(struct fence *fence)
{
	for (;;) {
		bool there;

		mt_lock_acquire(&fence->lock);
		there = fence->first != NULL ||
			smr_load(&fence->state, RELAXED) == SMRI_FENCE_WAITED;
		mt_lock_release(&fence->lock);
		if (there)
			break;
		usleep(100);
	}
	usleep(500);
}

enum how { ONE, ANY, ANY_OF_MANY, ALL };

struct waiter {
	pthread_t thread;
	enum how how;
	int64_t timeout;
	int answer;
	unsigned int which;
	int done;
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;

	switch (w->how) {
	case ONE:
		w->answer = fence_wait(f[0], w->timeout);
		break;
	case ANY:
		w->answer = fence_wait_any(f, 16, w->timeout, &w->which);
		break;
	case ANY_OF_MANY:
		w->answer = fence_wait_any(f, MANY, w->timeout, &w->which);
		break;
	case ALL:
		w->answer = fence_wait_all(f, 3, w->timeout);
		break;
	}
	smr_store(&w->done, 1, RELAXED);
	return NULL;
}

static void start(struct waiter *w, enum how how, int64_t timeout)
{
	*w = (struct waiter){ .how = how, .timeout = timeout, .which = UNTOUCHED };
	assert_int_equal(pthread_create(&w->thread, NULL, wait_for_it, w), 0);
}

static void finish(struct waiter *w, int answer)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_int_equal(w->answer, answer);
}

static void all_sleepers_wake(void **state)
{
	struct waiter w[4];

	(void)state;
	start(&w[0], ONE, FENCE_FOREVER);
	start(&w[1], ONE, INT64_MAX);
	start(&w[2], ALL, 100000000000);
	start(&w[3], ANY, FENCE_FOREVER);
	await_waiter(f[0]);
	await_waiter(f[15]);
	fence_signal(f[1]);
	finish(&w[3], 0);
	assert_int_equal(w[3].which, 1);
	fence_signal(f[0]);
	finish(&w[0], 0);
	finish(&w[1], 0);
	fence_signal(f[2]);
	finish(&w[2], 0);
}

static void any_of_many(void **state)
{
	struct waiter w;

	(void)state;
	memfault_none();
	assert_int_equal(fence_wait_any(f, 17, FENCE_FOREVER, NULL), -ENOMEM);
	memfault_ok();
	start(&w, ANY_OF_MANY, FENCE_FOREVER);
	await_waiter(f[MANY - 1]);
	fence_signal_error(f[33], -EIO);
	finish(&w, 0);
	assert_int_equal(w.which, 33);
}

/* The same fence several times. */
static void any_of_the_same(void **state)
{
	struct fence *same[] = { f[0], f[1], f[0], f[0] };
	unsigned int which;

	(void)state;
	assert_int_equal(fence_wait_any(same, 4, 1000, &which), -ETIMEDOUT);
	fence_signal(f[0]);
	assert_int_equal(fence_wait_any(same, 4, FENCE_FOREVER, &which), 0);
	assert_int_equal(which, 0);
}

/* Waits need no memory, except for any of more than 16 fences. */
static void no_memory_needed(void **state)
{
	(void)state;
	memfault_none();
	assert_int_equal(fence_wait(f[0], 1000), -ETIMEDOUT);
	assert_int_equal(fence_wait_any(f, 16, 1000, NULL), -ETIMEDOUT);
	assert_int_equal(fence_wait_all(f, MANY, 1000), -ETIMEDOUT);
	assert_int_equal(memfault_count(), 0);
}

/* ---- Interrupted */

static int handled; /* by the handler */

static void handler(int sig)
{
	(void)sig;
	smr_add(&handled, 1, RELAXED);
}

static void interrupted(int flags, enum how how, int64_t timeout)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, was;
	struct waiter w;

	assert_int_equal(sigaction(SIGUSR1, &action, &was), 0);
	smr_store(&handled, 0, RELAXED);
	start(&w, how, timeout);
	/* Repeatedly: a signal that comes before the wait sleeps is not the wait's business. */
	while (!smr_load(&w.done, RELAXED)) {
		pthread_kill(w.thread, SIGUSR1);
		usleep(500);
	}
	finish(&w, -EINTR);
	assert_true(smr_load(&handled, RELAXED) > 0);
	assert_int_equal(w.which, UNTOUCHED);
	assert_int_equal(sigaction(SIGUSR1, &was, NULL), 0);
}

static void a_signal_handler_interrupts(void **state)
{
	static const int flags[] = { 0, SA_RESTART };
	static const int64_t timeouts[] = { FENCE_FOREVER, 100000000000, INT64_MAX };

	(void)state;
	for (int i = 0; i < 2; i++) {
		for (int t = 0; t < 3; t++) {
			interrupted(flags[i], ONE, timeouts[t]);
			interrupted(flags[i], ANY, timeouts[t]);
			interrupted(flags[i], ALL, timeouts[t]);
		}
	}
	/* Nothing is lost. */
	fence_signal(f[0]);
	assert_int_equal(fence_wait(f[0], FENCE_FOREVER), 0);
}

#define test_wait(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_wait(looking_does_not_wait),
		test_wait(of_none),
		test_wait(time_runs_out),
		test_wait(without_need_to_sleep),
		test_wait(all_sleepers_wake),
		test_wait(any_of_many),
		test_wait(any_of_the_same),
		test_wait(no_memory_needed),
		test_wait(a_signal_handler_interrupts),
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence_wait", tests, NULL, NULL);
}
