/* SPDX-License-Identifier: MIT */
/* A VM of the toy driver with a queue on it, and helpers that tests of bind queues share. */
#ifndef TESTS_SUPPORT_BIND_BED_H
#define TESTS_SUPPORT_BIND_BED_H

#include "support/cm.h"

#include "bind/bind_internal.h"
#include "support/bind_toy.h"
#include "support/memfault.h"

static struct bind_toy bt;

static inline struct bind_queue *begin_with(const struct toy_config *config,
					    const struct bind_config *bounds)
{
	struct bind_queue *q;
	int err = 1;

	bind_toy_init(&bt, config, bounds);
	q = bind_queue_create(&bt.toy.vm, "test", &err);
	assert_non_null(q);
	assert_int_equal(err, 0);
	return q;
}

static inline struct bind_queue *begin(const struct bind_config *bounds)
{
	return begin_with(NULL, bounds);
}

static inline struct bind_queue *another(void)
{
	struct bind_queue *q = bind_queue_create(&bt.toy.vm, "another", NULL);

	assert_non_null(q);
	return q;
}

/* Makes allocations succeed again before it destroys @q and the toy. */
static inline void end(struct bind_queue *q)
{
	memfault_ok();
	bind_queue_destroy(q);
	assert_true(bind_toy_destroy(&bt));
}

static inline int submit(struct bind_queue *q, const char *text, struct fence *in,
			 struct fence *out)
{
	return bind_toy_submit(q, &bt, text, in, out);
}

static inline int submit_sync(struct bind_queue *q, const char *text)
{
	struct bind_job job = { .flags = BIND_SYNC };

	return bind_toy_submit_job(q, &bt, text, &job);
}

static inline void settle(struct bind_queue *q)
{
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
}

static inline struct bind_stats stats(void)
{
	struct bind_stats s;

	bind_vm_stats(&bt.toy.vm, &s);
	return s;
}

#define expect_vm(text) assert_string_equal(bind_toy_dump(&bt), text)
#define expect_log(text) assert_string_equal(toy_log(&bt.toy), text)

static inline void expect_signaled(struct fence *f, int error)
{
	assert_int_equal(fence_wait(f, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(f), error);
}

/* Whether another thread waits for jobs of the VM. */
static inline bool somebody_waits(struct bind_queue *queue)
{
	struct gpuvm_queues *q = queue->vm;
	bool waits;

	mt_lock_acquire(&q->lock);
	waits = !smr_list_empty(&q->waits);
	mt_lock_release(&q->lock);
	return waits;
}

/* Reads a worker's count; acquires what the worker did before it counted. */
static inline unsigned int now(const unsigned int *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

#endif
