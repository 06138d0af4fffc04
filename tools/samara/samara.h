/* SPDX-License-Identifier: MIT */
/*
 * The tool's subcommands. Each is one file (with helpers of its own) that defines one struct
 * command; main.c lists them. To add one: write it, declare it here, list it in main.c and in
 * meson.build, and give it a man page.
 *
 * The tool uses the library's public headers, trace/, model/ and the software GPU of examples/, and
 * nothing else.
 */
#ifndef SAMARA_TOOL_H
#define SAMARA_TOOL_H

/* Exit statuses. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* the work could not be done, or a check failed */
	EXIT_USAGE = 2,  /* the command line makes no sense */
};

struct trace;

struct command {
	const char *name;
	const char *summary;  /* one line for the list of commands */
	const char *synopsis; /* what follows "samara NAME" */
	const char *help;     /* the rest of the help, ending in a line feed */
	/* argv[0] is the command's name. Returns an exit status. */
	int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command command_replay;
extern const struct command command_import;
extern const struct command command_gen;
extern const struct command command_dump;
extern const struct command command_gpuvm;

/* Prints "samara: ..." and a line feed to stderr; returns EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);
/* The same for a line of a file: prints "NAME:LINE: ..." and a line feed. */
__attribute__((format(printf, 3, 4))) int complain_at(const char *name, unsigned long line,
						      const char *format, ...);
/* The same for a mistake on the command line, with a hint at --help; returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int complain_usage(const struct command *command,
							 const char *format, ...);
/*
 * Reads the whole trace @path ("-": standard input). Returns EXIT_OK, or EXIT_FAILED after a
 * message.
 */
int load_trace(struct trace *trace, const char *path);
/* Prints the whole help of @command to stdout. */
void print_help(const struct command *command);

#endif
