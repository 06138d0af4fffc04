/* SPDX-License-Identifier: MIT */
#include "mem/refill.h"
#include "base/park.h"
#include "lock/check.h"
#include "lock/section.h"
#include "mem/mem_internal.h"
#include <errno.h>
#include <limits.h>

/* ---- Chunks under way ----
 *
 * A chunk being got counts towards the limit before it is there, and one being given back until it
 * is gone, so that all threads together respect the limit. A thread that this keeps from getting a
 * chunk waits: the chunk under way may bring nodes that it can take, or leave room for another.
 */

/* CONTEXT, of these two: HOLDS the arena's lock; the first drops it, the second retakes it. */
static void begin_mapping(struct mt_mem *mem)
{
	mem->mapping++;
	mt_lock_release(&mem->lock);
}

static void end_mapping(struct mt_mem *mem)
{
	mt_lock_acquire(&mem->lock);
	mem->mapping--;
	smr_store(&mem->map_event, mem->map_event + 1, RELAXED);
	if (mem->map_sleepers > 0)
		smr_wake(&mem->map_event, INT_MAX);
}

/*
 * Sleeps until a chunk is no longer under way. CONTEXT: HOLDS the arena's lock, which is dropped
 * meanwhile.
 */
static void await_mapping(struct mt_mem *mem)
{
	unsigned int event = mem->map_event;

	mem->map_sleepers++;
	mt_lock_release(&mem->lock);
	smr_hook_at(SMR_HOOK_AWAITS);
	smr_park(&mem->map_event, event);
	mt_lock_acquire(&mem->lock);
	mem->map_sleepers--;
}

/* Returns a chunk from the page source, or NULL. CONTEXT, of these two: no lock held. */
static void *map_chunk(const struct mt_mem_ops *ops)
{
	void *chunk = ops->map(ops->ctx, MT_CHUNK_SIZE, MT_CHUNK_SIZE);

	if (chunk && ((uintptr_t)chunk & (MT_CHUNK_SIZE - 1))) {
		/* Without the alignment the memory is of no use. */
		ops->unmap(ops->ctx, chunk, MT_CHUNK_SIZE);
		return NULL;
	}
	if (chunk && __lsan_register_root_region)
		__lsan_register_root_region(chunk, MT_CHUNK_SIZE);
	return chunk;
}

static void unmap_chunk(const struct mt_mem_ops *ops, void *chunk)
{
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region(chunk, MT_CHUNK_SIZE);
	ops->unmap(ops->ctx, chunk, MT_CHUNK_SIZE);
}

/*
 * How many batches must come back from limbo before a chunk just got may be given back, and how
 * many chunks are kept that way. How many nodes are in limbo varies with when the thread that waits
 * for grace periods gets to run: if too few nodes were free for a moment, that will happen again.
 * But the nodes of a tree that is gone may be the last batch.
 */
enum { WARM_BATCHES = 64, WARM_CHUNKS = 8 };

/*
 * With more free nodes than this for each used one, the used ones lie scattered over their chunks.
 */
enum { SCATTERED = 4 };

/* CONTEXT, of these two: HOLDS the arena's lock, which is dropped while a chunk is under way. */
static int get_chunk(struct mt_mem *mem)
{
	void *chunk;

	begin_mapping(mem);
	chunk = map_chunk(&mem->ops);
	end_mapping(mem);
	if (!chunk)
		return -ENOMEM;
	smri_slab_add(mem, chunk);
	mem->warm_batches = WARM_BATCHES;
	return 0;
}

static int ensure_free(struct mt_mem *mem, unsigned long nr)
{
	int err = 0;

	while (!err && mem->free < nr + mem->reserve_size + smri_mem_pledged(mem)) {
		if (mem->chunks + mem->mapping < mem->limit)
			err = get_chunk(mem);
		else if (mem->mapping > 0)
			await_mapping(mem);
		else
			err = -ENOMEM;
	}
	return err;
}

int smr_mem_fill(struct mt_mem *mem, unsigned long nr)
{
	int err;

	smr_check_alloc("nodes");
	mt_lock_acquire(&mem->lock);
	err = ensure_free(mem, nr);
	mt_lock_release(&mem->lock);
	return err;
}

/* Nodes sorted under one hold of the arena's lock. */
#define SORT_BATCH 64

/* CONTEXT: HOLDS the arena's lock, which is dropped between batches. */
static void sort_ready(struct mt_mem *mem)
{
	while (smri_slab_sort(mem, SORT_BATCH)) {
		mt_lock_release(&mem->lock);
		mt_lock_acquire(&mem->lock);
	}
}

void smri_refill_release(struct mt_mem *mem, unsigned long keep)
{
	/* Unmapping may block: these chunks are left for the next time. */
	if (smr_in_section())
		return;
	mt_lock_acquire(&mem->lock);
	/* With fewer free nodes no chunk but those kept can be idle. */
	if (mem->free >= (keep + 1) * MT_CHUNK_NODES)
		sort_ready(mem);
	while (mem->idle > keep && smri_mem_spare(mem) >= MT_CHUNK_NODES) {
		void *chunk = smri_slab_remove_idle(mem);

		begin_mapping(mem);
		unmap_chunk(&mem->ops, chunk);
		end_mapping(mem);
	}
	mt_lock_release(&mem->lock);
}

/*
 * A writer that replaces many nodes at a time, such as a transaction, has them all in limbo and
 * soon needs as many again. So an arena keeps in hand an eighth as much as is in use.
 *
 * Sorting a node that has come back takes it out of the writer's caches. So it is not done while
 * there are only few to sort, unless hardly any node is still in use, or those in use lie
 * scattered. Then the next nodes should come from where most are in use, so that other chunks
 * drain, which they never do while nodes that come back are handed out first.
 *
 * Where chunks were got lately, some more stay for some batches, unless nothing is in use: then
 * there may be no more batches.
 */
void smri_refill_release_surplus(struct mt_mem *mem)
{
	unsigned long keep, used;
	bool more;

	mt_lock_acquire(&mem->lock);
	mem->warm_batches -= mem->warm_batches > 0;
	used = mem->chunks * MT_CHUNK_NODES - mem->free;
	keep = 1 + used / (8UL * MT_CHUNK_NODES);
	if (mem->warm_batches > 0 && used > smri_mag_nodes(mem))
		keep += WARM_CHUNKS;
	more = mem->free >= (keep + 1) * MT_CHUNK_NODES &&
	       (mem->ready_nr >= MT_CHUNK_NODES || used < MT_CHUNK_NODES / 2 ||
		used < mem->free / SCATTERED);
	mt_lock_release(&mem->lock);
	if (!more)
		return;
	smri_refill_release(mem, keep);
}

/* Takes nodes from the chunks, after getting more chunks if need be and possible. */
static int refill_once(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	int err = -ENOMEM;

	mt_lock_acquire(&mem->lock);
	/*
	 * A reserve that stays short is no reason to fail. The nodes are taken under the same hold
	 * of the lock: otherwise a callback might give the chunks back in between.
	 */
	(void)ensure_free(mem, nr);
	if (smri_mem_spare(mem) >= nr) {
		mem->taken += nr;
		while (nr--)
			smr_nodes_push(out, smri_slab_pop(mem));
		err = 0;
	}
	mt_lock_release(&mem->lock);
	return err;
}

/*
 * Waits for what is in limbo and tries again; also if there was nothing to wait for, since nodes
 * may have come back just before. Other waiting threads may take first what comes back, and retire
 * as much with their next stores: then there is something to wait for again. But that may be too
 * little for us even if we come first, so the number of rounds is limited.
 */
static int refill_from_limbo(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	bool waited = true;
	int err = -ENOMEM;

	for (unsigned int i = 0; err && waited && i < SMR_REFILL_ROUNDS; i++) {
		smr_hook_at(SMR_HOOK_SHORT);
		waited = smri_retire_wait(mem);
		smr_hook_at(SMR_HOOK_WAITED);
		err = refill_once(mem, out, nr);
	}
	return err;
}

int smr_mem_refill(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr)
{
	int err = -ENOMEM;

	smr_check_alloc("nodes");
	/* To try what cannot succeed would take all memory from the system before it failed. */
	if (nr <= SMR_NODES_MAX && !smr_hook_fail_alloc(true)) {
		(void)smri_mag_get(mem, true);
		smr_mem_flush_local(mem);
		smri_retire_resume(mem);
		err = refill_once(mem, out, nr);
		if (err)
			err = refill_from_limbo(mem, out, nr);
	}
	if (err) {
		mt_lock_acquire(&mem->lock);
		mem->failed++;
		mt_lock_release(&mem->lock);
		/* Gives back the chunks that were got before no more could be had. */
		smr_mem_release_idle(mem);
	}
	return err;
}

int smr_mem_obtain(struct mt_mem *mem, struct smr_nodes *out, unsigned long nr, gfp_t gfp)
{
	int err = smr_mem_take(mem, out, nr, gfp);

	return err && gfpflags_allow_blocking(gfp) ? smr_mem_refill(mem, out, nr) : err;
}

void smr_mem_release_idle(struct mt_mem *mem)
{
	smri_refill_release(mem, 1);
}
