/* SPDX-License-Identifier: MIT */
/*
 * Waiting for fences. A wait for one fence sleeps on its state, the futex. A wait for any of
 * several sleeps on a word of the waiter's, which a callback on each of them sets.
 */
#include "fence/fence_internal.h"

#include "base/park.h"
#include "lock/check.h"
#include "mem/heap.h"
#include <errno.h>

/* A wait for any has room for so many callbacks on the stack. */
#define ANY_ON_STACK 16

/* A deadline that has always passed. */
#define LOOK_ONLY 0

struct any_cb {
	struct fence_cb cb;
	unsigned int *woken; /* the waiter's word */
};

/* Tells the checker, whether or not there will be a wait. */
static void check_wait(int64_t timeout_ns)
{
	if (timeout_ns != 0)
		smr_check_wait("a fence");
}

static uint64_t deadline_after(int64_t timeout_ns)
{
	if (timeout_ns < 0)
		return SMR_NEVER;
	/* Cannot wrap: the clock counts from the start of the machine, and fits 63 bits. */
	return timeout_ns ? smr_now() + (uint64_t)timeout_ns : LOOK_ONLY;
}

/* CONTEXT: SLEEP yes, unless @deadline is LOOK_ONLY. */
static int wait_for(struct fence *f, uint64_t deadline)
{
	unsigned int state;
	int err = 0;

	for (;;) {
		/* ORDER fence. PARTNER fence_signal_error(). */
		state = smr_load(&f->state, ORDER(fence, acquire));
		if (state == SMRI_FENCE_SIGNALED)
			return 0;
		if (deadline == LOOK_ONLY)
			return -ETIMEDOUT;
		if (err)
			return err;
		if (state == SMRI_FENCE_PENDING &&
		    !smr_cas(&f->state, &state, SMRI_FENCE_WAITED, RELAXED, RELAXED))
			continue;
		err = smr_park_until(&f->state, SMRI_FENCE_WAITED, deadline);
	}
}

int fence_wait(struct fence *f, int64_t timeout_ns)
{
	check_wait(timeout_ns);
	return wait_for(f, deadline_after(timeout_ns));
}

int fence_wait_all(struct fence *const f[], unsigned int nr, int64_t timeout_ns)
{
	uint64_t deadline = deadline_after(timeout_ns);
	int err = 0;

	check_wait(timeout_ns);
	for (unsigned int i = 0; i < nr && !err; i++)
		err = wait_for(f[i], deadline);
	return err;
}

static bool find_signaled(struct fence *const f[], unsigned int nr, unsigned int *which)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (smri_fence_signaled(f[i])) {
			if (which)
				*which = i;
			return true;
		}
	}
	return false;
}

/*
 * The word is in the waiter's frame, which stays until this returns: the waiter removes @cb first.
 */
static void wake_waiter(struct fence *f, struct fence_cb *cb)
{
	const struct any_cb *any = container_of(cb, struct any_cb, cb);

	(void)f;
	/* Relaxed: the waiter acquires the signaller's data through the fence's state. */
	smr_store(any->woken, 1, RELAXED);
	smr_wake(any->woken, 1);
}

/*
 * Sleeps until one of @f is signalled, with a callback on each. Returns 0 also if one was signalled
 * already.
 */
static int wait_for_any(struct fence *const f[], struct any_cb *any, unsigned int nr,
			uint64_t deadline)
{
	unsigned int woken = 0, added;
	int err = 0;

	for (added = 0; added < nr; added++) {
		any[added].woken = &woken;
		if (fence_add_callback(f[added], &any[added].cb, wake_waiter)) {
			smr_store(&woken, 1, RELAXED);
			break;
		}
	}
	while (!err && !smr_load(&woken, RELAXED))
		err = smr_park_until(&woken, 0, deadline);
	while (added-- > 0)
		fence_remove_callback(f[added], &any[added].cb);
	return err;
}

int fence_wait_any(struct fence *const f[], unsigned int nr, int64_t timeout_ns,
		   unsigned int *which)
{
	uint64_t deadline = deadline_after(timeout_ns);
	struct any_cb few[ANY_ON_STACK], *any = few;
	int err;

	check_wait(timeout_ns);
	if (nr == 0)
		return -EINVAL;
	if (find_signaled(f, nr, which))
		return 0;
	if (deadline == LOOK_ONLY)
		return -ETIMEDOUT;
	if (nr > ANY_ON_STACK) {
		any = smr_heap_alloc(nr * sizeof(*any));
		if (!any)
			return -ENOMEM;
	}
	err = wait_for_any(f, any, nr, deadline);
	if (any != few)
		smr_heap_free(any);
	/* Also after a timeout or a signal: a fence may have been signalled at the last moment. */
	return find_signaled(f, nr, which) ? 0 : err;
}
