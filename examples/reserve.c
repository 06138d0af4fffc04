/* SPDX-License-Identifier: MIT */
/* Reserve a range where memory may be allocated; fill it later where it may not. */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

int main(void)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);
	unsigned long at;
	int a, b;

	EXPECT(mtree_reserve(&mt, 100, 199, GFP_KERNEL) == 0);
	EXPECT(mtree_reserve(&mt, 150, 250, GFP_KERNEL) == -EEXIST);

	/* It reads as empty, but no other store can claim it. */
	EXPECT(mtree_load(&mt, 150) == NULL);
	EXPECT(mtree_insert(&mt, 150, &b, GFP_KERNEL) == -EEXIST);
	EXPECT(mtree_alloc_range(&mt, &at, &b, 10, 100, 205, GFP_KERNEL) == -EBUSY);

	/*
	 * Whatever has happened to the tree meanwhile, this store needs no memory and cannot fail.
	 */
	for (unsigned long i = 1000; i < 2000; i += 2)
		EXPECT(mtree_store(&mt, i, &b, GFP_KERNEL) == 0);
	EXPECT(mtree_store_range(&mt, 100, 199, &a, GFP_NOWAIT) == 0);
	EXPECT(mtree_load(&mt, 150) == &a);

	/* Give back reservations that are no longer wanted; entries stored meanwhile stay. */
	EXPECT(mtree_reserve(&mt, 200, 299, GFP_KERNEL) == 0);
	EXPECT(mtree_release(&mt, 100, 299) == 0);
	EXPECT(mtree_load(&mt, 150) == &a);
	EXPECT(mtree_insert_range(&mt, 200, 299, &b, GFP_KERNEL) == 0);

	mtree_destroy(&mt);
	return 0;
}
