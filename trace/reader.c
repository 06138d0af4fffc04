/* SPDX-License-Identifier: MIT */
/* Reads traces: see trace.h. */
#include "trace.h"

#include "input.h"
#include "parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace_reader {
	struct trace_input *input;
	struct trace_header header;
	unsigned long line; /* number of the line that was read last */
	int err;            /* the first failure: trace_next() then always returns it */
	char name[PATH_MAX];
	char why[TRACE_WHY_SIZE];
};

static int fail(struct trace_reader *reader, unsigned long line, const char *what, int err)
{
	snprintf(reader->why, sizeof(reader->why), "%s:%lu: %s", reader->name, line, what);
	reader->err = err;
	return err;
}

/* Like trace_input_line(), but counts lines and keeps the message. */
static int next_line(struct trace_reader *reader, char **line)
{
	const char *why = "";
	int ret = trace_input_line(reader->input, line, &why);

	if (ret < 0)
		return fail(reader, reader->line + 1, why, ret);
	reader->line += (unsigned long)ret;
	return ret;
}

static int read_header(struct trace_reader *reader)
{
	for (unsigned int number = 1; number <= 4; number++) {
		char *line;
		const char *fault;
		int ret = next_line(reader, &line);

		if (ret < 0)
			return ret;
		if (!ret)
			return fail(reader, number,
				    number == 1 ? "the file is empty"
						: "the file ends within its header of four lines",
				    -EINVAL);
		fault = trace_parse_header(line, number, &reader->header);
		if (fault)
			return fail(reader, number, fault, -EINVAL);
	}
	return 0;
}

/* @err is the result of opening @input, which this takes ownership of. */
static int open_reader(struct trace_reader **out, struct trace_input *input, int err,
		       const char *name, char *why, size_t size)
{
	struct trace_reader *reader;

	if (err) {
		trace_message(why, size, name, strerror(-err));
		return err;
	}
	reader = calloc(1, sizeof(*reader));
	if (!reader) {
		trace_input_close(input);
		trace_message(why, size, name, strerror(ENOMEM));
		return -ENOMEM;
	}
	reader->input = input;
	snprintf(reader->name, sizeof(reader->name), "%s", name);
	err = read_header(reader);
	if (err) {
		snprintf(why, size, "%s", reader->why);
		trace_close(reader);
		return err;
	}
	*out = reader;
	return 0;
}

int trace_open(struct trace_reader **reader, const char *path, char *why, size_t size)
{
	struct trace_input *input = NULL;
	int err = trace_input_open(&input, path);

	return open_reader(reader, input, err, trace_input_name(path), why, size);
}

int trace_open_buffer(struct trace_reader **reader, const void *data, size_t length,
		      const char *name, char *why, size_t size)
{
	struct trace_input *input = NULL;
	int err = trace_input_open_buffer(&input, data, length);

	return open_reader(reader, input, err, name, why, size);
}

const struct trace_header *trace_reader_header(const struct trace_reader *reader)
{
	return &reader->header;
}

int trace_next(struct trace_reader *reader, struct trace_op *op)
{
	if (reader->err)
		return reader->err;
	for (;;) {
		const char *fault;
		bool found;
		char *line;
		int ret = next_line(reader, &line);

		if (ret <= 0)
			return ret;
		fault = trace_parse_op(line, &reader->header, op, &found);
		if (fault)
			return fail(reader, reader->line, fault, -EINVAL);
		op->line = (uint32_t)reader->line;
		if (found)
			return 1;
	}
}

const char *trace_reader_error(const struct trace_reader *reader)
{
	return reader->why;
}

void trace_close(struct trace_reader *reader)
{
	if (!reader)
		return;
	trace_input_close(reader->input);
	free(reader);
}

int trace_append(struct trace *trace, const struct trace_op *op)
{
	if (trace->count == trace->room) {
		size_t room = trace->room ? trace->room * 2 : 1024;
		struct trace_op *ops;

		if (room > SIZE_MAX / sizeof(*ops))
			return -ENOMEM;
		ops = realloc(trace->ops, room * sizeof(*ops));
		if (!ops)
			return -ENOMEM;
		trace->ops = ops;
		trace->room = room;
	}
	trace->ops[trace->count++] = *op;
	return 0;
}

int trace_load(struct trace *trace, const char *path, char *why, size_t size)
{
	struct trace_reader *reader;
	struct trace_op op;
	int ret;

	*trace = (struct trace){ 0 };
	ret = trace_open(&reader, path, why, size);
	if (ret)
		return ret;
	trace->header = reader->header;
	while ((ret = trace_next(reader, &op)) > 0) {
		ret = trace_append(trace, &op);
		if (ret) {
			fail(reader, reader->line, strerror(-ret), ret);
			break;
		}
	}
	if (ret) {
		snprintf(why, size, "%s", reader->why);
		trace_free(trace);
	}
	trace_close(reader);
	return ret;
}

void trace_free(struct trace *trace)
{
	free(trace->ops);
	*trace = (struct trace){ 0 };
}
