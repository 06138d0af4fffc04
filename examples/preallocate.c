/* SPDX-License-Identifier: MIT */
/*
 * Get the memory for a store, do something that cannot be undone, then store without any
 * possibility of failure. The lock is held from beginning to end.
 */
#include "expect.h"
#include <samara/maple_tree.h>

static int commits;

/* Stands for an action that cannot be undone: sending a message, writing to a register. */
static void commit(void)
{
	commits++;
}

static int map(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, mt, first, last);
	int err;

	mas_lock(&mas);
	err = mas_preallocate(&mas, entry, GFP_KERNEL);
	if (!err) {
		commit();
		mas_store_prealloc(&mas, entry);
		EXPECT(mas_allocated(&mas) == 0);
	}
	mas_unlock(&mas);
	return err;
}

/* The same, but the store is called off: the memory goes back, and the tree is as it was. */
static void change_of_mind(struct maple_tree *mt, unsigned long first, unsigned long last,
			   void *entry)
{
	MA_STATE(mas, mt, first, last);

	mas_lock(&mas);
	EXPECT(mas_preallocate(&mas, entry, GFP_KERNEL) == 0);
	mas_destroy(&mas);
	mas_unlock(&mas);
}

int main(void)
{
	DEFINE_MTREE(mt);
	int a, b;

	for (unsigned long i = 0; i < 1000; i++)
		EXPECT(map(&mt, i * 16, i * 16 + 11, &a) == 0);
	change_of_mind(&mt, 500, 600, &b);
	EXPECT(commits == 1000);
	EXPECT(mtree_load(&mt, 16 * 999 + 11) == &a);
	EXPECT(mtree_load(&mt, 512) == &a);

	mtree_destroy(&mt);
	return 0;
}
