/* SPDX-License-Identifier: MIT */
/* What programs with nothing but numbers on their command line have in common. */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads @text, all of it, as a decimal number in [min..max]. */
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

/* What to end with: a full disk is told of no later than now. */
static inline int bench_end_output(const char *program)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
	return 1;
}

#endif
