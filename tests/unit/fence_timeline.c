/* SPDX-License-Identifier: MIT */
/* Timelines: values, the order of their fences, errors, and what keeps what alive. */
#include "base/atomic.h"
#include "base/base.h"
#include "fence/fence_internal.h"
#include "fence/timeline.h"
#include "support/cm.h"
#include "support/env.h"
#include "support/rng.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <samara/fence.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FENCES 50

struct record {
	struct fence_cb cb;
	uint64_t value;
	struct timeline *tl;
};

static uint64_t order[FENCES];
static int errors[FENCES];
static unsigned int ran;

static void note(struct fence *f, struct fence_cb *cb)
{
	const struct record *r = (struct record *)cb;

	errors[ran] = fence_error(f);
	order[ran++] = r->value;
	/* The value has moved on before the first fence is signalled. */
	if (r->tl && fence_error(f) != -ECANCELED)
		assert_true(timeline_value(r->tl) >= r->value);
}

/* Gets a fence that only @tl keeps alive, recorded when it is signalled. */
static void owe(struct timeline *tl, struct record *r, uint64_t value)
{
	struct fence *f = timeline_fence(tl, value);

	assert_non_null(f);
	*r = (struct record){ .value = value, .tl = tl };
	assert_int_equal(fence_add_callback(f, &r->cb, note), 0);
	fence_put(f);
}

static int begin(void **state)
{
	(void)state;
	ran = 0;
	return 0;
}

static void a_value_and_a_name(void **state)
{
	char name[] = "ring 0: copy engine, with a very long name";
	struct timeline *tl = timeline_create(name, 7), *empty = timeline_create("", UINT64_MAX);
	struct timeline *nameless = timeline_create(NULL, 0);

	(void)state;
	assert_string_equal(timeline_name(nameless), "unknown");
	timeline_put(nameless);
	name[0] = 'x';
	assert_string_equal(timeline_name(tl), "ring 0: copy engine, with a ver");
	assert_int_equal(strlen(timeline_name(tl)), 31);
	assert_int_equal(timeline_value(tl), 7);
	assert_string_equal(timeline_name(empty), "");
	assert_int_equal(timeline_signal(empty, UINT64_MAX), -EINVAL);
	timeline_put(empty);
	assert_ptr_equal(timeline_get(tl), tl);
	timeline_put(tl);
	assert_int_equal(timeline_value(tl), 7);
	timeline_put(tl);
}

static void it_only_grows(void **state)
{
	struct timeline *tl = timeline_create("t", 5);
	struct fence *f = timeline_fence(tl, 6);

	(void)state;
	assert_int_equal(timeline_signal(tl, 5), -EINVAL);
	assert_int_equal(timeline_signal(tl, 0), -EINVAL);
	assert_int_equal(timeline_signal_error(tl, 6, 5), -EINVAL);
	assert_int_equal(timeline_signal_error(tl, 6, -4096), -EINVAL);
	assert_int_equal(timeline_value(tl), 5);
	assert_false(fence_is_signaled(f));
	assert_int_equal(timeline_signal(tl, 6), 0);
	assert_int_equal(timeline_value(tl), 6);
	assert_true(fence_is_signaled(f));
	assert_int_equal(timeline_signal(tl, UINT64_MAX), 0);
	assert_int_equal(timeline_value(tl), UINT64_MAX);
	fence_put(f);
	timeline_put(tl);
}

static void a_reached_value_is_signalled_already(void **state)
{
	struct timeline *tl = timeline_create("t", 5);
	struct fence *f;

	(void)state;
	timeline_signal_error(tl, 9, -EIO);
	for (uint64_t value = 0; value <= 9; value += 3) {
		f = timeline_fence(tl, value);
		assert_true(fence_is_signaled(f));
		assert_int_equal(fence_error(f), 0);
		assert_true(fence_timestamp(f) > 0);
		fence_put(f);
	}
	f = timeline_fence(tl, 10);
	assert_false(fence_is_signaled(f));
	fence_put(f);
	timeline_put(tl);
}

static void lower_values_first(void **state)
{
	struct record r[FENCES];
	struct rng rng = rng_make(1, 1);

	(void)state;
	for (int turn = 0; turn < 20; turn++) {
		struct timeline *tl = timeline_create("t", 0);

		ran = 0;
		for (int i = 0; i < FENCES; i++)
			owe(tl, &r[i],
			    turn == 0   ? (uint64_t)i + 1
			    : turn == 1 ? (uint64_t)(FENCES - i)
					: 1 + rng_below(&rng, 60));
		for (uint64_t value = 7; value < 70; value += 7) {
			assert_int_equal(timeline_signal(tl, value), 0);
			assert_true(ran == 0 || order[ran - 1] <= value);
		}
		assert_int_equal(ran, FENCES);
		for (int i = 1; i < FENCES; i++)
			assert_true(order[i - 1] <= order[i]);
		timeline_put(tl);
	}
}

static void an_error_is_that_of_the_step(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct record r[6];

	(void)state;
	for (uint64_t i = 0; i < 6; i++)
		owe(tl, &r[i], i + 1);
	assert_int_equal(timeline_signal(tl, 2), 0);
	assert_int_equal(timeline_signal_error(tl, 4, -EIO), 0);
	assert_int_equal(timeline_signal(tl, 5), 0);
	assert_int_equal(ran, 5);
	timeline_put(tl);
	assert_int_equal(ran, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(errors[i], i == 5 ? -ECANCELED : i == 2 || i == 3 ? -EIO : 0);
}

/* A holder may signal a fence before its time; the timeline does not mind. */
static void signalled_by_somebody_else(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct fence *f = timeline_fence(tl, 3), *g = timeline_fence(tl, 3);

	(void)state;
	assert_int_equal(fence_signal_error(f, -EPERM), 0);
	assert_false(f != g && fence_is_signaled(g));
	assert_int_equal(timeline_signal(tl, 3), 0);
	assert_int_equal(fence_error(f), -EPERM);
	assert_true(fence_is_signaled(g));
	fence_put(f);
	fence_put(g);
	timeline_put(tl);
}

static void fences_outlive_the_timeline(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct fence *f = timeline_fence(tl, 1), *g = timeline_fence(tl, UINT64_MAX);

	(void)state;
	timeline_signal(tl, 1);
	timeline_put(tl);
	assert_int_equal(fence_error(f), 0);
	assert_int_equal(fence_error(g), -ECANCELED);
	fence_put(f);
	fence_put(g);
}

/* ---- Within callbacks */

static struct timeline *busy;

static void move_on(struct fence *f, struct fence_cb *cb)
{
	const struct record *r = (struct record *)cb;
	struct fence *next;

	note(f, cb);
	if (r->value >= 6)
		return;
	/* The fences of this call wait until the present one is through, then come in order. */
	assert_int_equal(timeline_signal_error(busy, r->value + 3, -(int)r->value), 0);
	assert_int_equal(timeline_value(busy), r->value + 3);
	next = timeline_fence(busy, r->value + 3);
	assert_true(fence_is_signaled(next));
	fence_put(next);
}

static void a_callback_may_move_its_timeline(void **state)
{
	static const int expected[] = { 0, -1, -1, -1, -4, -4, -4 };
	struct record r[8];

	(void)state;
	busy = timeline_create("busy", 0);
	for (uint64_t i = 0; i < 8; i++) {
		struct fence *f = timeline_fence(busy, i + 1);

		r[i] = (struct record){ .value = i + 1 };
		fence_add_callback(f, &r[i].cb, i % 3 == 0 ? move_on : note);
		fence_put(f);
	}
	assert_int_equal(timeline_signal(busy, 1), 0);
	assert_int_equal(timeline_value(busy), 7);
	assert_int_equal(ran, 7);
	for (unsigned int i = 0; i < 7; i++) {
		assert_int_equal(order[i], i + 1);
		assert_int_equal(errors[i], expected[i]);
	}
	assert_true(timeline_signal(busy, 8) == 0 && ran == 8);
	timeline_put(busy);
}

/*
 * Forgets a fence at each place in the list: the rest stays in order. A signalled one is only put.
 */
static void what_nobody_wants_is_forgotten(void **state)
{
	static const uint64_t forgotten[] = { 2, 0, 4, 1 };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct timeline *tl = timeline_create("t", 0);
		struct record r[6];
		struct fence *f = NULL;

		ran = 0;
		for (unsigned int k = 0; k < 5; k++) {
			if (k == forgotten[i])
				f = timeline_fence(tl, k + 1);
			else
				owe(tl, &r[k], k + 1);
		}
		smr_timeline_forget(tl, fence_get(f));
		owe(tl, &r[5], 9); /* the last one's place is known */
		assert_int_equal(timeline_signal(tl, 10), 0);
		assert_false(fence_is_signaled(f));
		assert_int_equal(ran, 5);
		for (unsigned int k = 1; k < ran; k++)
			assert_true(order[k - 1] < order[k]);
		fence_put(f);
		smr_timeline_forget(tl, timeline_fence(tl, 10));
		timeline_put(tl);
	}
}

/* The newest fence's place is known until that is signalled or forgotten. */
static void beside_one_that_is_far_ahead(void **state)
{
	static const uint64_t values[] = { 900, 5, 6, 6, 7, 3, 8, 4, 20, 21, 10, 30 };
	struct timeline *tl = timeline_create("t", 0);
	struct record r[ARRAY_SIZE(values)];
	unsigned int i = 0;

	(void)state;
	for (; i < 8; i++)
		owe(tl, &r[i], values[i]);
	assert_int_equal(timeline_signal(tl, 8), 0);
	assert_int_equal(ran, 7);
	for (; i < 9; i++)
		owe(tl, &r[i], values[i]);
	smr_timeline_forget(tl, timeline_fence(tl, 20));
	for (; i < ARRAY_SIZE(values); i++)
		owe(tl, &r[i], values[i]);
	assert_int_equal(timeline_signal(tl, 1000), 0);
	assert_int_equal(ran, ARRAY_SIZE(values));
	for (unsigned int k = 1; k < ran; k++)
		assert_true(order[k - 1] <= order[k]);
	timeline_put(tl);
}

/* ---- Polls: a fence is got, looked at, and put */

#define POLLS 2000
#define LISTENERS 30
#define FAR UINT64_C(1000000)
#define SLACK 64 /* so many abandoned fences may remain in any case */

/*
 * Returns how many are pending; checks that they are in order, and where the timeline thinks they
 * are.
 */
static unsigned long count_pending(struct timeline *tl)
{
	const struct fence *last = NULL;
	unsigned long nr = 0;
	bool right = true;

	mt_lock_acquire(&tl->lock);
	for (const struct fence *f = tl->pending.first; f; f = f->next, nr++) {
		right &= !last || last->value <= f->value;
		last = f;
	}
	right &= tl->nr_pending == nr && (!last || tl->pending.last == last);
	mt_lock_release(&tl->lock);
	assert_true(right);
	return nr;
}

static void poll_once(struct timeline *tl, uint64_t value)
{
	struct fence *f = timeline_fence(tl, value);

	assert_non_null(f);
	assert_int_equal(fence_wait(f, 0), -ETIMEDOUT);
	fence_put(f);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static uint64_t same(struct rng *rng, uint64_t n)
{
	(void)rng;
	(void)n;
	return FAR;
}

static uint64_t upwards(struct rng *rng, uint64_t n)
{
	(void)rng;
	return FAR + n;
}

static uint64_t downwards(struct rng *rng, uint64_t n)
{
	(void)rng;
	return FAR - n;
}

static uint64_t anywhere(struct rng *rng, uint64_t n)
{
	(void)n;
	return 1 + rng_below(rng, 2 * FAR);
}

static uint64_t (*const ways[])(struct rng *rng, uint64_t n) = { same, upwards, downwards,
								 anywhere };

static void polls_leave_little(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct timeline *tl = timeline_create("t", 0);
		struct rng rng = rng_make(2, i);

		for (uint64_t n = 0; n < POLLS; n++) {
			poll_once(tl, ways[i](&rng, n));
			assert_true(count_pending(tl) <= SLACK);
		}
		poll_once(tl, 3 * FAR);
		assert_int_equal(timeline_signal(tl, 2 * FAR), 0);
		poll_once(tl, 3 * FAR);
		timeline_put(tl);
	}
}

/* A third of the listeners each: fences that are held, have a callback, or have an eventfd. */
struct audience {
	struct fence *f[LISTENERS];
	struct record r[LISTENERS];
	int fd[LISTENERS];
};

static void listen_to(struct timeline *tl, struct audience *a, unsigned int i, uint64_t value)
{
	struct fence *f;

	if (i % 3 == 1) {
		owe(tl, &a->r[i], value);
		return;
	}
	f = timeline_fence(tl, value);
	assert_non_null(f);
	a->f[i] = f;
	if (i % 3 == 2) {
		a->fd[i] = fence_eventfd(f);
		assert_true(a->fd[i] >= 0);
		fence_put(f);
	}
}

static void expect_unheard(const struct audience *a)
{
	assert_int_equal(ran, 0);
	for (unsigned int i = 0; i < LISTENERS; i += 3)
		assert_false(fence_is_signaled(a->f[i]));
	for (unsigned int i = 2; i < LISTENERS; i += 3)
		assert_false(readable(a->fd[i]));
}

static void expect_heard(const struct audience *a)
{
	assert_int_equal(ran, LISTENERS / 3);
	for (unsigned int i = 0; i < ran; i++)
		assert_int_equal(errors[i], 0);
	for (unsigned int i = 0; i < LISTENERS; i += 3) {
		assert_true(fence_is_signaled(a->f[i]));
		assert_int_equal(fence_error(a->f[i]), 0);
		fence_put(a->f[i]);
	}
	for (unsigned int i = 2; i < LISTENERS; i += 3) {
		assert_true(readable(a->fd[i]));
		close(a->fd[i]);
	}
}

/* Listeners stay, however many polls there are. */
static void polls_disturb_nobody(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		struct timeline *tl = timeline_create("t", 0);
		struct rng rng = rng_make(3, i);
		struct audience a;

		ran = 0;
		for (uint64_t n = 0; n < POLLS; n++) {
			if (n % 10 == 0 && n / 10 < LISTENERS)
				listen_to(tl, &a, (unsigned int)n / 10, ways[i](&rng, n));
			poll_once(tl, ways[i](&rng, n));
			assert_true(count_pending(tl) <= SLACK + 2 * LISTENERS);
		}
		expect_unheard(&a);
		assert_int_equal(timeline_signal(tl, 2 * FAR), 0);
		expect_heard(&a);
		assert_int_equal(count_pending(tl), 0);
		timeline_put(tl);
	}
}

/* The same after many fences have been pending once. */
static void polls_after_a_crowd(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct fence *crowd[POLLS];

	(void)state;
	for (unsigned int i = 0; i < POLLS; i++)
		crowd[i] = timeline_fence(tl, i + 1);
	assert_int_equal(count_pending(tl), POLLS);
	assert_int_equal(timeline_signal(tl, POLLS), 0);
	for (unsigned int i = 0; i < POLLS; i++) {
		poll_once(tl, FAR);
		assert_true(count_pending(tl) <= SLACK);
		assert_int_equal(fence_error(crowd[i]), 0);
		fence_put(crowd[i]);
	}
	timeline_put(tl);
}

/* ---- Polls beside a thread that moves the timeline */

#define POLLERS 3

static struct timeline *shared;
static unsigned int polling, called, failures; /* atomic */
static unsigned int rounds;
static struct fence_cb *promises[POLLERS];

static void expect(bool condition)
{
	if (!condition)
		smr_add(&failures, 1, RELAXED);
}

static void keep_promise(struct fence *f, struct fence_cb *cb)
{
	(void)cb;
	expect(fence_error(f) == 0);
	smr_add(&called, 1, RELAXED);
}

/* Makes a fence that nobody holds; keep_promise() is called, now or later. */
static void promise(uint64_t value, struct fence_cb *cb)
{
	struct fence *f = timeline_fence(shared, value);

	if (fence_add_callback(f, cb, keep_promise))
		keep_promise(f, cb);
	fence_put(f);
}

static int wait_a_little(uint64_t value, int64_t timeout)
{
	struct fence *f = timeline_fence(shared, value);
	int err = fence_wait(f, timeout);

	expect(err == 0 || err == -ETIMEDOUT);
	if (err == 0) {
		expect(timeline_value(shared) >= value);
		expect(fence_error(f) == 0);
	}
	fence_put(f);
	return err;
}

static void *poller(void *id)
{
	for (unsigned int n = 0; n < rounds; n++) {
		struct rng rng = rng_make(4 + (uintptr_t)id, n);
		uint64_t value = timeline_value(shared) + 1 + rng_below(&rng, 10);

		promise(value, promises[(uintptr_t)id] + n);
		for (int i = 0; i < 10; i++)
			expect(wait_a_little(UINT64_MAX - rng_below(&rng, 3), 0) == -ETIMEDOUT);
		while (wait_a_little(value, (int64_t)rng_below(&rng, 20000)))
			;
	}
	smr_sub(&polling, 1, RELAXED);
	return NULL;
}

static void every_poller_gets_its_answer(void **state)
{
	pthread_t threads[POLLERS];
	uint64_t value = 0;

	(void)state;
	shared = timeline_create("polled", 0);
	polling = POLLERS;
	rounds = (unsigned int)env_scaled(1000);
	for (uintptr_t i = 0; i < POLLERS; i++) {
		promises[i] = calloc(rounds, sizeof(**promises));
		assert_non_null(promises[i]);
		assert_int_equal(pthread_create(&threads[i], NULL, poller, (void *)i), 0);
	}
	while (smr_load(&polling, RELAXED)) {
		fence_begin_signalling();
		expect(timeline_signal(shared, ++value) == 0);
		fence_end_signalling();
		usleep(10);
	}
	for (int i = 0; i < POLLERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(failures, 0);
	assert_int_equal(called, POLLERS * rounds);
	/* No more than one poll and one promise of each thread were wanted at a time. */
	assert_true(count_pending(shared) <= SLACK + 4 * POLLERS);
	timeline_put(shared);
	for (int i = 0; i < POLLERS; i++)
		free(promises[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_value_and_a_name, begin),
		cmocka_unit_test_setup(it_only_grows, begin),
		cmocka_unit_test_setup(a_reached_value_is_signalled_already, begin),
		cmocka_unit_test_setup(lower_values_first, begin),
		cmocka_unit_test_setup(an_error_is_that_of_the_step, begin),
		cmocka_unit_test_setup(signalled_by_somebody_else, begin),
		cmocka_unit_test_setup(fences_outlive_the_timeline, begin),
		cmocka_unit_test_setup(a_callback_may_move_its_timeline, begin),
		cmocka_unit_test_setup(what_nobody_wants_is_forgotten, begin),
		cmocka_unit_test_setup(beside_one_that_is_far_ahead, begin),
		cmocka_unit_test_setup(polls_leave_little, begin),
		cmocka_unit_test_setup(polls_disturb_nobody, begin),
		cmocka_unit_test_setup(polls_after_a_crowd, begin),
		cmocka_unit_test(every_poller_gets_its_answer),
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence_timeline", tests, NULL, NULL);
}
