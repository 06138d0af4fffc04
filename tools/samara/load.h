/* SPDX-License-Identifier: MIT */
/* Reads a trace for a subcommand, and complains if that fails. */
#ifndef SAMARA_TOOL_LOAD_H
#define SAMARA_TOOL_LOAD_H

#include "trace/trace.h"

/*
 * Reads the whole trace @path ("-": standard input). Returns EXIT_OK, or EXIT_FAILED after a
 * message.
 */
int load_trace(struct trace *trace, const char *path);

#endif
