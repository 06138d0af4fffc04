/* SPDX-License-Identifier: MIT */
/* Reads gpuvm.txt, whose head explains the lines. */
#ifndef TESTS_CONFORMANCE_GPUVM_LINES_H
#define TESTS_CONFORMANCE_GPUVM_LINES_H

#include "support/gpuvm_toy.h"

/* Ends the program: there is a mistake in the test itself. */
_Noreturn void broken(const char *line, const char *what);

/*
 * What main() does: runs the lines of the file that is the only argument whose names begin with a
 * letter of @letters, and counts those for which @run returns false. There must be at least @least
 * lines.
 */
int run_lines(int argc, char **argv, const char *letters, bool (*run)(char *line),
	      unsigned int least);

/* Parses the VM that a line is about. Returns where its mappings begin. */
const char *parse_vm(const char *line, struct toy_config *config);

#endif
