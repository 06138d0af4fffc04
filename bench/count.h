/* SPDX-License-Identifier: MIT */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

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

#endif
