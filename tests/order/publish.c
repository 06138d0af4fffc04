/* SPDX-License-Identifier: MIT */
/*
 * ORDER publish: a reader looks into the objects, and through the nodes, that a writer has just
 * made.
 */
#include "two.h"

#include <samara/maple_tree.h>

#define OBJECTS 3000

static struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);
static unsigned long objects[OBJECTS][2];

static void *write_all(void *unused)
{
	(void)unused;
	for (unsigned long i = 0; i < OBJECTS; i++) {
		objects[i][0] = i + 1;
		if (mtree_store(&tree, 3 * i, objects[i], GFP_KERNEL))
			exit(99);
	}
	return NULL;
}

/* Waits for the last object; then the ones before it are there, too. */
static void *read_all(void *unused)
{
	unsigned long *object = NULL;

	(void)unused;
	for (unsigned long i = 0; i < OBJECTS; i++) {
		while (!(object = mtree_load(&tree, 3 * i)))
			;
		if (object[0] != i + 1)
			exit(1);
	}
	return NULL;
}

void order_publish(void)
{
	two(write_all, read_all);
	mtree_destroy(&tree);
}
