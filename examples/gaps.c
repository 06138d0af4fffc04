/* SPDX-License-Identifier: MIT */
/*
 * Find room: the lowest or the highest free place of a given size within limits. With a cursor you
 * can look at the place before you store.
 */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

int main(void)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &mt, 0, 0);
	unsigned long at;
	int a, b;

	EXPECT(mtree_store_range(&mt, 0x1000, 0x1fff, &a, GFP_KERNEL) == 0);
	EXPECT(mtree_store_range(&mt, 0x3000, 0x3fff, &b, GFP_KERNEL) == 0);

	EXPECT(mtree_alloc_range(&mt, &at, &a, 0x1000, 0x1000, 0xffff, GFP_KERNEL) == 0);
	EXPECT(at == 0x2000);
	EXPECT(mtree_alloc_rrange(&mt, &at, &b, 0x1000, 0x1000, 0xffff, GFP_KERNEL) == 0);
	EXPECT(at == 0xf000);
	EXPECT(mtree_alloc_range(&mt, &at, &a, 0x1000, 0x1000, 0x3fff, GFP_KERNEL) == -EBUSY);
	EXPECT(at == 0xf000);

	/*
	 * A place aligned to 64 KiB: search for more than is needed, then store the aligned part.
	 * Preallocating keeps the lock, and so the place; mas_store_gfp() might drop it.
	 */
	mas_lock(&mas);
	EXPECT(mas_empty_area(&mas, 0x1000, ULONG_MAX, 0x1000 + 0xffff) == 0);
	at = (mas.index + 0xffff) & ~0xfffful;
	mas_set_range(&mas, at, at + 0xfff);
	EXPECT(mas_preallocate(&mas, &a, GFP_KERNEL) == 0);
	mas_store_prealloc(&mas, &a);
	mas_unlock(&mas);
	EXPECT(at == 0x10000 && mtree_load(&mt, 0x10fff) == &a);

	mtree_destroy(&mt);
	return 0;
}
