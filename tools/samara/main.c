/* SPDX-License-Identifier: MIT */
/* The samara program: runs the subcommand, explains it, prints messages. */
#include "samara.h"

#include <samara/version.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "trace/trace.h"

static const struct command *const commands[] = {
	&command_replay, &command_import, &command_gen, &command_dump, &command_gpuvm,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("samara: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILED;
}

int complain_at(const char *name, unsigned long line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s:%lu: ", name, line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILED;
}

int complain_usage(const struct command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "samara%s%s: ", command ? " " : "", command ? command->name : "");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\nTry 'samara help%s%s'.\n", command ? " " : "",
		command ? command->name : "");
	va_end(args);
	return EXIT_USAGE;
}

int load_trace(struct trace *trace, const char *path)
{
	char why[TRACE_WHY_SIZE];

	if (!trace_load(trace, path, why, sizeof(why)))
		return EXIT_OK;
	/* @why begins with the name of the file. */
	fprintf(stderr, "%s\n", why);
	return EXIT_FAILED;
}

void print_help(const struct command *command)
{
	printf("Usage: samara %s %s\n\n%s", command->name, command->synopsis, command->help);
}

static void print_overview(FILE *out)
{
	fputs("Usage: samara COMMAND [OPTION]... [FILE]...\n"
	      "\n"
	      "Puts the Samara maple tree, a map from ranges to pointers whose readers never wait, and the\n"
	      "GPU address spaces built on it to work on traces: records of what a program did to its\n"
	      "address space; and the latter on scripts, too.\n"
	      "\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("  help     explain a command\n"
	      "\n"
	      "'samara help COMMAND' or 'samara COMMAND --help' explains a command and its options;\n"
	      "'samara help format' describes trace files; 'samara --version' prints the version.\n"
	      "\n"
	      "To see it work:\n"
	      "  samara gen --kind=overlap --ops=100000 | samara replay --check=every --readers=2 -\n"
	      "  samara gen --ops=10000 | samara replay --through=queue --submitters=4 --engines=2 -\n"
	      "  strace -f -y -e trace=%memory -o log true && samara import --output=true.trace log\n"
	      "  samara replay true.trace && samara dump --format=dot true.trace | dot -Tsvg > tree.svg\n"
	      "\n"
	      "Exit status: 0 done, 1 failed (a check, a file, memory), 2 wrong usage.\n",
	      out);
}

static void print_format(void)
{
	fputs("Trace files, version 1\n"
	      "\n"
	      "Text, UTF-8, one operation a line; '#' begins a comment. A file packed with xz is unpacked\n"
	      "while it is read. Numbers are hexadecimal without 0x, object ids decimal. The first four\n"
	      "lines are the header:\n"
	      "\n"
	      "  # samara-trace 1\n"
	      "  # source: what was recorded\n"
	      "  # page: 1000\n"
	      "  # va: 400000-7ffe9ff5cfff\n"
	      "\n"
	      "'page' is the page size: addresses and lengths are whole pages. 'va' gives the lowest and the\n"
	      "highest address that can occur, inclusive. The operations are:\n"
	      "\n"
	      "  map ADDR LENGTH OBJECT OFFSET FLAGS a new mapping in place of whatever was there\n"
	      "  unmap ADDR LENGTH                   removes what is mapped in the range, if anything\n"
	      "  protect ADDR LENGTH FLAGS           new flags for a range that is mapped throughout\n"
	      "  move OLD OLD_LENGTH NEW NEW_LENGTH  moves, cuts or extends, as mremap does\n"
	      "  load ADDR                           a look-up of any address that is mapped\n"
	      "\n"
	      "OBJECT 0 is private anonymous memory, whose OFFSET is 0. FLAGS are letters out of r, w, x,\n"
	      "then s (shared) or p (private), then perhaps g (grows down).\n",
	      stdout);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	}
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[NR_COMMANDS + 1] = { "help" };
	const char *near;

	for (size_t i = 0; i < NR_COMMANDS; i++)
		names[i + 1] = commands[i]->name;
	near = nearest_name(name, names, NR_COMMANDS + 1);
	if (near)
		return complain_usage(NULL, "unknown command '%s'; did you mean '%s'?", name, near);
	return complain_usage(NULL, "unknown command '%s'", name);
}

static int help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2 || !strcmp(argv[1], "help")) {
		print_overview(stdout);
		return EXIT_OK;
	}
	if (argc > 2)
		return complain_usage(NULL, "help explains one command at a time");
	if (!strcmp(argv[1], "format")) {
		print_format();
		return EXIT_OK;
	}
	command = find_command(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	print_help(command);
	return EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help"))
		return help(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(1, argv);
	if (!strcmp(argv[1], "--version")) {
		printf("samara %s\n", samara_version());
		return EXIT_OK;
	}
	if (argv[1][0] == '-')
		return complain_usage(NULL, "unknown option '%s'", argv[1]);
	command = find_command(argv[1]);
	return command ? command->run(command, argc - 1, argv + 1) : unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
	int status, err;

	/* When a reader has seen enough (head, less), do not die before tidying up. */
	signal(SIGPIPE, SIG_IGN);
	status = dispatch(argc, argv);
	err = output_status("-", output_flush());
	return status ? status : err;
}
