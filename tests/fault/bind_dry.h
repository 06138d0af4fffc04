/* SPDX-License-Identifier: MIT */
/* Bind queues without memory: shared by their tests. */
#ifndef TESTS_FAULT_BIND_DRY_H
#define TESTS_FAULT_BIND_DRY_H

#include "support/bind_bed.h"

#include "bind/bind_internal.h"

#include <errno.h>
#include <unistd.h>

static inline bool is_cleaning(struct gpuvm_queues *q)
{
	bool is;

	mt_lock_acquire(&q->lock);
	is = q->turn[SMRI_BIND_CLEAN].listed || q->turn[SMRI_BIND_CLEAN].busy;
	mt_lock_release(&q->lock);
	return is;
}

/*
 * Waits until unmapped mappings have been freed, too, and no clean-up is running: that would fill
 * the spare, if there is memory, and cause submits that may not wait to be refused.
 */
static inline void settle_all(struct bind_queue *q)
{
	settle(q);
	while (stats().vas_limbo > 0 || is_cleaning(q->vm))
		usleep(100);
}

/* Uses up the spare for a cut, so that what comes next has no memory at all. */
static inline struct bind_queue *begin_without_memory(const char *maps)
{
	struct bind_queue *q = begin(NULL);

	assert_int_equal(submit(q, maps, NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 40+10", NULL, NULL), 0);
	settle_all(q);
	toy_clear_log(&bt.toy);
	return q;
}

/* A submit in a thread of its own. */
struct waiting {
	struct bind_queue *q;
	const char *text;
	struct fence *in;
	int result;
};

static inline void *submit_waiting(void *arg)
{
	struct waiting *w = arg;

	w->result = submit(w->q, w->text, w->in, NULL);
	return NULL;
}

#endif
