/* SPDX-License-Identifier: MIT */
#include "base/quiet.h"

#include "base/order.h"
#include "base/rcu.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Filled from the front, never emptied. For smr_rcu_quiet() it does not matter what is entered
 * after its fence, and the fence makes visible what was entered before. GUARD atomic.
 */
static const unsigned long *table[SMR_QUIET_RECORDS];
static bool overflowed; /* GUARD relaxed */

/*
 * When the process ends liburcu's destructor unmaps all records, unless some thread has one in use.
 * So a thread that looks must have one itself, or rely on one that has and never ends: then
 * `records_kept` is set. Either that thread got its record before the destructor dropped liburcu's
 * own reference, and then all records stay; or after, and then it sees `exiting`. In a child of
 * fork() `records_kept` stays true: liburcu does not drop the references of threads that are not
 * there. GUARD relaxed, both: liburcu's lock makes the order.
 */
static bool exiting;
static bool records_kept;

static void note_exit(void)
{
	smr_store(&exiting, true, RELAXED);
}

/*
 * Handlers of atexit() run before liburcu's destructor, even in a program that is linked
 * statically, where a destructor of ours might run after it.
 */
__attribute__((constructor)) static void watch_exit(void)
{
	if (atexit(note_exit))
		note_exit(); /* out of memory: it is never quiet then */
}

/*
 * How often all readers together are looked at again, which takes some 20 us. A section takes less
 * than that, but the fence has interrupted the reader, most likely inside one, and in a virtual
 * machine it takes a while to come back from that.
 */
#define LOOKS 1000

/* Returns false if there is no room. */
static bool add_record(const unsigned long *count)
{
	for (unsigned int i = 0; i < SMR_QUIET_RECORDS; i++) {
		const unsigned long *seen = smr_load(&table[i], RELAXED);

		/* ORDER record. PARTNER all_quiescent(). */
		if ((!seen && smr_cas(&table[i], &seen, count, ORDER(record, release), RELAXED)) ||
		    seen == count)
			return true;
	}
	return false;
}

void smr_quiet_add_record(const unsigned long *count)
{
	if (!add_record(count))
		smr_store(&overflowed, true, RELAXED);
	smr_compiler_barrier(); /* before a root is read: membarrier() makes it a fence */
}

/*
 * Makes a full fence in every thread of the process that runs. The others had one when they
 * stopped. Returns false if membarrier() fails.
 */
static bool fence_everywhere(void)
{
	int saved = errno;
	bool done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;

	errno = saved;
	return done;
}

/* Returns true if the thread is outside all sections, or leaves them before *@looks is used up. */
static bool is_quiescent(const unsigned long *count, unsigned int *looks)
{
	while (smr_load(count, RELAXED) & URCU_BP_GP_CTR_NEST_MASK) {
		if (*looks == 0)
			return false;
		--*looks;
		smr_pause();
	}
	return true;
}

/*
 * Returns true if the calling thread has a record and the process is not exiting, so that no record
 * is unmapped while it looks.
 */
static bool records_stay(void)
{
	return smr_rcu_joined() && !smr_load(&exiting, RELAXED);
}

void smr_quiet_keep_records(void)
{
	if (records_stay())
		smr_store(&records_kept, true, RELAXED);
}

/* Returns true if all readers are quiescent; false also if it may not look at them. */
static bool all_quiescent(void)
{
	bool may_look = smr_load(&records_kept, RELAXED) || records_stay();
	unsigned int looks = LOOKS;

	for (unsigned int i = 0; i < SMR_QUIET_RECORDS; i++) {
		/* ORDER record. PARTNER smr_quiet_add_record(). */
		const unsigned long *count = smr_load(&table[i], ORDER(record, acquire));

		if (!count)
			break;
		if (!may_look || !is_quiescent(count, &looks))
			return false;
	}
	return true;
}

/* On x86-64 loads are not moved behind later stores, nor stores before earlier loads. */
#ifdef __x86_64__
#define ENDS_IN_ORDER true
#else
#define ENDS_IN_ORDER false
#endif

bool smr_rcu_quiet(enum mt_rcu_flavor flavor)
{
	bool quiet;

	if (flavor != MT_RCU_BP || !urcu_bp_has_sys_membarrier || smr_rcu_read_ongoing(flavor))
		return false;
	if (!fence_everywhere())
		return false;
	quiet = all_quiescent() && !smr_load(&overflowed, RELAXED) &&
		(ENDS_IN_ORDER || fence_everywhere());
	smr_compiler_barrier(); /* what is freed now must not be written before */
	if (quiet)
		smri_rcu_acquire(flavor);
	return quiet;
}
