/* SPDX-License-Identifier: MIT */
/* Reading gpuvm.txt, of which the head explains the lines. */
#ifndef TESTS_CONFORMANCE_GPUVM_LINES_H
#define TESTS_CONFORMANCE_GPUVM_LINES_H

#include "support/gpuvm_toy.h"

/* Ends the program: the test itself is wrong. */
_Noreturn void broken(const char *line, const char *what);

/*
 * What main() does: runs the lines, of the file that is the one argument, whose names begin with a
 * letter of @letters, and counts those for which @run says false. There must be @least of them.
 */
int run_lines(int argc, char **argv, const char *letters, bool (*run)(char *line),
	      unsigned int least);

/* The VM that a line is about, in front of the mappings, to which it returns. */
const char *parse_vm(const char *line, struct toy_config *config);

#endif
