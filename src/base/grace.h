/* SPDX-License-Identifier: MIT */
/*
 * Callbacks after grace periods, soon.
 *
 * liburcu's call_rcu() sleeps 10 ms between batches. A writer that replaces three million nodes a
 * second then has some 30 MiB of them in limbo and writes every new node to memory that no cache
 * holds: measured with 64k mappings, an erase and a store together took 1400 ns against 400 without
 * RCU. And it ends the program when it finds no memory. So each flavour has a worker thread of its
 * own here. It waits SMR_GRACE_GATHER_US for more to gather, then for a grace period of liburcu
 * (synchronize_rcu()), which it is spared if only nodes are queued and it is quiet (base/quiet.h),
 * and then runs what had been queued before. That bounds the rate of grace periods, each of which
 * interrupts the other threads once or twice, to a few thousand a second, and limbo to a few
 * hundred KiB. Only while somebody sleeps until one is over nothing gathers: who stores at an
 * arena's limit would else sleep as long for each node that comes back.
 *
 * Who has a way of his own to learn of grace periods (base/quiet.h), and the worker only for what
 * that leaves, queues patiently: while nothing else is queued, and nobody waits, the worker sleeps
 * for SMR_GRACE_PATIENCE_US.
 *
 * To start the worker takes memory and system calls, so that is for those who may block: before
 * they do what leads to a call. Where no thread can be made nothing is lost: the queue stays, and
 * who comes next tries again.
 */
#ifndef SMR_BASE_GRACE_H
#define SMR_BASE_GRACE_H

#include "base/atomic.h"
#include "base/base.h"
#include <samara/rcu.h>
#include <stdbool.h>

#define SMR_RCU_FLAVORS 4

enum { SMR_GRACE_GATHER_US = 200, SMR_GRACE_PATIENCE_US = 4000 };

struct smr_rcu_head {
	struct smr_rcu_head *next;
	void (*fn)(struct smr_rcu_head *head);
};

/* GUARD writes: start_lock; reads: relaxed */
extern bool smri_grace_runs[SMR_RCU_FLAVORS] __attribute__((visibility("hidden")));

/* Has the flavour's worker been started, in this process? */
smr_inline bool smr_grace_runs(enum mt_rcu_flavor flavor)
{
	return smr_load(&smri_grace_runs[flavor], RELAXED);
}

bool smri_grace_start(enum mt_rcu_flavor flavor);

/*
 * Starts the flavour's worker unless it runs: false when there is no memory for a thread. In a
 * child of fork() none runs until this is called there. CONTEXT: may block, and allocates, unless
 * it runs.
 */
smr_inline bool smr_grace_start(enum mt_rcu_flavor flavor)
{
	return smr_likely(smr_grace_runs(flavor)) || smri_grace_start(flavor);
}

/* What a callback is about: each sort has a queue. */
enum smr_grace_list {
	/* Whatever a reader may have found in a section: liburcu is asked for a grace period. */
	SMR_GRACE_ANY,
	/* Likewise, with an owner that a child of fork() leaves alone. */
	SMR_GRACE_PARENTS,
	/*
	 * Tree nodes, which a reader finds by way of a root only: no grace period is needed if it
	 * is quiet (base/quiet.h).
	 */
	SMR_GRACE_NODES,
	/* Likewise, and the callback is in no hurry. */
	SMR_GRACE_PATIENT,
	SMR_GRACE_LISTS,
};

/*
 * Queues @head, to be called after a grace period, once the worker runs. CONTEXT: any. SLEEP no;
 * may wake the worker (a futex).
 */
void smr_grace_queue(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		     enum smr_grace_list list);

/*
 * All that is queued is wanted soon, be it patient or not, or else what comes next. CONTEXT: any.
 * SLEEP no; may wake the worker.
 */
void smr_grace_hurry(enum mt_rcu_flavor flavor);

/*
 * The caller is about to sleep until what is queued, or what comes next, is over; and sleeps no
 * more. In between nothing gathers. CONTEXT: any. SLEEP no; may wake the worker.
 */
void smr_grace_await(enum mt_rcu_flavor flavor);
void smr_grace_awaited(enum mt_rcu_flavor flavor);

/*
 * Whoever is about to queue much says so where it runs: there the worker will run too, if that is
 * one of the CPUs it was started on. A worker elsewhere may have to put a reader off its CPU, most
 * likely amid a section, and then waits for that very reader: liburcu looks a hundred times, then
 * sleeps for 10 ms. And what is to be given back is in the caches of that CPU. CONTEXT: any; no
 * system call.
 */
void smr_grace_near(enum mt_rcu_flavor flavor);

/* Is the calling thread one of those that wait for grace periods? */
bool smr_grace_self(void);

/*
 * Around fork(). In the child what was queued is still so where it is in SMR_GRACE_ANY, and who may
 * block starts a new worker. The other lists are empty there. Who queues nodes does so again; and
 * the callbacks of SMR_GRACE_PARENTS would wait for locks that threads held which do not exist.
 * CONTEXT: smr_grace_before_fork() before taking any lock that a callback takes; waits for
 * callbacks that run, but for no grace period.
 */
void smr_grace_before_fork(void);
void smr_grace_after_fork_parent(void);
void smr_grace_after_fork_child(void);

#endif
