/* SPDX-License-Identifier: MIT */
/* Reads and unpacks lines: see input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_SIZE 65536
#define UNPACK_MAX (UINT64_C(256) << 20) /* bytes of memory for unpacking: the format's limit */

static const uint8_t xz_magic[6] = { 0xfd, '7', 'z', 'X', 'Z', 0 };

/*
 * Bytes flow raw -> (lzma) -> text -> line. Without xz the raw bytes are the text, in place.
 * Invariant: the next step has yet to take [raw, raw + raw_left) and [text, text + text_left).
 */
struct trace_input {
	int fd; /* -1: a buffer, all of which is raw from the start */
	bool own_fd;
	bool packed;
	bool raw_end; /* no more raw bytes will come */
	bool unpacked_end;
	const uint8_t *raw;
	size_t raw_left;
	const uint8_t *text;
	size_t text_left;
	lzma_stream lzma;
	lzma_ret fault; /* of unpacking, reported after the text before it has been taken */
	uint8_t raw_room[INPUT_SIZE];
	uint8_t text_room[INPUT_SIZE];
	char line[TRACE_LINE_MAX + 1];
};

/* Appends what one read() returns to the raw bytes, which must leave room for it. */
static int read_raw(struct trace_input *input)
{
	size_t used = 0;
	ssize_t got;

	if (input->raw_left) {
		memmove(input->raw_room, input->raw, input->raw_left);
		used = input->raw_left;
	}
	do {
		got = read(input->fd, input->raw_room + used, sizeof(input->raw_room) - used);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	input->raw = input->raw_room;
	input->raw_left = used + (size_t)got;
	input->raw_end = got == 0;
	return 0;
}

static const char *lzma_reason(lzma_ret ret, int *err)
{
	*err = -EINVAL;
	switch (ret) {
	case LZMA_MEM_ERROR:
		*err = -ENOMEM;
		return "out of memory for unpacking";
	case LZMA_MEMLIMIT_ERROR:
		return "the compressed data takes more than 256 MiB of memory to unpack";
	case LZMA_BUF_ERROR:
		return "the compressed data ends too early";
	case LZMA_OPTIONS_ERROR:
		return "the compressed data uses unsupported options";
	default:
		return "the compressed data is damaged";
	}
}

/* Finds out from the first bytes whether the input is packed. */
static int detect(struct trace_input *input)
{
	int err = 0;

	while (!err && !input->raw_end && input->raw_left < sizeof(xz_magic))
		err = read_raw(input);
	if (err || input->raw_left < sizeof(xz_magic) ||
	    memcmp(input->raw, xz_magic, sizeof(xz_magic)))
		return err;
	if (lzma_stream_decoder(&input->lzma, UNPACK_MAX, LZMA_CONCATENATED) != LZMA_OK)
		return -ENOMEM;
	input->packed = true;
	return 0;
}

static int open_input(struct trace_input **input, int fd, bool own_fd, const void *data,
		      size_t length)
{
	struct trace_input *new = malloc(sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	memset(new, 0, offsetof(struct trace_input, raw_room));
	new->lzma = (lzma_stream)LZMA_STREAM_INIT;
	new->fd = fd;
	new->own_fd = own_fd;
	new->raw = data;
	new->raw_left = length;
	new->raw_end = fd < 0;
	err = detect(new);
	if (err) {
		new->own_fd = false;
		trace_input_close(new);
		return err;
	}
	*input = new;
	return 0;
}

const char *trace_input_name(const char *path)
{
	return strcmp(path, "-") ? path : "<stdin>";
}

int trace_input_open(struct trace_input **input, const char *path)
{
	int fd, err;

	if (!strcmp(path, "-"))
		return open_input(input, STDIN_FILENO, false, NULL, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = open_input(input, fd, true, NULL, 0);
	if (err)
		close(fd);
	return err;
}

int trace_input_open_buffer(struct trace_input **input, const void *data, size_t length)
{
	return open_input(input, -1, false, data, length);
}

void trace_input_close(struct trace_input *input)
{
	if (!input)
		return;
	lzma_end(&input->lzma);
	if (input->own_fd)
		close(input->fd);
	free(input);
}

/* Unpacks raw bytes into text; text_left is 0 afterwards only at the end. */
static int unpack(struct trace_input *input, const char **why)
{
	lzma_ret ret = input->fault;
	int err;

	input->lzma.next_out = input->text_room;
	input->lzma.avail_out = sizeof(input->text_room);
	while (ret == LZMA_OK && input->lzma.avail_out && !input->unpacked_end) {
		if (!input->raw_left && !input->raw_end) {
			err = read_raw(input);
			if (err) {
				*why = strerror(-err);
				return err;
			}
		}
		input->lzma.next_in = input->raw;
		input->lzma.avail_in = input->raw_left;
		ret = lzma_code(&input->lzma, input->raw_end ? LZMA_FINISH : LZMA_RUN);
		input->raw = input->lzma.next_in;
		input->raw_left = input->lzma.avail_in;
		input->unpacked_end = ret == LZMA_STREAM_END;
	}
	/* Text before a fault is returned first, so the fault is reported for the right line. */
	input->fault = ret == LZMA_STREAM_END ? LZMA_OK : ret;
	input->text = input->text_room;
	input->text_left = sizeof(input->text_room) - input->lzma.avail_out;
	if (input->fault == LZMA_OK || input->text_left)
		return 0;
	*why = lzma_reason(ret, &err);
	return err;
}

static int more_text(struct trace_input *input, const char **why)
{
	int err = 0;

	if (input->packed)
		return unpack(input, why);
	if (!input->raw_left && !input->raw_end)
		err = read_raw(input);
	if (err)
		*why = strerror(-err);
	input->text = input->raw;
	input->text_left = input->raw_left;
	input->raw_left = 0;
	return err;
}

int trace_input_line(struct trace_input *input, char **line, const char **why)
{
	size_t used = 0;

	for (;;) {
		const uint8_t *end;
		size_t part;
		int err;

		if (!input->text_left) {
			err = more_text(input, why);
			if (err)
				return err;
			if (!input->text_left)
				break;
		}
		end = memchr(input->text, '\n', input->text_left);
		part = end ? (size_t)(end - input->text) : input->text_left;
		if (part > TRACE_LINE_MAX - used) {
			*why = "the line is longer than 65536 bytes";
			return -EINVAL;
		}
		memcpy(input->line + used, input->text, part);
		used += part;
		input->text += part + (end != NULL);
		input->text_left -= part + (end != NULL);
		if (!end)
			continue;
		if (memchr(input->line, '\0', used)) {
			*why = "the line contains a NUL byte";
			return -EINVAL;
		}
		input->line[used] = '\0';
		*line = input->line;
		return 1;
	}
	if (!used)
		return 0;
	*why = "the last line does not end in a line feed; is the file cut short?";
	return -EINVAL;
}
