/* SPDX-License-Identifier: MIT */
/*
 * Pledges: nodes that an arena keeps for the holders of credits (tree/pledge.c knows how many they
 * need).
 *
 *	pledged   nodes that must be there for them, free or lent
 *	lent      of these, how many are in limbo: they were used, and what they replaced has not
 *	          come back yet
 *
 * pledged - lent free nodes are nobody else's: neither GFP_KERNEL nor GFP_ATOMIC can have them.
 * Whatever comes back from a grace period makes good what is lent first. Which nodes they are does
 * not matter, so a pledge pins no chunk.
 *
 * What makes a pledge rise, or less of it be lent, and the nodes for that come together, under one
 * hold of the arena's lock: in between others would take them. Likewise nodes are lent under the
 * hold in which they are retired: if they came back before, what is lent would stay so for ever.
 *
 * CONTEXT of everything here: any. TAKES arena. ALLOC no. SLEEP no but for the arena's lock.
 */
#ifndef SMR_MEM_PLEDGE_H
#define SMR_MEM_PLEDGE_H

#include "mem/take.h"

unsigned long smri_pledge_take_slow(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr);

/* Pledges @nr more nodes: those at the head of @list, which the caller has got for it. */
void smr_pledge_add(struct mt_mem *mem, struct smr_nodes *list, unsigned long nr);
/*
 * Pledges @nr more of those that are free and nobody's; false, and nothing has changed, if they are
 * too few.
 */
bool smr_pledge_grow(struct mt_mem *mem, unsigned long nr);
/* Takes the pledge of @nr nodes back. */
void smr_unpledge(struct mt_mem *mem, unsigned long nr);

/*
 * Takes @nr nodes for a store on a credit, in front of @out: those of the thread's magazine, if it
 * has as many, without the arena's lock; else out of the pledge, which has them. How many are the
 * pledge's.
 */
smr_inline unsigned long smr_pledge_take(struct mt_mem *mem, struct smr_nodes *out,
					 unsigned long nr)
{
	return smri_take_local(mem, out, nr) ? 0 : smri_pledge_take_slow(mem, out, nr);
}

/* What a change of the tree means for a pledge of @before nodes. */
struct smr_pledge_change {
	unsigned long before, after;
	long used; /* free nodes of it that are gone; less than none when more were given back */
	struct smr_nodes back;     /* given back now, and counted so in @used */
	struct smr_nodes retired;  /* to come back after a grace period */
	enum mt_rcu_flavor flavor; /* of which */
};

/*
 * Makes the change: gives nodes back, none of which is anybody's before the pledge has what it
 * lacks, and retires those that have to be. What is missing until these come back is lent: how many
 * that is.
 */
unsigned long smr_pledge_use(struct mt_mem *mem, struct smr_pledge_change *change);
/* Makes good what is lent, @nr nodes at most, out of free nodes that are nobody's: how many. */
unsigned long smr_pledge_repay(struct mt_mem *mem, unsigned long nr);
/*
 * Undoes what made @before nodes of @after, lending @lent, and gives back all of @list, which has
 * what the pledge then lacks.
 */
void smr_pledge_restore(struct mt_mem *mem, struct smr_nodes *list, unsigned long before,
			unsigned long after, unsigned long lent);

#endif
