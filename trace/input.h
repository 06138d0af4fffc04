/* SPDX-License-Identifier: MIT */
/*
 * Reads lines from a file, standard input or memory, and unpacks them if the data begins with the
 * magic bytes of xz.
 */
#ifndef TRACE_INPUT_H
#define TRACE_INPUT_H

#include <stddef.h>

/* The longest line, without its line feed. */
#define TRACE_LINE_MAX 65536

struct trace_input;

/* Returns the name of @path for messages. */
const char *trace_input_name(const char *path);
/* Returns 0 or a negative errno. @path "-" is standard input, which is never closed. */
int trace_input_open(struct trace_input **input, const char *path);
/* The same for bytes at @data, which must stay valid until the input is closed. */
int trace_input_open_buffer(struct trace_input **input, const void *data, size_t length);
void trace_input_close(struct trace_input *input);

/*
 * Reads the next line: NUL-terminated, without its line feed, valid until the next call. Returns 1;
 * 0 at the end; or a negative errno, and *@why says what is wrong with the line (-EINVAL) or with
 * the input.
 */
int trace_input_line(struct trace_input *input, char **line, const char **why);

#endif
