/* SPDX-License-Identifier: MIT */
/* A progress bar on standard error, if that is a terminal and the work takes long enough. */
#ifndef SAMARA_TOOL_PROGRESS_H
#define SAMARA_TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;
	uint64_t total; /* 0: not known */
	double begin;
	double drawn; /* when it was last drawn */
	bool terminal;
	bool visible;
};

/* Seconds on a clock that only goes forward. */
double now_seconds(void);

void progress_begin(struct progress *progress, const char *what, uint64_t total);
/* Cheap enough to call every few thousand operations. */
void progress_show(struct progress *progress, uint64_t done);
/* Erases the bar. */
void progress_end(struct progress *progress);

#endif
