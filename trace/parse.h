/* SPDX-License-Identifier: MIT */
/*
 * One line of a trace, as text and as struct trace_op. Used by both reader and writer, which
 * therefore agree on what is allowed.
 */
#ifndef TRACE_PARSE_H
#define TRACE_PARSE_H

#include "trace.h"

/* Longest line that trace_format_op() makes, with its line feed and a NUL. */
#define TRACE_OP_TEXT_MAX 128
#define TRACE_HEADER_TEXT_MAX (sizeof(((struct trace_header *)NULL)->source) + 128)

/* Writes the message that @what is wrong with @name, which is cut when no file is called so. */
void trace_message(char *why, size_t size, const char *name, const char *what);

/* NULL when @op may stand in a trace with @header, else what is wrong with it. */
const char *trace_op_fault(const struct trace_op *op, const struct trace_header *header);
/* NULL when such a header may stand in a file, else what is wrong with it. */
const char *trace_header_fault(const struct trace_header *header);

/* Fills in one field of @header from header line @number, 1 to 4 in turn. NULL or what is wrong. */
const char *trace_parse_header(const char *line, unsigned int number, struct trace_header *header);
/*
 * Reads @line, which is changed: *@found tells whether it holds an operation or only a comment or
 * nothing. The operation is checked against @header. NULL or what is wrong.
 */
const char *trace_parse_op(char *line, const struct trace_header *header, struct trace_op *op,
			   bool *found);
/* The line of a valid @op; returns its length. */
int trace_format_op(const struct trace_op *op, char text[static TRACE_OP_TEXT_MAX]);
/* The four lines of a valid @header; returns their length. */
int trace_format_header(const struct trace_header *header, char text[static TRACE_HEADER_TEXT_MAX]);

#endif
