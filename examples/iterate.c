/* SPDX-License-Identifier: MIT */
/* Visit entries: without a cursor, with one, backwards, and with the gaps between. */
#include "expect.h"
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);
	unsigned long index = 0, entries = 0, gaps = 0, keys = 0, before = ULONG_MAX;
	void *entry;

	for (unsigned long i = 1; i <= 100; i++) {
		int err = mtree_store_range(&mt, i * 100, i * 100 + 9, xa_mk_value(i), GFP_KERNEL);

		EXPECT(!err);
	}

	/* No lock is held in the body, which may change the tree. */
	mt_for_each(&mt, entry, index, ULONG_MAX)
		entries++;
	EXPECT(entries == 100);

	/* A cursor also gives the range; the lock is held throughout. */
	entries = 0;
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		EXPECT(mas.index == xa_to_value(entry) * 100);
		keys += mas.last - mas.index + 1;
		entries++;
	}
	EXPECT(entries == 100 && keys == 1000);

	/* From the top down, as far as key 5000. */
	entries = 0;
	mas_set(&mas, ULONG_MAX);
	mas_for_each_rev(&mas, entry, 5000) {
		EXPECT(mas.last < before);
		before = mas.index;
		entries++;
	}
	EXPECT(entries == 51);

	/* Range by range, where NULL is a gap: one below each entry, one at the end. */
	mas_set(&mas, 0);
	for (entry = mas_walk(&mas);; entry = mas_next_range(&mas, ULONG_MAX)) {
		gaps += entry == NULL;
		if (mas.last == ULONG_MAX)
			break;
	}
	EXPECT(gaps == 101);
	mas_unlock(&mas);

	mtree_destroy(&mt);
	return 0;
}
