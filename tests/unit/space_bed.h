/* SPDX-License-Identifier: MIT */
/* The tool's address space with a history, for one step. Include it after support/cm.h. */
#ifndef SPACE_BED_H
#define SPACE_BED_H

#include "tools/samara/space.h"

static struct trace trace;
static struct history history;
static struct space space;

/* Makes a space in which @op is done, in step 1. */
static void space_bed_make(const struct trace_op *op)
{
	const char *fault = "";

	assert_int_equal(trace_append(&trace, op), 0);
	assert_int_equal(history_init(&history, &trace, 64), 0);
	space_init(&space, true, &history);
	assert_int_equal(space_apply(&space, op, &fault), 0);
}

static int space_bed_free(void **state)
{
	(void)state;
	space_destroy(&space);
	history_destroy(&history);
	trace_free(&trace);
	return 0;
}

#endif
