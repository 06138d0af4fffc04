/* SPDX-License-Identifier: MIT */
/* samara replay: runs traces through a tree or a GPU VM, checks and times that. */
#include "samara.h"

#include <errno.h>
#include <samara/version.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "trace/input.h"

#define IN_FLIGHT 64 /* jobs, by default */

struct settings {
	struct run_settings run;
	const char *through;
	const char *check;
	uint64_t readers, submitters, engines, in_flight;
	uint64_t repeat;
	bool json;
};

static int run_repeatedly(struct summary *summary, const struct settings *settings)
{
	double total = (double)summary->trace->count;
	double seconds = 0;

	for (uint64_t i = 0; i < settings->repeat; i++) {
		struct run_settings run = settings->run;
		struct run_result *sum = &summary->sum;
		int status;

		run.seed += i;
		/*
		 * Only once: all runs end alike, and standard input or output can be used only
		 * once.
		 */
		if (i + 1 < settings->repeat)
			run.dump_final = run.expect_final = NULL;
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

static int replay_trace(struct summary *summary, struct settings *settings, struct json *json)
{
	int status;

	for (size_t i = 0; i < summary->trace->count; i++)
		summary->verbs[summary->trace->ops[i].verb]++;
	settings->run.name = summary->name;
	status = run_repeatedly(summary, settings);
	if (!status && settings->json)
		report_json(json, summary, &settings->run);
	else if (!status)
		report_text(summary, &settings->run);
	output_flush();
	return status;
}

static int replay_file(const char *path, struct settings *settings, struct json *json)
{
	struct summary *summary;
	struct trace trace;
	int status = load_trace(&trace, path);

	if (status)
		return status;
	summary = calloc(1, sizeof(*summary)); /* too large for a stack, with its histograms */
	if (summary) {
		summary->name = trace_input_name(path);
		summary->trace = &trace;
		status = replay_trace(summary, settings, json);
	} else {
		status = complain("%s: %s", trace_input_name(path), strerror(ENOMEM));
	}
	free(summary);
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

static int parse_through(const struct command *command, struct settings *settings)
{
	struct run_settings *run = &settings->run;
	bool queue;

	for (run->through = THROUGH_TREE; run->through <= THROUGH_QUEUE; run->through++) {
		if (!strcmp(settings->through, through_text(run->through)))
			break;
	}
	if (run->through > THROUGH_QUEUE)
		return complain_usage(command, "--through wants tree, gpuvm or queue, not '%s'",
				      settings->through);
	queue = run->through == THROUGH_QUEUE;
	if (!queue &&
	    (settings->submitters || settings->engines || settings->in_flight || !run->meter))
		return complain_usage(command, "--submitters, --engines, --in-flight and "
					       "--no-meter go with --through=queue");
	if (!run->rcu && run->through != THROUGH_TREE)
		return complain_usage(command, "--no-rcu goes with --through=tree");
	run->submitters = settings->submitters ? (unsigned int)settings->submitters : 1;
	run->engines = (unsigned int)settings->engines;
	run->in_flight = settings->in_flight ? (unsigned int)settings->in_flight : IN_FLIGHT;
	if (run->in_flight < run->submitters)
		return complain_usage(command, "each of the %u submitters wants a job in flight",
				      run->submitters);
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
	struct settings settings = {
		.run.rcu = true,
		.run.meter = true,
		.through = "tree",
		.check = "final",
		.repeat = 1,
	};
	struct run_settings *run = &settings.run;
	const struct option options[] = {
		{ "through", OPTION_TEXT, &settings.through, 0, 0 },
		{ "submitters", OPTION_NUMBER, &settings.submitters, 1, 64 },
		{ "engines", OPTION_NUMBER, &settings.engines, 0, 64 },
		{ "no-meter", OPTION_OFF, &run->meter, 0, 0 },
		{ "in-flight", OPTION_NUMBER, &settings.in_flight, 1, 65536 },
		{ "check", OPTION_TEXT, &settings.check, 0, 0 },
		{ "dump-final", OPTION_TEXT, &run->dump_final, 0, 0 },
		{ "expect-final", OPTION_TEXT, &run->expect_final, 0, 0 },
		{ "readers", OPTION_NUMBER, &settings.readers, 0, 1024 },
		{ "repeat", OPTION_NUMBER, &settings.repeat, 1, 1000000 },
		{ "seed", OPTION_NUMBER, &run->seed, 0, UINT64_MAX },
		{ "rcu", OPTION_ON, &run->rcu, 0, 0 },
		{ "no-rcu", OPTION_OFF, &run->rcu, 0, 0 },
		{ "json", OPTION_ON, &settings.json, 0, 0 },
		{ .name = NULL },
	};
	int operands;
	int status = parse_options(command, argc, argv, options, &operands);

	if (status || operands < 0)
		return status;
	status = parse_through(command, &settings);
	if (!status)
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
	.summary = "run traces through the tree or a GPU VM, checking and timing it",
	.synopsis = "[OPTION]... FILE...",
	.help = "Runs each trace FILE ('-': standard input; .xz is unpacked) through an empty tree that has one\n"
		"entry per mapping. Mapping over, unmapping or protecting a part of a mapping splits or trims it. A\n"
		"model, a plain sorted array, does the same beside it, and the two are compared.\n"
		"\n"
		"  --through=WHAT       tree: a maple tree (the default)\n"
		"                       gpuvm: a GPU address space, changed under its lock\n"
		"                       queue: one that bind queues change: each operation is a job, submitted now\n"
		"                       and run later by a worker, where nothing may allocate or fail. Allocations\n"
		"                       and system calls in run sections are counted; there must be none\n"
		"  --submitters=N       queue: N threads submit the operations in turns, each to a queue of its own;\n"
		"                       fences make the order (default 1)\n"
		"  --in-flight=N        queue: at most N jobs are outstanding (default 64)\n"
		"  --no-meter           queue: do not count; a system call in a run section takes longer when counted\n"
		"  --engines=N          queue: N engines of a software GPU fill, copy and verify memory through\n"
		"                       addresses that are mapped at that point of the trace, in order with the jobs\n"
		"                       (default 0: no GPU)\n"
		"  --check=WHEN         every: after each operation what it touched, everything from time to time\n"
		"                       N: everything after every N operations\n"
		"                       final: everything after the last operation (the default)\n"
		"                       none: never\n"
		"  --readers=N          N threads look things up in the meantime, without locks in RCU mode. They\n"
		"                       know when each answer was true: one that never was during the look-up is an\n"
		"                       error. Without RCU they take the tree's lock.\n"
		"  --seed=N             for the readers' choice of addresses (default 0)\n"
		"  --rcu, --no-rcu      RCU mode of the tree on (the default) or off\n"
		"  --repeat=N           do it N times, each with a new tree, and print the best and the mean rate\n"
		"  --dump-final=FILE    write the mappings after the last operation: 'addr length object offset\n"
		"                       flags' lines, sorted, neighbours joined where object, flags and offset go\n"
		"                       on; packed when FILE ends in .xz\n"
		"  --expect-final=FILE  compare those with FILE (.xz is unpacked); a difference is an error\n"
		"  --json               print the figures as JSON\n"
		"\n"
		"What is printed: operations and loads a second (neither checks nor reading the file count), live\n"
		"mappings, the tree's height, bytes of nodes per mapping near the peak, what the readers did; of a VM\n"
		"how long a job took to submit, to run, and from the one to the end of the other. Errors name the\n"
		"trace's file and line.\n"
		"\n"
		"Examples:\n"
		"  samara replay --check=every --readers=2 traces/python-threads.trace.xz\n"
		"  samara replay --through=queue --submitters=4 --engines=2 --check=every --readers=2 small.trace\n"
		"  samara replay --no-rcu --check=none --repeat=10 --json big.trace > figures.json\n"
		"  samara replay --dump-final=- small.trace\n",
	.run = run,
};
