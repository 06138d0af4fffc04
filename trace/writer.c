/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include "parse.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_SIZE 65536

/*
 * Text gathers in text[] and goes out when that is full, through lzma when the file is to be
 * packed. After an error nothing more is written; trace_finish() reports it.
 */
struct trace_writer {
	int fd;
	bool own_fd;
	bool packed;
	int err;
	struct trace_header header;
	lzma_stream lzma;
	size_t used;
	uint8_t text[OUTPUT_SIZE];
	uint8_t out[OUTPUT_SIZE];
};

static int write_all(int fd, const uint8_t *data, size_t length)
{
	while (length) {
		ssize_t put = write(fd, data, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		data += put;
		length -= (size_t)put;
	}
	return 0;
}

static int pack(struct trace_writer *writer, lzma_action action)
{
	lzma_ret ret;
	int err;

	writer->lzma.next_in = writer->text;
	writer->lzma.avail_in = writer->used;
	do {
		writer->lzma.next_out = writer->out;
		writer->lzma.avail_out = sizeof(writer->out);
		ret = lzma_code(&writer->lzma, action);
		if (ret != LZMA_OK && ret != LZMA_STREAM_END)
			return ret == LZMA_MEM_ERROR ? -ENOMEM : -EIO;
		err = write_all(writer->fd, writer->out,
				sizeof(writer->out) - writer->lzma.avail_out);
		if (err)
			return err;
	} while (action == LZMA_FINISH ? ret != LZMA_STREAM_END : writer->lzma.avail_in != 0);
	return 0;
}

static void flush_text(struct trace_writer *writer, bool last)
{
	if (!writer->err)
		writer->err = writer->packed ? pack(writer, last ? LZMA_FINISH : LZMA_RUN)
					     : write_all(writer->fd, writer->text, writer->used);
	writer->used = 0;
}

static int put(struct trace_writer *writer, const char *text, size_t length)
{
	while (length && !writer->err) {
		size_t part = sizeof(writer->text) - writer->used;

		if (part > length)
			part = length;
		memcpy(writer->text + writer->used, text, part);
		writer->used += part;
		text += part;
		length -= part;
		if (writer->used == sizeof(writer->text))
			flush_text(writer, false);
	}
	return writer->err;
}

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

static int open_output(struct trace_writer *writer, const char *path)
{
	if (!strcmp(path, "-")) {
		writer->fd = STDOUT_FILENO;
		return 0;
	}
	writer->packed = ends_in(path, ".xz");
	if (writer->packed && lzma_easy_encoder(&writer->lzma, 6, LZMA_CHECK_CRC64) != LZMA_OK)
		return -ENOMEM;
	writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	writer->own_fd = writer->fd >= 0;
	return writer->own_fd ? 0 : -errno;
}

int trace_create(struct trace_writer **out, const char *path, const struct trace_header *header,
		 char *why, size_t size)
{
	const char *fault = trace_header_fault(header);
	char text[TRACE_HEADER_TEXT_MAX];
	struct trace_writer *writer;
	int err;

	if (fault) {
		snprintf(why, size, "%s: %s", path, fault);
		return -EINVAL;
	}
	writer = calloc(1, sizeof(*writer));
	if (writer) {
		writer->lzma = (lzma_stream)LZMA_STREAM_INIT;
		writer->header = *header;
	}
	err = writer ? open_output(writer, path) : -ENOMEM;
	if (err) {
		snprintf(why, size, "%s: %s", path, strerror(-err));
		if (writer)
			lzma_end(&writer->lzma);
		free(writer);
		return err;
	}
	put(writer, text, (size_t)trace_format_header(header, text));
	*out = writer;
	return 0;
}

int trace_write(struct trace_writer *writer, const struct trace_op *op)
{
	char text[TRACE_OP_TEXT_MAX];

	if (trace_op_fault(op, &writer->header))
		return -EINVAL;
	return put(writer, text, (size_t)trace_format_op(op, text));
}

int trace_write_comment(struct trace_writer *writer, const char *text)
{
	if (strchr(text, '\n') || !trace_text_is_utf8(text))
		return -EINVAL;
	put(writer, "# ", 2);
	put(writer, text, strlen(text));
	return put(writer, "\n", 1);
}

int trace_finish(struct trace_writer *writer)
{
	int err;

	flush_text(writer, true);
	err = writer->err;
	if (writer->own_fd && close(writer->fd) && !err)
		err = -errno;
	lzma_end(&writer->lzma);
	free(writer);
	return err;
}
