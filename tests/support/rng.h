/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for tests. Each operation of a random test draws from a generator of its own, made
 * from the test's seed and the operation's number. So dropping or reordering operations, or running
 * them on other threads, does not change what the others do.
 */
#ifndef TESTS_SUPPORT_RNG_H
#define TESTS_SUPPORT_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

/*
 * A counter passed through a 64-bit finaliser: random enough, and any state is as good as another.
 */
static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline struct rng rng_make(uint64_t seed, uint64_t number)
{
	struct rng rng = { seed };

	rng.state = rng_next(&rng) ^ (number * UINT64_C(0xd6e8feb86659fd93));
	return rng;
}

/* 0 .. bound - 1; 0 when @bound is 0. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return bound ? rng_next(rng) % bound : 0;
}

/* True once in @n calls on average. */
static inline int rng_one_in(struct rng *rng, uint64_t n)
{
	return rng_below(rng, n) == 0;
}

#endif
