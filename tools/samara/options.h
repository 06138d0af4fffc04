/* SPDX-License-Identifier: MIT */
/*
 * Parses command lines. Options are --name, --name=VALUE or --name VALUE, in any place; -- ends
 * them; - is an operand.
 */
#ifndef SAMARA_TOOL_OPTIONS_H
#define SAMARA_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "samara.h"

enum option_kind {
	OPTION_ON,     /* bool *, set */
	OPTION_OFF,    /* bool *, cleared */
	OPTION_TEXT,   /* const char ** */
	OPTION_NUMBER, /* uint64_t *, decimal, min..max */
};

struct option {
	const char *name; /* without the dashes */
	enum option_kind kind;
	void *value;
	uint64_t min;
	uint64_t max;
};

/*
 * Takes @options, the last of which has no name, out of @argv (argv[0] is skipped) and sets their
 * values; the operands are then argv[1] to argv[*@operands]. Returns EXIT_OK with *@operands set;
 * if --help was given, it has been printed and *@operands is -1. EXIT_USAGE: a message has been
 * printed.
 */
int parse_options(const struct command *command, int argc, char **argv,
		  const struct option *options, int *operands);

/* Reads @text as a decimal number in [min..max]. */
bool parse_decimal(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* Returns the one of @names that @text was probably meant to be, or NULL. */
const char *nearest_name(const char *text, const char *const *names, size_t nr_names);

#endif
