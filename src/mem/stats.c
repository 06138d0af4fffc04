/* SPDX-License-Identifier: MIT */
/* mt_mem_stats(): what an arena has, and what has been done with it. */
#include "mem/arena.h"
#include "mem/mem_internal.h"
#include <stdint.h>

/* A magazine keeps its count when its owner gives it up; the next owner adds to it. */
static unsigned long taken_from_mags(const struct mt_mem *mem)
{
	unsigned long taken = 0;

	for (unsigned int i = 0; i < SMR_MAGS; i++)
		taken += smr_load(&mem->mag[i].taken, RELAXED);
	return taken;
}

static unsigned long minus(unsigned long a, unsigned long b)
{
	return a > b ? a - b : 0;
}

void mt_mem_stats(struct mt_mem *mem, struct mt_mem_stats *stats)
{
	unsigned long retired = 0, mags;

	mt_lock_acquire(&mem->lock);
	mags = smri_mag_nodes(mem);
	for (unsigned int i = 0; i < SMR_RCU_FLAVORS; i++)
		retired += mem->limbo[i].retired;
	*stats = (struct mt_mem_stats){
		.bytes_mapped = mem->chunks * MT_CHUNK_SIZE,
		.bytes_limit = mem->limit > SIZE_MAX / MT_CHUNK_SIZE ? SIZE_MAX
								     : mem->limit * MT_CHUNK_SIZE,
		.chunks = mem->chunks,
		.nodes_free = smri_mem_spare(mem) + mags,
		.nodes_limbo = smri_mem_limbo(mem),
		.reserve_size = mem->reserve_size,
		.reserve_left = smri_mem_reserve_left(mem),
		.nodes_pledged = mem->pledged,
		.taken = mem->taken + taken_from_mags(mem),
		.retired = retired,
		.atomic_taken = mem->atomic_taken,
		.failed = mem->failed,
		.grace_periods = mem->batches,
	};
	stats->nodes_used = minus(mem->chunks * MT_CHUNK_NODES,
				  mem->free + mags + stats->nodes_limbo);
	mt_lock_release(&mem->lock);
}
