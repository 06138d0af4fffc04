/* SPDX-License-Identifier: MIT */
#include "mem/take.h"
#include "mem/mem_internal.h"
#include "mem/retire.h"
#include <errno.h>

static void count_refusal(struct mt_mem *mem, gfp_t gfp)
{
	/* A caller that may block is not refused yet: it goes on to refill. */
	if (!gfpflags_allow_blocking(gfp))
		mem->failed++;
}

int smri_take_refuse(struct mt_mem *mem, gfp_t gfp)
{
	mt_lock_acquire(&mem->lock);
	count_refusal(mem, gfp);
	mt_lock_release(&mem->lock);
	return -ENOMEM;
}

/* CONTEXT: HOLDS the arena's lock. */
static int take_locked(struct mt_mem *mem, struct smr_mag *mag, struct smr_nodes *out,
		       unsigned long nr, gfp_t gfp)
{
	unsigned long held = mag ? smr_load(&mag->nr, RELAXED) : 0;
	unsigned long spare = smri_mem_spare(mem);
	unsigned long rest = nr > held ? nr - held : 0;

	if (rest > spare + (gfp & __GFP_HIGH ? smri_mem_reserve_left(mem) : 0))
		return -ENOMEM;
	if (rest > spare)
		mem->atomic_taken += rest - spare;
	if (mag)
		smri_mag_fill(mem, mag, nr);
	mem->taken += nr;
	while (mag && nr && smr_load(&mag->nr, RELAXED)) {
		smr_nodes_push(out, smri_mag_pop(mag));
		nr--;
	}
	while (nr--)
		smr_nodes_push(out, smri_slab_pop(mem));
	return 0;
}

int smri_take_slow(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp)
{
	struct smr_mag *mag = smri_mag_get(mem, false);
	int err;

	if (gfpflags_allow_blocking(gfp))
		smr_mem_look(mem);
	mt_lock_acquire(&mem->lock);
	err = take_locked(mem, mag, out, nr, gfp);
	if (err)
		count_refusal(mem, gfp);
	mt_lock_release(&mem->lock);
	return err;
}

void *smri_take_one_slow(struct mt_mem *mem, gfp_t gfp)
{
	struct smr_nodes one = { NULL, 0 };

	if (smri_take_slow(mem, &one, 1, gfp))
		return NULL;
	return smr_nodes_pop(&one);
}

void smri_give_slow(struct mt_mem *mem, void *node)
{
	struct smr_mag *mag = smri_mag_get(mem, false);

	mt_lock_acquire(&mem->lock);
	if (mag)
		smri_mag_drain(mem, mag, SMR_MAG_NODES / 2);
	if (!mag || !smri_mag_push(mag, node))
		smri_slab_push(mem, node);
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_GIVEN);
}

void smr_mem_give_list(struct mt_mem *mem, struct smr_nodes *list)
{
	void *node;

	if (list->nr <= SMR_MAG_NODES / 2) {
		while ((node = smr_nodes_pop(list)))
			smr_mem_give(mem, node);
		return;
	}
	while (list->head) {
		unsigned int i;

		mt_lock_acquire(&mem->lock);
		for (i = 0; i < SMR_GIVE_BATCH && (node = smr_nodes_pop(list)); i++)
			smri_slab_push(mem, node);
		mt_lock_release(&mem->lock);
		smr_hook_at(SMR_HOOK_GIVEN);
	}
}

void smr_mem_flush_local(struct mt_mem *mem)
{
	struct smr_mag *mag = smri_mag_mine(mem);

	if (!mag)
		return;
	mt_lock_acquire(&mem->lock);
	smri_mag_drain(mem, mag, 0);
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_GIVEN);
}

void smr_mem_flush_emptied(struct mt_mem *mem)
{
	struct smr_mag *mag = smri_mag_mine(mem);

	if (!mag)
		return;
	mt_lock_acquire(&mem->lock);
	/* One idle chunk stays anyway: two must be free, if only after a grace period. */
	if (mem->free + smri_mem_limbo(mem) + smr_load(&mag->nr, RELAXED) >= 2 * MT_CHUNK_NODES)
		smri_mag_drain(mem, mag, 0);
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_GIVEN);
}
