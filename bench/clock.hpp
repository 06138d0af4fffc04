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

/* The time that this thread has run for, without what it has waited. */
inline double thread_ns()
{
	timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

/* now_ns() as a whole number, for single operations. What was begun before has ended by then. */
inline uint64_t clock_ticks()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return 1000000000 * static_cast<uint64_t>(t.tv_sec) + static_cast<uint64_t>(t.tv_nsec);
}
/* ns that reading the clock adds to a time measured so. */
double clock_cost();

/* CPUs that this process could run on when it was asked first, which is before it is pinned. */
const std::vector<int> &allowed_cpus();
void pin_to(int cpu);

/* The time of one dependent load that misses, in a working set of some bytes on huge pages. */
struct chase {
	size_t bytes;
	double ns;
};

struct calibration {
	std::vector<chase> chases;
	double line_ns; /* until another CPU sees a line written; 0: there is none */
};
/* @other: that CPU, or -1. */
calibration calibrate(int other);

/* "model name" of /proc/cpuinfo, or "unknown". */
std::string cpu_name();

#endif
