/* SPDX-License-Identifier: MIT */
/*
 * Opens and closes the output of a command: a file, or standard output, which is called "-". If the
 * reader at the other end of a pipe stops reading, that is no failure, and nothing is printed.
 * main() reports any other error of standard output once, at the end.
 */
#ifndef SAMARA_TOOL_OUTPUT_H
#define SAMARA_TOOL_OUTPUT_H

#include <stdio.h>

/* Opens @path for writing. Returns NULL after a message. */
FILE *output_open(const char *path);
/*
 * Closes @out; standard output is only flushed. Returns an exit status, after a message if the file
 * failed.
 */
int output_close(FILE *out, const char *path);
/*
 * Flushes what has been printed. Returns 0, or the negative errno of the first failure of standard
 * output. CONTEXT: errno is still that of the printing.
 */
int output_flush(void);
/*
 * Returns the exit status for @err, 0 or the negative errno of writing to @path, and prints a
 * message if needed.
 */
int output_status(const char *path, int err);

#endif
