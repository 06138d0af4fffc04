/* SPDX-License-Identifier: MIT */
/*
 * Histograms of durations in nanoseconds, whose buckets are at most a thirty-second of their value
 * wide. Adding to one neither allocates nor enters the kernel. For one thread at a time.
 */
#ifndef SAMARA_TOOL_LATENCY_H
#define SAMARA_TOOL_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB_BITS 5
#define LATENCY_BUCKETS ((64 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)

/* All zero is empty. */
struct latency {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[LATENCY_BUCKETS];
};

/* Nanoseconds on a clock that only goes forward. */
uint64_t latency_now(void);

void latency_add(struct latency *latency, uint64_t ns);
/* Adds all of @other to @sum. */
void latency_merge(struct latency *sum, const struct latency *other);

/*
 * Returns the smallest value that at least @permyriad of 10000 values do not exceed: 5000 is the
 * median. Exact below 64 ns; above that up to 3 % too large. 0 when nothing was added.
 */
uint64_t latency_at(const struct latency *latency, unsigned int permyriad);

#endif
