/* SPDX-License-Identifier: MIT */
/* Writes traces: see trace.h. */
#include "trace.h"

#include "output.h"
#include "parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct trace_writer {
	struct trace_output *output;
	struct trace_header header;
};

int trace_create(struct trace_writer **out, const char *path, const struct trace_header *header,
		 char *why, size_t size)
{
	const char *fault = trace_header_fault(header);
	char text[TRACE_HEADER_TEXT_MAX];
	struct trace_writer *writer;
	int err;

	if (fault) {
		trace_message(why, size, path, fault);
		return -EINVAL;
	}
	writer = malloc(sizeof(*writer));
	err = writer ? trace_output_open(&writer->output, path) : -ENOMEM;
	if (err) {
		trace_message(why, size, path, strerror(-err));
		free(writer);
		return err;
	}
	writer->header = *header;
	trace_output_put(writer->output, text, (size_t)trace_format_header(header, text));
	*out = writer;
	return 0;
}

int trace_write(struct trace_writer *writer, const struct trace_op *op)
{
	char text[TRACE_OP_TEXT_MAX];

	if (trace_op_fault(op, &writer->header))
		return -EINVAL;
	return trace_output_put(writer->output, text, (size_t)trace_format_op(op, text));
}

int trace_finish(struct trace_writer *writer)
{
	int err = trace_output_close(writer->output);

	free(writer);
	return err;
}
