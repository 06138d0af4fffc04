/* SPDX-License-Identifier: MIT */
/*
 * Recorded traces as what a range map has to do for them, worked out beforehand. A mapping is a
 * store; what is unmapped is cleared; a protect is a store for each mapping or part of one that
 * it changes, a move what it does at its old and at its new place. A part that is cut off keeps
 * its entry.
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
	void *entry; /* to be stored, or what the look-up of @first must give */
};

struct bench_steps {
	struct bench_step *list;
	size_t count;
	size_t room;
	/* Look-ups for when all is done: the ends of what is there then, and the keys beside. */
	struct bench_step *ends;
	size_t nr_ends;
};

/*
 * Reads the trace file @path. 0, or a negative errno with a message in @why (BENCH_WHY_SIZE bytes
 * always do), and @steps is empty. bench_steps_free() frees what they hold.
 */
int bench_steps_load(struct bench_steps *steps, const char *path, char *why, size_t size);
void bench_steps_free(struct bench_steps *steps);

#ifdef __cplusplus
}
#endif

#endif
