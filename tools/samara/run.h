/* SPDX-License-Identifier: MIT */
/*
 * Runs a trace once, through a tree or a GPU VM, with checks and readers: the core of `samara
 * replay`.
 */
#ifndef SAMARA_TOOL_RUN_H
#define SAMARA_TOOL_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "counts.h"
#include "latency.h"
#include "meter.h"
#include "trace/trace.h"

enum through {
	THROUGH_TREE,  /* a maple tree: run.c */
	THROUGH_GPUVM, /* a VM that the tool drives: through_gpuvm.c */
	THROUGH_QUEUE, /* a VM driven by bind queues: through_queue.c */
};

enum check_mode {
	CHECK_NONE,
	CHECK_FINAL, /* everything, after the last operation */
	CHECK_SOME,  /* and after every so many operations */
	CHECK_EVERY, /* what each operation touched; everything after every FULL_EVERY */
};

enum {
	FULL_EVERY = 8192, /* operations, or jobs */
	MAX_PROBES = 2048, /* about how many addresses readers look up */
};

struct run_settings {
	enum through through;
	unsigned int submitters; /* THROUGH_QUEUE: threads, with a queue each */
	unsigned int engines;    /* THROUGH_QUEUE: of the software GPU; 0: none */
	unsigned int in_flight;  /* THROUGH_QUEUE: the most jobs outstanding */
	bool meter;              /* THROUGH_QUEUE: count what run sections must not do */
	enum check_mode check;
	uint64_t check_interval; /* CHECK_SOME */
	unsigned int readers;
	bool rcu;
	uint64_t seed;            /* of the readers */
	const char *name;         /* of the trace, for messages */
	const char *dump_final;   /* file for the final runs; NULL: none */
	const char *expect_final; /* file to compare them with; NULL: none */
};

/* Results of a run through a VM. */
struct vm_result {
	size_t jobs;
	size_t ops;            /* bind operations of these jobs */
	struct latency submit; /* of a job: the call */
	struct latency run;    /* the section, or the change under the lock */
	struct latency finish; /* from the call to the out-fence */
	unsigned long jobs_peak;
	size_t bytes_peak;
	unsigned long grace_waits;
	unsigned long blocked;
	struct meter meter;
	/* The engines of the software GPU. */
	uint64_t engine_tasks;
	uint64_t engine_bytes;
	uint64_t engine_faults;  /* answered by gpuvm_find() */
	uint64_t engine_refused; /* found nothing mapped, as it should be */
	uint64_t engine_hits, engine_misses, engine_invalidations; /* of TLBs */
};

struct run_result {
	double seconds;  /* in the tree, without checks */
	double wall;     /* of the whole run */
	uint64_t checks; /* comparisons made, of all or part */
	size_t live;     /* mappings at the end */
	size_t peak;
	size_t runs;         /* live mappings, with adjacent ones joined where they fit */
	unsigned int height; /* at the end */
	unsigned int height_max;
	double bytes_per_mapping; /* bytes of nodes, when sampled_at mappings were alive */
	size_t sampled_at;
	uint64_t nodes_built;
	struct reader_counts readers;
	struct vm_result vm;
};

/* Returns EXIT_OK, or EXIT_FAILED after a message. */
int run_trace(const struct trace *trace, const struct run_settings *settings,
	      struct run_result *result);

/* Called by run_trace() for the two ways through a VM. */
int run_through_gpuvm(const struct trace *trace, const struct run_settings *settings,
		      struct run_result *result);
int run_through_queue(const struct trace *trace, const struct run_settings *settings,
		      struct run_result *result);

#endif
