/* SPDX-License-Identifier: MIT */
/* Packs and writes text: see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_SIZE 65536

/*
 * Text is gathered in text[] and written when that is full, through lzma if the file is packed.
 */
struct trace_output {
	int fd;
	bool own_fd;
	bool packed;
	int err;
	lzma_stream lzma;
	size_t used;
	uint8_t text[OUTPUT_SIZE];
	uint8_t out[OUTPUT_SIZE];
};

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

static int create(struct trace_output *output, const char *path)
{
	if (!strcmp(path, "-")) {
		output->fd = STDOUT_FILENO;
		return 0;
	}
	output->packed = ends_in(path, ".xz");
	if (output->packed && lzma_easy_encoder(&output->lzma, 6, LZMA_CHECK_CRC64) != LZMA_OK)
		return -ENOMEM;
	output->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	output->own_fd = output->fd >= 0;
	return output->own_fd ? 0 : -errno;
}

int trace_output_open(struct trace_output **out, const char *path)
{
	struct trace_output *output = calloc(1, sizeof(*output));
	int err;

	if (!output)
		return -ENOMEM;
	output->lzma = (lzma_stream)LZMA_STREAM_INIT;
	err = create(output, path);
	if (err) {
		lzma_end(&output->lzma);
		free(output);
		return err;
	}
	*out = output;
	return 0;
}

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

static int pack(struct trace_output *output, lzma_action action)
{
	lzma_ret ret;
	int err;

	output->lzma.next_in = output->text;
	output->lzma.avail_in = output->used;
	do {
		output->lzma.next_out = output->out;
		output->lzma.avail_out = sizeof(output->out);
		ret = lzma_code(&output->lzma, action);
		if (ret != LZMA_OK && ret != LZMA_STREAM_END)
			return ret == LZMA_MEM_ERROR ? -ENOMEM : -EIO;
		err = write_all(output->fd, output->out,
				sizeof(output->out) - output->lzma.avail_out);
		if (err)
			return err;
	} while (action == LZMA_FINISH ? ret != LZMA_STREAM_END : output->lzma.avail_in != 0);
	return 0;
}

static void flush_text(struct trace_output *output, bool last)
{
	if (!output->err)
		output->err = output->packed ? pack(output, last ? LZMA_FINISH : LZMA_RUN)
					     : write_all(output->fd, output->text, output->used);
	output->used = 0;
}

int trace_output_put(struct trace_output *output, const char *text, size_t length)
{
	while (length && !output->err) {
		size_t part = sizeof(output->text) - output->used;

		if (part > length)
			part = length;
		memcpy(output->text + output->used, text, part);
		output->used += part;
		text += part;
		length -= part;
		if (output->used == sizeof(output->text))
			flush_text(output, false);
	}
	return output->err;
}

int trace_output_close(struct trace_output *output)
{
	int err;

	flush_text(output, true);
	err = output->err;
	if (output->own_fd && close(output->fd) && !err)
		err = -errno;
	lzma_end(&output->lzma);
	free(output);
	return err;
}
