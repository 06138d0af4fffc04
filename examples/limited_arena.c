/* SPDX-License-Identifier: MIT */
/* A tree that may not grow beyond a limit, in memory that the program provides. */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

static unsigned long chunks;

static void *map_chunk(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	chunks++;
	return aligned_alloc(align, size);
}

static void unmap_chunk(void *ctx, void *chunk, size_t size)
{
	(void)ctx;
	(void)size;
	chunks--;
	free(chunk);
}

int main(void)
{
	const struct mt_mem_ops ops = { .map = map_chunk, .unmap = unmap_chunk };
	struct mt_mem *mem = mt_mem_create(2 * MT_CHUNK_SIZE, &ops);
	struct mt_mem_stats stats;
	unsigned long stored = 0;
	DEFINE_MTREE(mt);
	int err, a;

	EXPECT(mem);
	EXPECT(mt_set_mem(&mt, mem) == 0);
	while ((err = mtree_store(&mt, 2 * stored, &a, GFP_KERNEL)) == 0)
		stored++;
	EXPECT(err == -ENOMEM);

	/*
	 * Both chunks are full, the failed store has left no trace, and everything is still
	 * readable.
	 */
	mt_mem_stats(mem, &stats);
	EXPECT(stats.bytes_mapped == 2 * MT_CHUNK_SIZE && chunks == 2);
	EXPECT(stored > 10000);
	EXPECT(mtree_load(&mt, 2 * stored) == NULL);
	EXPECT(mtree_load(&mt, 2 * stored - 2) == &a);

	/* A few erasures need a node; GFP_ATOMIC may take it from the emergency reserve. */
	for (unsigned long i = stored / 2; i < stored; i++)
		EXPECT(mtree_erase(&mt, 2 * i) == &a ||
		       mtree_store(&mt, 2 * i, NULL, GFP_ATOMIC) == 0);
	while ((err = mtree_store(&mt, 2 * stored, &a, GFP_KERNEL)) == 0)
		stored++;
	EXPECT(err == -ENOMEM);

	mt_mem_set_limit(mem, 3 * MT_CHUNK_SIZE);
	EXPECT(mtree_store(&mt, 2 * stored, &a, GFP_KERNEL) == 0);

	mtree_destroy(&mt);
	mt_mem_destroy(mem);
	EXPECT(chunks == 0);
	return 0;
}
