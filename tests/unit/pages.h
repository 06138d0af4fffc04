/* SPDX-License-Identifier: MIT */
/* A page source that counts, can run dry, and checks that it is called as mem.h promises. */
#ifndef TESTS_UNIT_PAGES_H
#define TESTS_UNIT_PAGES_H

#include "base/atomic.h"
#include "mem/nodes.h"
#include "support/cm.h"
#include <samara/lock.h>
#include <stdlib.h>

struct pages {
	unsigned long mapped; /* now */
	unsigned long ever;
	unsigned long dry_after; /* chunks in all before it returns NULL */
	bool crooked;            /* returns unaligned memory */
};

static void *pages_map(void *ctx, size_t size, size_t align)
{
	struct pages *pages = ctx;
	char *memory;

	if (smr_load(&pages->ever, RELAXED) >= pages->dry_after)
		return NULL;
	memory = aligned_alloc(align, size + align);
	if (!memory)
		return NULL;
	smr_add(&pages->mapped, 1, RELAXED);
	smr_add(&pages->ever, 1, RELAXED);
	return pages->crooked ? memory + 4096 : memory;
}

static void pages_unmap(void *ctx, void *chunk, size_t size)
{
	struct pages *pages = ctx;

	(void)size;
	smr_sub(&pages->mapped, 1, RELAXED);
	free((char *)chunk - (pages->crooked ? 4096 : 0));
}

#define PAGES                     \
	{                         \
		0, 0, ~0UL, false \
	}

static inline struct mt_mem *pages_arena(struct pages *pages, size_t limit)
{
	struct mt_mem_ops ops = { pages_map, pages_unmap, pages };
	struct mt_mem *mem = mt_mem_create(limit, &ops);

	assert_non_null(mem);
	return mem;
}

static inline struct mt_mem_stats stats_of(struct mt_mem *mem)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mem, &stats);
	/* Every node is in exactly one place. */
	assert_int_equal(stats.nodes_used + stats.nodes_free + stats.nodes_limbo +
				 stats.reserve_left,
			 stats.chunks * MT_CHUNK_NODES);
	assert_int_equal(stats.bytes_mapped, stats.chunks * MT_CHUNK_SIZE);
	return stats;
}

#endif
