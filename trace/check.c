/* SPDX-License-Identifier: MIT */
/* Checks that the reader and the writer agree, for fuzzers: trace_check_buffer() in trace.h. */
#include "trace.h"

#include "parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The text of a trace in memory, which grows as it is written. */
struct text {
	char *data;
	size_t used;
	size_t room;
};

static int add_text(struct text *text, const char *more, size_t length)
{
	if (length > text->room - text->used) {
		size_t room = (text->room + length) * 2;
		char *data = realloc(text->data, room);

		if (!data)
			return -ENOMEM;
		text->data = data;
		text->room = room;
	}
	memcpy(text->data + text->used, more, length);
	text->used += length;
	return 0;
}

/* Reads the trace at @data to its end, and writes it to @copy. */
static int read_and_copy(const void *data, size_t length, struct text *copy)
{
	struct trace_reader *reader;
	char line[TRACE_OP_TEXT_MAX], header[TRACE_HEADER_TEXT_MAX], why[256];
	struct trace_op op;
	int ret = trace_open_buffer(&reader, data, length, "buffer", why, sizeof(why));

	if (ret)
		return ret;
	ret = add_text(copy, header,
		       (size_t)trace_format_header(trace_reader_header(reader), header));
	while (!ret && (ret = trace_next(reader, &op)) > 0)
		ret = add_text(copy, line, (size_t)trace_format_op(&op, line));
	trace_close(reader);
	return ret;
}

int trace_check_buffer(const void *data, size_t length)
{
	struct text first = { 0 }, second = { 0 };
	int err = read_and_copy(data, length, &first);

	if (!err) {
		err = read_and_copy(first.data, first.used, &second);
		if (err == -EINVAL)
			err = -EUCLEAN;
		else if (!err &&
			 (first.used != second.used || memcmp(first.data, second.data, first.used)))
			err = -EUCLEAN;
	}
	free(first.data);
	free(second.data);
	return err;
}
