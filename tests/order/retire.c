/* SPDX-License-Identifier: MIT */
/*
 * ORDER retire: nodes that one thread retires while another's batch is in flight are grabbed with it later.
 * Each thread has a tree of its own; all they share is the arena.
 */
#include "two.h"

#include <samara/maple_tree.h>

#define TURNS 20000UL

static struct maple_tree trees[2] = { MTREE_INIT(trees[0], MT_FLAGS_USE_RCU),
				      MTREE_INIT(trees[1], MT_FLAGS_USE_RCU) };

static void churn(struct maple_tree *tree)
{
	for (unsigned long i = 0; i < TURNS; i++)
		if (mtree_store_range(tree, i % 500, i % 500 + i % 7, xa_mk_value(i), GFP_KERNEL))
			exit(99);
}

static void *churn_a(void *unused)
{
	(void)unused;
	churn(&trees[0]);
	return NULL;
}

static void *churn_b(void *unused)
{
	(void)unused;
	churn(&trees[1]);
	return NULL;
}

int main(void)
{
	two(churn_a, churn_b);
	mtree_destroy(&trees[0]);
	mtree_destroy(&trees[1]);
	mt_mem_barrier(mt_mem_default());
	return 0;
}
