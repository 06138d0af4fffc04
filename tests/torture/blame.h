/* SPDX-License-Identifier: MIT */
/*
 * How threads report that something is wrong; cmocka's assertions are only for the thread that runs
 * the test.
 */
#ifndef TESTS_TORTURE_BLAME_H
#define TESTS_TORTURE_BLAME_H

#include "support/env.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* For errors after which the program cannot go on. */
#define EXPECT(cond)                                                                           \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			fprintf(stderr, "%s:%d: expected %s, seed %llu\n", __FILE__, __LINE__, \
				#cond, (unsigned long long)env_seed());                        \
			abort();                                                               \
		}                                                                              \
	} while (0)

/* For errors after which all threads should end. All zero means that nothing is wrong. */
struct blame {
	unsigned int laid; /* atomic */
	char why[256];     /* written by the first to set laid */
};

static inline bool blamed(const struct blame *b)
{
	return __atomic_load_n(&b->laid, __ATOMIC_RELAXED);
}

static inline void __attribute__((format(printf, 2, 3)))
blame(struct blame *b, const char *format, ...)
{
	va_list args;

	if (__atomic_exchange_n(&b->laid, 1, __ATOMIC_RELAXED))
		return;
	va_start(args, format);
	vsnprintf(b->why, sizeof(b->why), format, args);
	va_end(args);
}

#endif
