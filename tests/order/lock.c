/* SPDX-License-Identifier: MIT */
/* ORDER lock: two threads count in a plain variable under one lock. */
#include "two.h"

#include <samara/lock.h>

#define TURNS 20000

static struct mt_lock lock = MT_LOCK_INIT;
static unsigned long counter;

static void *count(void *unused)
{
	(void)unused;
	for (int i = 0; i < TURNS; i++) {
		mt_lock_acquire(&lock);
		counter++;
		mt_lock_release(&lock);
	}
	return NULL;
}

void order_lock(void)
{
	two(count, count);
	if (counter != 2 * TURNS)
		exit(1);
}
