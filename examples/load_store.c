/* SPDX-License-Identifier: MIT */
/* Store ranges, look up keys, store over what is there. */
#include "expect.h"
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(mt);
	long heap, stack, guard; /* entries are pointers to anything, at least 4-byte aligned */

	EXPECT(mtree_store_range(&mt, 0x1000, 0x8fff, &heap, GFP_KERNEL) == 0);
	EXPECT(mtree_store_range(&mt, 0xf000, 0xffff, &stack, GFP_KERNEL) == 0);
	EXPECT(mtree_load(&mt, 0x1234) == &heap);
	EXPECT(mtree_load(&mt, 0xa000) == NULL);

	/* One page in the middle of the heap: the heap's entry remains on both sides of it. */
	EXPECT(mtree_store_range(&mt, 0x4000, 0x4fff, &guard, GFP_KERNEL) == 0);
	EXPECT(mtree_load(&mt, 0x3fff) == &heap);
	EXPECT(mtree_load(&mt, 0x4000) == &guard);
	EXPECT(mtree_load(&mt, 0x5000) == &heap);

	/* An entry need not be a pointer. */
	EXPECT(mtree_store(&mt, 7, xa_mk_value(42), GFP_KERNEL) == 0);
	EXPECT(xa_to_value(mtree_load(&mt, 7)) == 42);

	mtree_destroy(&mt);
	EXPECT(mtree_empty(&mt));
	return 0;
}
