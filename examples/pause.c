/* SPDX-License-Identifier: MIT */
/* A long iteration that gives up the lock from time to time. */
#include "expect.h"
#include <samara/maple_tree.h>

int main(void)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);
	unsigned long seen = 0;
	void *entry;

	for (unsigned long i = 0; i < 1000; i++)
		EXPECT(mtree_store(&mt, i, xa_mk_value(i), GFP_KERNEL) == 0);

	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		EXPECT(xa_to_value(entry) >= seen);
		seen++;
		if (seen % 100 == 0) {
			mas_pause(&mas); /* before unlocking, never after */
			mas_unlock(&mas);
			/* Entries behind the cursor may vanish, and so may those ahead. */
			EXPECT(mtree_erase(&mt, xa_to_value(entry)) == entry);
			mas_lock(&mas);
		}
	}
	mas_unlock(&mas);
	EXPECT(seen == 1000);
	EXPECT(mtree_load(&mt, 99) == NULL);

	mtree_destroy(&mt);
	return 0;
}
