/* SPDX-License-Identifier: MIT */
/*
 * Retiring nodes: they have left the tree, but a reader may still be on them, so they become free
 * only after a grace period of the readers' flavour.
 */
#ifndef SMR_MEM_RETIRE_H
#define SMR_MEM_RETIRE_H

#include "mem/arena.h"

/*
 * Retires all nodes of @list, and leaves it empty. New readers must no longer be able to reach
 * them. Until the grace period is over only their last word (SMR_NODE_LINK) changes. CONTEXT: any.
 * TAKES arena. ALLOC no. SLEEP no, but for that lock. GRACE never.
 */
void smr_mem_retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list);
/* The same for one node. */
void smr_mem_retire_one(struct mt_mem *mem, enum mt_rcu_flavor flavor, void *node);
/*
 * The same for a long list, not empty, whose @last node the caller knows, and whose nodes it has
 * all noted with smr_mem_note().
 */
void smr_mem_retire_noted(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list,
			  void *last);

/*
 * If enough nodes of MT_RCU_BP have been retired since the last look, checks whether it is quiet
 * (base/quiet.h), and if so frees all of them that are in limbo. CONTEXT: where a system call may
 * be made. SLEEP no, but for the arena's lock.
 */
void smr_mem_look(struct mt_mem *mem);

/* Returns the index of the note for the @nr'th of the nodes that are retired next. */
smr_inline unsigned long smri_note_of(const struct smr_limbo *limbo, unsigned long nr)
{
	unsigned long before = smr_load(&limbo->retired, RELAXED);

	return (before + nr - smr_load(&limbo->noted_from, RELAXED)) % SMR_NOTES;
}

/*
 * For callers that gather a long list of nodes and retire it later: notes that @node is the @nr'th
 * of them. A note is a hint and may be wrong, since others retire and note nodes meanwhile.
 */
smr_inline void smr_mem_note(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned long nr,
			     void *node)
{
	const struct smr_limbo *limbo = &mem->limbo[flavor];

	smr_store(&limbo->notes->node[smri_note_of(limbo, nr)], node, RELAXED);
}

/*
 * Prefetches two lines of the node noted as the @nr'th: the first, for writing, and the one with
 * its link.
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
 * A point in time: once smr_mem_grace_over() returns true for it, all nodes retired before it are
 * free. When 2^31 nodes have been retired since, which takes some minutes, it may return false
 * again for a while.
 */
unsigned int smr_mem_grace_now(struct mt_mem *mem, enum mt_rcu_flavor flavor);
bool smr_mem_grace_over(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned int since);
/*
 * Waits until all nodes retired before the call are free. CONTEXT: SLEEP yes, GRACE waits; not
 * inside a section of @flavor.
 */
void smr_mem_grace_wait(struct mt_mem *mem, enum mt_rcu_flavor flavor);

#endif
