/* SPDX-License-Identifier: MIT */
/* Erase a whole range by any of its keys, or a part of it by storing NULL. */
#include "expect.h"
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(mt);
	int a, b;

	EXPECT(mtree_store_range(&mt, 100, 199, &a, GFP_KERNEL) == 0);
	EXPECT(mtree_store_range(&mt, 200, 299, &b, GFP_KERNEL) == 0);

	EXPECT(mtree_erase(&mt, 150) == &a);
	EXPECT(mtree_load(&mt, 100) == NULL);
	EXPECT(mtree_load(&mt, 199) == NULL);
	EXPECT(mtree_erase(&mt, 150) == NULL);

	EXPECT(mtree_store_range(&mt, 220, 229, NULL, GFP_KERNEL) == 0);
	EXPECT(mtree_load(&mt, 219) == &b);
	EXPECT(mtree_load(&mt, 220) == NULL);
	EXPECT(mtree_load(&mt, 230) == &b);

	mtree_destroy(&mt);
	return 0;
}
