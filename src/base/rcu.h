/* SPDX-License-Identifier: MIT */
/*
 * The only place that knows liburcu. To the layers above, a flavour is a value of enum
 * mt_rcu_flavor.
 *
 * The default flavour's read side is on the path of every load, and written out here: liburcu's
 * inlines find the thread's record in a thread-local variable of liburcu's, which costs a shared
 * library a call each time. The variable's address stays the same for the thread's life, so we look
 * it up once and keep it where it costs nothing to find. Licence: of liburcu's headers this uses
 * the layout of that record, some numbers and one inline of five lines (urcu_bp_smp_mb_slave()),
 * with which LGPL 2.1, section 5, lets code under any licence be compiled. The other flavours are
 * called through their tables, in rcu.c.
 *
 * ThreadSanitizer does not see inside liburcu, so each edge that a grace period makes is announced
 * to it: what a thread did before it left a read-side section (release, in smr_rcu_leave()), or
 * before it called smr_rcu_call(), is over before a callback runs or smr_rcu_synchronize() returns
 * (acquire). ThreadSanitizer also gets liburcu's own functions instead of the inlines here, because
 * liburcu hands a dead thread's record to a new thread in a way that it cannot follow. So does
 * UndefinedBehaviorSanitizer (which has no macro, but goes with AddressSanitizer here), because
 * those records are aligned less than their type says.
 */
#ifndef SMR_BASE_RCU_H
#define SMR_BASE_RCU_H

#include "base/base.h"
#include "base/grace.h"
#include "base/quiet.h"
#include "base/sanitizer.h"
#include <samara/rcu.h>

#if SMR_TSAN || SMR_ASAN
#define SMR_RCU_INLINE 0
#include <urcu/urcu-bp.h>
#include <urcu/static/urcu-bp.h> /* the layout of a record */
#else
#define SMR_RCU_INLINE 1
#define _LGPL_SOURCE
#include <urcu/urcu-bp.h>
#undef _LGPL_SOURCE
#endif

#if SMR_TSAN
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

#if SMR_RCU_INLINE
#include "base/atomic.h"

/*
 * Of the calling thread: the place where liburcu keeps its record, and the record met last, which
 * has been entered in the table of quiet.c. At first, and for good where readers need fences, the
 * place is one that holds no record.
 */
struct smri_rcu_self {
	struct urcu_bp_reader **place, *met;
};

extern smr_thread_local struct smri_rcu_self smri_rcu_self __attribute__((visibility("hidden")));

struct urcu_bp_reader *smri_rcu_register(void);
void smri_rcu_meet(void);

/* Returns the thread's record if it has one that is entered, or else NULL. */
smr_inline struct urcu_bp_reader *smri_rcu_met(void)
{
	struct urcu_bp_reader *reader = *smri_rcu_self.place;

	return smr_likely(reader == smri_rcu_self.met) ? reader : NULL;
}

smr_inline struct urcu_bp_reader *smri_rcu_reader(void)
{
	struct urcu_bp_reader *reader = smri_rcu_met();

	return smr_likely(reader) ? reader : smri_rcu_register();
}

/*
 * Must be called before a thread that may have entered its section without this library reads a
 * tree's root: if liburcu has a record of the thread, enters that in the table of quiet.c.
 */
smr_inline void smr_rcu_meet(void)
{
	if (smr_unlikely(*smri_rcu_self.place != smri_rcu_self.met))
		smri_rcu_meet();
}

/*
 * Returns the thread's count within a section that it enters with a count of @before. A section
 * that is not inside another is of the grace period's current phase.
 */
smr_inline unsigned long smri_rcu_bp_within(unsigned long before)
{
	if (smr_likely(!(before & URCU_BP_GP_CTR_NEST_MASK)))
		return smr_load(&urcu_bp_gp.ctr, RELAXED);
	return before + URCU_BP_GP_COUNT;
}

smr_inline unsigned long *smri_rcu_bp_enter(void)
{
	struct urcu_bp_reader *reader = smri_rcu_reader();
	unsigned long before = smr_load(&reader->ctr, RELAXED);

	smr_store(&reader->ctr, smri_rcu_bp_within(before), RELAXED);
	urcu_bp_smp_mb_slave();
	return &reader->ctr;
}

smr_inline void smri_rcu_bp_leave(unsigned long *count)
{
	urcu_bp_smp_mb_slave();
	smr_store(count, smr_load(count, RELAXED) - URCU_BP_GP_COUNT, RELAXED);
	smr_compiler_barrier(); /* nor may what follows move into the section */
}

smr_inline unsigned long *smri_rcu_bp_count(void)
{
	return &smri_rcu_reader()->ctr;
}

/*
 * A section of the default flavour that costs two stores and no call. smr_rcu_quick_enter() returns
 * false, and enters none, where liburcu does not know the thread yet, or has no membarrier().
 * Leaving restores the count from before, because sections nest.
 */
struct smr_rcu_quick {
	unsigned long *count;
	unsigned long before;
};

smr_inline bool smr_rcu_quick_enter(struct smr_rcu_quick *section)
{
	struct urcu_bp_reader *reader = smri_rcu_met();

	if (smr_unlikely(!reader))
		return false;
	section->count = &reader->ctr;
	section->before = smr_load(section->count, RELAXED);
	smr_store(section->count, smri_rcu_bp_within(section->before), RELAXED);
	smr_compiler_barrier(); /* membarrier() makes it a fence */
	return true;
}

smr_inline void smr_rcu_quick_leave(const struct smr_rcu_quick *section)
{
	smr_compiler_barrier(); /* membarrier() makes it a fence */
	smr_store(section->count, section->before, RELAXED);
	smr_compiler_barrier(); /* nor may what follows move into the section */
}
#else
struct smr_rcu_quick {
	char none;
};

smr_inline bool smr_rcu_quick_enter(struct smr_rcu_quick *section)
{
	(void)section;
	return false;
}

smr_inline void smr_rcu_quick_leave(const struct smr_rcu_quick *section)
{
	(void)section;
}

void smr_rcu_meet(void);

smr_inline unsigned long *smri_rcu_bp_enter(void)
{
	urcu_bp_read_lock();
	smr_rcu_meet();
	return NULL;
}

smr_inline void smri_rcu_bp_leave(unsigned long *count)
{
	(void)count;
	urcu_bp_read_unlock();
}

smr_inline unsigned long *smri_rcu_bp_count(void)
{
	return NULL;
}
#endif

/*
 * Registers the calling thread with liburcu, as its first read-side section of the default flavour
 * would otherwise do, so that none of its sections allocates. CONTEXT: may block, once a thread;
 * without memory liburcu ends the program.
 */
void smr_rcu_join(void);
/* Whether the calling thread is registered with liburcu. */
bool smr_rcu_joined(void);

/*
 * Enters a read-side section; sections nest. The return value is for smr_rcu_leave(), by the same
 * thread, in the same function. CONTEXT: any. Never blocks, except as smr_rcu_join() does.
 */
smr_inline unsigned long *smr_rcu_enter(enum mt_rcu_flavor flavor)
{
	if (smr_likely(flavor == MT_RCU_BP))
		return smri_rcu_bp_enter();
	smri_rcu_other_lock(flavor);
	return NULL;
}

smr_inline void smr_rcu_leave(enum mt_rcu_flavor flavor, unsigned long *entered)
{
	smri_rcu_release(flavor);
	if (smr_likely(flavor == MT_RCU_BP))
		smri_rcu_bp_leave(entered);
	else
		smri_rcu_other_unlock(flavor);
}

/* The same, for callers with no place to keep what smr_rcu_enter() returns. */
smr_inline void smr_rcu_read_lock(enum mt_rcu_flavor flavor)
{
	(void)smr_rcu_enter(flavor);
}

smr_inline void smr_rcu_read_unlock(enum mt_rcu_flavor flavor)
{
	smr_rcu_leave(flavor, flavor == MT_RCU_BP ? smri_rcu_bp_count() : NULL);
}

/*
 * Returns true if the calling thread is inside a read-side section, so that it must not wait for a
 * grace period. Of a QSBR thread this is not known: it counts as inside whenever it is registered
 * and online, because waiting would announce a quiescent state that the thread has not declared.
 */
bool smr_rcu_read_ongoing(enum mt_rcu_flavor flavor);
/* Returns true if the calling thread is inside a section of any flavour. */
bool smr_rcu_reading(void);

/*
 * Called before and after a sleep that ends only after a grace period: a QSBR thread that is online
 * would keep that period from ending. smr_rcu_offline() returns true if the thread was online, and
 * smr_rcu_online() has to be called; for the other flavours it is always false. CONTEXT: not inside
 * a read-side section.
 */
bool smr_rcu_offline(enum mt_rcu_flavor flavor);
void smr_rcu_online(enum mt_rcu_flavor flavor);

/*
 * Has the flavour's thread call @fn(@head) after a grace period. @head is not the caller's until
 * then. Starts the flavour's thread unless it runs. CONTEXT: any, also inside a read-side section
 * and in a callback, once the thread runs; may wake it.
 */
void smr_rcu_call(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
		  void (*fn)(struct smr_rcu_head *head));
/*
 * The same, but starts no thread; and if @fn has not been called before a fork(), it is not called
 * in the child.
 */
void smr_rcu_call_parents(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
			  void (*fn)(struct smr_rcu_head *head));
/*
 * The same for a callback that is about tree nodes only. Guaranteed stores call this, so it starts
 * no thread: where none runs, the callback waits for one. A @patient callback has time, unless
 * smr_grace_hurry() says that it has not. If @fn has not been called before a fork(), it is not
 * called in the child. CONTEXT: any. Never blocks; may wake a thread.
 */
void smr_rcu_call_nodes(enum mt_rcu_flavor flavor, struct smr_rcu_head *head,
			void (*fn)(struct smr_rcu_head *head), bool patient);

/* Waits for a grace period. CONTEXT: not inside a read-side section, nor in a callback. */
void smr_rcu_synchronize(enum mt_rcu_flavor flavor);

#endif
