/* SPDX-License-Identifier: MIT */
/*
 * Fences short of memory: each allocation of a scenario refused in turn, then all of them. Calls
 * fail cleanly, and nothing is left in the end: no memory (what the library allocates and frees is
 * counted, by wrapping the allocator) and no descriptor. Signalling allocates nothing at all.
 */
#include "support/cm.h"

#include "fence/fence_internal.h"
#include "support/memfault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <samara/fence.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FENCES 20
#define ATTEMPTS 200

static struct fence *on_calloc; /* is signalled when the library next allocates */

static long held; /* blocks that the library has allocated and not freed */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = __real_calloc(n, size);
	struct fence *f = on_calloc;

	held += p != NULL;
	on_calloc = NULL;
	if (f)
		assert_int_equal(fence_signal_error(f, -EIO), 0);
	return p;
}

void __wrap_free(void *p)
{
	held -= p != NULL;
	__real_free(p);
}

static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void count_call(struct fence *f, struct fence_cb *cb)
{
	(void)f;
	(void)cb;
}

/*
 * Everything that allocates, step by step; whatever succeeded is used and given back. complete: all
 * steps succeeded.
 */
struct scene {
	struct timeline *tl;
	struct fence *f[FENCES];
	struct fence_cb cb[FENCES];
	int fd[FENCES];
	bool complete;
};

static void build(struct scene *s)
{
	s->tl = timeline_create("fault", 0);
	s->complete = s->tl != NULL;
	for (int i = 0; i < FENCES; i++) {
		s->f[i] = i % 2 && s->tl ? timeline_fence(s->tl, (uint64_t)(i % 7) + 1)
					 : fence_create();
		s->fd[i] = s->f[i] ? fence_eventfd(s->f[i]) : -ENOMEM;
		if (s->fd[i] < 0) {
			assert_int_equal(s->fd[i], -ENOMEM);
			s->complete = false;
		}
		if (s->f[i])
			assert_int_equal(fence_add_callback(s->f[i], &s->cb[i], count_call), 0);
	}
	if (!s->complete || fence_wait_any(s->f, FENCES, 1, NULL) != -ETIMEDOUT)
		s->complete = false;
}

static void signal_all(struct scene *s)
{
	fence_begin_signalling();
	if (s->tl)
		assert_int_equal(timeline_signal(s->tl, 4), 0);
	for (int i = 0; i < FENCES; i++)
		if (s->f[i] && (i % 2 == 0 || !s->tl))
			assert_int_equal(fence_signal(s->f[i]), 0);
	fence_end_signalling();
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void drop(struct scene *s)
{
	timeline_put(s->tl); /* cancels the rest */
	for (int i = 0; i < FENCES; i++) {
		if (s->f[i])
			assert_true(fence_is_signaled(s->f[i]));
		if (s->fd[i] >= 0) {
			assert_true(readable(s->fd[i]));
			close(s->fd[i]);
		}
		fence_put(s->f[i]);
	}
}

static bool play(void)
{
	struct scene s;
	int free_fd = next_fd();

	memset(&s, 0, sizeof(s));
	held = 0;
	build(&s);
	memfault_none();
	signal_all(&s);
	assert_int_equal(memfault_count(), 0);
	memfault_ok();
	drop(&s);
	assert_int_equal(held, 0);
	assert_int_equal(next_fd(), free_fd);
	return s.complete;
}

static void each_refusal_is_clean(void **state)
{
	unsigned long nth = 1;

	(void)state;
	do {
		assert_true(nth < ATTEMPTS);
		memfault_ok();
		memfault_nth(nth++);
	} while (!play());
	print_message("%lu allocations\n", nth - 2);
	assert_true(nth > 2 * FENCES);
}

static void without_any_memory(void **state)
{
	(void)state;
	memfault_none();
	assert_null(fence_create());
	assert_null(timeline_create("none", 0));
	assert_false(play());
	assert_true(play());
}

/* A timeline that lacked memory for a fence is as it was before. */
static void a_timeline_goes_on(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct fence *f = timeline_fence(tl, 2), *g;

	(void)state;
	memfault_none();
	assert_null(timeline_fence(tl, 1));
	assert_null(timeline_fence(tl, 0));
	assert_false(fence_is_signaled(f));
	assert_int_equal(timeline_signal(tl, 1), 0);
	memfault_ok();
	g = timeline_fence(tl, 2);
	assert_int_equal(timeline_signal(tl, 2), 0);
	assert_true(fence_is_signaled(f) && fence_is_signaled(g));
	fence_put(f);
	fence_put(g);
	timeline_put(tl);
}

/* One of many is signalled after all have been looked at, but before all have a callback. */
static void signalled_before_the_wait_is_set_up(void **state)
{
	struct fence *f[FENCES];
	unsigned int which = FENCES;

	(void)state;
	for (int i = 0; i < FENCES; i++)
		assert_non_null(f[i] = fence_create());
	held = 0;
	on_calloc = f[FENCES / 2];
	assert_int_equal(fence_wait_any(f, FENCES, FENCE_FOREVER, &which), 0);
	assert_null(on_calloc);
	assert_int_equal(which, FENCES / 2);
	assert_int_equal(held, 0);
	/* The callbacks of those before it have been removed: their memory is gone. */
	for (int i = 0; i < FENCES; i++) {
		assert_null(f[i]->first);
		fence_put(f[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_refusal_is_clean),
		cmocka_unit_test(without_any_memory),
		cmocka_unit_test(a_timeline_goes_on),
		cmocka_unit_test(signalled_before_the_wait_is_set_up),
	};

	alarm(100);
	return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
