/* SPDX-License-Identifier: MIT */
/*
 * Callbacks after grace periods, without much delay.
 *
 * liburcu's call_rcu() sleeps 10 ms between batches. A writer that replaces three million nodes a
 * second then has some 30 MiB of them in limbo, and writes every new node to memory that no cache
 * holds: measured with 64k mappings, an erase and a store together took 1400 ns, against 400
 * without RCU. And call_rcu() ends the program when it finds no memory. So each flavour has a
 * worker thread of its own here. The worker takes what is queued; waits SMR_GRACE_GATHER_US, while
 * more gathers for the next time; waits for a grace period of liburcu (synchronize_rcu()), unless
 * it has taken only nodes and it is quiet (base/quiet.h); and then runs what it has taken. That
 * bounds the rate of grace periods, each of which interrupts the other threads once or twice, to a
 * few thousand a second, and limbo to a few hundred KiB. The worker lets nothing gather only while
 * a thread sleeps until a grace period is over: a thread that stores at an arena's limit would
 * otherwise sleep that long for each node that comes back.
 *
 * A caller that has its own way to learn of grace periods (base/quiet.h), and needs the worker only
 * for what that leaves, queues patiently: while nothing else is queued, and nobody waits, the
 * worker sleeps for SMR_GRACE_PATIENCE_US.
 *
 * Starting the worker takes memory and system calls, so it is left to callers that may block,
 * before they do anything that leads to a callback. If no thread can be created nothing is lost:
 * the queue stays, and the next such caller tries again.
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

/* Whether the flavour's worker has been started in this process. */
smr_inline bool smr_grace_runs(enum mt_rcu_flavor flavor)
{
	return smr_load(&smri_grace_runs[flavor], RELAXED);
}

bool smri_grace_start(enum mt_rcu_flavor flavor);

/*
 * Starts the flavour's worker unless it runs. Returns false if there is no memory for a thread. In
 * a child of fork() none runs until this is called there. CONTEXT: may block, and allocates, unless
 * it runs.
 */
smr_inline bool smr_grace_start(enum mt_rcu_flavor flavor)
{
	return smr_likely(smr_grace_runs(flavor)) || smri_grace_start(flavor);
}

/* What a callback is about. There is a queue for each. */
enum smr_grace_list {
	/* Anything a reader may have found in a section: liburcu is asked for a grace period. */
	SMR_GRACE_ANY,
	/* The same, with an owner that a child of fork() leaves alone. */
	SMR_GRACE_PARENT_ONLY,
	/*
	 * Tree nodes, which a reader finds only by way of a root: no grace period is needed if it
	 * is quiet (base/quiet.h).
	 */
	SMR_GRACE_NODES,
	/* The same, and the callback is in no hurry. */
	SMR_GRACE_NODES_PATIENT,
	SMR_GRACE_LISTS,
};

/*
 * Queues @head for the worker to call, once it runs, after a grace period. CONTEXT: any. SLEEP no;
 * may wake the worker (a futex).
 */
void smr_grace_queue(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		     enum smr_grace_list list);

/*
 * Has the worker deal soon with all that is queued, patient or not, or, if nothing is, with what is
 * queued next. CONTEXT: any. SLEEP no; may wake the worker.
 */
void smr_grace_hurry(enum mt_rcu_flavor flavor);

/*
 * smr_grace_await(): the caller is about to sleep until what is queued, or what is queued next, is
 * done. smr_grace_awaited(): it sleeps no more. In between the worker lets nothing gather. CONTEXT:
 * any. SLEEP no; may wake the worker.
 */
void smr_grace_await(enum mt_rcu_flavor flavor);
void smr_grace_awaited(enum mt_rcu_flavor flavor);

/*
 * Called by thread @tid when it is about to queue much, so that the worker will run on the same
 * CPU, if that is one of those it was started on, and unless the thread is of a higher priority,
 * and so might not let it run there. A worker elsewhere may have to put a reader off its CPU, most
 * likely inside a section, and then waits for that very reader: liburcu looks a hundred times, then
 * sleeps for 10 ms. Besides, what is to be given back is in the caches of the caller's CPU.
 * CONTEXT: any; no system call.
 */
void smr_grace_near(enum mt_rcu_flavor flavor, unsigned int tid);

/* Whether the calling thread is one of those that wait for grace periods. */
bool smr_grace_self(void);

/*
 * Called around fork(). In the child, what was queued in SMR_GRACE_ANY still is, and a caller that
 * may block starts a new worker. The other lists are empty there: the owners of nodes queue them
 * again, and the callbacks of SMR_GRACE_PARENT_ONLY would wait for locks held by threads that do
 * not exist. CONTEXT: smr_grace_before_fork() before taking any lock that a callback takes; waits
 * for callbacks that run, but for no grace period.
 */
void smr_grace_before_fork(void);
void smr_grace_after_fork_parent(void);
void smr_grace_after_fork_child(void);

#endif
