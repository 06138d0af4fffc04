/* SPDX-License-Identifier: MIT */
/*
 * ORDER record: one thread makes records and enters them; the other checks whether readers are at
 * rest.
 */
#include "two.h"

#include "base/rcu.h"

#define RECORDS 64

static unsigned long counts[RECORDS];
static unsigned int entered, looks; /* relaxed */

static void *enter(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < RECORDS; i++) {
		counts[i] = 0;
		smr_quiet_add_record(&counts[i]);
		relaxed_store(&entered, i + 1);
		while (relaxed_load(&looks) <= i)
			;
	}
	return NULL;
}

static void *look(void *unused)
{
	(void)unused;
	smr_rcu_join(); /* otherwise it may not look before the worker has begun */
	for (unsigned int i = 0; i < RECORDS; i++) {
		while (relaxed_load(&entered) <= i)
			;
		if (!smr_rcu_quiet(MT_RCU_BP))
			exit(1);
		relaxed_store(&looks, i + 1);
	}
	return NULL;
}

void order_record(void)
{
	/* Without membarrier() nothing is checked. */
	if (!urcu_bp_has_sys_membarrier)
		exit(77);
	two(enter, look);
}
