/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>

#include "samara.h"

int load_trace(struct trace *trace, const char *path)
{
	char why[TRACE_WHY_SIZE];

	if (!trace_load(trace, path, why, sizeof(why)))
		return EXIT_OK;
	/* @why begins with the name of the file. */
	fprintf(stderr, "%s\n", why);
	return EXIT_FAILED;
}
