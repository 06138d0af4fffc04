/* SPDX-License-Identifier: MIT */
/*
 * Lines of a file, of standard input or of memory, unpacked on the way when they begin with the
 * magic bytes of xz.
 */
#ifndef TRACE_INPUT_H
#define TRACE_INPUT_H

#include <stddef.h>

/* Longest line, without its line feed. */
#define TRACE_LINE_MAX 65536

struct trace_input;

/* What messages call @path. */
const char *trace_input_name(const char *path);
/* 0 or a negative errno. @path "-" is standard input, which is not closed. */
int trace_input_open(struct trace_input **input, const char *path);
/* Bytes that stay where they are while the input is in use. */
int trace_input_open_buffer(struct trace_input **input, const void *data, size_t length);
void trace_input_close(struct trace_input *input);

/*
 * The next line, NUL-terminated, without its line feed; it stays until the next call. 1: a line,
 * 0: the end, negative errno: *@why says what is wrong with the line (-EINVAL), or with the
 * input.
 */
int trace_input_line(struct trace_input *input, char **line, const char **why);

#endif
