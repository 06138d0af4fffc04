/* SPDX-License-Identifier: MIT */
/*
 * The data that all peers are given: the same stores in the same order, the same probes. The
 * expected results are computed here, without any of the peers.
 */
#ifndef BENCH_KEYS_HPP
#define BENCH_KEYS_HPP

#include "peer.h"
#include "random.h"
#include <cstdint>
#include <string>
#include <vector>

/* The same seed gives the same data. */
class rng
{
      public:
	explicit rng(uint64_t seed) : state(seed)
	{
	}

	uint64_t next()
	{
		return bench_random(&state);
	}

	/* 0 .. bound - 1; the bias is too small to matter here. */
	uint64_t below(uint64_t bound)
	{
		return next() % bound;
	}

      private:
	uint64_t state;
};

struct probe {
	unsigned long key;
	void *entry;
};

struct gap_probe {
	unsigned long limit; /* the search begins (lowest) or ends (highest) here */
	unsigned long lowest, highest;
};

struct key_set {
	std::vector<bench_range> sorted; /* what is there after all stores */
	std::vector<bench_range> stores; /* in the order of the build */
	std::vector<bench_range> moves;  /* erased and stored again, one after the other */
	std::vector<probe> probes;
	bench_sum all; /* what an iteration must find */
	unsigned long gap_size;
	std::vector<gap_probe> gaps; /* distribution "fragmented" only */
};

/* The distributions of --dist, and a description of each for the help text. */
struct dist_info {
	const char *name;
	const char *what;
};
const std::vector<dist_info> &distributions();

/* Makes @n stores and @probes look-ups of the distribution @dist, which must exist. */
key_set make_keys(const std::string &dist, size_t n, size_t probes, uint64_t seed);

#endif
