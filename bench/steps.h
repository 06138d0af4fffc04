/* SPDX-License-Identifier: MIT */
/*
 * Turns recorded traces into operations of a range map, in advance. A mapping is a store; an
 * unmap is a clear; a protect is a store for each mapping, or part of one, that it changes; a move
 * is all that it does at its old and at its new place. A part that is cut off keeps its entry.
 */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include <limits.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for any message, with the longest name that a file can have. */
#define BENCH_WHY_SIZE (PATH_MAX + 256)

enum bench_verb { BENCH_STORE, BENCH_CLEAR, BENCH_LOAD };

struct bench_step {
	enum bench_verb verb;
	unsigned long first, last;
	void *entry; /* to be stored, or what a look-up of @first must return */
};

struct bench_steps {
	struct bench_step *list;
	size_t count;
	size_t room;
	/*
	 * Look-ups for after the last step: the ends of what is there then, and the adjacent keys.
	 */
	struct bench_step *ends;
	size_t nr_ends;
};

/*
 * Reads the trace file @path. Returns 0, or a negative errno with a message in @why (BENCH_WHY_SIZE
 * bytes always suffice) and @steps empty. bench_steps_free() frees the contents of @steps.
 */
int bench_steps_load(struct bench_steps *steps, const char *path, char *why, size_t size);
void bench_steps_free(struct bench_steps *steps);

#ifdef __cplusplus
}
#endif

#endif
