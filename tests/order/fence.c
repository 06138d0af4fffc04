/* SPDX-License-Identifier: MIT */
/*
 * ORDER fence: one thread fills in a result and signals; the other sees the fence signalled and
 * reads the result.
 */
#include "two.h"

#include <samara/fence.h>

#define TURNS 5000

static struct fence *fences[TURNS];
static unsigned long results[TURNS];
static unsigned long sum;

static void *work(void *unused)
{
	(void)unused;
	for (int i = 0; i < TURNS; i++) {
		results[i] = (unsigned long)i;
		fence_signal(fences[i]);
	}
	return NULL;
}

static void *use(void *unused)
{
	(void)unused;
	for (int i = 0; i < TURNS; i++) {
		if (i % 2)
			fence_wait(fences[i], FENCE_FOREVER);
		while (!fence_is_signaled(fences[i]))
			;
		sum += results[i];
	}
	return NULL;
}

void order_fence(void)
{
	for (int i = 0; i < TURNS; i++) {
		fences[i] = fence_create();
		if (!fences[i])
			exit(99);
	}
	two(work, use);
	for (int i = 0; i < TURNS; i++)
		fence_put(fences[i]);
	if (sum != (unsigned long)TURNS * (TURNS - 1) / 2)
		exit(1);
}
