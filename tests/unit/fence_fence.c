/* SPDX-License-Identifier: MIT */
/* Fences: lifetime, signalling, callbacks, sections. */
#include "base/atomic.h"
#include "base/park.h"
#include "lock/section.h"
#include "support/cm.h"
#include <errno.h>
#include <pthread.h>
#include <samara/fence.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 8

/* What a callback saw, in the order in which they ran. */
struct seen {
	struct fence_cb cb;
	int id;
	int error;
	uint64_t timestamp;
	bool signaled;
};

static const struct seen *order[RECORDS];
static unsigned int ran;

static void look(struct fence *f, struct fence_cb *cb)
{
	struct seen *s = (struct seen *)cb; /* its first member */

	s->error = fence_error(f);
	s->timestamp = fence_timestamp(f);
	s->signaled = fence_is_signaled(f);
	order[ran++] = s;
}

static int begin(void **state)
{
	(void)state;
	ran = 0;
	return 0;
}

static void a_new_fence_is_not_signalled(void **state)
{
	struct fence *f = fence_create();

	(void)state;
	assert_non_null(f);
	assert_false(fence_is_signaled(f));
	assert_int_equal(fence_error(f), 0);
	assert_int_equal(fence_timestamp(f), 0);
	assert_ptr_equal(fence_get(f), f);
	fence_put(f);
	assert_false(fence_is_signaled(f));
	fence_put(f);
}

static void null_is_no_fence(void **state)
{
	(void)state;
	assert_null(fence_get(NULL));
	fence_put(NULL);
	assert_null(timeline_get(NULL));
	timeline_put(NULL);
}

static void the_first_signal_counts(void **state)
{
	struct fence *f = fence_create();
	uint64_t before, at;

	(void)state;
	before = smr_now();
	errno = ENOTTY;
	assert_int_equal(fence_signal_error(f, -EIO), 0);
	assert_int_equal(errno, ENOTTY);
	assert_true(fence_is_signaled(f));
	assert_int_equal(fence_error(f), -EIO);
	at = fence_timestamp(f);
	assert_true(at >= before && at <= smr_now());
	assert_int_equal(fence_signal(f), -EALREADY);
	assert_int_equal(fence_signal_error(f, -EPERM), -EALREADY);
	assert_int_equal(fence_error(f), -EIO);
	assert_int_equal(fence_timestamp(f), at);
	fence_put(f);
}

static void an_error_is_a_negative_errno(void **state)
{
	static const int bad[] = { 1, EIO, -4096, -1000000 };
	struct fence *f = fence_create();

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fence_signal_error(f, bad[i]), -EINVAL);
	assert_false(fence_is_signaled(f));
	assert_int_equal(fence_signal_error(f, -4095), 0);
	assert_int_equal(fence_signal_error(f, 1), -EINVAL); /* the argument is checked first */
	fence_put(f);
	f = fence_create();
	assert_int_equal(fence_signal_error(f, 0), 0);
	assert_int_equal(fence_error(f), 0);
	fence_put(f);
}

static void callbacks_run_in_order_once(void **state)
{
	struct seen s[4] = { 0 };
	struct fence *f = fence_create();

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(fence_add_callback(f, &s[i].cb, look), 0);
	assert_int_equal(ran, 0);
	assert_int_equal(fence_signal_error(f, -EIO), 0);
	assert_int_equal(ran, 4);
	for (int i = 0; i < 4; i++) {
		assert_ptr_equal(order[i], &s[i]);
		assert_true(s[i].signaled);
		assert_int_equal(s[i].error, -EIO);
		assert_int_equal(s[i].timestamp, fence_timestamp(f));
	}
	fence_signal(f);
	assert_int_equal(ran, 4);
	fence_put(f);
	assert_int_equal(ran, 4);
}

static void too_late_for_a_callback(void **state)
{
	struct seen s = { 0 };
	struct fence *f = fence_create();

	(void)state;
	fence_signal(f);
	memset(&s.cb, 0x5a, sizeof(s.cb));
	assert_int_equal(fence_add_callback(f, &s.cb, look), -ENOENT);
	assert_int_equal(ran, 0);
	assert_false(fence_remove_callback(f, &s.cb));
	fence_put(f);
	assert_int_equal(ran, 0);
}

/* Removes the first, the last, one in between and the only one: the others stay in order. */
static void callbacks_can_be_removed(void **state)
{
	static const int kept[] = { 1, 3, 5, 6 };
	struct seen s[7] = { 0 }, never = { 0 };
	struct fence *f = fence_create();

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(fence_add_callback(f, &s[i].cb, look), 0);
	assert_true(fence_remove_callback(f, &s[0].cb));
	assert_true(fence_remove_callback(f, &s[2].cb));
	assert_true(fence_remove_callback(f, &s[4].cb));
	assert_true(fence_remove_callback(f, &s[5].cb));
	assert_false(fence_remove_callback(f, &s[5].cb));
	assert_false(fence_remove_callback(f, &never.cb));
	assert_int_equal(fence_add_callback(f, &s[5].cb, look), 0);
	assert_int_equal(fence_add_callback(f, &s[6].cb, look), 0);
	fence_signal(f);
	assert_int_equal(ran, 4);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(order[i], &s[kept[i]]);
	assert_false(fence_remove_callback(f, &s[1].cb));
	fence_put(f);

	f = fence_create();
	assert_int_equal(fence_add_callback(f, &s[0].cb, look), 0);
	assert_true(fence_remove_callback(f, &s[0].cb));
	assert_int_equal(fence_add_callback(f, &s[1].cb, look), 0);
	fence_signal(f);
	assert_int_equal(ran, 5);
	fence_put(f);
}

static void dying_unsignalled_is_cancelled(void **state)
{
	struct seen s[2] = { 0 };
	struct fence *f = fence_create();

	(void)state;
	fence_get(f);
	for (int i = 0; i < 2; i++)
		fence_add_callback(f, &s[i].cb, look);
	fence_put(f);
	assert_int_equal(ran, 0);
	fence_put(f);
	assert_int_equal(ran, 2);
	assert_ptr_equal(order[0], &s[0]);
	for (int i = 0; i < 2; i++) {
		assert_true(s[i].signaled);
		assert_int_equal(s[i].error, -ECANCELED);
		assert_true(s[i].timestamp > 0);
	}
}

/* ---- What a callback may do */

struct owner {
	struct fence_cb cb;
	struct fence *f;
};

static void drop_and_free(struct fence *f, struct fence_cb *cb)
{
	struct owner *o = (struct owner *)cb;

	assert_ptr_equal(o->f, f);
	fence_put(o->f);
	free(o);
	ran++;
}

static void a_callback_may_free_itself_and_drop_its_reference(void **state)
{
	struct fence *f = fence_create();
	struct seen after = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct owner *o = calloc(1, sizeof(*o));

		assert_non_null(o);
		o->f = fence_get(f);
		fence_add_callback(f, &o->cb, drop_and_free);
	}
	fence_add_callback(f, &after.cb, look);
	fence_begin_signalling();
	fence_signal(f);
	fence_end_signalling();
	assert_int_equal(ran, 4);
	assert_ptr_equal(order[3], &after);
	fence_put(f);
}

struct chain {
	struct fence_cb cb;
	struct fence *next;
	int signal;
};

static void signal_next(struct fence *f, struct fence_cb *cb)
{
	struct chain *c = (struct chain *)cb;

	(void)f;
	c->signal = fence_signal(c->next);
}

/*
 * A ring of fences, each of which signals the next: when it comes round, the first is already
 * signalled.
 */
static void callbacks_may_signal_in_a_ring(void **state)
{
	struct chain c[3] = { 0 };
	struct fence *f[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		f[i] = fence_create();
	for (int i = 0; i < 3; i++) {
		c[i].next = f[(i + 1) % 3];
		fence_add_callback(f[i], &c[i].cb, signal_next);
	}
	fence_signal(f[0]);
	assert_int_equal(c[0].signal, 0);
	assert_int_equal(c[1].signal, 0);
	assert_int_equal(c[2].signal, -EALREADY);
	for (int i = 0; i < 3; i++)
		fence_put(f[i]);
}

/* ---- Removing a running callback */

static struct {
	int entered, left, go;
	bool removed;
	int seen_left;
	struct fence *f;
	struct fence_cb cb, later;
} race;

static void slow(struct fence *f, struct fence_cb *cb)
{
	(void)f;
	(void)cb;
	smr_store(&race.entered, 1, RELAXED);
	while (!smr_load(&race.go, RELAXED))
		usleep(100);
	usleep(1000);
	smr_store(&race.left, 1, RELAXED);
}

static void *signaller(void *f)
{
	fence_signal(f);
	return NULL;
}

static void *remover(void *f)
{
	race.removed = fence_remove_callback(f, &race.cb);
	race.seen_left = smr_load(&race.left, RELAXED);
	return NULL;
}

static void a_running_callback_is_waited_for(void **state)
{
	pthread_t threads[2];
	struct seen later = { 0 };

	(void)state;
	memset(&race, 0, sizeof(race));
	race.f = fence_create();
	fence_add_callback(race.f, &race.cb, slow);
	fence_add_callback(race.f, &later.cb, look);
	assert_int_equal(pthread_create(&threads[0], NULL, signaller, race.f), 0);
	while (!smr_load(&race.entered, RELAXED))
		usleep(100);
	assert_int_equal(pthread_create(&threads[1], NULL, remover, race.f), 0);
	/* Meanwhile a callback that has not run yet can be removed, and the fence is signalled. */
	assert_true(fence_is_signaled(race.f));
	assert_int_equal(fence_signal(race.f), -EALREADY);
	assert_true(fence_remove_callback(race.f, &later.cb));
	smr_store(&race.go, 1, RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_false(race.removed);
	assert_int_equal(race.seen_left, 1);
	assert_int_equal(ran, 0);
	fence_put(race.f);
}

/* ---- Sections */

static void look_at_section(struct fence *f, struct fence_cb *cb)
{
	(void)f;
	(void)cb;
	ran += fence_in_signalling();
}

static void sections_nest(void **state)
{
	(void)state;
	assert_false(fence_in_signalling());
	fence_begin_signalling();
	assert_true(fence_in_signalling());
	fence_begin_signalling();
	fence_end_signalling();
	assert_true(fence_in_signalling());
	assert_true(smr_in_section());
	fence_end_signalling();
	assert_false(fence_in_signalling());
}

static void *in_section_elsewhere(void *unused)
{
	return fence_in_signalling() ? &race : unused;
}

/* The internal build asserts that nothing is allocated or freed within the section. */
static void signalling_within_a_section(void **state)
{
	struct timeline *tl = timeline_create("section", 0);
	struct fence *f = fence_create(), *g = timeline_fence(tl, 1);
	struct fence_cb cb = { 0 };
	pthread_t thread;
	void *other;
	int fd = fence_eventfd(f);

	(void)state;
	assert_true(fd >= 0);
	fence_add_callback(f, &cb, look_at_section);
	fence_put(g); /* now the timeline holds the last reference */
	fence_get(f);
	fence_begin_signalling();
	assert_int_equal(pthread_create(&thread, NULL, in_section_elsewhere, NULL), 0);
	assert_int_equal(pthread_join(thread, &other), 0);
	assert_null(other);
	assert_int_equal(fence_signal(f), 0);
	assert_int_equal(timeline_signal(tl, 1), 0);
	fence_put(f);
	fence_end_signalling();
	assert_int_equal(ran, 1);
	fence_put(f);
	timeline_put(tl);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_new_fence_is_not_signalled, begin),
		cmocka_unit_test_setup(null_is_no_fence, begin),
		cmocka_unit_test_setup(the_first_signal_counts, begin),
		cmocka_unit_test_setup(an_error_is_a_negative_errno, begin),
		cmocka_unit_test_setup(callbacks_run_in_order_once, begin),
		cmocka_unit_test_setup(too_late_for_a_callback, begin),
		cmocka_unit_test_setup(callbacks_can_be_removed, begin),
		cmocka_unit_test_setup(dying_unsignalled_is_cancelled, begin),
		cmocka_unit_test_setup(a_callback_may_free_itself_and_drop_its_reference, begin),
		cmocka_unit_test_setup(callbacks_may_signal_in_a_ring, begin),
		cmocka_unit_test_setup(a_running_callback_is_waited_for, begin),
		cmocka_unit_test_setup(sections_nest, begin),
		cmocka_unit_test_setup(signalling_within_a_section, begin),
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence_fence", tests, NULL, NULL);
}
