/* SPDX-License-Identifier: MIT */
/*
 * Traces as jobs: what the jobs do, in which order they must run, and what readers may see
 * meanwhile.
 */
#include "support/cm.h"

#include <string.h>

#include "tools/samara/jobs.h"
#include "tools/samara/samara.h"

/* Replaces the error messages of jobs.c. */
int complain(const char *format, ...)
{
	(void)format;
	return EXIT_FAILED;
}

int complain_at(const char *name, unsigned long line, const char *format, ...)
{
	(void)name;
	(void)line;
	(void)format;
	return EXIT_FAILED;
}

static struct trace trace;
static struct jobs jobs;
static struct probes probes;

static void add(const char *lines)
{
	char text[4096], why[256] = "";
	struct trace_reader *reader;
	struct trace_op op;

	snprintf(text, sizeof(text),
		 "# samara-trace 1\n# source: test\n# page: 1000\n# va: 0-ffffffffffffffff\n%s",
		 lines);
	if (trace_open_buffer(&reader, text, strlen(text), "test", why, sizeof(why)))
		fail_msg("%s", why);
	trace.header = *trace_reader_header(reader);
	while (trace_next(reader, &op) == 1)
		assert_int_equal(trace_append(&trace, &op), 0);
	assert_string_equal(trace_reader_error(reader), "");
	trace_close(reader);
}

static int make(const char *lines, unsigned int lanes)
{
	const struct jobs_options options = { .name = "test", .lanes = lanes, .pieces = true };

	add(lines);
	return jobs_init(&jobs, &trace, &options);
}

static int tear_down(void **state)
{
	(void)state;
	if (jobs.trace)
		jobs_destroy(&jobs);
	trace_free(&trace);
	return 0;
}

static void expect_ops(size_t job, unsigned int nr)
{
	assert_int_equal(jobs.job[job].nr_ops, nr);
}

static void expect_map(size_t job, unsigned int at, uint64_t addr, uint64_t range, uint64_t id,
		       uint64_t offset, unsigned int flags)
{
	const struct bind_op *op = &jobs.ops[jobs.job[job].ops + at];

	assert_int_equal(op->type, BIND_MAP);
	assert_int_equal(op->addr, addr);
	assert_int_equal(op->range, range);
	assert_int_equal(((const struct vm_object *)op->obj)->id, id);
	assert_int_equal(op->offset, offset);
	assert_int_equal(op->flags, flags_to_va(flags));
}

static void expect_unmap(size_t job, unsigned int at, uint64_t addr, uint64_t range)
{
	const struct bind_op *op = &jobs.ops[jobs.job[job].ops + at];

	assert_int_equal(op->type, BIND_UNMAP);
	assert_int_equal(op->addr, addr);
	assert_int_equal(op->range, range);
	assert_null(op->obj);
}

static void test_map_and_unmap(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 3000 rwp\nmap 5000 1000 0 0 p\nunmap 0 9000\n", 1),
			 EXIT_OK);
	assert_int_equal(jobs.nr, 3);
	expect_ops(0, 1);
	expect_map(0, 0, 0x1000, 0x2000, 7, 0x3000, TRACE_READ | TRACE_WRITE);
	expect_ops(1, 1);
	expect_map(1, 0, 0x5000, 0x1000, 0, 0x5000, 0);
	expect_ops(2, 1);
	expect_unmap(2, 0, 0, 0x9000);
	assert_int_equal(jobs.job[0].nr_pieces, 1);
	assert_int_equal(jobs.job[2].nr_pieces, 0);
}

/* Only pieces whose flags change are mapped again. */
static void test_protect(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 0 rp\nmap 3000 1000 0 0 rwp\nmap 4000 2000 8 0 rp\n"
			      "protect 2000 3000 rwp\nprotect 2000 3000 rwp\n",
			      1),
			 EXIT_OK);
	expect_ops(3, 2);
	expect_map(3, 0, 0x2000, 0x1000, 7, 0x1000, TRACE_READ | TRACE_WRITE);
	expect_map(3, 1, 0x4000, 0x1000, 8, 0, TRACE_READ | TRACE_WRITE);
	assert_int_equal(jobs.job[3].nr_pieces, 3);
	expect_ops(4, 0);
}

static void test_move(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 2000 7 0 rp\nmove 2000 1000 8000 2000\n"
			      "move 8000 2000 8000 1000\nmove 8000 1000 8000 3000\n"
			      "move 8000 3000 8000 3000\n",
			      1),
			 EXIT_OK);
	expect_ops(1, 3);
	expect_unmap(1, 0, 0x8000, 0x2000);
	expect_map(1, 1, 0x8000, 0x2000, 7, 0x1000, TRACE_READ);
	expect_unmap(1, 2, 0x2000, 0x1000);
	assert_int_equal(jobs.job[1].nr_pieces, 0);
	assert_int_equal(jobs.job[1].nr_more, 1);
	expect_ops(2, 1);
	expect_unmap(2, 0, 0x9000, 0x1000);
	expect_ops(3, 1);
	expect_map(3, 0, 0x8000, 0x3000, 7, 0x1000, TRACE_READ);
	expect_ops(4, 0);
}

/* A load belongs to the last job before it that touched its address. */
static void test_loads(void **state)
{
	const struct load *load;

	(void)state;
	assert_int_equal(make("map 1000 1000 7 0 rp\nmap 3000 1000 0 0 rp\nload 1234\nload 1235\n"
			      "unmap 1000 1000\n",
			      1),
			 EXIT_OK);
	assert_int_equal(jobs.nr, 3);
	assert_int_equal(jobs.nr_loads, 2);
	assert_int_equal(jobs.job[1].load, 0);
	assert_int_equal(jobs.job[2].load, 0);
	load = &jobs.loads[jobs.job[0].load - 1];
	assert_int_equal(load->addr, 0x1235);
	assert_int_equal(load->content.object, 7);
	assert_int_equal(load->content.offset, 0x235);
	load = &jobs.loads[load->next - 1];
	assert_int_equal(load->addr, 0x1234);
	assert_int_equal(load->next, 0);
}

static uint32_t after(size_t job, unsigned int lane)
{
	return order_after(&jobs.order, jobs.job[job].item, lane);
}

/* Jobs 0, 2 and 4 are in lane 0, jobs 1, 3 and 5 in lane 1. */
static void test_order(void **state)
{
	(void)state;
	assert_int_equal(make("map 1000 1000 7 0 rp\nmap 3000 1000 0 0 rp\nmap 5000 1000 0 0 p\n"
			      "unmap 1000 1000\nunmap 3000 3000\nmap 3000 1000 0 0 p\n",
			      2),
			 EXIT_OK);
	for (size_t job = 0; job < 3; job++)
		assert_int_equal(after(job, !(job % 2)), 0);
	/*
	 * 3 waits for 0, the first of its lane; 4 for 1, and for 2 in its own lane; 5 for 4, the
	 * third.
	 */
	assert_int_equal(after(3, 0), 1);
	assert_int_equal(after(4, 1), 1);
	assert_int_equal(after(5, 0), 3);
	for (size_t job = 0; job < 6; job++)
		assert_int_equal(after(job, job % 2), 0);
}

static void test_top_of_the_space(void **state)
{
	(void)state;
	assert_int_equal(make("map fffffffffffff000 1000 0 0 p\n", 1), EXIT_FAILED);
	assert_int_equal(jobs.nr, 0);
}

/* ---- Readers ---- */

static void make_with_probes(bool steps)
{
	const struct jobs_options options = { .name = "test", .lanes = 2, .probes = &probes };

	add("map 1000 1000 7 0 rp\nmap 1000 1000 7 0 rwp\nunmap 1000 1000\nmap 1000 1000 0 0 p\n");
	assert_int_equal(probes_init(&probes, &trace, 64, steps), 0);
	assert_int_equal(jobs_init(&jobs, &trace, &options), EXIT_OK);
}

static struct fixed_probe *probe_at(uint64_t addr)
{
	for (size_t i = 0; i < probes.nr; i++) {
		if (probes.probe[i].addr == addr)
			return &probes.probe[i];
	}
	fail_msg("no such probe");
	return NULL;
}

static bool allows(const struct fixed_probe *probe, struct content content, uint32_t before,
		   uint32_t after)
{
	return probe_allows(probe, &content, before, after);
}

static const struct content nothing = { .mapped = false };
static const struct content first = { true, TRACE_READ, 7, 0x800 };
static const struct content second = { true, TRACE_READ | TRACE_WRITE, 7, 0x800 };
static const struct content last = { true, 0, 0, 0 };

static void test_probes(void **state)
{
	struct fixed_probe *probe;

	(void)state;
	make_with_probes(false);
	probe = probe_at(0x1800);
	assert_int_equal(probe->nr, 5);
	/* Nothing is done yet: job 0 may be running. */
	assert_true(allows(probe, nothing, 0, 0));
	assert_true(allows(probe, first, 0, 0));
	assert_false(allows(probe, second, 0, 0));
	probes_done(&probes, 0, 0x1000, 0x1fff);
	assert_int_equal(probe_before(probe), 1);
	assert_int_equal(probe_before(probe_at(0x2000)), 0);
	assert_false(allows(probe, nothing, 1, 1));
	assert_true(allows(probe, second, 1, 1));
	probes_done(&probes, 1, 0x1000, 0x1fff);
	/* A look-up that spans the end of job 1, and one that began after it. */
	assert_true(allows(probe, first, 1, 2));
	assert_false(allows(probe, first, 2, 2));
	assert_true(allows(probe, nothing, 2, 2));
	assert_false(allows(probe, last, 2, 2));
	probes_done(&probes, 3, 0x1000, 0x1fff);
	assert_int_equal(probe_after(probe), 4);
	assert_true(allows(probe, last, 4, 4));
	assert_false(allows(probe, nothing, 4, 4));
	probes_destroy(&probes);
}

/* If a VM shows its steps, a look-up may find nothing during a job that maps over something. */
static void test_probes_with_steps(void **state)
{
	struct fixed_probe *probe;

	(void)state;
	make_with_probes(true);
	probe = probe_at(0x1800);
	probes_done(&probes, 0, 0x1000, 0x1fff);
	assert_true(allows(probe, first, 1, 1));
	assert_true(allows(probe, nothing, 1, 1));
	assert_true(allows(probe, second, 1, 1));
	assert_false(allows(probe, last, 1, 1));
	probes_done(&probes, 1, 0x1000, 0x1fff);
	assert_int_equal(probe_after(probe), 3);
	assert_false(allows(probe, first, 3, 3));
	probes_destroy(&probes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_map_and_unmap, tear_down),
		cmocka_unit_test_teardown(test_protect, tear_down),
		cmocka_unit_test_teardown(test_move, tear_down),
		cmocka_unit_test_teardown(test_loads, tear_down),
		cmocka_unit_test_teardown(test_order, tear_down),
		cmocka_unit_test_teardown(test_top_of_the_space, tear_down),
		cmocka_unit_test_teardown(test_probes, tear_down),
		cmocka_unit_test_teardown(test_probes_with_steps, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
