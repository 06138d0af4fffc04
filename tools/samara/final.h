/* SPDX-License-Identifier: MIT */
/*
 * Writes out what is mapped at the end, and compares it with a file, as --dump-final and
 * --expect-final ask.
 */
#ifndef SAMARA_TOOL_FINAL_H
#define SAMARA_TOOL_FINAL_H

#include <stdio.h>

#include "run.h"

/* Prints the maximal runs of what @arg holds (as_write_runs()). Returns as_runs_count(). */
typedef size_t write_runs_function(void *arg, FILE *out);

/*
 * Has @write print what @arg holds, and does with the output what the settings ask; sets *@runs to
 * the number of runs. @holder is the name of @arg in messages. Returns EXIT_OK or EXIT_FAILED.
 */
int final_state(const struct run_settings *settings, const char *holder, write_runs_function *write,
		void *arg, size_t *runs);

#endif
