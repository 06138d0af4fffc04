/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 32

bool parse_decimal(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum))
			return false;
	}
	if (sum < min || sum > max)
		return false;
	*value = sum;
	return true;
}

/* Returns how many letters must be added, dropped or changed to turn @a into @b. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_LENGTH + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NAME_MAX_LENGTH || lb > NAME_MAX_LENGTH)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *nearest_name(const char *text, const char *const *names, size_t nr_names)
{
	const char *best = NULL;
	size_t least = strlen(text) / 3 + 1;

	for (size_t i = 0; i < nr_names; i++) {
		size_t d = distance(text, names[i]);

		if (d <= least && (!best || d < least)) {
			best = names[i];
			least = d;
		}
	}
	return best;
}

static const struct option *find_option(const struct option *options, const char *name,
					size_t length)
{
	for (; options->name; options++) {
		if (strlen(options->name) == length && !memcmp(options->name, name, length))
			return options;
	}
	return NULL;
}

static int unknown_option(const struct command *command, const struct option *options,
			  const char *arg, size_t length)
{
	const char *names[64];
	char name[NAME_MAX_LENGTH + 1] = "";
	const char *near;
	size_t nr = 0;

	for (; options->name && nr < 64; options++)
		names[nr++] = options->name;
	if (length - 2 <= NAME_MAX_LENGTH)
		memcpy(name, arg + 2, length - 2);
	near = nearest_name(name, names, nr);
	if (near)
		return complain_usage(command, "unknown option '%.*s'; did you mean '--%s'?",
				      (int)length, arg, near);
	return complain_usage(command, "unknown option '%.*s'", (int)length, arg);
}

static int set_value(const struct command *command, const struct option *option, const char *text)
{
	switch (option->kind) {
	case OPTION_ON:
	case OPTION_OFF:
		*(bool *)option->value = option->kind == OPTION_ON;
		break;
	case OPTION_TEXT:
		*(const char **)option->value = text;
		break;
	case OPTION_NUMBER:
		if (!parse_decimal(text, option->min, option->max, option->value))
			return complain_usage(command,
					      "--%s wants a number from %" PRIu64 " to %" PRIu64
					      ", not '%s'",
					      option->name, option->min, option->max, text);
		break;
	}
	return EXIT_OK;
}

/* Handles argv[*i], which begins with --, and perhaps its value in argv[*i + 1]. */
static int take_option(const struct command *command, char **argv, int argc, int *i,
		       const struct option *options)
{
	const char *arg = argv[*i];
	size_t length = strcspn(arg, "=");
	const char *text = arg[length] ? arg + length + 1 : NULL;
	const struct option *option = find_option(options, arg + 2, length - 2);
	bool wants_value;

	if (!option)
		return unknown_option(command, options, arg, length);
	wants_value = option->kind == OPTION_TEXT || option->kind == OPTION_NUMBER;
	if (text && !wants_value)
		return complain_usage(command, "--%s takes no value", option->name);
	if (!text && wants_value) {
		if (*i + 1 == argc)
			return complain_usage(command, "--%s wants a value", option->name);
		text = argv[++*i];
	}
	return set_value(command, option, text);
}

int parse_options(const struct command *command, int argc, char **argv,
		  const struct option *options, int *operands)
{
	bool no_more = false;

	*operands = 0;
	for (int i = 1; i < argc; i++) {
		char *arg = argv[i];
		int status;

		if (no_more || arg[0] != '-' || !arg[1]) {
			argv[++*operands] = arg;
		} else if (!strcmp(arg, "--")) {
			no_more = true;
		} else if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
			print_help(command);
			*operands = -1;
			return EXIT_OK;
		} else if (arg[1] != '-') {
			return complain_usage(command, "unknown option '%s'", arg);
		} else {
			status = take_option(command, argv, argc, &i, options);
			if (status)
				return status;
		}
	}
	return EXIT_OK;
}
