/* SPDX-License-Identifier: MIT */
#include "mem/pledge.h"

#include "base/hooks.h"
#include "mem/mem_internal.h"

/*
 * Lends @nr nodes more, or fewer if negative. A fall of the pledge first lowers what is lent, since
 * it is not known whose that was: then more free nodes than necessary are kept until those in limbo
 * come back, but never fewer.
 */
static void adjust_lent(struct mt_mem *mem, long nr)
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

bool smr_pledge_grow(struct mt_mem *mem, unsigned long nr)
{
	bool can;

	if (smr_hook_fail_alloc(false))
		return false;
	mt_lock_acquire(&mem->lock);
	can = smri_mem_spare(mem) >= nr;
	mem->pledged += can ? nr : 0;
	mt_lock_release(&mem->lock);
	return can;
}

void smr_unpledge(struct mt_mem *mem, unsigned long nr)
{
	mt_lock_acquire(&mem->lock);
	smr_assert(mem->pledged >= nr);
	mem->pledged -= nr;
	adjust_lent(mem, -(long)nr);
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_GIVEN);
}

unsigned long smri_pledge_take_slow(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	mt_lock_acquire(&mem->lock);
	smr_assert(smri_mem_pledged(mem) >= nr && mem->free >= nr);
	mem->taken += nr;
	for (unsigned long i = 0; i < nr; i++)
		smr_nodes_push(out, smri_slab_pop(mem));
	mt_lock_release(&mem->lock);
	return nr;
}

/*
 * Gives some of @list back: to the arena, not to a magazine, where the pledge would not find them.
 * Gives as many as the pledge lacks, and at most one batch more; smr_mem_give_list() does the rest
 * without the lock. CONTEXT: HOLDS the arena's lock.
 */
static void fill_pledge(struct mt_mem *mem, struct smr_nodes *list)
{
	unsigned int nr = 0;

	while (list->nr > 0 && (nr++ < SMR_GIVE_BATCH || mem->free < smri_mem_pledged(mem)))
		smri_slab_push(mem, smr_nodes_pop(list));
}

unsigned long smr_pledge_apply(struct mt_mem *mem, struct smr_pledge_change *change)
{
	long missing = (long)(change->after - change->before) + change->used;
	struct smr_limbo *limbo = &mem->limbo[change->flavor];
	struct smr_mag *mag = smri_mag_mine(mem);
	struct smri_grace_request request = { false, false, false };
	void *last = NULL;

	if (change->retired.nr > 0)
		last = smri_retire_note(mem, change->flavor, &change->retired);
	mt_lock_acquire(&mem->lock);
	mem->pledged += change->after - change->before;
	adjust_lent(mem, missing);
	if (last)
		request = smri_retire_enqueue(limbo, &change->retired, last);
	fill_pledge(mem, &change->back);
	if (mag)
		smri_mag_fill(mem, mag, 0);
	mt_lock_release(&mem->lock);
	smri_retire_request_grace(limbo, request);
	smr_mem_give_list(mem, &change->back);
	return missing > 0 ? (unsigned long)missing : 0;
}

unsigned long smr_pledge_repay(struct mt_mem *mem, unsigned long nr)
{
	unsigned long spare;

	mt_lock_acquire(&mem->lock);
	spare = smri_mem_spare(mem);
	nr = nr < spare ? nr : spare;
	adjust_lent(mem, -(long)nr);
	mt_lock_release(&mem->lock);
	return nr;
}

void smr_pledge_restore(struct mt_mem *mem, struct smr_nodes *list, unsigned long before,
			unsigned long after, unsigned long lent)
{
	mt_lock_acquire(&mem->lock);
	mem->pledged += before - after;
	adjust_lent(mem, -(long)lent);
	fill_pledge(mem, list);
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_GIVEN);
	smr_mem_give_list(mem, list);
}
