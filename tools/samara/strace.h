/* SPDX-License-Identifier: MIT */
/*
 * Takes apart the lines of strace's output. It understands the prefixes that strace's options put
 * before a call (process id with or without "[pid ]" and the program's name, time of day, relative
 * time, instruction pointer), calls cut in two by another process's line or by a thread's execve
 * (which makes it the first thread), times behind the result, file names behind file numbers (-y,
 * -yy), and the summary at the end (-C).
 */
#ifndef SAMARA_TOOL_STRACE_H
#define SAMARA_TOOL_STRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRACE_MAX_ARGS 8

struct strace_call {
	uint64_t pid; /* 0: not on the line */
	size_t began; /* in which line, from 0 */
	bool exited; /* no call, but the end of the process; "failed", without name and arguments */
	bool early;  /* strace_early() has given it already */
	const char *name;
	unsigned int nr_args;
	char *args[STRACE_MAX_ARGS]; /* without surrounding blanks */
	bool failed;                 /* or never returned */
	bool no_memory;              /* it failed with ENOMEM */
	uint64_t result;
	const char *path; /* what -y put behind the result, or NULL */
};

struct strace;

/* Returns NULL without memory. */
struct strace *strace_new(void);
void strace_free(struct strace *strace);

/*
 * Reads one line, which is changed. Returns 1: *@call is a completed call (its texts are valid
 * until the next line) or the end of a process; 0: the line holds none, or only the first half of
 * one; -EINVAL: it is not a line of strace's, and *@why says why; or -ENOMEM.
 */
int strace_line(struct strace *strace, char *line, struct strace_call *call, const char **why);
/* The number of first halves so far that had no second half. */
size_t strace_unfinished(const struct strace *strace);
/* The number of second halves without a first: calls that began before the log did. */
size_t strace_headless(const struct strace *strace);
/*
 * Returns the first half number @i, from 0, that had no second half yet ("" after strace_early()),
 * or NULL. *@began is the line it is in.
 */
const char *strace_half(const struct strace *strace, size_t i, uint64_t *pid, size_t *began);
/*
 * Completes such a call before its second half comes, which is then marked. Returns what
 * strace_line() would. The caller frees *@text, to which *@call points.
 */
int strace_early(struct strace *strace, size_t i, uint64_t result, char **text,
		 struct strace_call *call, const char **why);
/* The process of the first line that is a call, a part of one, a signal or an end; 0: not given. */
uint64_t strace_first(const struct strace *strace);
/*
 * Whether strace itself announced that it had attached to @pid. Then it is not the first process.
 */
bool strace_attached(const struct strace *strace, uint64_t pid);

/* ---- Arguments ---- */

/* Reads a number: decimal, 0x hexadecimal, 0 octal or NULL. */
bool strace_number(const char *arg, uint64_t *value);

/* A flag by name; @names ends with a NULL name. */
struct strace_flag {
	const char *name;
	uint64_t value;
};

/*
 * Adds up flags and numbers joined by '|', up to a blank or the end of a member of a struct. Names
 * that are not in @names count as 0. Returns false if malformed.
 */
bool strace_flags(const char *arg, const struct strace_flag *names, uint64_t *value);
/*
 * Reads a file number; *@path is set to what -y put behind it (of *@length bytes), or NULL. A
 * negative number is returned as -1. Returns false if @arg is not a file number.
 */
bool strace_file(const char *arg, int64_t *fd, const char **path, size_t *length);

#endif
