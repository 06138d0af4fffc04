/* SPDX-License-Identifier: MIT */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/samara/strace.h"

static struct strace *strace;

static int set_up(void **state)
{
	(void)state;
	strace = strace_new();
	return !strace;
}

static int tear_down(void **state)
{
	(void)state;
	strace_free(strace);
	return 0;
}

static char copy[1024];
static const char *why;

static int line(const char *text, struct strace_call *call)
{
	why = "";
	snprintf(copy, sizeof(copy), "%s", text);
	return strace_line(strace, copy, call, &why);
}

static void expect_munmap(const char *text, uint64_t pid)
{
	struct strace_call call;

	if (line(text, &call) != 1)
		fail_msg("no call in '%s': %s", text, why);
	assert_int_equal(call.pid, pid);
	assert_string_equal(call.name, "munmap");
	assert_int_equal(call.nr_args, 2);
	assert_string_equal(call.args[0], "0x7f00");
	assert_string_equal(call.args[1], "4096");
	assert_false(call.failed);
	assert_int_equal(call.result, 0);
}

static void test_prefixes(void **state)
{
	(void)state;
	expect_munmap("munmap(0x7f00, 4096) = 0", 0);
	expect_munmap("munmap(0x7f00, 4096)     = 0 <0.000012>", 0);
	expect_munmap("123 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("  123  munmap( 0x7f00 , 4096 ) = 0", 123);
	expect_munmap("[pid   123] munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("12:34:56 munmap(0x7f00, 4096) = 0", 0);
	expect_munmap("123 12:34:56.123456 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("[pid 123] 1689762531.123456 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("123      0.000123 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("123 2026-11-23T03:31:03+0000 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("123 13:14:15.1 (+     0.000000) munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("[pid 123] 1689762531.123456 (+     1.5) munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("[00007f8a9b1c2d3e] munmap(0x7f00, 4096) = 0", 0);
	expect_munmap("[pid 123] [  11] munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("123<sh> munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("123<a\\74b] (c> 12:34:56 munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("[pid   123<a\\74b] (c>] munmap(0x7f00, 4096) = 0", 123);
	expect_munmap("[pid 123<sh>] [00007f8a9b1c2d3e] munmap(0x7f00, 4096) = 0", 123);
}

static void test_arguments(void **state)
{
	struct strace_call call;
	const char *path;
	size_t length;
	int64_t fd;

	(void)state;
	assert_int_equal(
		line("mmap(NULL, 8, PROT_READ, MAP_PRIVATE, 3</a, (b) {c>, 0x1000) = 0x7f1000",
		     &call),
		1);
	assert_int_equal(call.nr_args, 6);
	assert_int_equal(call.result, 0x7f1000);
	assert_true(strace_file(call.args[4], &fd, &path, &length));
	assert_int_equal(fd, 3);
	assert_memory_equal(path, "/a, (b) {c", length);
	assert_true(strace_file("0x1f", &fd, &path, &length) && fd == 31 && !path);
	assert_true(strace_file("3</a, (b) {c>", &fd, &path, &length) && fd == 3);
	assert_int_equal(length, 10);
	assert_int_equal(
		line("mmap(NULL, 8, PROT_READ, MAP_SHARED, 4</dev/zero<char 1:5>>, 0) = 0x1",
		     &call),
		1);
	assert_int_equal(call.nr_args, 6);
	assert_int_equal(
		line("mmap(NULL, 8, PROT_READ, MAP_SHARED, 4</memfd:x>(deleted), 0) = 0x1", &call),
		1);
	assert_int_equal(call.nr_args, 6);
	assert_int_equal(
		line("sendto(3<TCPv6:[[::1]:5->[::1]:6]>, 4<UNIX:[7->8, \"/a\"]>, 5</b->) = 1",
		     &call),
		1);
	assert_int_equal(call.nr_args, 3);
	assert_string_equal(call.args[2], "5</b->");
	assert_int_equal(line("openat(AT_FDCWD, \"a,\\\")\", O_RDONLY) = 3</x/a>", &call), 1);
	assert_int_equal(call.nr_args, 3);
	assert_string_equal(call.args[1], "\"a,\\\")\"");
	assert_int_equal(call.result, 3);
	assert_int_equal(
		line("clone3({flags=CLONE_VM, tls=0x1} => {parent_tid=[5]}, 88) = 5", &call), 1);
	assert_int_equal(call.nr_args, 2);
	assert_int_equal(line("mmap(0x1, 2, MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1) = 0x1", &call), 1);
	assert_int_equal(call.nr_args, 4);
	assert_string_equal(call.args[2], "MAP_HUGETLB|21<<MAP_HUGE_SHIFT");
	assert_int_equal(line("getpid() = 5", &call), 1);
	assert_int_equal(call.nr_args, 0);
}

static void test_failures(void **state)
{
	struct strace_call call;

	(void)state;
	assert_int_equal(line("mmap(NULL, 0) = -1 EINVAL (Invalid argument)", &call), 1);
	assert_true(call.failed);
	assert_int_equal(line("exit_group(0) = ?", &call), 1);
	assert_true(call.failed);
}

static void test_nothing(void **state)
{
	static const char *const lines[] = {
		"",
		"   ",
		"--- SIGSEGV {si_signo=SIGSEGV} ---",
		"[pid 12] 12:00:00 --- SIGCHLD {} ---",
		"strace: Process 99 attached",
		" > /usr/lib/libc.so.6(mmap+0x10) [0x123]",
	};
	struct strace_call call;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(line(lines[i], &call), 0);
	assert_true(strace_attached(strace, 99));
	assert_false(strace_attached(strace, 12));
}

static void test_ends(void **state)
{
	struct strace_call call;

	(void)state;
	assert_int_equal(line("+++ exited with 0 +++", &call), 1);
	assert_true(call.exited && call.failed && !call.pid);
	assert_int_equal(line("123 12:00:00 +++ killed by SIGKILL +++", &call), 1);
	assert_true(call.exited);
	assert_int_equal(call.pid, 123);
	expect_munmap("munmap(0x7f00, 4096) = 0", 0);
	assert_int_equal(line("exit_group(0) = ?", &call), 1);
	assert_false(call.exited);
}

/* The first line about a process counts, whatever it says. */
static void test_first(void **state)
{
	static const char *const lines[] = { "7 munmap(0x7f00, 4096 <unfinished ...>",
					     "7 --- SIGCHLD {} ---", "7 +++ exited with 0 +++",
					     "7 <... munmap resumed>) = 0" };
	struct strace_call call;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(line("strace: Process 9 attached", &call), 0);
		assert_true(line(lines[i], &call) >= 0);
		assert_true(line("8 munmap(0x7f00, 4096) = 0", &call) == 1);
		assert_int_equal(strace_first(strace), 7);
		tear_down(state);
		assert_false(set_up(state));
	}
}

static void test_summary(void **state)
{
	static const char *const lines[] = {
		"% time     seconds  usecs/call     calls    errors syscall",
		"------ ----------- ----------- --------- --------- ----------------",
		" 60.00    0.000060          30         2         1 clock_gettime64",
		"100.00    0.000060          30         2           total",
		"",
	};
	struct strace_call call;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(line(lines[i], &call), 0);
	assert_int_equal(line("munmap(0x7f00, 4096) = 0", &call), -EINVAL);
	assert_string_equal(why, "something follows strace's summary");
}

static void test_halves(void **state)
{
	struct strace_call call;

	(void)state;
	assert_int_equal(line("7 munmap(0x7f00, 4096 <unfinished ...>", &call), 0);
	assert_int_equal(line("8 mmap(NULL, 4096 <unfinished ...>", &call), 0);
	assert_int_equal(strace_unfinished(strace), 2);
	expect_munmap("7 <... munmap resumed>) = 0", 7);
	assert_int_equal(line("8 <... mmap resumed>, PROT_READ) = 0x5000 <0.1>", &call), 1);
	assert_int_equal(call.pid, 8);
	assert_int_equal(call.began, 1);
	assert_int_equal(call.nr_args, 3);
	assert_int_equal(call.result, 0x5000);
	assert_int_equal(strace_unfinished(strace), 0);
	assert_int_equal(line("8 <... mmap resumed>) = 0", &call), 0);
	assert_int_equal(strace_headless(strace), 1);
	/* Names that begin alike are others. */
	assert_int_equal(line("9 clone3(0x1000 <unfinished ...>", &call), 0);
	assert_int_equal(line("<... clone resumed>) = 0", &call), 0);
	assert_int_equal(strace_headless(strace), 2);
}

/* strace let go of the process, with -p when it was interrupted. */
static void test_detached(void **state)
{
	struct strace_call call;

	(void)state;
	assert_int_equal(
		line("7 restart_syscall(<... resuming interrupted read ...> <detached ...>", &call),
		0);
	assert_int_equal(line("8 munmap(0x7f00, 4096 <unfinished ...>", &call), 0);
	assert_int_equal(line("8 <... munmap resumed> <detached ...>", &call), 0);
	assert_int_equal(strace_unfinished(strace), 2);
}

/* Without -o a message may stand in the middle of a line. */
static void test_messages(void **state)
{
	struct strace_call call;

	(void)state;
	assert_int_equal(line("munmap(0x7f00, strace: Process 8 attached", &call), 0);
	assert_true(strace_attached(strace, 8));
	assert_int_equal(line("strace: Process 9 attached", &call), 0);
	assert_true(strace_attached(strace, 9));
	expect_munmap("4096) = 0", 0);
	assert_int_equal(line("[pid 7] munmap(0x7f00, 4096strace: Process 10 attached", &call), 0);
	assert_int_equal(line(" <unfinished ...>", &call), 0);
	assert_int_equal(line("[pid 7] <... munmap resumed>)strace: Process 11 attached", &call),
			 0);
	expect_munmap(" = 0", 7);
	assert_int_equal(line("write(2, \"strace: Process 12 attached\", 27) = 27", &call), 1);
	assert_false(strace_attached(strace, 12));
}

/* A thread that executes a program becomes the first thread. */
static void test_changed_ids(void **state)
{
	static const char first[] =
		"8 execve(\"/bin/true\", [\"true\"], 0x7f00 /* 1 var */ <pid changed to 7 ...>";
	struct strace_call call;

	(void)state;
	assert_int_equal(line(first, &call), 0);
	assert_int_equal(line("7 +++ superseded by execve in pid 8 +++", &call), 0);
	assert_int_equal(line("8 <... execve resumed>) = 0", &call), 0);
	assert_int_equal(strace_headless(strace), 1);
	assert_int_equal(line("7 <... execve resumed>) = 0", &call), 1);
	assert_int_equal(call.pid, 7);
	assert_int_equal(call.nr_args, 3);
	assert_int_equal(line(first, &call), 0);
	assert_int_equal(line("<... execve resumed>) = 0", &call), 1);
	assert_int_equal(call.pid, 0);
	assert_int_equal(strace_unfinished(strace), 0);
	assert_int_equal(line("7 munmap(0x1000, 4096 <pid changed to 7 ...> x", &call), -EINVAL);
	assert_int_equal(line("7 munmap(0x1000, 4096 <pid changed to  ...>", &call), -EINVAL);
}

static void test_faults(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "hello world", "not a line of strace's output" },
		{ "123", "not a line of strace's output" },
		{ "123<sh>", "not a line of strace's output" },
		{ "123<sh munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "123<sh>munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "123<sh><sh> munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "12:34:56<sh> munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "[pid 123<a]b> munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "100.00    0.000060          30         2           total",
		  "not a line of strace's output" },
		{ "(", "not a line of strace's output" },
		{ "123 (+ 0.1 munmap(0x1000, 4096) = 0", "not a line of strace's output" },
		{ "munmap(0x1000, 4096", "the call's arguments do not end" },
		{ "munmap(\"0x1000, 4096) = 0", "the call's arguments do not end" },
		{ "mmap(3<a, 0) = 0", "the call's arguments do not end" },
		{ "munmap(0x1000, 4096)", "the call has no result that can be read" },
		{ "munmap(0x1000, 4096) = x", "the call has no result that can be read" },
		{ "munmap(0x1000, 4096) = 0x", "the call has no result that can be read" },
		{ "5 <... munmap goes on", "a call that goes on, but not as strace writes it" },
	};
	struct strace_call call;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(line(cases[i].text, &call), -EINVAL);
		assert_string_equal(why, cases[i].why);
	}
}

static void test_numbers_and_flags(void **state)
{
	static const struct strace_flag names[] = { { "A", 1 }, { "B", 2 }, { NULL, 0 } };
	uint64_t value;

	(void)state;
	assert_true(strace_number("0x1f", &value) && value == 31);
	assert_true(strace_number("NULL", &value) && value == 0);
	assert_true(strace_number("0600", &value) && value == 0600);
	assert_true(strace_number("18446744073709551615", &value) && value == UINT64_MAX);
	assert_false(strace_number("18446744073709551616", &value));
	assert_false(strace_number("-1", &value));
	assert_false(strace_number("12x", &value));
	assert_false(strace_number("", &value));
	assert_true(strace_flags("A|UNKNOWN|B|0x10", names, &value) && value == 0x13);
	assert_true(strace_flags("0x3 /* A|B */", names, &value) && value == 3);
	assert_true(strace_flags("0x8 /* X_??? */|A|0x10 /* C */", names, &value) && value == 0x19);
	assert_true(strace_flags("21<<MAP_HUGE_SHIFT", names, &value) && value == 21ul << 26);
	assert_true(strace_flags("A|B, c=1}", names, &value) && value == 3);
	assert_true(strace_flags("0x2}", names, &value) && value == 2);
	assert_false(strace_flags("A||B", names, &value));
	assert_false(strace_flags("", names, &value));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_prefixes),          TEST(test_arguments),   TEST(test_failures),
		TEST(test_nothing),           TEST(test_ends),        TEST(test_first),
		TEST(test_summary),           TEST(test_halves),      TEST(test_detached),
		TEST(test_messages),          TEST(test_changed_ids), TEST(test_faults),
		TEST(test_numbers_and_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
