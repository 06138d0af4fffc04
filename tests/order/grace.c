/* SPDX-License-Identifier: MIT */
/*
 * ORDER grace: who has waited for the nodes in limbo may have the arena's memory back: the worker that frees
 * the nodes is through with them. Here the memory is the test's own, and written to as soon as it is unmapped.
 */
#include "two.h"

#include <samara/maple_tree.h>
#include <string.h>

#define TURNS 20

/* Chunks come from here, one after the other, and go back to be written over. */
static void *map(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	return aligned_alloc(align, size);
}

static void unmap(void *ctx, void *chunk, size_t size)
{
	(void)ctx;
	memset(chunk, 0xa5, size);
	free(chunk);
}

static void *use_arenas(void *unused)
{
	const struct mt_mem_ops ops = { map, unmap, NULL };

	(void)unused;
	for (int turn = 0; turn < TURNS; turn++) {
		struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);
		struct mt_mem *mem = mt_mem_create(0, &ops);

		if (!mem || mt_set_mem(&tree, mem))
			exit(99);
		for (unsigned long i = 0; i < 300; i++)
			if (mtree_store(&tree, 2 * i, xa_mk_value(i), GFP_KERNEL))
				exit(99);
		mtree_destroy(&tree);
		mt_mem_destroy(mem);
	}
	return NULL;
}

static void *nothing(void *unused)
{
	return unused;
}

int main(void)
{
	two(use_arenas, nothing);
	return 0;
}
