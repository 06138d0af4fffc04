/* SPDX-License-Identifier: MIT */
/*
 * Stores in places where nothing may block. GFP_ATOMIC may fall back on the arena's emergency
 * reserve, GFP_NOWAIT may not. When the reserve is empty too, the store fails cleanly; a blocking
 * store refills it.
 */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

/* Stores without blocking until a store fails. Returns the number of stores that succeeded. */
static unsigned long store_until_full(struct maple_tree *mt, unsigned long *at, gfp_t gfp)
{
	unsigned long stored = 0;
	int err;

	while ((err = mtree_store(mt, *at, xa_mk_value(*at), gfp)) == 0) {
		stored++;
		*at += 2;
	}
	EXPECT(err == -ENOMEM);
	return stored;
}

int main(void)
{
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct mt_mem_stats stats;
	unsigned long at = 0;
	DEFINE_MTREE(mt);

	EXPECT(mem && mt_set_mem(&mt, mem) == 0);
	EXPECT(mt_mem_set_reserve(mem, 32) == 0);

	EXPECT(store_until_full(&mt, &at, GFP_NOWAIT) > 0);
	mt_mem_stats(mem, &stats);
	EXPECT(stats.reserve_left == 32);

	EXPECT(store_until_full(&mt, &at, GFP_ATOMIC) > 0);
	mt_mem_stats(mem, &stats);
	EXPECT(stats.reserve_left < 32);
	EXPECT(xa_to_value(mtree_load(&mt, at - 2)) == at - 2);
	EXPECT(mtree_load(&mt, at) == NULL);

	/* A store that may block can get more memory, and tops up the reserve on the way. */
	mt_mem_set_limit(mem, 2 * MT_CHUNK_SIZE);
	EXPECT(mtree_store(&mt, at, xa_mk_value(at), GFP_KERNEL) == 0);
	mt_mem_stats(mem, &stats);
	EXPECT(stats.reserve_left == 32);

	mtree_destroy(&mt);
	mt_mem_destroy(mem);
	return 0;
}
