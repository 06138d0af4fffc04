/* SPDX-License-Identifier: MIT */
/*
 * Where a command writes: a file, or standard output, which is called "-". That nobody reads on at
 * the other end of a pipe is for the reader to judge: no failure, and nothing is said. Whatever
 * else standard output has to complain of, main() says once, at the end.
 */
#ifndef SAMARA_TOOL_OUTPUT_H
#define SAMARA_TOOL_OUTPUT_H

#include <stdio.h>

/* @path for writing, or NULL after a message. */
FILE *output_open(const char *path);
/* Ends it: an exit status, after a message if the file failed. Standard output is only flushed. */
int output_close(FILE *out, const char *path);
/*
 * Sends what has been printed on its way. 0, or the negative errno with which standard output
 * failed first. To be called while errno is still that of the printing.
 */
int output_flush(void);
/* The exit status, after a message if need be: writing to @path gave @err, 0 or negative errno. */
int output_status(const char *path, int err);

#endif
