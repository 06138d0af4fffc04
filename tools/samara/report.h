/* SPDX-License-Identifier: MIT */
/* Prints what `samara replay` reports about a file, as text and as JSON. */
#ifndef SAMARA_TOOL_REPORT_H
#define SAMARA_TOOL_REPORT_H

#include "json.h"
#include "run.h"

/* The results of all runs of one file. */
struct summary {
	const char *name;
	const struct trace *trace;
	uint64_t verbs[TRACE_LOAD + 1];
	uint64_t repeats;
	double best; /* operations a second, loads included */
	double mean;
	/* Seconds, checks, readers and latencies are added up; the rest is from the last run. */
	struct run_result sum;
};

/* "tree", "gpuvm" or "queue". */
const char *through_text(enum through through);

void report_text(const struct summary *summary, const struct run_settings *run);
/* Writes an object of an array. */
void report_json(struct json *json, const struct summary *summary, const struct run_settings *run);

#endif
