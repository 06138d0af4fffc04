/* SPDX-License-Identifier: MIT */
/* How many threads there are. */
#ifndef TESTS_SUPPORT_THREADS_H
#define TESTS_SUPPORT_THREADS_H

#include "support/cm.h"

#include <dirent.h>

/* Of this process, and the same number of directories more: only differences count. */
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
