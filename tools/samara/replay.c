/* SPDX-License-Identifier: MIT */
#include "samara.h"

#include <samara/version.h>
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "options.h"
#include "progress.h"
#include "run.h"

struct settings {
	struct run_settings run;
	const char *check;
	uint64_t readers;
	uint64_t repeat;
	bool json;
};

/* What all runs of one file came to. */
struct summary {
	const char *name;
	const struct trace *trace;
	uint64_t verbs[TRACE_LOAD + 1];
	uint64_t repeats;
	double best; /* operations a second, loads included */
	double mean;
	struct run_result
		sum; /* seconds, checks and readers are added up, the rest is the last run's */
};

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

static void print_text(const struct summary *summary, const struct run_settings *run)
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
	printf(" (%.3f s%s)\n", sum->seconds, run->rcu ? ", RCU mode" : "");
	printf("  mappings    %zu live at the end in %zu runs, %zu at most\n", sum->live, sum->runs,
	       sum->peak);
	printf("  tree        height %u (at most %u), %.1f bytes per mapping at %zu mappings, "
	       "%" PRIu64 " nodes built\n",
	       sum->height, sum->height_max, sum->bytes_per_mapping, sum->sampled_at,
	       sum->nodes_built);
	if (run->check != CHECK_NONE)
		printf("  check       %s: %" PRIu64 " comparisons with the model, no difference\n",
		       check_text(run, check, sizeof(check)), sum->checks);
	if (run->readers)
		printf("  readers     %u: %" PRIu64 " look-ups and %" PRIu64
		       " mappings walked, every answer true (%" PRIu64 " not judged)\n",
		       run->readers, sum->readers.lookups, sum->readers.walked,
		       sum->readers.unjudged);
}

static void print_json(struct json *json, const struct summary *summary,
		       const struct run_settings *run)
{
	const struct run_result *sum = &summary->sum;
	char check[32];

	json_open(json, NULL, '{');
	json_text(json, "file", summary->name);
	json_text(json, "source", summary->trace->header.source);
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
	json_number(json, "height", sum->height);
	json_number(json, "height_max", sum->height_max);
	json_real(json, "bytes_per_mapping", sum->bytes_per_mapping);
	json_number(json, "bytes_sampled_at", sum->sampled_at);
	json_number(json, "nodes_built", sum->nodes_built);
	json_text(json, "check", check_text(run, check, sizeof(check)));
	json_number(json, "checks", sum->checks);
	json_number(json, "readers", run->readers);
	json_number(json, "reader_lookups", sum->readers.lookups);
	json_number(json, "reader_walked", sum->readers.walked);
	json_number(json, "reader_unjudged", sum->readers.unjudged);
	json_number(json, "reader_wrong", sum->readers.wrong);
	json_close(json, '}');
}

static int run_repeatedly(struct summary *summary, const struct settings *settings)
{
	double total = (double)summary->trace->count;
	double seconds = 0;

	for (uint64_t i = 0; i < settings->repeat; i++) {
		struct run_settings run = settings->run;
		struct run_result *sum = &summary->sum;
		int status;

		run.seed += i;
		sum->seconds = 0;
		sum->sampled_at = 0;
		status = run_trace(summary->trace, &run, sum);
		if (status)
			return status;
		if (sum->seconds > 0 && total / sum->seconds > summary->best)
			summary->best = total / sum->seconds;
		seconds += sum->seconds;
	}
	summary->sum.seconds = seconds;
	summary->repeats = settings->repeat;
	summary->mean = seconds > 0 ? total * (double)settings->repeat / seconds : 0;
	return EXIT_OK;
}

static int replay_file(const char *path, struct settings *settings, struct json *json)
{
	struct summary summary = { .name = strcmp(path, "-") ? path : "<stdin>" };
	struct trace trace;
	char why[512];
	int status;

	if (trace_load(&trace, path, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return EXIT_FAILED;
	}
	summary.trace = &trace;
	for (size_t i = 0; i < trace.count; i++)
		summary.verbs[trace.ops[i].verb]++;
	settings->run.name = summary.name;
	status = run_repeatedly(&summary, settings);
	if (!status && settings->json)
		print_json(json, &summary, &settings->run);
	else if (!status)
		print_text(&summary, &settings->run);
	fflush(stdout);
	trace_free(&trace);
	return status;
}

static int parse_check(const struct command *command, struct settings *settings)
{
	struct run_settings *run = &settings->run;

	run->check_interval = 0;
	if (!strcmp(settings->check, "none"))
		run->check = CHECK_NONE;
	else if (!strcmp(settings->check, "final"))
		run->check = CHECK_FINAL;
	else if (!strcmp(settings->check, "every"))
		run->check = CHECK_EVERY;
	else if (parse_decimal(settings->check, 1, UINT32_MAX, &run->check_interval))
		run->check = CHECK_SOME;
	else
		return complain_usage(command,
				      "--check wants every, a number, final or none, not '%s'",
				      settings->check);
	return EXIT_OK;
}

static int replay_files(struct settings *settings, int nr, char **paths)
{
	int status = EXIT_OK;
	struct json json;

	json_begin(&json, stdout);
	if (settings->json) {
		json_open(&json, NULL, '{');
		json_text(&json, "samara", samara_version());
		json_open(&json, "replays", '[');
	}
	for (int i = 0; i < nr; i++) {
		if (replay_file(paths[i], settings, &json))
			status = EXIT_FAILED;
	}
	if (settings->json) {
		json_close(&json, ']');
		json_bool(&json, "ok", status == EXIT_OK);
		json_close(&json, '}');
		json_end(&json);
	}
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct settings settings = { .run.rcu = true, .check = "final", .repeat = 1 };
	struct run_settings *run = &settings.run;
	const struct option options[] = {
		{ "check", OPTION_TEXT, &settings.check, 0, 0 },
		{ "dump-final", OPTION_TEXT, &run->dump_final, 0, 0 },
		{ "expect-final", OPTION_TEXT, &run->expect_final, 0, 0 },
		{ "readers", OPTION_NUMBER, &settings.readers, 0, 1024 },
		{ "repeat", OPTION_NUMBER, &settings.repeat, 1, 1000000 },
		{ "seed", OPTION_NUMBER, &run->seed, 0, UINT64_MAX },
		{ "rcu", OPTION_ON, &run->rcu, 0, 0 },
		{ "no-rcu", OPTION_OFF, &run->rcu, 0, 0 },
		{ "json", OPTION_ON, &settings.json, 0, 0 },
	};
	int operands;
	int status = parse_options(command, argc, argv, options,
				   sizeof(options) / sizeof(options[0]), &operands);

	if (status || operands < 0)
		return status;
	status = parse_check(command, &settings);
	if (status)
		return status;
	if (!operands)
		return complain_usage(command, "no trace file given ('-' is standard input)");
	if (operands > 1 && (run->dump_final || run->expect_final))
		return complain_usage(command, "--dump-final and --expect-final are for one FILE");
	if (settings.json && run->dump_final && !strcmp(run->dump_final, "-"))
		return complain_usage(command,
				      "--json and --dump-final=- both want standard output");
	run->readers = (unsigned int)settings.readers;
	return replay_files(&settings, operands, argv + 1);
}

const struct command command_replay = {
	.name = "replay",
	.summary = "run traces through the tree, checking and timing it",
	.synopsis = "[OPTION]... FILE...",
	.help = "Runs each trace FILE ('-': standard input; .xz is unpacked) through an empty tree that has one\n"
		"entry per mapping. Mapping over, unmapping or protecting a part of a mapping splits or trims it. A\n"
		"model, a plain sorted array, does the same beside it, and the two are compared.\n"
		"\n"
		"  --check=WHEN         every: after each operation what it touched, everything from time to time\n"
		"                       N: everything after every N operations\n"
		"                       final: everything after the last operation (the default)\n"
		"                       none: never\n"
		"  --readers=N          N threads look things up in the meantime, without locks in RCU mode. They\n"
		"                       know when each answer was true: one that never was during the look-up is an\n"
		"                       error. Without RCU they take the tree's lock.\n"
		"  --seed=N             for the readers' choice of addresses (default 0)\n"
		"  --rcu, --no-rcu      RCU mode on (the default) or off\n"
		"  --repeat=N           do it N times, each with a new tree, and print the best and the mean rate\n"
		"  --dump-final=FILE    write the mappings after the last operation: 'addr length object offset\n"
		"                       flags' lines, sorted, neighbours joined where object, flags and offset go on\n"
		"  --expect-final=FILE  compare those with FILE (.xz is unpacked); a difference is an error\n"
		"  --json               print the figures as JSON\n"
		"\n"
		"What is printed: operations and loads a second (time spent in the tree; neither checks nor\n"
		"reading the file count), live mappings, the tree's height, bytes of nodes per mapping near the\n"
		"peak, what the readers did. Errors name the trace's file and line.\n"
		"\n"
		"Examples:\n"
		"  samara replay --check=every --readers=2 traces/gcc-boost.trace.xz\n"
		"  samara replay --no-rcu --check=none --repeat=10 --json big.trace > figures.json\n"
		"  samara replay --dump-final=- small.trace\n",
	.run = run,
};
