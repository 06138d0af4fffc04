/* SPDX-License-Identifier: MIT */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>

void smr_assert_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "samara: %s:%d: assertion failed: %s\n", file, line, what);
	abort();
}
