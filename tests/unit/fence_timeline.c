/* SPDX-License-Identifier: MIT */
/* Timelines: values, the order of their fences, errors, and who keeps what alive. */
#include "base/atomic.h"
#include "base/base.h"
#include "fence/timeline.h"
#include "support/cm.h"
#include "support/rng.h"
#include <errno.h>
#include <samara/fence.h>
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

/* A fence of @tl that nobody else keeps alive, noted when it is signalled. */
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

/* A holder may signal it before its time; the timeline does not mind. */
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
	/* Its own fences wait until the present one is through, then come in order. */
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

/* One of each place in the list, and what is left is in order; one that was signalled is let go. */
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

/* Where the newest was is known, until it is signalled or forgotten. */
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
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence_timeline", tests, NULL, NULL);
}
