/* SPDX-License-Identifier: MIT */
/* Text to a file, packed with xz when its name ends in .xz, or to standard output. */
#ifndef TRACE_OUTPUT_H
#define TRACE_OUTPUT_H

#include <stddef.h>

struct trace_output;

/* Creates @path ("-": standard output, which is neither packed nor closed). 0 or negative errno. */
int trace_output_open(struct trace_output **output, const char *path);
/* 0, or the negative errno of the first failure, after which nothing more is written. */
int trace_output_put(struct trace_output *output, const char *text, size_t length);
/* Ends the file and frees @output, also after errors. Only a 0 means that all has been written. */
int trace_output_close(struct trace_output *output);

#endif
