/* SPDX-License-Identifier: MIT */
/* ORDER ref: both threads look at each fence and drop their references; the last one frees it. */
#include "two.h"

#include <samara/fence.h>

#define TURNS 5000

static struct fence *fences[TURNS];

static void *look_and_drop(void *unused)
{
	(void)unused;
	for (int i = 0; i < TURNS; i++) {
		if (fence_error(fences[i]) != -1)
			abort();
		fence_put(fences[i]);
	}
	return NULL;
}

void order_ref(void)
{
	for (int i = 0; i < TURNS; i++) {
		fences[i] = fence_create();
		if (!fences[i])
			exit(99);
		fence_get(fences[i]);
		fence_signal_error(fences[i], -1);
	}
	two(look_and_drop, look_and_drop);
}
