/* SPDX-License-Identifier: MIT */
/*
 * Taking free nodes, and giving nodes back. CONTEXT of everything here: any, also with a tree's
 * lock held. ALLOC no. SLEEP no, but for the arena's lock. No system call but that lock's futex,
 * unless @gfp may block: then taking looks now and then whether retired nodes can be freed
 * (mem/retire.h).
 *
 * Free nodes may be taken, and with __GFP_HIGH (GFP_ATOMIC) the emergency reserve. A @gfp that may
 * block also takes only free nodes here; if there are too few, its caller goes on to mem/refill.h.
 * A taken node has arbitrary contents. A node must be given back to the arena it came from, and no
 * reader may still look at it.
 */
#ifndef SMR_MEM_TAKE_H
#define SMR_MEM_TAKE_H

#include "base/hooks.h"
#include "mem/arena.h"

void *smri_take_one_slow(struct mt_mem *mem, gfp_t gfp);
int smri_take_slow(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp);
void smri_give_slow(struct mt_mem *mem, void *node);
int smri_take_refuse(struct mt_mem *mem, gfp_t gfp);

/*
 * Prefetches the lines of the nodes that will be taken next, for writing: @took nodes, as many as
 * were just taken. They have been out of use for a grace period, and their lines arrive while the
 * writer is busy with the nodes it has.
 */
smr_inline void smri_prefetch_next(const struct smr_mag *mag, unsigned long took)
{
	unsigned int nr = smr_load(&mag->nr, RELAXED);

	for (; nr > 0 && took > 0; nr--, took--)
		for (unsigned int line = 0; line < MT_NODE_SIZE; line += SMR_CACHE_LINE)
			__builtin_prefetch((const char *)mag->node[nr - 1] + line, 1);
}

/*
 * Moves @nr nodes from the thread's magazine to @out. If it has fewer, moves none and returns
 * false.
 */
smr_inline bool smri_take_local(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	struct smr_mag *mag = smri_mag_mine(mem);

	if (smr_unlikely(!mag || smr_load(&mag->nr, RELAXED) < nr))
		return false;
	for (unsigned long i = 0; i < nr; i++)
		smr_nodes_push(out, smri_mag_pop(mag));
	smri_mag_count(&mag->taken, nr);
	smri_prefetch_next(mag, nr);
	return true;
}

/*
 * Returns one node, or NULL. smr_mem_take() of one node would have to keep the list in memory: an
 * erase took nine instructions more.
 */
smr_inline void *smr_mem_take_one(struct mt_mem *mem, gfp_t gfp)
{
	struct smr_mag *mag = smri_mag_mine(mem);
	void *node;

	if (smr_hook_fail_alloc(false)) {
		smri_take_refuse(mem, gfp);
		return NULL;
	}
	node = smr_likely(mag) ? smri_mag_pop(mag) : NULL;
	if (smr_unlikely(!node))
		return smri_take_one_slow(mem, gfp);
	smri_mag_count(&mag->taken, 1);
	smri_prefetch_next(mag, 1);
	return node;
}

/* Adds @nr nodes to @out. Returns 0, or -ENOMEM, and then nothing has changed. */
smr_inline int smr_mem_take(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp)
{
	if (nr == 0)
		return 0;
	if (smr_hook_fail_alloc(false))
		return smri_take_refuse(mem, gfp);
	return smri_take_local(mem, out, nr) ? 0 : smri_take_slow(mem, out, nr, gfp);
}

/* Makes @node free at once. */
smr_inline void smr_mem_give(struct mt_mem *mem, void *node)
{
	struct smr_mag *mag = smri_mag_mine(mem);

	if (smr_unlikely(!mag || !smri_mag_push(mag, node)))
		smri_give_slow(mem, node);
}

/* Makes all nodes of @list free at once, and leaves it empty. */
void smr_mem_give_list(struct mt_mem *mem, struct smr_nodes *list);

/* Empties the calling thread's magazine into the arena. */
void smr_mem_flush_local(struct mt_mem *mem);
/*
 * The same after a tree has become empty, lest a handful of free nodes keep whole chunks from being
 * given back. But only where a chunk might be given back: otherwise a tree that is filled and
 * emptied over and over would sort its nodes into the chunk and take them out again each time.
 */
void smr_mem_flush_emptied(struct mt_mem *mem);

#endif
