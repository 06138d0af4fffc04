/* SPDX-License-Identifier: MIT */
/*
 * Two compromises between exact preallocation, which any other store invalidates, and credits:
 *
 *   Nodes for any store in a tree of a given height. Other stores may come in between, but the tree
 *   must not grow higher.
 *
 *   A few nodes, fewer than the largest store needs; then free nodes, then the emergency reserve.
 *   Nearly always enough; if not, -ENOMEM, with nothing changed and the cursor's nodes given back.
 */
#include "expect.h"
#include <errno.h>
#include <samara/maple_tree.h>

static struct maple_tree mt = MTREE_INIT(mt, 0);
static int a, b;

static void others(unsigned long from)
{
	for (unsigned long i = from; i < from + 500; i++)
		EXPECT(mtree_store_range(&mt, i * 100, i * 100 + 49, &a, GFP_KERNEL) == 0);
}

static void by_height(void)
{
	MA_STATE(mas, &mt, 0, 0);

	/* One spare level: the tree needs two only with over ten times as many ranges. */
	EXPECT(mas_preallocate_height(&mas, mt_height(&mt) + 1, GFP_KERNEL) == 0);
	others(1000);
	mas_set_range(&mas, 120, 99930);
	mas_lock(&mas);
	mas_store_prealloc(&mas, &b); /* cannot fail; the unused nodes go back */
	mas_unlock(&mas);
	EXPECT(mas_allocated(&mas) == 0);
	EXPECT(mtree_load(&mt, 119) == &a && mtree_load(&mt, 120) == &b);
}

static int a_few_and_the_reserve(void)
{
	MA_STATE(mas, &mt, 0, 0);
	int err;

	/* Three nodes do for nearly every store: a leaf, or a split leaf and the node above it. */
	EXPECT(mas_preallocate_height(&mas, 1, GFP_KERNEL) == 0);
	EXPECT(mas_allocated(&mas) >= 3);
	others(2000);
	mas_set_range(&mas, 150020, 150029);
	mas_lock(&mas);
	err = mas_store_gfp(&mas, &b, GFP_ATOMIC); /* its own, then free ones, then the reserve */
	mas_unlock(&mas);
	return err;
}

int main(void)
{
	struct mt_mem_stats stats;

	others(0);
	by_height();
	EXPECT(a_few_and_the_reserve() == 0);
	EXPECT(mtree_load(&mt, 150025) == &b);

	/*
	 * Watch these figures: if atomic_taken rises, the reserve was needed; if reserve_left is
	 * low, make the reserve larger.
	 */
	mt_mem_stats(mt_mem_default(), &stats);
	EXPECT(stats.atomic_taken == 0 && stats.reserve_left == stats.reserve_size);

	mtree_destroy(&mt);
	return 0;
}
