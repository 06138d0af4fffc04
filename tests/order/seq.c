/* SPDX-License-Identifier: MIT */
/*
 * ORDER seq: a reader that finds that the change counter has advanced sees what the writer did
 * before. It looks up a key whose leaf the writer leaves alone, so that no pointer that it loads
 * is new and orders the two threads instead.
 */
#include "two.h"

#include <samara/maple_tree.h>

#define RANGES 400UL
#define TURNS 300

static struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);
static unsigned long message[TURNS];
static unsigned long before; /* the counter when the threads begin */
static unsigned long seen;   /* relaxed: turns the reader has taken */

static void *change(void *unused)
{
	(void)unused;
	for (unsigned long i = 0; i < TURNS; i++) {
		message[i] = i + 1;
		/*
		 * Another number of ranges each time, so that a leaf is replaced and the counter
		 * advances.
		 */
		if (mtree_store_range(&tree, 10 * (RANGES - 1), 10 * RANGES - 4 - i % 2,
				      xa_mk_value(i), GFP_KERNEL))
			exit(99);
		while (relaxed_load(&seen) <= i)
			;
	}
	return NULL;
}

static void *watch(void *unused)
{
	unsigned long last = before;

	(void)unused;
	for (unsigned long i = 0; i < TURNS; i++) {
		MA_STATE(mas, &tree, 5, 5);

		do {
			mas_reset(&mas);
			mt_rcu_read_lock(&tree);
			mas_walk(&mas);
			mt_rcu_read_unlock(&tree);
		} while (mas.seq == last);
		last = mas.seq;
		if (message[i] != i + 1)
			exit(1);
		relaxed_store(&seen, i + 1);
	}
	return NULL;
}

void order_seq(void)
{
	for (unsigned long i = 0; i < RANGES; i++)
		if (mtree_store_range(&tree, 10 * i, 10 * i + 5, xa_mk_value(i), GFP_KERNEL))
			exit(99);
	before = tree.ma_seq;
	two(change, watch);
	mtree_destroy(&tree);
}
