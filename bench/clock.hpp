/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CLOCK_HPP
#define BENCH_CLOCK_HPP

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

inline double now_ns()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

/* The CPU time of this thread, without the time that it waited. */
inline double thread_ns()
{
	timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

/* now_ns() as an integer, for single operations. Those begun before the call have ended by then. */
inline uint64_t clock_ticks()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return 1000000000 * static_cast<uint64_t>(t.tv_sec) + static_cast<uint64_t>(t.tv_nsec);
}
/* The ns that reading the clock adds to a time measured this way. */
double clock_cost();

/* The CPUs that this process could run on at the first call, which is before it is pinned. */
const std::vector<int> &allowed_cpus();
void pin_to(int cpu);

/* The time of one dependent load that misses, in a working set of a given size on huge pages. */
struct chase {
	size_t bytes;
	double ns;
};

struct calibration {
	std::vector<chase> chases;
	double line_ns; /* until another CPU sees a written line; 0: there is none */
};
/* @other: the other CPU, or -1. */
calibration calibrate(int other);

/* "model name" of /proc/cpuinfo, or "unknown". */
std::string cpu_name();

#endif
