/* SPDX-License-Identifier: MIT */
/*
 * The toy driver of gpuvm_toy.h on bind queues, with jobs as text: "map 10+10=A@0; unmap 14+4;
 * prefetch 0+100; unmap_all A; sparse 20+8". Steps are written down in the toy's notation.
 */
#ifndef TESTS_SUPPORT_BIND_TOY_H
#define TESTS_SUPPORT_BIND_TOY_H

#include "gpuvm_toy.h"

#include <samara/bind_queue.h>

enum { BIND_TOY_OPS = 256 };

/*
 * In ns: what comes at once in a library that works has come by then, be the process stopped or out
 * of its turn for seconds. In one that does not the wait ends all the same.
 */
#define BIND_TOY_PATIENCE INT64_C(60000000000)

struct bind_toy {
	struct toy toy; /* first */
	struct bind_workers *workers;
	struct bind_config config; /* used by bind_toy_init() */
	int prepare_err;           /* for the operation of that index, */
	int prepare_at;            /* and -1: for none */
	/* All atomic. */
	long cookies;          /* given and not finished */
	unsigned int runs;     /* sections begun */
	unsigned int released; /* mappings that ended */
	int step_err;          /* for every step */
	struct fence *block;   /* each run waits for it, if not NULL */
	unsigned int blocked;  /* runs that wait for it, or have */
	struct fence *awaited; /* each finish() waits for it, if not NULL, with patience */
	unsigned int awaiting; /* finish() that wait for it, or have */
	unsigned int in_vain;  /* of these, those that waited too long */
};

/* A mapping as the toy has it: with something of its own behind. */
struct bind_toy_va {
	struct gpuva va;
	unsigned long mark; /* 0 when new */
};

/*
 * @config: sizes and bounds; NULL: none. Two workers of its own, or those of @bounds. Ends the
 * process when it fails.
 */
void bind_toy_init(struct bind_toy *bt, const struct toy_config *config,
		   const struct bind_config *bounds);
/* Closes the VM unless that is done, and ends everything; false: something was left. */
bool bind_toy_destroy(struct bind_toy *bt);

/* The text as operations; their number. */
unsigned int bind_toy_parse(struct bind_toy *bt, const char *text, struct bind_op *ops);

/* Submits @text; NULL fences are none. What bind_queue_submit() says. */
int bind_toy_submit(struct bind_queue *q, struct bind_toy *bt, const char *text, struct fence *in,
		    struct fence *out);
/* The same with flags, and all of the job's answers. */
int bind_toy_submit_job(struct bind_queue *q, struct bind_toy *bt, const char *text,
			struct bind_job *job);

/* All mappings as text; a buffer of the toy's. */
const char *bind_toy_dump(struct bind_toy *bt);

#endif
