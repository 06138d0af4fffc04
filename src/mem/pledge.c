/* SPDX-License-Identifier: MIT */
#include "mem/pledge.h"

#include "mem/mem_internal.h"

/*
 * Lends @nr nodes more, or less. What is pledged no longer counts as what was lent first, since whose it was is not
 * known: then more free nodes are kept than need be, until those in limbo come back, but never fewer.
 */
static void lend(struct mt_mem *mem, long nr)
{
	long lent = (long)mem->lent + nr;

	mem->lent = lent > 0 ? (unsigned long)lent : 0;
}

void smr_pledge_add(struct mt_mem *mem, struct smr_nodes *list, unsigned long nr)
{
	mt_lock_acquire(&mem->lock);
	mem->pledged += nr;
	while (nr--)
		smri_slab_push(mem, smr_nodes_pop(list));
	mt_lock_release(&mem->lock);
}

void smr_unpledge(struct mt_mem *mem, unsigned long nr)
{
	mt_lock_acquire(&mem->lock);
	smr_assert(mem->pledged >= nr);
	mem->pledged -= nr;
	lend(mem, -(long)nr);
	mt_lock_release(&mem->lock);
}

void smr_pledge_take(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	mt_lock_acquire(&mem->lock);
	smr_assert(smri_mem_pledged(mem) >= nr && mem->free >= nr);
	mem->taken += nr;
	while (nr--)
		smr_nodes_push(out, smri_slab_pop(mem));
	mt_lock_release(&mem->lock);
}

void smr_pledge_give(struct mt_mem *mem, struct smr_nodes *list)
{
	void *node;

	mt_lock_acquire(&mem->lock);
	while ((node = smr_nodes_pop(list)))
		smri_slab_push(mem, node);
	mt_lock_release(&mem->lock);
}

unsigned long smr_pledge_use(struct mt_mem *mem, unsigned long before, unsigned long after,
			     long used)
{
	long missing = (long)(after - before) + used;

	mt_lock_acquire(&mem->lock);
	mem->pledged += after - before;
	lend(mem, missing);
	mt_lock_release(&mem->lock);
	return missing > 0 ? (unsigned long)missing : 0;
}

void smr_pledge_restore(struct mt_mem *mem, unsigned long before, unsigned long after,
			unsigned long lent)
{
	mt_lock_acquire(&mem->lock);
	mem->pledged += before - after;
	lend(mem, -(long)lent);
	mt_lock_release(&mem->lock);
}
