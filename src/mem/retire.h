/* SPDX-License-Identifier: MIT */
/*
 * Retiring nodes: they are out of the tree, but a reader may be on them, so they become free only
 * after a grace period of the readers' flavour.
 */
#ifndef SMR_MEM_RETIRE_H
#define SMR_MEM_RETIRE_H

#include "mem/arena.h"

/*
 * Retires all of @list, which is empty then. No new reader can reach them any more; until the grace
 * period is over only their last word (SMR_NODE_LINK) changes. CONTEXT: any. TAKES arena. ALLOC no.
 * SLEEP no, but for that lock. GRACE never.
 */
void smr_mem_retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list);
/* The same for one node. */
void smr_mem_retire_one(struct mt_mem *mem, enum mt_rcu_flavor flavor, void *node);
/*
 * The same for a long list, not empty, of which the caller knows the @last, and has noted all by
 * smr_mem_note().
 */
void smr_mem_retire_noted(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list,
			  void *last);

/*
 * If enough nodes have been retired since the last look: looks whether it is quiet (base/quiet.h),
 * and if it is, makes all free that is in limbo. CONTEXT: where a system call may be made. SLEEP
 * no, but for the arena's lock.
 */
void smr_mem_look(struct mt_mem *mem);

/* The index of the note for the @nr'th of the nodes that are retired next. */
smr_inline unsigned long smri_note_of(const struct smr_limbo *limbo, unsigned long nr)
{
	unsigned long before = smr_load(&limbo->retired, RELAXED);

	return (before + nr - smr_load(&limbo->noted_from, RELAXED)) % SMR_NOTES;
}

/*
 * For whoever gathers a long list of nodes and retires it later: notes that @node is the @nr'th of
 * them. A note is a hint and may be wrong, for others retire nodes, and note them, meanwhile.
 */
smr_inline void smr_mem_note(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned long nr,
			     void *node)
{
	const struct smr_limbo *limbo = &mem->limbo[flavor];

	smr_store(&limbo->notes->node[smri_note_of(limbo, nr)], node, RELAXED);
}

/*
 * Prefetches two lines of the node that was noted as the @nr'th: the first, to be written, and the
 * one with its link.
 */
smr_inline void smr_mem_prefetch_noted(const struct mt_mem *mem, enum mt_rcu_flavor flavor,
				       unsigned long nr)
{
	const struct smr_limbo *limbo = &mem->limbo[flavor];
	uintptr_t node = (uintptr_t)smr_load(&limbo->notes->node[smri_note_of(limbo, nr)], RELAXED);

	__builtin_prefetch((const void *)node, 1);
	__builtin_prefetch((const void *)(node + SMR_NODE_LINK));
}

/*
 * A mark in time: what was retired before it is free once smr_mem_grace_over() says so of it. Of a
 * mark that is some minutes old, in which 2^31 nodes have been retired, it may say for a while that
 * it is not over.
 */
unsigned int smr_mem_grace_now(struct mt_mem *mem, enum mt_rcu_flavor flavor);
bool smr_mem_grace_over(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned int since);
/*
 * Waits for all that was retired before. CONTEXT: SLEEP yes, GRACE waits; not inside a section of
 * @flavor.
 */
void smr_mem_grace_wait(struct mt_mem *mem, enum mt_rcu_flavor flavor);

#endif
