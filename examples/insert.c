/* SPDX-License-Identifier: MIT */
/* Insert: store only where the tree is empty. */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(mt);
	int a, b;

	EXPECT(mtree_insert_range(&mt, 10, 19, &a, GFP_KERNEL) == 0);
	EXPECT(mtree_insert_range(&mt, 20, 29, &b, GFP_KERNEL) == 0);

	/* One occupied key is enough for an insertion to fail, and then nothing has changed. */
	EXPECT(mtree_insert_range(&mt, 29, 40, &a, GFP_KERNEL) == -EEXIST);
	EXPECT(mtree_load(&mt, 29) == &b);
	EXPECT(mtree_load(&mt, 30) == NULL);

	mtree_destroy(&mt);
	return 0;
}
