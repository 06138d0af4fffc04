/* SPDX-License-Identifier: MIT */
/*
 * Move a mapping to and fro. A reader finds it in one place or the other, never in both or neither.
 */
#include "expect.h"
#include <errno.h>
#include <pthread.h>
#include <samara/txn.h>

enum { COUNT = 0x100, HOME = 0x10000, AWAY = 0x70000000, SIZE = 0x8000, MOVES = 2000 };

static struct maple_tree space = MTREE_INIT(space, MT_FLAGS_ALLOC_RANGE);
static int heap, other;
static int done;

/*
 * Moves the mapping or, on an error, does nothing. Each move is counted, in a range of the same
 * tree.
 */
static int move(unsigned long from, unsigned long to, unsigned long nr)
{
	struct mt_txn txn;
	void *entry;
	int err;

	mtree_lock(&space);
	mt_txn_begin(&txn, &space);
	err = mt_txn_erase(&txn, from, &entry, GFP_KERNEL);
	if (!err && mt_txn_load(&txn, to))
		err = -EEXIST;
	if (!err)
		err = mt_txn_store_range(&txn, to, to + SIZE - 1, entry, GFP_KERNEL);
	if (!err)
		err = mt_txn_store_range(&txn, COUNT, COUNT, xa_mk_value(nr), GFP_KERNEL);
	if (err)
		mt_txn_abort(&txn);
	else
		mt_txn_commit(&txn);
	mtree_unlock(&space);
	return err;
}

/* Takes no lock. Look-ups are of one version if the count is the same before and after them. */
static void *look(void *unused)
{
	void *before, *home, *away;

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		before = mtree_load(&space, COUNT);
		home = mtree_load(&space, HOME);
		away = mtree_load(&space, AWAY);
		if (mtree_load(&space, COUNT) == before)
			EXPECT((home == &heap) != (away == &heap));
	}
	return unused;
}

int main(void)
{
	pthread_t reader;

	EXPECT(mtree_store_range(&space, HOME, HOME + SIZE - 1, &heap, GFP_KERNEL) == 0);
	for (unsigned long at = 0x100000; at < 0x2000000;
	     at += 0x10000) /* other mappings between */
		EXPECT(mtree_store_range(&space, at, at + 0x7fff, &other, GFP_KERNEL) == 0);

	/* The new place is taken: the erasure before it is undone as well. */
	EXPECT(move(HOME, 0x100000, 0) == -EEXIST);
	EXPECT(mtree_load(&space, HOME) == &heap);

	mt_set_in_rcu(&space);
	EXPECT(pthread_create(&reader, NULL, look, NULL) == 0);
	for (unsigned long nr = 1; nr <= MOVES; nr += 2) {
		EXPECT(move(HOME, AWAY, nr) == 0);
		EXPECT(move(AWAY, HOME, nr + 1) == 0);
	}
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	EXPECT(pthread_join(reader, NULL) == 0);
	EXPECT(mtree_load(&space, COUNT) == xa_mk_value(MOVES));

	mtree_destroy(&space);
	return 0;
}
