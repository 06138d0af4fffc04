/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/env.h"
#include "trace/trace.h"

static const struct trace_header header = {
	.source = "synthetic \xc3\xa4",
	.page = 0x1000,
	.va_first = 0x1000,
	.va_last = UINT64_MAX,
};

static uint64_t next_random(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *random >> 11;
}

/* Returns a random operation that a trace may hold. */
static struct trace_op random_op(uint64_t *random)
{
	struct trace_op op = { .verb = (uint8_t)(next_random(random) % 5), .length = 1 };

	op.addr = (1 + next_random(random) % 1000000) << 12;
	if (op.verb == TRACE_LOAD) {
		op.addr += next_random(random) % 4096;
		return op;
	}
	op.length = (1 + next_random(random) % 1000) << 12;
	if (op.verb == TRACE_MAP) {
		op.object = next_random(random) % 3;
		op.offset = op.object ? next_random(random) % 1000 << 12 : 0;
	}
	if (op.verb == TRACE_MAP || op.verb == TRACE_PROTECT)
		op.flags = (uint8_t)(next_random(random) % 32);
	if (op.verb == TRACE_MAP && !op.object)
		op.flags &= (uint8_t)~TRACE_SHARED;
	if (op.verb == TRACE_MOVE) {
		op.new_addr = next_random(random) % 2 ? op.addr : op.addr + (UINT64_C(1) << 40);
		op.new_length = (1 + next_random(random) % 1000) << 12;
	}
	return op;
}

static void write_ops(const char *path, size_t nr)
{
	struct trace_writer *writer;
	uint64_t random = 1;
	char why[256];

	assert_int_equal(trace_create(&writer, path, &header, why, sizeof(why)), 0);
	for (size_t i = 0; i < nr; i++) {
		struct trace_op op = random_op(&random);

		assert_int_equal(trace_write(writer, &op), 0);
	}
	assert_int_equal(trace_finish(writer), 0);
}

static void round_trip(const char *suffix)
{
	char path[64], why[256];
	struct trace trace;
	uint64_t random = 1;
	int fd;

	snprintf(path, sizeof(path), "/tmp/samara-unit-XXXXXX%s", suffix);
	fd = mkstemps(path, (int)strlen(suffix));
	assert_true(fd >= 0);
	close(fd);
	write_ops(path, 20000);
	assert_int_equal(trace_load(&trace, path, why, sizeof(why)), 0);
	assert_memory_equal(&trace.header.page, &header.page, 3 * sizeof(uint64_t));
	assert_string_equal(trace.header.source, header.source);
	assert_int_equal(trace.count, 20000);
	for (size_t i = 0; i < trace.count; i++) {
		struct trace_op op = random_op(&random);

		assert_true(trace_op_equal(&op, &trace.ops[i]));
	}
	trace_free(&trace);
	unlink(path);
}

static void test_plain(void **state)
{
	(void)state;
	round_trip("");
}

static void test_xz(void **state)
{
	(void)state;
	round_trip(".xz");
}

static void test_refused(void **state)
{
	static const struct trace_op bad[] = {
		{ .verb = TRACE_UNMAP, .addr = 0x1000, .length = 0 },
		{ .verb = TRACE_UNMAP, .addr = 0, .length = 0x1000 },
		{ .verb = TRACE_UNMAP, .addr = 0x1001, .length = 0x1000 },
		{ .verb = TRACE_LOAD, .addr = 0x1000, .length = 2 },
		{ .verb = TRACE_MAP, .addr = 0x1000, .length = 0x1000, .offset = 0x1000 },
		{ .verb = TRACE_MAP, .addr = 0x1000, .length = 0x1000, .flags = 32 },
		{ .verb = TRACE_MAP, .addr = 0x1000, .length = 0x1000, .flags = TRACE_SHARED },
		{ .verb = 5, .addr = 0x1000, .length = 0x1000 },
	};
	struct trace_header wrong = header;
	struct trace_writer *writer;
	char why[256];

	(void)state;
	assert_int_equal(trace_create(&writer, "/dev/null", &header, why, sizeof(why)), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(trace_write(writer, &bad[i]), -EINVAL);
	assert_int_equal(trace_finish(writer), 0);
	wrong.page = 3;
	assert_int_equal(trace_create(&writer, "/dev/null", &wrong, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "/dev/null: the page size is not a power of two");
	assert_int_equal(trace_create(&writer, "/nowhere/x", &header, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nowhere/x: No such file or directory");
}

static void test_full_disk(void **state)
{
	struct trace_op op = { .verb = TRACE_LOAD, .addr = 0x1000, .length = 1 };
	struct trace_writer *writer;
	char why[256];
	int err = 0;

	(void)state;
	if (access("/dev/full", W_OK))
		skip();
	assert_int_equal(trace_create(&writer, "/dev/full", &header, why, sizeof(why)), 0);
	for (size_t i = 0; i < 20000 && !err; i++)
		err = trace_write(writer, &op);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(trace_finish(writer), -ENOSPC);
}

static void test_flags(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 32; flags++) {
		char text[TRACE_FLAGS_SIZE];
		unsigned int back;

		assert_int_equal(trace_flags_parse(trace_flags_text(flags, text), &back), 0);
		assert_int_equal(back, flags);
	}
	assert_int_equal(trace_flags_parse("", &(unsigned int){ 0 }), -EINVAL);
}

/* Whatever the bytes, nothing crashes, and a trace stays the same when written and read again. */
static void test_mutations(void **state)
{
	static const char seed[] =
		"# samara-trace 1\n# source: s\n# page: 1000\n# va: 0-ffffffffffffffff\n"
		"map 1000 2000 1 0 rwp\nprotect 1000 1000 rp # c\n"
		"move 1000 1000 5000 2000\nload 5001\nunmap 0 fffffffffffff000\n";
	static const char bytes[] = "0123456789abcdef \n#rwxspg-:mapunlodtvec\xc3\xa4\r";
	const uint64_t rounds = env_scaled(20000);
	uint64_t random = 7;
	size_t traces = 0;

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		char text[sizeof(seed)];
		size_t length = sizeof(seed) - 1;

		memcpy(text, seed, sizeof(seed));
		for (uint64_t n = next_random(&random) % 4 + 1; n > 0; n--)
			text[next_random(&random) % length] =
				bytes[next_random(&random) % (sizeof(bytes) - 1)];
		if (next_random(&random) % 8 == 0)
			length = next_random(&random) % length;
		switch (trace_check_buffer(text, length)) {
		case 0:
			traces++;
			break;
		case -EINVAL:
			break;
		default:
			fail_msg("reader and writer disagree on: %.*s", (int)length, text);
		}
	}
	assert_true(traces > rounds / 200 && traces < rounds - rounds / 200);
}

/* The other tests compare with trace_op_equal(), so it must tell each field that a verb has. */
static void test_equal(void **state)
{
	const struct trace_op map = { .verb = TRACE_MAP, .length = 1 };
	const struct trace_op move = { .verb = TRACE_MOVE, .length = 1 };
	const struct trace_op protect = { .verb = TRACE_PROTECT, .length = 1 };
	const struct trace_op unlike_map[] = {
		{ .verb = TRACE_UNMAP, .length = 1 },
		{ .verb = TRACE_MAP, .addr = 1, .length = 1 },
		{ .verb = TRACE_MAP, .length = 2 },
		{ .verb = TRACE_MAP, .length = 1, .object = 1 },
		{ .verb = TRACE_MAP, .length = 1, .offset = 1 },
		{ .verb = TRACE_MAP, .length = 1, .flags = 1 },
	};
	const struct trace_op longer = { .verb = TRACE_MOVE, .length = 1, .new_length = 1 };
	const struct trace_op elsewhere = { .verb = TRACE_MOVE, .length = 1, .new_addr = 1 };
	const struct trace_op flags = { .verb = TRACE_PROTECT, .length = 1, .flags = 1 };

	(void)state;
	assert_true(trace_op_equal(&map, &map));
	for (size_t i = 0; i < sizeof(unlike_map) / sizeof(unlike_map[0]); i++)
		assert_false(trace_op_equal(&map, &unlike_map[i]));
	assert_true(trace_op_equal(&move, &move));
	assert_false(trace_op_equal(&move, &longer));
	assert_false(trace_op_equal(&move, &elsewhere));
	assert_true(trace_op_equal(&protect, &protect));
	assert_false(trace_op_equal(&protect, &flags));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),   cmocka_unit_test(test_xz),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_flags),   cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
