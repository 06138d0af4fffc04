/* SPDX-License-Identifier: MIT */
/*
 * ORDER timeline: one thread fills in results and advances the value; the other has read the value.
 */
#include "two.h"

#include <samara/fence.h>

#define TURNS 20000

static struct timeline *tl;
static unsigned long results[TURNS + 1];
static unsigned long sum;

static void *work(void *unused)
{
	(void)unused;
	for (unsigned long i = 1; i <= TURNS; i++) {
		results[i] = i;
		timeline_signal(tl, i);
	}
	return NULL;
}

static void *use(void *unused)
{
	(void)unused;
	for (unsigned long i = 1; i <= TURNS; i++) {
		while (timeline_value(tl) < i)
			;
		sum += results[i];
	}
	return NULL;
}

void order_timeline(void)
{
	tl = timeline_create("order", 0);
	if (!tl)
		exit(99);
	two(work, use);
	timeline_put(tl);
	if (sum != (unsigned long)TURNS * (TURNS + 1) / 2)
		exit(1);
}
