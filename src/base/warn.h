/* SPDX-License-Identifier: MIT */
/* Warnings about what a caller cannot have meant, and what is refused or lost, not done wrong. */
#ifndef SMR_BASE_WARN_H
#define SMR_BASE_WARN_H

#include "base/atomic.h"

#include <stdbool.h>

/* Prints a warning to stderr, as a line. */
__attribute__((cold, format(printf, 1, 2))) void smr_warn(const char *format, ...);

/* Warns only once for each place in the code, in the life of a process. */
#define smr_warn_once(...)                           \
	do {                                         \
		static bool said;                    \
		if (!smr_xchg(&said, true, RELAXED)) \
			smr_warn(__VA_ARGS__);       \
	} while (0)

#endif
