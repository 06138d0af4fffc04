/* SPDX-License-Identifier: MIT */
#include "gpuvm_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void broken(const char *line, const char *what)
{
	fprintf(stderr, "%s\n  %s\n", line, what);
	exit(99);
}

/* Returns the next line that is an example; NULL: there are no more. */
static char *next_line(char *line, int size, FILE *in)
{
	while (fgets(line, size, in)) {
		line[strcspn(line, "#\n")] = 0;
		for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--)
			line[n - 1] = 0;
		if (*line == 'E' || *line == 'F')
			return line;
		if (*line)
			broken(line, "not an example");
	}
	return NULL;
}

int run_lines(int argc, char **argv, const char *letters, bool (*run)(char *line),
	      unsigned int least)
{
	FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
	unsigned int lines = 0, failed = 0;
	char line[1024];

	if (!in)
		return 99;
	while (next_line(line, sizeof(line), in)) {
		if (!strchr(letters, *line))
			continue;
		lines++;
		failed += !run(line);
	}
	fclose(in);
	printf("%u examples, %u failed\n", lines, failed);
	return failed > 0 || lines < least;
}

const char *parse_vm(const char *line, struct toy_config *config)
{
	const char *at = line + strcspn(line, " ");
	int n = 0;

	at += strspn(at, " ");
	*config = (struct toy_config){ .range = 0x1000 };
	if (strncmp(at, "vm=", 3) == 0) {
		at += 3;
		if (sscanf(at, "%" SCNx64 "+%" SCNx64 "%n", &config->start, &config->range, &n) !=
		    2)
			broken(line, "no range");
		at += n;
		if (sscanf(at, "/%" SCNx64 "+%" SCNx64 "%n", &config->reserve_start,
			   &config->reserve_range, &n) == 2)
			at += n;
	}
	return at + strspn(at, " ");
}
