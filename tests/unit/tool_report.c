/* SPDX-License-Identifier: MIT */
/* The report of a replay shows each figure in its place. */
#include "support/cm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/samara/report.h"

static char text[8192];

/* Puts what @print writes to standard output into text[]. */
static void capture(void (*print)(const struct summary *summary, const struct run_settings *run),
		    const struct summary *summary, const struct run_settings *run)
{
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO);
	size_t length;

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	print(summary, run);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
}

static void print_json(const struct summary *summary, const struct run_settings *run)
{
	struct json json;

	json_begin(&json, stdout);
	report_json(&json, summary, run);
	json_end(&json);
}

static void add(struct latency *latency, unsigned int times, uint64_t ns)
{
	while (times--)
		latency_add(latency, ns);
}

/* All figures differ, so that none can stand for another. */
static void fill(struct summary *summary, struct trace *trace)
{
	struct run_result *sum = &summary->sum;

	*trace = (struct trace){ .count = 115 };
	strcpy(trace->header.source, "a test");
	*summary = (struct summary){
		.name = "a.trace",
		.trace = trace,
		.verbs = { 11, 22, 33, 44, 5 },
		.repeats = 1,
		.best = 1000,
		.mean = 900,
	};
	*sum = (struct run_result){
		.seconds = 0.125,
		.wall = 0.5,
		.checks = 6,
		.live = 8,
		.peak = 9,
		.runs = 7,
		.height = 2,
		.height_max = 3,
		.bytes_per_mapping = 20.5,
		.sampled_at = 10,
		.nodes_built = 12,
		.readers = { .lookups = 13, .walked = 14, .unjudged = 15, .wrong = 16 },
	};
	sum->vm.jobs = 17;
	sum->vm.ops = 18;
	sum->vm.jobs_peak = 19;
	sum->vm.bytes_peak = 204800;
	sum->vm.grace_waits = 21;
	sum->vm.blocked = 23;
	sum->vm.meter = (struct meter){ 24, 25, 26, 27, -1, true, true };
	sum->vm.engine_tasks = 28;
	sum->vm.engine_bytes = 3 << 19;
	sum->vm.engine_faults = 29;
	sum->vm.engine_refused = 30;
	sum->vm.engine_hits = 31;
	sum->vm.engine_misses = 32;
	sum->vm.engine_invalidations = 34;
	add(&sum->vm.run, 100, 5);
	add(&sum->vm.run, 400, 10);
	add(&sum->vm.run, 400, 20);
	add(&sum->vm.run, 90, 30);
	add(&sum->vm.run, 9, 40);
	add(&sum->vm.run, 1, 50);
	add(&sum->vm.submit, 1, 1234567);
	add(&sum->vm.finish, 2, 1234567890);
}

/* ---- What is printed ---- */

#define HEAD                \
	"a.trace: a test\n" \
	"  operations  110 (11 map, 22 unmap, 33 protect, 44 move) and 5 loads\n"
#define RATE "  rate        1000 operations and loads a second (0.125 s)\n"
#define MAPPINGS "  mappings    8 live at the end in 7 runs, 9 at most\n"
#define TREE \
	"  tree        height 2 (at most 3), 20.5 bytes per mapping at 10 mappings, 12 nodes built\n"
#define QUEUE                                                                \
	"  latency           p50       p90       p99     p99.9       max\n"  \
	"    submit       1235 us   1235 us   1235 us   1235 us   1235 us\n" \
	"    run            10 ns     20 ns     30 ns     40 ns     50 ns\n" \
	"    finish       1235 ms   1235 ms   1235 ms   1235 ms   1235 ms\n" \
	"  outstanding at most 19 jobs with 200 KiB; 21 runs waited for a grace period\n"
#define JSON_HEAD                    \
	"  \"operations\": 110,\n"   \
	"  \"verbs\": {\n"           \
	"    \"map\": 11,\n"         \
	"    \"unmap\": 22,\n"       \
	"    \"protect\": 33,\n"     \
	"    \"move\": 44,\n"        \
	"    \"load\": 5\n"          \
	"  },\n"                     \
	"  \"repeats\": 1,\n"        \
	"  \"seconds\": 0.125,\n"    \
	"  \"wall_seconds\": 0.5,\n" \
	"  \"rate\": 1000,\n"        \
	"  \"rate_mean\": 900,\n"
#define JSON_LIVE          \
	"  \"live\": 8,\n" \
	"  \"runs\": 7,\n" \
	"  \"peak\": 9,\n"
#define JSON_READERS                   \
	"  \"reader_lookups\": 13,\n"  \
	"  \"reader_walked\": 14,\n"   \
	"  \"reader_unjudged\": 15,\n" \
	"  \"reader_wrong\": 16\n"     \
	"}\n"

static void test_tree(void **state)
{
	static const struct run_settings run = { .check = CHECK_SOME, .check_interval = 35 };
	static const struct run_settings rcu = { .check = CHECK_FINAL, .rcu = true, .readers = 2 };
	struct summary summary;
	struct trace trace;

	(void)state;
	fill(&summary, &trace);
	capture(report_text, &summary, &run);
	assert_string_equal(text, HEAD RATE MAPPINGS TREE
			    "  check       35: 6 comparisons with the model, no difference\n");
	capture(print_json, &summary, &run);
	assert_string_equal(text, "{\n"
				  "  \"file\": \"a.trace\",\n"
				  "  \"source\": \"a test\",\n"
				  "  \"through\": \"tree\",\n" JSON_HEAD
				  "  \"rcu\": false,\n" JSON_LIVE "  \"height\": 2,\n"
				  "  \"height_max\": 3,\n"
				  "  \"bytes_per_mapping\": 20.5,\n"
				  "  \"bytes_sampled_at\": 10,\n"
				  "  \"nodes_built\": 12,\n"
				  "  \"check\": \"35\",\n"
				  "  \"checks\": 6,\n"
				  "  \"readers\": 0,\n" JSON_READERS);
	summary.repeats = 4;
	capture(report_text, &summary, &rcu);
	assert_string_equal(
		text, HEAD
		"  rate        1000 operations and loads a second at best of 4 runs, 900 on average (0.125 s, RCU mode)\n" MAPPINGS
			TREE "  check       final: 6 comparisons with the model, no difference\n"
		"  readers     2: 13 look-ups and 14 mappings walked, every answer true (15 not judged)\n");
}

static void test_queue(void **state)
{
	static const struct run_settings run = {
		.through = THROUGH_QUEUE,
		.submitters = 2,
		.engines = 3,
		.in_flight = 36,
		.meter = true,
		.rcu = true,
		.check = CHECK_EVERY,
		.readers = 37,
	};
	static const struct run_settings one = { .through = THROUGH_QUEUE,
						 .submitters = 1,
						 .meter = true };
	struct summary summary;
	struct trace trace;

	(void)state;
	fill(&summary, &trace);
	capture(report_text, &summary, &run);
	assert_string_equal(
		text, HEAD RATE MAPPINGS
		"  jobs        17, of 18 map and unmap operations; 2 queues, at most 36 in flight\n" QUEUE
		"  sections    24 run sections with 25 allocations, 26 system calls (and 27 futex calls)\n"
		"  engines     3: 28 tasks, 1.5 MiB filled, copied and verified; 29 faults answered, 30 rightly refused\n"
		"  check       every: 6 comparisons with the model, no difference\n"
		"  readers     37: 13 look-ups and 14 mappings walked, every answer true (15 not judged)\n");
	capture(print_json, &summary, &run);
	assert_string_equal(text, "{\n"
				  "  \"file\": \"a.trace\",\n"
				  "  \"source\": \"a test\",\n"
				  "  \"through\": \"queue\",\n" JSON_HEAD
				  "  \"rcu\": true,\n" JSON_LIVE "  \"jobs\": 17,\n"
				  "  \"bind_operations\": 18,\n"
				  "  \"run_ns\": {\n"
				  "    \"count\": 1000,\n"
				  "    \"p50\": 10,\n"
				  "    \"p90\": 20,\n"
				  "    \"p99\": 30,\n"
				  "    \"p99.9\": 40,\n"
				  "    \"max\": 50\n"
				  "  },\n"
				  "  \"submit_ns\": {\n"
				  "    \"count\": 1,\n"
				  "    \"p50\": 1234567,\n"
				  "    \"p90\": 1234567,\n"
				  "    \"p99\": 1234567,\n"
				  "    \"p99.9\": 1234567,\n"
				  "    \"max\": 1234567\n"
				  "  },\n"
				  "  \"finish_ns\": {\n"
				  "    \"count\": 2,\n"
				  "    \"p50\": 1234567890,\n"
				  "    \"p90\": 1234567890,\n"
				  "    \"p99\": 1234567890,\n"
				  "    \"p99.9\": 1234567890,\n"
				  "    \"max\": 1234567890\n"
				  "  },\n"
				  "  \"submitters\": 2,\n"
				  "  \"engines\": 3,\n"
				  "  \"in_flight\": 36,\n"
				  "  \"jobs_peak\": 19,\n"
				  "  \"bytes_peak\": 204800,\n"
				  "  \"grace_waits\": 21,\n"
				  "  \"blocked\": 23,\n"
				  "  \"sections\": 24,\n"
				  "  \"allocations\": 25,\n"
				  "  \"system_calls\": 26,\n"
				  "  \"futex_calls\": 27,\n"
				  "  \"engine_tasks\": 28,\n"
				  "  \"engine_bytes\": 1572864,\n"
				  "  \"engine_faults\": 29,\n"
				  "  \"engine_refused\": 30,\n"
				  "  \"tlb_hits\": 31,\n"
				  "  \"tlb_misses\": 32,\n"
				  "  \"tlb_invalidations\": 34,\n"
				  "  \"check\": \"every\",\n"
				  "  \"checks\": 6,\n"
				  "  \"readers\": 37,\n" JSON_READERS);
	summary.sum.vm.meter.counts_allocations = false;
	summary.sum.vm.meter.counts_system_calls = false;
	capture(report_text, &summary, &one);
	assert_string_equal(
		text, HEAD RATE MAPPINGS
		"  jobs        17, of 18 map and unmap operations; 1 queue, at most 0 in flight\n" QUEUE
		"  sections    24 run sections with allocations not counted, system calls not counted\n");
}

static void test_gpuvm(void **state)
{
	static const struct run_settings run = { .through = THROUGH_GPUVM };
	struct summary summary;
	struct trace trace;

	(void)state;
	fill(&summary, &trace);
	capture(report_text, &summary, &run);
	assert_string_equal(text, HEAD RATE MAPPINGS
			    "  jobs        17, of 18 map and unmap operations\n"
			    "  latency           p50       p90       p99     p99.9       max\n"
			    "    run            10 ns     20 ns     30 ns     40 ns     50 ns\n");
}

/* Each with four digits at most, but for what is rounded up to five. */
static void test_durations(void **state)
{
	static const struct run_settings run = { .through = THROUGH_GPUVM };
	static const struct {
		uint64_t ns;
		const char *shown;
	} durations[] = {
		{ 9999, "  9999 ns" },    { 10000, "    10 us" },    { 9999499, "  9999 us" },
		{ 9999999, " 10000 us" }, { 10000000, "    10 ms" },
	};
	struct summary summary;
	struct trace trace;

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		fill(&summary, &trace);
		summary.sum.vm.run = (struct latency){ .count = 0 };
		add(&summary.sum.vm.run, 1, durations[i].ns);
		capture(report_text, &summary, &run);
		assert_non_null(strstr(text, durations[i].shown));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_gpuvm),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
