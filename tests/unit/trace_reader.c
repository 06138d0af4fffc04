/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/input.h"
#include "trace/trace.h"

#define HEADER "# samara-trace 1\n# source: test\n# page: 1000\n# va: 1000-ffffffffffffffff\n"

/* Reads @text to the end; returns the error message, or "" and *@nr operations. */
static const char *read_text(const char *text, size_t length, size_t *nr)
{
	static char why[600];
	struct trace_reader *reader;
	struct trace_op op;
	int ret;

	*nr = 0;
	why[0] = '\0';
	ret = trace_open_buffer(&reader, text, length, "t", why, sizeof(why));
	if (ret) {
		assert_true(ret < 0 && why[0]);
		return why;
	}
	while ((ret = trace_next(reader, &op)) > 0)
		(*nr)++;
	if (ret < 0) {
		assert_int_equal(trace_next(reader, &op), ret);
		snprintf(why, sizeof(why), "%s", trace_reader_error(reader));
		assert_true(why[0]);
	}
	trace_close(reader);
	return why;
}

static void expect(const char *text, const char *message)
{
	size_t nr;
	const char *why = read_text(text, strlen(text), &nr);

	if (strcmp(why, message))
		fail_msg("for '%s': '%s' instead of '%s'", text, why, message);
}

static void test_header_faults(void **state)
{
	static const char *const cases[][2] = {
		{ "", "t:1: the file is empty" },
		{ "map 1000 1000 0 0 p\n",
		  "t:1: not a samara trace: the first line must be '# samara-trace 1'" },
		{ "# samara-trace 2\n", "t:1: only version 1 of the format is known" },
		{ "# samara-trace 1\r\n",
		  "t:1: a carriage return; lines end in a line feed alone" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\r\n",
		  "t:3: a carriage return; lines end in a line feed alone" },
		{ "# samara-trace 1\n", "t:2: the file ends within its header of four lines" },
		{ "# samara-trace 1\n# page: 1000\n", "t:2: expected '# source: TEXT'" },
		{ "# samara-trace 1\n# source: a\n# va: 0-1\n", "t:3: expected '# page: SIZE'" },
		{ "# samara-trace 1\n# source: a\n# page: x\n", "t:3: not a hexadecimal number" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# vb: 0-1\n",
		  "t:4: expected '# va: LOWEST-HIGHEST'" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# va: 1000\n",
		  "t:4: expected '# va: LOWEST-HIGHEST'" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# va: 1000-\n",
		  "t:4: a number is missing" },
		{ "# samara-trace 1\n# source: a\n# page: 1001\n# va: 0-fff\n",
		  "t:3: the page size is not a power of two" },
		{ "# samara-trace 1\n# source: a\n# page: 0\n# va: 0-fff\n",
		  "t:3: the page size is not a power of two" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# va: 3000-1fff\n",
		  "t:4: the lowest address lies above the highest" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# va: 1000-2000\n",
		  "t:4: the address limits are not whole pages" },
		{ "# samara-trace 1\n# source: \n# page: 1000\n# va: 1000-1fff\n",
		  "t:2: the source is empty" },
		{ "# samara-trace 1\n# source: a\tb\n# page: 1000\n# va: 1000-1fff\n",
		  "t:2: the source contains a control character" },
		{ "# samara-trace 1\n# source: a\x7f\n# page: 1000\n# va: 1000-1fff\n",
		  "t:2: the source contains a control character" },
		{ "# samara-trace 1\n# source: \xc2\x9b\n# page: 1000\n# va: 1000-1fff\n",
		  "t:2: the source contains a control character" },
		{ "# samara-trace 1\n# source: \xc2\xa0\n# page: 1000\n# va: 1000-1ffe\n",
		  "t:4: the address limits are not whole pages" },
		{ "# samara-trace 1\n# source: \xff\n# page: 1000\n# va: 1000-1fff\n",
		  "t:2: the source is not UTF-8" },
		{ "# samara-trace 1\n# source: \xc3\n# page: 3\n# va: 3-2\n",
		  "t:2: the source is not UTF-8" },
		{ "# samara-trace 1\n# source: a\n# page: 1000\n# va: 1000-1fff",
		  "t:4: the last line does not end in a line feed; is the file cut short?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i][0], cases[i][1]);
}

static void test_line_faults(void **state)
{
	static const char *const cases[][2] = {
		{ "mop 1000 1000\n",
		  "unknown operation; expected map, unmap, protect, move or load" },
		{ "Map 1000 1000 0 0 p\n",
		  "unknown operation; expected map, unmap, protect, move or load" },
		{ "map 1000 1000 0 0\n", "expected 'map ADDR LENGTH OBJECT OFFSET FLAGS'" },
		{ "map 1000 1000 0 0 p p\n", "expected 'map ADDR LENGTH OBJECT OFFSET FLAGS'" },
		{ "map 1000 1000 0 0 p p p p\n", "expected 'map ADDR LENGTH OBJECT OFFSET FLAGS'" },
		{ "unmap 1000\n", "expected 'unmap ADDR LENGTH'" },
		{ "protect 1000 1000\n", "expected 'protect ADDR LENGTH FLAGS'" },
		{ "move 1000 1000 2000\n", "expected 'move OLD OLD_LENGTH NEW NEW_LENGTH'" },
		{ "load\n", "expected 'load ADDR'" },
		{ "load 1 2\n", "expected 'load ADDR'" },
		{ "unmap 0x1000 1000\n", "not a hexadecimal number" },
		{ "unmap -1000 1000\n", "not a hexadecimal number" },
		{ "unmap 1000\t1000\n", "expected 'unmap ADDR LENGTH'" },
		{ "map 1000 1000 a 0 p\n", "not a decimal number" },
		{ "map 1000 1000 18446744073709551616 0 p\n",
		  "the number does not fit in 64 bits" },
		{ "unmap 10000000000001000 1000\n", "the number does not fit in 64 bits" },
		{ "unmap 1000 0\n", "the length is 0" },
		{ "unmap 1001 1000\n", "not a multiple of the page size" },
		{ "unmap 1000 1001\n", "not a multiple of the page size" },
		{ "map 1000 1000 1 1 p\n", "the offset is not a multiple of the page size" },
		{ "map 1000 1000 0 1000 p\n", "private anonymous memory (object 0) has no offset" },
		{ "map 1000 1000 0 0 rs\n", "private anonymous memory (object 0) is not shared" },
		{ "map 1000 2000 1 fffffffffffff000 p\n",
		  "the offset goes beyond 64 bits within the range" },
		{ "unmap fffffffffffff000 2000\n",
		  "the range goes beyond the end of the address space" },
		{ "unmap 0 1000\n", "the range is outside the limits that the header gives" },
		{ "move 1000 2000 2000 1000\n", "the old and the new range overlap" },
		{ "move 2000 1000 1000 2000\n", "the old and the new range overlap" },
		{ "move 1000 1000 2000 0\n", "the length is 0" },
		{ "load fff\n", "the address is outside the limits that the header gives" },
		{ "map 1000 1000 0 0 wrp\n", NULL },
		{ "map 1000 1000 0 0 -\n", NULL },
		{ "map 1000 1000 0 0 rw\n", NULL },
		{ "map 1000 1000 0 0 rwpgg\n", NULL },
		{ "map 1000 1000 0 0 sp\n", NULL },
		{ "protect 1000 1000 pq\n", NULL },
		{ "unmap 1000 1000\r\n", "a carriage return; lines end in a line feed alone" },
		{ "# \xc0\xaf\n", "not UTF-8" },
		{ "# \xed\xa0\x80\n", "not UTF-8" },
		{ "# \xf4\x90\x80\x80\n", "not UTF-8" },
		{ "# \xe2\x82\n", "not UTF-8" },
		{ "unmap 1000 1000",
		  "the last line does not end in a line feed; is the file cut short?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *what = cases[i][1];
		char text[512], message[512];

		if (!what)
			what = "flags must be letters out of r, w, x in this order, then s or p, then "
			       "perhaps g";
		snprintf(text, sizeof(text), HEADER "# \xe2\x82\xac comment\n\nload 1000\n%s",
			 cases[i][0]);
		snprintf(message, sizeof(message), "t:8: %s", what);
		expect(text, message);
	}
}

static void test_long_lines(void **state)
{
	size_t length = strlen(HEADER) + TRACE_LINE_MAX + 2, nr;
	char *text = malloc(length);

	(void)state;
	assert_non_null(text);
	memset(text, '#', length);
	memcpy(text, HEADER, strlen(HEADER));
	text[length - 1] = '\n';
	assert_string_equal(read_text(text, length, &nr),
			    "t:5: the line is longer than 65536 bytes");
	text[length - 2] = '\n';
	assert_string_equal(read_text(text, length - 1, &nr), "");
	text[length - 3] = '\0';
	assert_string_equal(read_text(text, length - 1, &nr), "t:5: the line contains a NUL byte");
	free(text);
}

static void test_all_operations(void **state)
{
	static const char text[] = HEADER
		"map fffffffffffff000 1000 18446744073709551615 fffffffffffff000 rwxsg # the last page\n"
		"unmap 1000   3000 \n"
		"protect 2000 1000 p\n"
		"move 1000 1000 1000 5000\n"
		"load FFFFFFFFFFFFFFFF\n";
	static const struct trace_op expected[] = {
		{ .verb = TRACE_MAP,
		  .addr = -0x1000ull,
		  .length = 0x1000,
		  .object = -1ull,
		  .offset = -0x1000ull,
		  .flags = 31,
		  .line = 5 },
		{ .verb = TRACE_UNMAP, .addr = 0x1000, .length = 0x3000, .line = 6 },
		{ .verb = TRACE_PROTECT, .addr = 0x2000, .length = 0x1000, .line = 7 },
		{ .verb = TRACE_MOVE,
		  .addr = 0x1000,
		  .length = 0x1000,
		  .new_addr = 0x1000,
		  .new_length = 0x5000,
		  .line = 8 },
		{ .verb = TRACE_LOAD, .addr = -1ull, .length = 1, .line = 9 },
	};
	struct trace_reader *reader;
	struct trace_op op;
	char why[256];

	(void)state;
	assert_int_equal(trace_open_buffer(&reader, text, strlen(text), "t", why, sizeof(why)), 0);
	assert_string_equal(trace_reader_header(reader)->source, "test");
	assert_int_equal(trace_reader_header(reader)->page, 0x1000);
	assert_int_equal(trace_reader_header(reader)->va_first, 0x1000);
	assert_true(trace_reader_header(reader)->va_last == UINT64_MAX);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(trace_next(reader, &op), 1);
		assert_true(trace_op_equal(&op, &expected[i]));
		assert_int_equal(op.line, expected[i].line);
	}
	assert_int_equal(trace_next(reader, &op), 0);
	assert_string_equal(trace_reader_error(reader), "");
	trace_close(reader);
}

/* Returns the text of @nr operations, compressed to *@length bytes, which the caller frees. */
static uint8_t *packed_text(size_t nr, size_t *length)
{
	size_t size = strlen(HEADER) + nr * 32, used;
	char *text = malloc(size);
	uint8_t *packed = malloc(size + 1024);

	assert_true(text && packed);
	memcpy(text, HEADER, strlen(HEADER));
	used = strlen(HEADER);
	for (size_t i = 0; i < nr; i++)
		used += (size_t)sprintf(text + used, "load %zx\n", 0x1000 + i);
	*length = 0;
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, (uint8_t *)text, used,
						 packed, length, size + 1024),
			 LZMA_OK);
	free(text);
	return packed;
}

static void test_xz(void **state)
{
	size_t length, nr;
	uint8_t *packed = packed_text(50000, &length);

	(void)state;
	assert_string_equal(read_text((char *)packed, length, &nr), "");
	assert_int_equal(nr, 50000);
	/* What comes before the end is delivered, then the fault is reported. */
	assert_non_null(strstr(read_text((char *)packed, length - 40, &nr),
			       "the compressed data ends too early"));
	assert_true(nr > 0);
	/*
	 * A wrong byte in the middle gives other text, or none; this one hits the end of the
	 * stream.
	 */
	packed[length - 12] ^= 0x55;
	assert_non_null(
		strstr(read_text((char *)packed, length, &nr), "the compressed data is damaged"));
	assert_int_equal(nr, 50000);
	packed[length - 12] ^= 0x55;
	packed[length / 2] ^= 0x55;
	assert_true(read_text((char *)packed, length, &nr)[0] && nr < 50000);
	free(packed);
}

static void test_xz_garbage_behind(void **state)
{
	size_t length, nr;
	uint8_t *packed = packed_text(10, &length);

	(void)state;
	memcpy(packed + length, "garbage!garbage!", 16);
	assert_non_null(strstr(read_text((char *)packed, length + 16, &nr),
			       "the compressed data is damaged"));
	assert_int_equal(nr, 10);
	free(packed);
}

/* Makes the first block's header ask for a dictionary of 512 MiB. */
static void enlarge_dictionary(uint8_t *packed)
{
	uint8_t *header = packed + LZMA_STREAM_HEADER_SIZE;
	size_t size = ((size_t)header[0] + 1) * 4 - 4;
	uint8_t *lzma2 = memmem(header, size, "\x21\x01", 2); /* the filter, a byte for its size */
	uint32_t crc;

	assert_non_null(lzma2);
	lzma2[2] = 34;
	crc = lzma_crc32(header, size, 0);
	for (unsigned int i = 0; i < 4; i++)
		header[size + i] = (uint8_t)(crc >> 8 * i);
}

static void test_xz_too_large(void **state)
{
	size_t length, nr;
	uint8_t *packed = packed_text(10, &length);

	(void)state;
	enlarge_dictionary(packed);
	assert_string_equal(read_text((char *)packed, length, &nr),
			    "t:1: the compressed data takes more than 256 MiB of memory to unpack");
	free(packed);
}

static void test_files(void **state)
{
	char path[] = "/tmp/samara-unit-XXXXXX", why[512], missing[64];
	struct trace trace;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, HEADER "load 1234\nload 12345\nbad\n", strlen(HEADER) + 25),
			 (ssize_t)strlen(HEADER) + 25);
	assert_int_equal(trace_load(&trace, path, why, sizeof(why)), -EINVAL);
	assert_null(trace.ops);
	assert_true(strstr(why, path) == why && strstr(why, ":7: unknown operation"));
	assert_int_equal(ftruncate(fd, (off_t)strlen(HEADER) + 21), 0);
	assert_int_equal(trace_load(&trace, path, why, sizeof(why)), 0);
	assert_int_equal(trace.count, 2);
	trace_free(&trace);
	close(fd);
	unlink(path);
	assert_int_equal(trace_load(&trace, path, why, sizeof(why)), -ENOENT);
	snprintf(missing, sizeof(missing), "%s: No such file or directory", path);
	assert_string_equal(why, missing);
	assert_int_equal(trace_load(&trace, "/", why, sizeof(why)), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_faults),
		cmocka_unit_test(test_line_faults),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_all_operations),
		cmocka_unit_test(test_xz),
		cmocka_unit_test(test_xz_garbage_behind),
		cmocka_unit_test(test_xz_too_large),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
