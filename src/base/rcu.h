/* SPDX-License-Identifier: MIT */
/*
 * The one place that knows liburcu. Above it a flavour is a value of enum mt_rcu_flavor.
 *
 * Licence: with _LGPL_SOURCE, <urcu/urcu-bp.h> gives its read-side functions as inlines. liburcu says of
 * those used here that each is under ten lines and may be compiled into code under any licence (LGPL 2.1,
 * section 5). That is done for the default flavour only, whose read side is on every load's path, and
 * nothing else of liburcu is inlined: the other flavours are called through their tables, in rcu.c.
 *
 * ThreadSanitizer does not see inside liburcu, so each edge that a grace period makes is announced to it:
 * what a thread did before it left a read-side section (release, in smr_rcu_read_unlock()), or before it
 * called smr_rcu_call(), is over before a callback runs or smr_rcu_synchronize() returns (acquire). It
 * also gets liburcu's own functions rather than the inlines, since liburcu hands a dead thread's record to
 * a new thread in a way that it cannot follow; and so does UndefinedBehaviorSanitizer (which has no macro,
 * but goes with AddressSanitizer here), since those records are aligned less than their type says.
 */
#ifndef SMR_BASE_RCU_H
#define SMR_BASE_RCU_H

#include "base/base.h"
#include "base/grace.h"
#include <samara/rcu.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#include <urcu/urcu-bp.h>
#else
#define _LGPL_SOURCE
#include <urcu/urcu-bp.h>
#undef _LGPL_SOURCE
#endif

#ifdef __SANITIZE_THREAD__
extern char smri_rcu_tsan[SMR_RCU_FLAVORS];
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define smri_rcu_acquire(flavor) __tsan_acquire(&smri_rcu_tsan[flavor])
#define smri_rcu_release(flavor) __tsan_release(&smri_rcu_tsan[flavor])
#else
#define smri_rcu_acquire(flavor) ((void)(flavor))
#define smri_rcu_release(flavor) ((void)(flavor))
#endif

void smri_rcu_other_lock(enum mt_rcu_flavor flavor);
void smri_rcu_other_unlock(enum mt_rcu_flavor flavor);

/* Enters / leaves a read-side section; they nest. CONTEXT: any. Never blocks. */
smr_inline void smr_rcu_read_lock(enum mt_rcu_flavor flavor)
{
	if (smr_likely(flavor == MT_RCU_BP))
		urcu_bp_read_lock();
	else
		smri_rcu_other_lock(flavor);
}

smr_inline void smr_rcu_read_unlock(enum mt_rcu_flavor flavor)
{
	smri_rcu_release(flavor);
	if (smr_likely(flavor == MT_RCU_BP))
		urcu_bp_read_unlock();
	else
		smri_rcu_other_unlock(flavor);
}

/*
 * Is the calling thread inside a read-side section, so that it must not wait for a grace period? Of a
 * QSBR thread nobody can know: it counts as inside whenever it is registered and online, because waiting
 * would announce a quiescent state that the thread has not declared.
 */
bool smr_rcu_read_ongoing(enum mt_rcu_flavor flavor);

/*
 * Around a sleep that ends only after a grace period: a QSBR thread that is online would keep that period
 * from ending. smr_rcu_offline() says whether the thread was online and has to be put so again; for the other
 * flavours it never was. CONTEXT: not inside a read-side section.
 */
bool smr_rcu_offline(enum mt_rcu_flavor flavor);
void smr_rcu_online(enum mt_rcu_flavor flavor);

/*
 * Starts the flavour's thread for callbacks, if it does not run yet: false when there is no memory for
 * one. Optional, but otherwise the first smr_rcu_call() does it, in a context where that may be less welcome.
 * CONTEXT: may block.
 */
bool smr_rcu_init(enum mt_rcu_flavor flavor);

/*
 * Calls @fn(@head) after a grace period, from the flavour's thread. @head is not the caller's until then.
 * CONTEXT: any, also inside a read-side section and in a callback. Never blocks; may wake a thread.
 */
void smr_rcu_call(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		  void (*fn)(struct smr_rcu_head *head));

/* Waits for a grace period. CONTEXT: not inside a read-side section, nor in a callback. */
void smr_rcu_synchronize(enum mt_rcu_flavor flavor);

#endif
