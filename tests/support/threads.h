/* SPDX-License-Identifier: MIT */
/* Counts threads. */
#ifndef TESTS_SUPPORT_THREADS_H
#define TESTS_SUPPORT_THREADS_H

#include "support/cm.h"

#include <dirent.h>

/*
 * Counts the threads of this process plus a constant number of directory entries: use differences
 * only.
 */
static inline unsigned int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int n = 0;

	assert_non_null(tasks);
	while (readdir(tasks))
		n++;
	closedir(tasks);
	return n;
}

#endif
