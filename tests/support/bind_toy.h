/* SPDX-License-Identifier: MIT */
/*
 * The toy driver of gpuvm_toy.h on bind queues. Jobs are text: "map 10+10=A@0; unmap 14+4; prefetch
 * 0+100; unmap_all A; sparse 20+8". Steps are logged in the toy's notation.
 */
#ifndef TESTS_SUPPORT_BIND_TOY_H
#define TESTS_SUPPORT_BIND_TOY_H

#include "gpuvm_toy.h"

#include <samara/bind_queue.h>

enum { BIND_TOY_OPS = 256 };

/*
 * In ns. In a library that works, what should happen at once happens within this time even if the
 * process is stopped or preempted for seconds; in a broken one, the wait still ends.
 */
#define BIND_TOY_PATIENCE INT64_C(60000000000)

struct bind_toy {
	struct toy toy; /* first */
	struct bind_workers *workers;
	struct bind_config config; /* used by bind_toy_init() */
	int prepare_err;           /* what prepare() returns for one operation, */
	int prepare_at;            /* its index; -1: none */
	/* All atomic: */
	long cookies;          /* handed out and not finished */
	unsigned int runs;     /* calls of run_begin() */
	unsigned int released; /* mappings released */
	int step_err;          /* what every step returns */
	struct fence *block;   /* each run waits for it, if not NULL */
	unsigned int blocked;  /* runs that wait or have waited for it */
	struct fence *awaited; /* each finish() waits for it, if not NULL, up to the patience */
	unsigned int awaiting; /* calls of finish() that wait or have waited for it */
	unsigned int in_vain;  /* those of them that timed out */
};

/* The toy's mapping, with a field of its own after the library's. */
struct bind_toy_va {
	struct gpuva va;
	unsigned long mark; /* 0 when new */
};

/*
 * Sets up the VM with the sizes in @config (NULL: none) and the bounds and workers in @bounds, or
 * two of its own if @bounds has none. Exits the process on failure.
 */
void bind_toy_init(struct bind_toy *bt, const struct toy_config *config,
		   const struct bind_config *bounds);
/* Closes the VM if it is open and destroys everything; returns false if something was left. */
bool bind_toy_destroy(struct bind_toy *bt);

/* Parses @text into @ops and returns the number of operations. */
unsigned int bind_toy_parse(struct bind_toy *bt, const char *text, struct bind_op *ops);

/* Submits @text; a NULL fence means none. Returns what bind_queue_submit() returns. */
int bind_toy_submit(struct bind_queue *q, struct bind_toy *bt, const char *text, struct fence *in,
		    struct fence *out);
/* The same with @job's flags; the results are left in @job. */
int bind_toy_submit_job(struct bind_queue *q, struct bind_toy *bt, const char *text,
			struct bind_job *job);

/* Returns all mappings as text, in a static buffer. */
const char *bind_toy_dump(struct bind_toy *bt);

#endif
