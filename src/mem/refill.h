/* SPDX-License-Identifier: MIT */
/*
 * Getting nodes where blocking is fine. CONTEXT of everything here: SLEEP yes, ALLOC yes (the
 * arena's page source). With no lock of the library held but a tree's, which those keep that
 * allocate in place: mas_preallocate(), mas_expected_entries(), mtree_dup(), transactions.
 */
#ifndef SMR_MEM_REFILL_H
#define SMR_MEM_REFILL_H

#include "mem/take.h"

/*
 * How often smr_mem_refill() waits for a grace period and finds that others have taken what came
 * back, before it gives up.
 */
#define SMR_REFILL_ROUNDS 64

/*
 * Adds @nr nodes to @out, mapping chunks as needed, and tops up the emergency reserve: 0, or
 * -ENOMEM and @out is as before. Where it is others' chunks under way that fill the limit, waits
 * for these. When no chunk can be had and nodes are in limbo, waits for their grace period, unless
 * the caller is in a read-side section of that flavour, and tries again: as long as there is
 * something to wait for, but SMR_REFILL_ROUNDS times at most.
 */
int smr_mem_refill(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr);

/*
 * Adds @nr nodes to @out: free ones, or, where these are too few and @gfp may block, as
 * smr_mem_refill() does. -ENOMEM: @out is as before. CONTEXT: any, if @gfp may not.
 */
int smr_mem_obtain(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp);

/* Maps chunks until @nr nodes are free beside a full reserve: 0 or -ENOMEM. */
int smr_mem_fill(struct mt_mem *mem, unsigned long nr);

/*
 * Gives chunks without a used node back, all but one. The callback of a grace period does so by
 * itself; where nodes are given back at once, a writer does it after dropping its lock. In a
 * section (lock/section.h) they are left for the next time.
 */
void smr_mem_reap(struct mt_mem *mem);

#endif
