/* SPDX-License-Identifier: MIT */
/*
 * The two compromises between exact preallocation, which any other store makes void, and credits:
 *
 *   nodes for any store in a tree of so many levels. Others may store in between; the tree must
 *   not grow higher.
 *
 *   a few nodes, fewer than the largest store needs, then what is free, then the emergency reserve.
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

	/* One level to spare: two would take more than ten times as many ranges. */
	EXPECT(mas_preallocate_height(&mas, mt_height(&mt) + 1, GFP_KERNEL) == 0);
	others(1000);
	mas_set_range(&mas, 120, 99930);
	mas_lock(&mas);
	mas_store_prealloc(&mas, &b); /* cannot fail; the rest of the nodes goes back */
	mas_unlock(&mas);
	EXPECT(mas_allocated(&mas) == 0);
	EXPECT(mtree_load(&mt, 119) == &a && mtree_load(&mt, 120) == &b);
}

static int a_few_and_the_reserve(void)
{
	MA_STATE(mas, &mt, 0, 0);
	int err;

	/* Three nodes do for nearly every store: a leaf, or the split of one and the node above. */
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
	 * Watch this figure: when it rises, the reserve was needed; when it is short, make it
	 * larger.
	 */
	mt_mem_stats(mt_mem_default(), &stats);
	EXPECT(stats.atomic_taken == 0 && stats.reserve_left == stats.reserve_size);

	mtree_destroy(&mt);
	return 0;
}
