/* SPDX-License-Identifier: MIT */
#include "latency.h"

#include <time.h>

#define SUB (1u << LATENCY_SUB_BITS)

uint64_t latency_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Values below SUB have a bucket each; above, each power of two is cut into SUB of them. */
static size_t bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < SUB)
		return (size_t)ns;
	shift = 63 - (unsigned int)__builtin_clzll(ns) - LATENCY_SUB_BITS;
	return ((size_t)shift << LATENCY_SUB_BITS) + (size_t)(ns >> shift);
}

/* The greatest value that falls into bucket @at. */
static uint64_t top_of(size_t at)
{
	unsigned int shift;

	if (at < 2 * SUB)
		return at;
	shift = (unsigned int)(at >> LATENCY_SUB_BITS) - 1;
	return (((uint64_t)(at % SUB) + SUB + 1) << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
	latency->buckets[bucket_of(ns)]++;
	latency->count++;
	if (ns > latency->max)
		latency->max = ns;
}

void latency_merge(struct latency *sum, const struct latency *other)
{
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		sum->buckets[i] += other->buckets[i];
	sum->count += other->count;
	if (other->max > sum->max)
		sum->max = other->max;
}

uint64_t latency_at(const struct latency *latency, unsigned int permyriad)
{
	/* How many values must be at or below the result, rounded up. */
	uint64_t wanted = latency->count / 10000 * permyriad +
			  (latency->count % 10000 * permyriad + 9999) / 10000;
	uint64_t seen = 0;

	if (!latency->count)
		return 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen && seen >= wanted)
			return top_of(i) < latency->max ? top_of(i) : latency->max;
	}
	return latency->max;
}
