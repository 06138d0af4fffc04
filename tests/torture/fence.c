/* SPDX-License-Identifier: MIT */
/*
 * Fences under load. Threads share a board of fences and do, at random, all that can be done with
 * one: signal, with and without an error, wait for one, any or all, add callbacks and leave or
 * remove them, attach eventfds, replace the fence and drop references. It must hold that
 *
 *   - a callback that was added runs once, or was removed and does not run; if it could not be
 *     removed it has returned;
 *   - of all threads that signal a fence exactly one gets 0, and a thread that has waited finds the
 *     fence signalled, with a time and a known error;
 *   - eventfds are readable from then on.
 *
 * On a timeline several threads advance the value while all hold fences for values ahead: if one is
 * signalled, so are those of lower values, and none is signalled before its time.
 */
#include "support/cm.h"

#include "blame.h"
#include "support/env.h"
#include "support/rng.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <samara/fence.h>
#include <samara/lock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, SLOTS = 6, AHEAD = 12 };

struct slot {
	struct mt_lock lock;
	struct fence *f; /* GUARD lock */
};

static struct slot board[SLOTS];
static uint64_t rounds;
static long added, ran, removed; /* atomic: callbacks */
static long made, won,
	died; /* atomic: fences, signals that counted, signals by the last reference */

#define count(p) __atomic_fetch_add((p), 1, __ATOMIC_RELAXED)

/* ---- The board */

static void on_death(struct fence *f, struct fence_cb *cb)
{
	if (fence_error(f) == -ECANCELED)
		count(&died);
	free(cb);
}

/* Makes a fence that reports if it dies unsignalled. */
static struct fence *make(void)
{
	struct fence *f = fence_create();
	struct fence_cb *cb = calloc(1, sizeof(*cb));

	EXPECT(f && cb);
	EXPECT(fence_add_callback(f, cb, on_death) == 0);
	count(&made);
	return f;
}

static struct fence *pick(struct rng *rng)
{
	struct slot *slot = &board[rng_below(rng, SLOTS)];
	struct fence *f;

	mt_lock_acquire(&slot->lock);
	f = fence_get(slot->f);
	mt_lock_release(&slot->lock);
	return f;
}

static void replace(struct rng *rng)
{
	struct slot *slot = &board[rng_below(rng, SLOTS)];
	struct fence *new = make(), *old;

	mt_lock_acquire(&slot->lock);
	old = slot->f;
	slot->f = new;
	mt_lock_release(&slot->lock);
	fence_put(old);
}

/* ---- What is done to a fence */

static void expect_signaled(struct fence *f)
{
	int error = fence_error(f);

	EXPECT(fence_is_signaled(f));
	EXPECT(error == 0 || error == -EIO || error == -ECANCELED);
	EXPECT(fence_timestamp(f) > 0);
	EXPECT(fence_wait(f, 0) == 0);
}

static void signal_it(struct fence *f, struct rng *rng)
{
	bool section = rng_one_in(rng, 2);
	int err;

	if (section)
		fence_begin_signalling();
	err = rng_one_in(rng, 3) ? fence_signal_error(f, -EIO) : fence_signal(f);
	if (section)
		fence_end_signalling();
	EXPECT(err == 0 || err == -EALREADY);
	if (err == 0)
		count(&won);
	expect_signaled(f);
}

struct told {
	struct fence_cb cb;
	int entered, left; /* atomic */
};

static void tell(struct fence *f, struct fence_cb *cb)
{
	struct told *t = (struct told *)cb;

	EXPECT(fence_is_signaled(f));
	EXPECT(__atomic_exchange_n(&t->entered, 1, __ATOMIC_RELAXED) == 0);
	count(&ran);
	__atomic_store_n(&t->left, 1, __ATOMIC_RELAXED);
}

static void tell_and_free(struct fence *f, struct fence_cb *cb)
{
	tell(f, cb);
	free(cb);
}

static void leave_callback(struct fence *f)
{
	struct told *t = calloc(1, sizeof(*t));

	EXPECT(t);
	if (fence_add_callback(f, &t->cb, tell_and_free) == 0)
		count(&added);
	else
		free(t);
}

/* On the stack: using the callback after its removal would show as a memory error. */
static void add_and_remove(struct fence *f, struct rng *rng)
{
	struct told t;

	memset(&t, 0, sizeof(t));
	if (fence_add_callback(f, &t.cb, tell))
		return;
	count(&added);
	if (rng_one_in(rng, 2))
		(void)fence_wait(f, (int64_t)rng_below(rng, 50000));
	if (fence_remove_callback(f, &t.cb)) {
		EXPECT(!t.entered);
		count(&removed);
	} else {
		EXPECT(t.entered && t.left);
		expect_signaled(f);
	}
}

static void watch(struct fence *f, struct rng *rng)
{
	struct pollfd p = { .fd = fence_eventfd(f), .events = POLLIN };

	EXPECT(p.fd >= 0);
	if (poll(&p, 1, (int)rng_below(rng, 2)) == 1)
		expect_signaled(f);
	if (fence_is_signaled(f)) /* the signaller may not have reached it yet */
		EXPECT(poll(&p, 1, -1) == 1);
	close(p.fd);
}

static void wait_for_several(struct rng *rng)
{
	unsigned int nr = 1 + (unsigned int)rng_below(rng, 20), which;
	int64_t timeout = (int64_t)rng_below(rng, 100000);
	struct fence *f[20];
	int err;

	for (unsigned int i = 0; i < nr; i++)
		f[i] = pick(rng);
	if (rng_one_in(rng, 2)) {
		err = fence_wait_any(f, nr, timeout, &which);
		if (err == 0)
			expect_signaled(f[which]);
	} else {
		err = fence_wait_all(f, nr, timeout);
		for (unsigned int i = 0; i < nr && !err; i++)
			expect_signaled(f[i]);
	}
	EXPECT(err == 0 || err == -ETIMEDOUT);
	for (unsigned int i = 0; i < nr; i++)
		fence_put(f[i]);
}

static void do_something(struct rng *rng)
{
	struct fence *f = pick(rng);

	switch (rng_below(rng, 8)) {
	case 0:
	case 1:
		signal_it(f, rng);
		break;
	case 2:
		leave_callback(f);
		break;
	case 3:
		add_and_remove(f, rng);
		break;
	case 4:
		if (fence_wait(f, (int64_t)rng_below(rng, 50000)) == 0)
			expect_signaled(f);
		break;
	case 5:
		watch(f, rng);
		break;
	case 6:
		wait_for_several(rng);
		break;
	default:
		replace(rng);
	}
	fence_put(f);
}

static void *player(void *id)
{
	for (uint64_t n = 0; n < rounds; n++) {
		struct rng rng = rng_make(env_seed() + 1000 * (uintptr_t)id, n);

		do_something(&rng);
	}
	return NULL;
}

static void run(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void a_board_of_fences(void **state)
{
	(void)state;
	rounds = env_ops(20000);
	for (int i = 0; i < SLOTS; i++)
		board[i].f = make();
	run(player);
	for (int i = 0; i < SLOTS; i++)
		fence_put(board[i].f);
	print_message("%ld fences, %ld signalled, %ld cancelled; %ld callbacks, %ld removed\n",
		      made, won, died, added, removed);
	assert_int_equal(made, won + died);
	assert_int_equal(added, ran + removed);
}

/* ---- A timeline */

static struct timeline *tl;

static void move_on(struct rng *rng)
{
	uint64_t to = timeline_value(tl) + 1 + rng_below(rng, 3);
	int err;

	fence_begin_signalling();
	err = timeline_signal(tl, to);
	fence_end_signalling();
	EXPECT(err == 0 || err == -EINVAL); /* another thread was faster */
	EXPECT(timeline_value(tl) >= to);
}

struct held {
	struct fence *f;
	uint64_t value;
	bool ahead; /* not reached when the fence was made */
};

static void expect_order(struct held *h, unsigned int nr)
{
	bool above = false; /* whether one of a higher value is signalled */

	for (unsigned int i = nr; i-- > 0;) {
		bool now = fence_is_signaled(h[i].f);

		EXPECT(now || !above);
		EXPECT(!now || timeline_value(tl) >= h[i].value);
		above = above || (now && h[i].ahead);
	}
}

static void *traveller(void *id)
{
	struct held h[AHEAD];
	unsigned int nr = 0;

	for (uint64_t n = 0; n < rounds; n++) {
		struct rng rng = rng_make(env_seed() + 77 + 1000 * (uintptr_t)id, n);
		uint64_t value = timeline_value(tl) + rng_below(&rng, 2 * AHEAD);

		if (nr < AHEAD && (nr == 0 || value >= h[nr - 1].value)) {
			h[nr].f = timeline_fence(tl, value);
			EXPECT(h[nr].f);
			h[nr].ahead = !fence_is_signaled(h[nr].f);
			h[nr++].value = value;
		}
		expect_order(h, nr);
		if (rng_one_in(&rng, 2))
			move_on(&rng);
		if (rng_one_in(&rng, 4) && nr > 0) {
			fence_put(h[0].f);
			memmove(h, h + 1, --nr * sizeof(*h));
		}
		if (rng_one_in(&rng, 50) && nr > 0)
			(void)fence_wait(h[0].f, 10000);
	}
	while (nr > 0)
		fence_put(h[--nr].f);
	return NULL;
}

static void a_timeline(void **state)
{
	(void)state;
	rounds = env_ops(50000);
	tl = timeline_create("torture", 0);
	assert_non_null(tl);
	run(traveller);
	print_message("came to %llu\n", (unsigned long long)timeline_value(tl));
	timeline_put(tl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_board_of_fences),
		cmocka_unit_test(a_timeline),
	};

	alarm(500);
	print_message("seed %llu\n", (unsigned long long)env_seed());
	return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
