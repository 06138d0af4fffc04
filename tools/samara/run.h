/* SPDX-License-Identifier: MIT */
/*
 * One run of a trace through a tree, with checks and readers: the engine room of `samara replay`.
 */
#ifndef SAMARA_TOOL_RUN_H
#define SAMARA_TOOL_RUN_H

#include "readers.h"

enum check_mode {
	CHECK_NONE,
	CHECK_FINAL, /* everything, after the last operation */
	CHECK_SOME,  /* and after every so many operations */
	CHECK_EVERY, /* what each operation touched; everything from time to time */
};

struct run_settings {
	enum check_mode check;
	uint64_t check_interval; /* CHECK_SOME */
	unsigned int readers;
	bool rcu;
	uint64_t seed;            /* of the readers */
	const char *name;         /* of the trace, for messages */
	const char *dump_final;   /* file for the final runs; NULL: none */
	const char *expect_final; /* file to compare them with; NULL: none */
};

struct run_result {
	double seconds;  /* in the tree; checks do not count */
	double wall;     /* all of the run */
	uint64_t checks; /* comparisons made, of part or all */
	size_t live;     /* mappings at the end */
	size_t peak;
	size_t runs;         /* live, adjacent ones joined where they fit */
	unsigned int height; /* at the end */
	unsigned int height_max;
	double bytes_per_mapping; /* bytes of nodes, when sampled_at mappings were alive */
	size_t sampled_at;
	uint64_t nodes_built;
	struct reader_counts readers;
};

/* EXIT_OK or EXIT_FAILED; in the latter case a message has been printed. */
int run_trace(const struct trace *trace, const struct run_settings *settings,
	      struct run_result *result);

#endif
