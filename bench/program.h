/* SPDX-License-Identifier: MIT */
/* Helpers of the benchmark programs that are one file each. */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Reads all of @text as a decimal number in [min..max]. */
static inline bool bench_count(const char *text, unsigned long min, unsigned long max,
			       unsigned long *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return !errno && !*end && *value >= min && *value <= max;
}

static inline double bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void bench_sort(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), bench_compare);
}

/* Returns the exit status: the last chance to report that the output could not be written. */
static inline int bench_end_output(const char *program)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
	return 1;
}

#endif
