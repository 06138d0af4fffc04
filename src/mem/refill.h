/* SPDX-License-Identifier: MIT */
/*
 * Getting nodes where blocking is fine. CONTEXT of everything here: SLEEP yes, ALLOC yes (the
 * arena's page source). The caller must hold no lock of the library but a tree's, which is kept by
 * those that allocate in place: mas_preallocate(), mas_expected_entries(), mtree_dup(),
 * transactions.
 */
#ifndef SMR_MEM_REFILL_H
#define SMR_MEM_REFILL_H

#include "mem/take.h"

/*
 * How often smr_mem_refill() may find, after waiting for a grace period, that others have taken
 * what came back, before it gives up.
 */
#define SMR_REFILL_ROUNDS 64

/*
 * Adds @nr nodes to @out, mapping chunks as needed, and tops up the emergency reserve. Returns 0,
 * or -ENOMEM, and then @out is as before. If chunks that other threads are getting or giving back
 * fill the limit, waits for these. If no chunk can be had and nodes are in limbo, waits for their
 * grace period, unless the caller is in a read-side section of any flavour, and tries again as long
 * as there is something to wait for, but at most SMR_REFILL_ROUNDS times.
 */
int smr_mem_refill(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr);

/*
 * Adds @nr free nodes to @out, or, if these are too few and @gfp may block, gets them as
 * smr_mem_refill() does. Returns 0, or -ENOMEM, and then @out is as before. CONTEXT: any, if @gfp
 * may not block.
 */
int smr_mem_obtain(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp);

/* Maps chunks until @nr nodes are free besides a full reserve and pledges. Returns 0 or -ENOMEM. */
int smr_mem_fill(struct mt_mem *mem, unsigned long nr);

/*
 * Gives back all chunks without a used node but one. The callback of a grace period does this by
 * itself; where nodes become free at once, a writer does it after dropping its lock. In a section
 * (lock/section.h) the chunks are left for the next time.
 */
void smr_mem_release_idle(struct mt_mem *mem);

#endif
