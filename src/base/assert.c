/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#if defined(SMR_DEBUG) && defined(SMR_BACKTRACE)
#include <execinfo.h>
#include <unistd.h>
#endif

/* Assertions are in the library: the stack shows which call of the program led to them. */
void smr_assert_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "samara: %s:%d: assertion failed: %s\n", file, line, what);
#if defined(SMR_DEBUG) && defined(SMR_BACKTRACE)
	void *frames[40];
	int nr = backtrace(frames, 40);

	if (nr > 1) /* without this function */
		backtrace_symbols_fd(frames + 1, nr - 1, STDERR_FILENO);
#endif
	abort();
}
