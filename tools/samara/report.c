/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <inttypes.h>
#include <math.h>

static uint64_t nr_changes(const struct summary *summary)
{
	return summary->trace->count - summary->verbs[TRACE_LOAD];
}

static const char *check_text(const struct run_settings *run, char *text, size_t size)
{
	switch (run->check) {
	case CHECK_NONE:
		return "none";
	case CHECK_FINAL:
		return "final";
	case CHECK_EVERY:
		return "every";
	case CHECK_SOME:
		break;
	}
	snprintf(text, size, "%" PRIu64, run->check_interval);
	return text;
}

const char *through_text(enum through through)
{
	switch (through) {
	case THROUGH_TREE:
		return "tree";
	case THROUGH_GPUVM:
		return "gpuvm";
	case THROUGH_QUEUE:
		break;
	}
	return "queue";
}

/* ---- Text ---- */

static void print_tree(const struct run_result *sum)
{
	printf("  tree        height %u (at most %u), %.1f bytes per mapping at %zu mappings, "
	       "%" PRIu64 " nodes built\n",
	       sum->height, sum->height_max, sum->bytes_per_mapping, sum->sampled_at,
	       sum->nodes_built);
}

static void print_duration(uint64_t ns)
{
	double value = (double)ns;

	if (ns < 10000)
		printf(" %6.0f ns", value);
	else if (ns < 10000000)
		printf(" %6.0f us", value / 1e3);
	else
		printf(" %6.0f ms", value / 1e6);
}

static void print_latency(const char *name, const struct latency *latency)
{
	static const unsigned int at[] = { 5000, 9000, 9900, 9990 };

	printf("  %-12s", name);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		print_duration(latency_at(latency, at[i]));
	print_duration(latency->max);
	putchar('\n');
}

static void print_counted(bool counted, uint64_t count, const char *what)
{
	if (counted)
		printf("%" PRIu64 " %s", count, what);
	else
		printf("%s not counted", what);
}

static void print_sections(const struct meter *meter)
{
	printf("  sections    %" PRIu64 " run sections with ", meter->sections);
	print_counted(meter->counts_allocations, meter->allocations, "allocations");
	printf(", ");
	print_counted(meter->counts_system_calls, meter->system_calls, "system calls");
	if (meter->counts_system_calls)
		printf(" (and %" PRIu64 " futex calls)", meter->futexes);
	putchar('\n');
}

static void print_engines(const struct vm_result *vm, const struct run_settings *run)
{
	printf("  engines     %u: %" PRIu64 " tasks, %.1f MiB filled, copied and verified; %" PRIu64
	       " faults answered, %" PRIu64 " rightly refused\n",
	       run->engines, vm->engine_tasks, (double)vm->engine_bytes / (1 << 20),
	       vm->engine_faults, vm->engine_refused);
}

static void print_vm(const struct vm_result *vm, const struct run_settings *run)
{
	bool queue = run->through == THROUGH_QUEUE;

	printf("  jobs        %zu, of %zu map and unmap operations", vm->jobs, vm->ops);
	if (queue)
		printf("; %u queue%s, at most %u in flight", run->submitters,
		       run->submitters == 1 ? "" : "s", run->in_flight);
	printf("\n  %-12s%9s %9s %9s %9s %9s\n", "latency", "p50", "p90", "p99", "p99.9", "max");
	if (queue)
		print_latency("  submit", &vm->submit);
	print_latency("  run", &vm->run);
	if (!queue)
		return;
	print_latency("  finish", &vm->finish);
	printf("  outstanding at most %lu jobs with %.0f KiB; %lu runs waited for a grace period\n",
	       vm->jobs_peak, (double)vm->bytes_peak / 1024, vm->grace_waits);
	if (run->meter)
		print_sections(&vm->meter);
	if (run->engines)
		print_engines(vm, run);
}

void report_text(const struct summary *summary, const struct run_settings *run)
{
	const struct run_result *sum = &summary->sum;
	char check[32];

	printf("%s: %s\n", summary->name, summary->trace->header.source);
	printf("  operations  %" PRIu64 " (%" PRIu64 " map, %" PRIu64 " unmap, %" PRIu64
	       " protect, %" PRIu64 " move) and %" PRIu64 " loads\n",
	       nr_changes(summary), summary->verbs[TRACE_MAP], summary->verbs[TRACE_UNMAP],
	       summary->verbs[TRACE_PROTECT], summary->verbs[TRACE_MOVE],
	       summary->verbs[TRACE_LOAD]);
	printf("  rate        %.0f operations and loads a second", summary->best);
	if (summary->repeats > 1)
		printf(" at best of %" PRIu64 " runs, %.0f on average", summary->repeats,
		       summary->mean);
	printf(" (%.3f s%s)\n", sum->seconds,
	       run->rcu && run->through == THROUGH_TREE ? ", RCU mode" : "");
	printf("  mappings    %zu live at the end in %zu runs, %zu at most\n", sum->live, sum->runs,
	       sum->peak);
	if (run->through == THROUGH_TREE)
		print_tree(sum);
	else
		print_vm(&sum->vm, run);
	if (run->check != CHECK_NONE)
		printf("  check       %s: %" PRIu64 " comparisons with the model, no difference\n",
		       check_text(run, check, sizeof(check)), sum->checks);
	if (run->readers)
		printf("  readers     %u: %" PRIu64 " look-ups and %" PRIu64
		       " mappings walked, every answer true (%" PRIu64 " not judged)\n",
		       run->readers, sum->readers.lookups, sum->readers.walked,
		       sum->readers.unjudged);
}

/* ---- JSON ---- */

static void json_tree(struct json *json, const struct run_result *sum)
{
	json_number(json, "height", sum->height);
	json_number(json, "height_max", sum->height_max);
	json_real(json, "bytes_per_mapping", sum->bytes_per_mapping);
	json_number(json, "bytes_sampled_at", sum->sampled_at);
	json_number(json, "nodes_built", sum->nodes_built);
}

static void json_latency(struct json *json, const char *name, const struct latency *latency)
{
	json_open(json, name, '{');
	json_number(json, "count", latency->count);
	json_number(json, "p50", latency_at(latency, 5000));
	json_number(json, "p90", latency_at(latency, 9000));
	json_number(json, "p99", latency_at(latency, 9900));
	json_number(json, "p99.9", latency_at(latency, 9990));
	json_number(json, "max", latency->max);
	json_close(json, '}');
}

/* Writes null if it was not counted. */
static void json_counted(struct json *json, const char *name, bool counted, uint64_t count)
{
	if (counted)
		json_number(json, name, count);
	else
		json_real(json, name, NAN);
}

static void json_sections(struct json *json, const struct meter *meter, bool metered)
{
	bool calls = meter->counts_system_calls;

	json_counted(json, "sections", metered, meter->sections);
	json_counted(json, "allocations", meter->counts_allocations, meter->allocations);
	json_counted(json, "system_calls", calls, meter->system_calls);
	json_counted(json, "futex_calls", calls, meter->futexes);
}

static void json_engines(struct json *json, const struct vm_result *vm)
{
	json_number(json, "engine_tasks", vm->engine_tasks);
	json_number(json, "engine_bytes", vm->engine_bytes);
	json_number(json, "engine_faults", vm->engine_faults);
	json_number(json, "engine_refused", vm->engine_refused);
	json_number(json, "tlb_hits", vm->engine_hits);
	json_number(json, "tlb_misses", vm->engine_misses);
	json_number(json, "tlb_invalidations", vm->engine_invalidations);
}

static void json_vm(struct json *json, const struct vm_result *vm, const struct run_settings *run)
{
	json_number(json, "jobs", vm->jobs);
	json_number(json, "bind_operations", vm->ops);
	json_latency(json, "run_ns", &vm->run);
	if (run->through != THROUGH_QUEUE)
		return;
	json_latency(json, "submit_ns", &vm->submit);
	json_latency(json, "finish_ns", &vm->finish);
	json_number(json, "submitters", run->submitters);
	json_number(json, "engines", run->engines);
	json_number(json, "in_flight", run->in_flight);
	json_number(json, "jobs_peak", vm->jobs_peak);
	json_number(json, "bytes_peak", vm->bytes_peak);
	json_number(json, "grace_waits", vm->grace_waits);
	json_number(json, "blocked", vm->blocked);
	json_sections(json, &vm->meter, run->meter);
	if (run->engines)
		json_engines(json, vm);
}

void report_json(struct json *json, const struct summary *summary, const struct run_settings *run)
{
	const struct run_result *sum = &summary->sum;
	char check[32];

	json_open(json, NULL, '{');
	json_text(json, "file", summary->name);
	json_text(json, "source", summary->trace->header.source);
	json_text(json, "through", through_text(run->through));
	json_number(json, "operations", nr_changes(summary));
	json_open(json, "verbs", '{');
	for (enum trace_verb verb = TRACE_MAP; verb <= TRACE_LOAD; verb++)
		json_number(json, trace_verb_name(verb), summary->verbs[verb]);
	json_close(json, '}');
	json_number(json, "repeats", summary->repeats);
	json_real(json, "seconds", sum->seconds);
	json_real(json, "wall_seconds", sum->wall);
	json_real(json, "rate", summary->best);
	json_real(json, "rate_mean", summary->mean);
	json_bool(json, "rcu", run->rcu);
	json_number(json, "live", sum->live);
	json_number(json, "runs", sum->runs);
	json_number(json, "peak", sum->peak);
	if (run->through == THROUGH_TREE)
		json_tree(json, sum);
	else
		json_vm(json, &sum->vm, run);
	json_text(json, "check", check_text(run, check, sizeof(check)));
	json_number(json, "checks", sum->checks);
	json_number(json, "readers", run->readers);
	json_number(json, "reader_lookups", sum->readers.lookups);
	json_number(json, "reader_walked", sum->readers.walked);
	json_number(json, "reader_unjudged", sum->readers.unjudged);
	json_number(json, "reader_wrong", sum->readers.wrong);
	json_close(json, '}');
}
