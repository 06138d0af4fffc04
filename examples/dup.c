/* SPDX-License-Identifier: MIT */
/* Copy a tree, as fork() copies an address space. Afterwards the two are independent. */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(parent);
	DEFINE_MTREE(child);
	int a, b;

	for (unsigned long i = 0; i < 1000; i++)
		EXPECT(mtree_store_range(&parent, i * 10, i * 10 + 4, &a, GFP_KERNEL) == 0);
	EXPECT(mtree_dup(&parent, &child, GFP_KERNEL) == 0);
	EXPECT(mtree_dup(&parent, &child, GFP_KERNEL) == -EINVAL); /* no longer empty */

	EXPECT(mtree_store_range(&child, 0, 499, &b, GFP_KERNEL) == 0);
	EXPECT(mtree_load(&child, 100) == &b);
	EXPECT(mtree_load(&parent, 100) == &a);
	EXPECT(mtree_load(&child, 9994) == &a);

	mtree_destroy(&parent);
	mtree_destroy(&child);
	return 0;
}
