/* SPDX-License-Identifier: MIT */
/*
 * Converts a line of a trace from text to struct trace_op and back, and checks what is allowed. The
 * reader and the writer both use it, so they agree on that.
 */
#ifndef TRACE_PARSE_H
#define TRACE_PARSE_H

#include "trace.h"

/* The longest line that trace_format_op() makes, with its line feed and a NUL. */
#define TRACE_OP_TEXT_MAX 128
#define TRACE_HEADER_TEXT_MAX (sizeof(((struct trace_header *)NULL)->source) + 128)

/* Writes the message "NAME: WHAT" to @why. A @name longer than any file name is cut. */
void trace_message(char *why, size_t size, const char *name, const char *what);

/* Returns NULL if @op is valid in a trace with @header, else what is wrong with it. */
const char *trace_op_fault(const struct trace_op *op, const struct trace_header *header);
/* Returns NULL if @header is valid, else what is wrong with it. */
const char *trace_header_fault(const struct trace_header *header);

/*
 * Sets a field of @header from line @number of the file; call it for 1 to 4 in turn. Returns NULL
 * or what is wrong.
 */
const char *trace_parse_header(const char *line, unsigned int number, struct trace_header *header);
/*
 * Parses @line, which is changed. *@found: it holds an operation, not only a comment or nothing.
 * The operation is checked against @header. Returns NULL or what is wrong.
 */
const char *trace_parse_op(char *line, const struct trace_header *header, struct trace_op *op,
			   bool *found);
/* Writes the line of a valid @op; returns its length. */
int trace_format_op(const struct trace_op *op, char text[static TRACE_OP_TEXT_MAX]);
/* Writes the four lines of a valid @header; returns their length. */
int trace_format_header(const struct trace_header *header, char text[static TRACE_HEADER_TEXT_MAX]);

#endif
