/* SPDX-License-Identifier: MIT */
/* Trace files when the system refuses memory, a write or a close. */
#include "support/cm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/trace.h"

/* ---- What is refused ---- */

static unsigned int mem_left;   /* allocations that succeed before one fails */
static unsigned int interrupts; /* writes to come that a signal interrupts */
static size_t write_max;        /* a write takes no more than that at a time */
static int close_err;
static unsigned int closed;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__real_realloc(void *mem, size_t size);
void *__wrap_realloc(void *mem, size_t size);
ssize_t __real_write(int fd, const void *data, size_t length);
ssize_t __wrap_write(int fd, const void *data, size_t length);
int __real_close(int fd);
int __wrap_close(int fd);

static bool no_memory(void)
{
	if (mem_left-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	return no_memory() ? NULL : __real_calloc(nr, size);
}

void *__wrap_realloc(void *mem, size_t size)
{
	return no_memory() ? NULL : __real_realloc(mem, size);
}

ssize_t __wrap_write(int fd, const void *data, size_t length)
{
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	return __real_write(fd, data, length < write_max ? length : write_max);
}

int __wrap_close(int fd)
{
	closed++;
	if (__real_close(fd))
		return -1;
	errno = close_err;
	return close_err ? -1 : 0;
}

/* Refuses nothing so far. */
static int begin(void **state)
{
	(void)state;
	mem_left = UINT_MAX;
	interrupts = 0;
	write_max = SIZE_MAX;
	close_err = 0;
	closed = 0;
	return 0;
}

/* ---- A trace ---- */

static const struct trace_header header = {
	.source = "test", .page = 0x1000, .va_first = 0, .va_last = UINT64_MAX
};

static char path[64];

static void make_path(const char *suffix)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/samara-unit-XXXXXX%s", suffix);
	fd = mkstemps(path, (int)strlen(suffix));
	assert_true(fd >= 0);
	__real_close(fd);
}

/* Writes @nr loads; returns the result of trace_finish(). */
static int write_loads(unsigned int nr)
{
	struct trace_op op = { .verb = TRACE_LOAD, .length = 1 };
	struct trace_writer *writer;
	char why[256];

	assert_int_equal(trace_create(&writer, path, &header, why, sizeof(why)), 0);
	for (op.addr = 0; op.addr < nr; op.addr++)
		(void)trace_write(writer, &op);
	return trace_finish(writer);
}

static void expect_loads(unsigned int nr)
{
	struct trace trace;
	char why[256];

	assert_int_equal(trace_load(&trace, path, why, sizeof(why)), 0);
	assert_int_equal(trace.count, nr);
	for (unsigned int i = 0; i < nr; i++)
		assert_int_equal(trace.ops[i].addr, i);
	trace_free(&trace);
}

/* ---- Writing ---- */

static void a_signal_amid_a_write_costs_nothing(void **state)
{
	static const char *const suffixes[] = { "", ".xz" };

	(void)state;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		make_path(suffixes[i]);
		interrupts = 3;
		assert_int_equal(write_loads(20000), 0);
		assert_int_equal(interrupts, 0);
		expect_loads(20000);
		unlink(path);
	}
}

static void what_a_write_leaves_is_written_next(void **state)
{
	static const char *const suffixes[] = { "", ".xz" };

	(void)state;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		make_path(suffixes[i]);
		write_max = 1000;
		assert_int_equal(write_loads(20000), 0);
		expect_loads(20000);
		unlink(path);
	}
}

/* Some file systems report only on close that there was no room. */
static void closing_may_fail(void **state)
{
	(void)state;
	make_path("");
	close_err = ENOSPC;
	assert_int_equal(write_loads(10), -ENOSPC);
	assert_int_equal(closed, 1);
	unlink(path);
}

static void the_first_error_is_told(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK))
		skip();
	snprintf(path, sizeof(path), "/dev/full");
	close_err = EIO;
	assert_int_equal(write_loads(10), -ENOSPC);
	assert_int_equal(closed, 1);
}

/* ---- Reading without memory ---- */

/* Loads a file with ever more memory, until there is enough. */
static void reading_says_what_it_lacks(void **state)
{
	char expected[128], expected_later[128], why[256] = "";
	struct trace trace;
	unsigned int n = 0;
	int err;

	(void)state;
	make_path("");
	assert_int_equal(write_loads(2000), 0);
	snprintf(expected, sizeof(expected), "%s: %s", path, strerror(ENOMEM));
	do {
		closed = 0;
		why[0] = '\0';
		mem_left = n++;
		err = trace_load(&trace, path, why, sizeof(why));
		mem_left = UINT_MAX;
		/* By then the first or the 1025th operation has been read. */
		snprintf(expected_later, sizeof(expected_later), "%s:%u: %s", path,
			 n == 3 ? 5 : 1029, strerror(ENOMEM));
		assert_int_equal(closed, 1);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_string_equal(why, n <= 2 ? expected : expected_later);
		assert_null(trace.ops);
	} while (true);
	assert_int_equal(n, 5);
	assert_int_equal(trace.count, 2000);
	trace_free(&trace);
	unlink(path);
}

/* Errors use the name given for the buffer. */
static void so_does_reading_a_buffer(void **state)
{
	static const char text[] = "# samara-trace 1\n# source: s\n# page: 1000\n# va: 0-fff\n";
	struct trace_reader *reader;
	char expected[128], why[256];

	(void)state;
	snprintf(expected, sizeof(expected), "buffer: %s", strerror(ENOMEM));
	for (unsigned int n = 0; n < 2; n++) {
		why[0] = '\0';
		mem_left = n;
		assert_int_equal(trace_open_buffer(&reader, text, sizeof(text) - 1, "buffer", why,
						   sizeof(why)),
				 -ENOMEM);
		mem_left = UINT_MAX;
		assert_string_equal(why, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_signal_amid_a_write_costs_nothing, begin),
		cmocka_unit_test_setup(what_a_write_leaves_is_written_next, begin),
		cmocka_unit_test_setup(closing_may_fail, begin),
		cmocka_unit_test_setup(the_first_error_is_told, begin),
		cmocka_unit_test_setup(reading_says_what_it_lacks, begin),
		cmocka_unit_test_setup(so_does_reading_a_buffer, begin),
	};

	return cmocka_run_group_tests_name("trace_faults", tests, NULL, NULL);
}
