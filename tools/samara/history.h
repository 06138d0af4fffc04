/* SPDX-License-Identifier: MIT */
/*
 * Judges answers to look-ups without locks: whether each was true at some moment of the look-up.
 *
 * The writer numbers its stores 1, 2, ...; store number n is step n. At every address the tree's
 * contents change at one moment of a step, so the answer to a look-up is right if and only if it
 * was the contents of that address after some step in [s0..s1], where
 *
 *   s0 = the last step known to be finished before the look-up began    (history_finished())
 *   s1 = the last step known to have begun when the look-up was over    (history_begun())
 *
 * To check that, the writer keeps, for a fixed set of addresses (the probes), the last
 * HISTORY_DEPTH contents with the step that stored each: before the store it appends to the logs of
 * all probes in the range, then announces the step as begun, then stores, then announces it as
 * finished. So a reader that has seen a step begun sees its log entries.
 *
 * Why there is no false alarm: the contents in force after step s0 are the newest log entry with a
 * step <= s0; later entries up to s1 may or may not have been seen. Why no wrong answer escapes: an
 * answer that was replaced by a step <= s0 has an entry above it with a step <= s0, and the search
 * ends there; a pointer cannot have come back as another record, because the reader's read-side
 * critical section keeps what it saw from being freed.
 *
 * A log is a ring; if the writer laps a reader (HISTORY_DEPTH - 1 changes of one address during one
 * look-up), the look-up is counted as not judged.
 */
#ifndef SAMARA_TOOL_HISTORY_H
#define SAMARA_TOOL_HISTORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/trace.h"

#define HISTORY_DEPTH 64

struct probe_entry {
	_Atomic(uint64_t) step;
	_Atomic(const void *) contents;
};

struct probe {
	uint64_t addr;
	_Atomic(uint64_t) head; /* entries ever appended; entry i is at i % HISTORY_DEPTH */
	struct probe_entry entries[HISTORY_DEPTH];
};

struct history {
	size_t nr_probes;
	struct probe *probes; /* by ascending address */
	_Alignas(64) _Atomic(uint64_t) begun;
	_Atomic(uint64_t) finished;
};

enum verdict {
	VERDICT_TRUE,
	VERDICT_FALSE,
	VERDICT_UNKNOWN,
};

/*
 * Chooses about @max of the addresses that @trace touches, at least one. Stores them, ascending, in
 * *@addrs, which the caller frees. Returns 0 or -ENOMEM.
 */
int probe_addresses(const struct trace *trace, size_t max, uint64_t **addrs, size_t *nr);

/* Makes a probe of each of the probe_addresses(). Returns 0 or -ENOMEM. */
int history_init(struct history *history, const struct trace *trace, size_t max);
void history_destroy(struct history *history);

/*
 * Writer: call before and after the store of @contents (NULL: nothing) over [first..last]. Steps
 * count up from 1.
 */
void history_begin(struct history *history, uint64_t step, uint64_t first, uint64_t last,
		   const void *contents);
void history_finish(struct history *history, uint64_t step);
/* Writer, instead of history_finish(): the store failed, and [first..last] is as it was. */
void history_cancel(struct history *history, uint64_t step, uint64_t first, uint64_t last);

/* Reader: call before and after its look-up. */
uint64_t history_finished(const struct history *history);
uint64_t history_begun(const struct history *history);
/* Judges whether @contents were at the probe after some step in [s0..s1]. */
enum verdict history_judge(const struct probe *probe, const void *contents, uint64_t s0,
			   uint64_t s1);

#endif
