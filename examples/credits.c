/* SPDX-License-Identifier: MIT */
/*
 * Credits: reserve where sleeping is fine, then store, at any place in the tree, where nothing may
 * fail.
 */
#include "expect.h"
#include <samara/credits.h>

int main(void)
{
	struct mt_credits credits;
	DEFINE_MTREE(mt);
	int a, b;

	mt_credits_init(&credits, &mt, MT_CREDITS_RECYCLING);
	EXPECT(mt_credits_reserve(&credits, 3, GFP_KERNEL) == 0); /* may sleep or fail */

	/* Other stores may do anything to the tree: the reservation still suffices. */
	for (unsigned long i = 0; i < 10000; i++)
		EXPECT(mtree_store_range(&mt, i * 100, i * 100 + 49, &a, GFP_KERNEL) == 0);

	/* One store of any range, all in one call ... */
	EXPECT(mtree_store_range_credit(&credits, 25, 424, &b) == 0);

	/* ... or several, under one hold of the lock. */
	mt_credits_begin(&credits, 2);
	mtree_lock(&mt);
	for (unsigned long at = 1000; at <= 2000; at += 1000) {
		MA_STATE(mas, &mt, at + 10, at + 20);

		EXPECT(mas_store_credit(&mas, NULL, &credits) == 0);
	}
	mtree_unlock(&mt);

	EXPECT(mt_credits_left(&credits) == 0);
	EXPECT(mtree_load(&mt, 24) == &a && mtree_load(&mt, 25) == &b &&
	       mtree_load(&mt, 425) == &a);
	EXPECT(mtree_load(&mt, 1009) == &a && !mtree_load(&mt, 1010) &&
	       mtree_load(&mt, 1021) == &a);

	mt_credits_release(&credits); /* nothing left, but it never hurts */
	mtree_destroy(&mt);
	return 0;
}
