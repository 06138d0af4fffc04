/* SPDX-License-Identifier: MIT */
/* samara dump: prints the tree of a replayed trace. */
#include "samara.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "space.h"
#include "trace/input.h"

struct settings {
	const char *format;
	const char *output;
	uint64_t after; /* operations, loads included; UINT64_MAX: all */
};

/* Prints the records behind the entries, of which mt_dump_to() prints only the pointers. */
static void print_mappings(struct space *space, FILE *out)
{
	MA_STATE(mas, &space->tree, 0, 0);
	const struct mapping *mapping;
	char flags[TRACE_FLAGS_SIZE];

	fprintf(out, "\n%zu mappings:\n", space->live);
	mas_lock(&mas);
	mas_for_each(&mas, mapping, ULONG_MAX)
		fprintf(out, "  %lx-%lx entry %p object %" PRIu64 " offset %" PRIx64 " %s\n",
			mas.index, mas.last, (const void *)mapping, mapping->what.object,
			mapping->what.offset, trace_flags_text(mapping->what.flags, flags));
	mas_unlock(&mas);
}

static int print_tree(struct space *space, const struct settings *settings)
{
	FILE *out = output_open(settings->output);

	if (!out)
		return EXIT_FAILED;
	mtree_lock(&space->tree);
	if (!strcmp(settings->format, "dot"))
		mt_dump_dot(&space->tree, out);
	else
		mt_dump_to(&space->tree, mt_dump_hex, out);
	mtree_unlock(&space->tree);
	if (!strcmp(settings->format, "text"))
		print_mappings(space, out);
	return output_close(out, settings->output);
}

static int replay(struct space *space, const struct trace *trace, const char *name, uint64_t after)
{
	for (size_t i = 0; i < trace->count && i < after; i++) {
		const struct trace_op *op = &trace->ops[i];
		const char *why = "";
		int err = space_apply(space, op, &why);

		if (err)
			return complain_at(name, op->line, "%s",
					   err == -EINVAL ? why : strerror(-err));
	}
	return EXIT_OK;
}

static int dump_file(const char *path, const struct settings *settings)
{
	struct space space;
	struct trace trace;
	int status = load_trace(&trace, path);

	if (status)
		return status;
	space_init(&space, false, NULL);
	status = replay(&space, &trace, trace_input_name(path), settings->after);
	if (!status)
		status = print_tree(&space, settings);
	space_destroy(&space);
	trace_free(&trace);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct settings settings = { .format = "text", .output = "-", .after = UINT64_MAX };
	const struct option options[] = {
		{ "format", OPTION_TEXT, &settings.format, 0, 0 },
		{ "output", OPTION_TEXT, &settings.output, 0, 0 },
		{ "after", OPTION_NUMBER, &settings.after, 0, UINT64_MAX },
		{ .name = NULL },
	};
	int operands;
	int status = parse_options(command, argc, argv, options, &operands);

	if (status || operands < 0)
		return status;
	if (strcmp(settings.format, "text") && strcmp(settings.format, "dot"))
		return complain_usage(command, "--format wants text or dot, not '%s'",
				      settings.format);
	if (operands != 1)
		return complain_usage(command, "expected one trace file ('-' is standard input)");
	return dump_file(argv[1], &settings);
}

const struct command command_dump = {
	.name = "dump",
	.summary = "show the tree of a replayed trace, as text or Graphviz",
	.synopsis = "[OPTION]... FILE",
	.help = "Runs the trace FILE ('-': standard input) through a tree and prints the tree, node by node: each\n"
		"node's range, its pivots and what stands between them.\n"
		"\n"
		"  --after=N        stop after the first N operations (loads count); default: all\n"
		"  --format=FORMAT  text: the nodes, then the mappings that the entries stand for (the default)\n"
		"                   dot: a graph for Graphviz\n"
		"  --output=FILE    write there instead of to standard output\n"
		"\n"
		"Examples:\n"
		"  samara dump --after=100 traces/python-threads.trace.xz\n"
		"  samara gen --kind=fragment --ops=200 | samara dump --format=dot - | dot -Tsvg > tree.svg\n",
	.run = run,
};
