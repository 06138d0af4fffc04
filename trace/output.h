/* SPDX-License-Identifier: MIT */
/* Writes text to a file, packed with xz if its name ends in .xz, or to standard output. */
#ifndef TRACE_OUTPUT_H
#define TRACE_OUTPUT_H

#include <stddef.h>

struct trace_output;

/*
 * Creates @path ("-": standard output, which is neither packed nor closed). Returns 0 or a negative
 * errno.
 */
int trace_output_open(struct trace_output **output, const char *path);
/* Returns 0, or the negative errno of the first failure, after which nothing is written. */
int trace_output_put(struct trace_output *output, const char *text, size_t length);
/* Ends the file and frees @output, also after errors. Returns 0 only if everything was written. */
int trace_output_close(struct trace_output *output);

#endif
