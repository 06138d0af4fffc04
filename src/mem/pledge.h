/* SPDX-License-Identifier: MIT */
/*
 * Pledges: nodes that an arena keeps for the holders of credits (tree/pledge.c says how many they
 * need).
 *
 *	pledged   nodes that must be there for the holders, free or lent
 *	lent      how many of these are in limbo: stores have used them, and what the stores
 *	          replaced has not come back yet
 *
 * pledged - lent free nodes are for nobody else: neither GFP_KERNEL nor GFP_ATOMIC gets them.
 * Nodes that come back after a grace period first make good what is lent. Which nodes they are does
 * not matter, so a pledge pins no chunk.
 *
 * When a pledge rises, or less of it is lent, the nodes for that are set aside under the same hold
 * of the arena's lock: otherwise others would take them in between. Nodes are also lent under the
 * same hold in which they are retired: if they came back before, they would count as lent for ever.
 *
 * CONTEXT of everything here: any. TAKES arena. ALLOC no. SLEEP no but for the arena's lock.
 */
#ifndef SMR_MEM_PLEDGE_H
#define SMR_MEM_PLEDGE_H

#include "mem/take.h"

unsigned long smri_pledge_take_slow(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr);

/* Pledges @nr more nodes: those at the head of @list, which the caller has obtained for this. */
void smr_pledge_add(struct mt_mem *mem, struct smr_nodes *list, unsigned long nr);
/*
 * Pledges @nr more of the free nodes that are neither pledged nor the emergency reserve. If these
 * are too few, changes nothing and returns false.
 */
bool smr_pledge_grow(struct mt_mem *mem, unsigned long nr);
/* Lowers the pledge by @nr nodes. */
void smr_unpledge(struct mt_mem *mem, unsigned long nr);

/*
 * Takes @nr nodes for a store on a credit and puts them in front of @out: from the thread's
 * magazine, if it has that many, without the arena's lock; else out of the pledge, which has them.
 * Returns how many are the pledge's.
 */
smr_inline unsigned long smr_pledge_take(struct mt_mem *mem, struct smr_nodes *out,
					 unsigned long nr)
{
	return smri_take_local(mem, out, nr) ? 0 : smri_pledge_take_slow(mem, out, nr);
}

/* What a change of the tree means for a pledge of @before nodes. */
struct smr_pledge_change {
	unsigned long before, after;
	long used; /* its free nodes that were taken; negative if more were given back */
	struct smr_nodes back;     /* given back now, and subtracted in @used */
	struct smr_nodes retired;  /* come back after a grace period */
	enum mt_rcu_flavor flavor; /* of that grace period */
};

/*
 * Makes the change: gives nodes back, to others only once the pledge has what it lacks, and retires
 * those that must be. What is missing until these come back is lent. Returns how many that is.
 */
unsigned long smr_pledge_apply(struct mt_mem *mem, struct smr_pledge_change *change);
/*
 * Makes good at most @nr of the nodes lent, out of the same free nodes as smr_pledge_grow().
 * Returns how many.
 */
unsigned long smr_pledge_repay(struct mt_mem *mem, unsigned long nr);
/*
 * Undoes changes that took a pledge from @before to @after nodes and lent @lent, and gives back all
 * of @list, which has what the pledge then lacks.
 */
void smr_pledge_restore(struct mt_mem *mem, struct smr_nodes *list, unsigned long before,
			unsigned long after, unsigned long lent);

#endif
