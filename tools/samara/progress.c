/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "latency.h"

#define BAR_WIDTH 30
#define DELAY 0.5    /* seconds before the bar appears */
#define INTERVAL 0.1 /* between two drawings */

double now_seconds(void)
{
	return (double)latency_now() * 1e-9;
}

void progress_begin(struct progress *progress, const char *what, uint64_t total)
{
	*progress = (struct progress){ .what = what, .total = total };
	progress->terminal = isatty(STDERR_FILENO);
	progress->begin = now_seconds();
	progress->drawn = progress->begin + DELAY - INTERVAL;
}

void progress_show(struct progress *progress, uint64_t done)
{
	char bar[BAR_WIDTH + 1];
	double now, part;

	if (!progress->terminal)
		return;
	now = now_seconds();
	if (now - progress->drawn < INTERVAL)
		return;
	progress->drawn = now;
	progress->visible = true;
	if (!progress->total) {
		fprintf(stderr, "\r%.40s: %" PRIu64 "\033[K", progress->what, done);
		return;
	}
	part = (double)done / (double)progress->total;
	if (part > 1)
		part = 1;
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)(part * BAR_WIDTH));
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%.40s [%s] %3.0f %%", progress->what, bar, part * 100);
	if (part > 0.01)
		fprintf(stderr, ", %.0f s left", (now - progress->begin) * (1 - part) / part);
	fputs("\033[K", stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->visible)
		fputs("\r\033[K", stderr);
	progress->visible = false;
}
