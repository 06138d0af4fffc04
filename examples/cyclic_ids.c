/* SPDX-License-Identifier: MIT */
/* Identifiers that are not reused before all others have had their turn, such as process ids. */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

int main(void)
{
	struct maple_tree ids = MTREE_INIT(ids, MT_FLAGS_ALLOC_RANGE);
	unsigned long id, next = 0;
	int owner;

	for (unsigned long i = 1; i <= 3; i++) {
		EXPECT(mtree_alloc_cyclic(&ids, &id, &owner, 1, 4, &next, GFP_KERNEL) == 0);
		EXPECT(id == i);
	}
	/* 2 is free again, but 4 comes first; only then does the search wrap, and say so. */
	EXPECT(mtree_erase(&ids, 2) == &owner);
	EXPECT(mtree_alloc_cyclic(&ids, &id, &owner, 1, 4, &next, GFP_KERNEL) == 0);
	EXPECT(id == 4);
	EXPECT(mtree_alloc_cyclic(&ids, &id, &owner, 1, 4, &next, GFP_KERNEL) == 1);
	EXPECT(id == 2);
	EXPECT(mtree_alloc_cyclic(&ids, &id, &owner, 1, 4, &next, GFP_KERNEL) == -EBUSY);

	mtree_destroy(&ids);
	return 0;
}
