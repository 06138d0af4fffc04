/* SPDX-License-Identifier: MIT */
#include "mem/refill.h"
#include "mem/mem_internal.h"
#include <errno.h>

/* A chunk from the page source, or NULL. CONTEXT: no lock held. */
static void *map_chunk(const struct mt_mem_ops *ops)
{
	void *chunk = ops->map(ops->ctx, MT_CHUNK_SIZE, MT_CHUNK_SIZE);

	if (!chunk || ((uintptr_t)chunk & (MT_CHUNK_SIZE - 1)) == 0)
		return chunk;
	/* A page source that ignores the alignment has nothing that could be used. */
	ops->unmap(ops->ctx, chunk, MT_CHUNK_SIZE);
	return NULL;
}

int smri_refill_ensure(struct mt_mem *mem, unsigned long nr)
{
	int err = 0;

	mt_lock_acquire(&mem->lock);
	while (!err && mem->free < nr + mem->reserve_size + smri_mem_pledged(mem)) {
		void *chunk = NULL;

		if (mem->chunks + mem->mapping < mem->limit) {
			/* Counted before it is there, so that threads together respect the limit. */
			mem->mapping++;
			mt_lock_release(&mem->lock);
			chunk = map_chunk(&mem->ops);
			mt_lock_acquire(&mem->lock);
			mem->mapping--;
		}
		if (chunk)
			smri_slab_add(mem, chunk);
		else
			err = -ENOMEM;
	}
	mt_lock_release(&mem->lock);
	return err;
}

void smri_refill_release(struct mt_mem *mem, unsigned long keep)
{
	void *chunk;

	do {
		chunk = NULL;
		mt_lock_acquire(&mem->lock);
		if (mem->idle > keep && smri_mem_spare(mem) >= MT_CHUNK_NODES)
			chunk = smri_slab_remove_idle(mem);
		mt_lock_release(&mem->lock);
		if (chunk)
			mem->ops.unmap(mem->ops.ctx, chunk, MT_CHUNK_SIZE);
	} while (chunk);
}

/* Takes from the chunks, after getting more of them if it can. */
static int refill_once(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	int err = -ENOMEM;

	/* That the reserve may have stayed short is no reason to fail. */
	(void)smri_refill_ensure(mem, nr);
	mt_lock_acquire(&mem->lock);
	if (smri_mem_spare(mem) >= nr) {
		mem->taken += nr;
		while (nr--)
			smr_nodes_push(out, smri_slab_pop(mem));
		err = 0;
	}
	mt_lock_release(&mem->lock);
	return err;
}

int smr_mem_refill(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	int err = -ENOMEM;

	if (!smr_hook_fail_node(true)) {
		(void)smri_mag_get(mem, true);
		smr_mem_flush_local(mem);
		err = refill_once(mem, out, nr);
		if (err && smri_retire_wait(mem))
			err = refill_once(mem, out, nr);
	}
	if (err) {
		mt_lock_acquire(&mem->lock);
		mem->failed++;
		mt_lock_release(&mem->lock);
		/* Chunks that were got before there were no more of them. */
		smr_mem_reap(mem);
	}
	return err;
}

/* Nodes sorted under one hold of the arena's lock. */
#define SORT_BATCH 64

void smr_mem_reap(struct mt_mem *mem)
{
	mt_lock_acquire(&mem->lock);
	while (smri_slab_sort(mem, SORT_BATCH)) {
		mt_lock_release(&mem->lock);
		mt_lock_acquire(&mem->lock);
	}
	mt_lock_release(&mem->lock);
	smri_refill_release(mem, 1);
}

void smr_mem_trim_local(struct mt_mem *mem)
{
	smr_mem_flush_local(mem);
	smr_mem_reap(mem);
}
