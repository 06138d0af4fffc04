/* SPDX-License-Identifier: MIT */
/* A child process to make mistakes in. Fork it only while there are no other threads. */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include "support/cm.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* With cmocka's handlers a failing child would go on with the list of tests. */
static inline void reset_handlers(void)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGSYS };

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
}

/*
 * Runs @body in a child, which exits with what @body returns. Returns the child's waitpid() status;
 * @said gets what the child wrote to stderr, as much as fits.
 */
static inline int child_status(int (*body)(void *arg), void *arg, char *said, size_t size)
{
	int fd[2], status;
	char rest[256];
	size_t nr = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		reset_handlers();
		_exit(body(arg));
	}
	close(fd[1]);
	while (nr < size - 1 && (got = read(fd[0], said + nr, size - 1 - nr)) > 0)
		nr += (size_t)got;
	said[nr] = '\0';
	while (read(fd[0], rest, sizeof(rest)) > 0)
		; /* a stack trace may be long, and its writer must not meet a closed pipe */
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline bool has_aborted(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/*
 * Returns true if one of the library's assertions stops @body(@arg). An abort alone does not count:
 * sanitizers and libc abort, too.
 */
static inline bool child_aborts(int (*body)(void *arg), void *arg)
{
	char said[4096];

	return has_aborted(child_status(body, arg, said, sizeof(said))) &&
	       strstr(said, ": assertion failed: ");
}

#endif
