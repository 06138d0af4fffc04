/* SPDX-License-Identifier: MIT */
/*
 * ORDER grace_queue: the worker, the second thread here, calls what a thread has queued. The heads
 * are plain memory, written by one thread and read by the other.
 */
#include "two.h"

#include "base/rcu.h"

#define TURNS 20

struct job {
	struct smr_rcu_head head;
	unsigned long number;
};

static unsigned long sum; /* relaxed */

static void called(struct smr_rcu_head *head)
{
	struct job *job = (struct job *)head;

	relaxed_store(&sum, relaxed_load(&sum) + job->number);
}

void order_grace_queue(void)
{
	static struct job jobs[TURNS];
	unsigned long want = 0;

	for (unsigned long i = 0; i < TURNS; i++) {
		jobs[i].number = i + 1;
		want += i + 1;
		smr_rcu_call(MT_RCU_BP, &jobs[i].head, called);
		while (relaxed_load(&sum) != want)
			;
	}
}
