/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: any number of look-ups that all see one version of a tree.
 *
 *	struct maple_tree then;
 *	unsigned long index = 0, sum = 0;
 *
 *	mt_rcu_read_lock(&tree);
 *	mt_snapshot(&then, &tree);
 *	mt_for_each(&then, entry, index, ULONG_MAX)
 *		sum += xa_to_value(entry);
 *	mt_rcu_read_unlock(&tree);
 *
 * A transaction (txn.h) leaves the nodes that it replaces as they were, and a read-side section
 * keeps them. So a reader that starts from the same root each time stays in that version.
 */
#ifndef SAMARA_SNAPSHOT_H
#define SAMARA_SNAPSHOT_H

#include <samara/maple_tree.h>

MT_BEGIN_DECLS

/*
 * Makes @snapshot the tree @mt as it is now. It is read like a tree: by mtree_load(),
 * mtree_load_batch(), mt_find(), mt_find_after(), mt_for_each(), mt_next(), mt_prev(),
 * mtree_empty(), and with cursors by mas_walk(), mas_find*(), mas_next*(), mas_prev*() and
 * mas_for_each*(). No other function takes it; debug builds report writes. Nothing is copied, and
 * there is nothing to destroy.
 *
 * Its look-ups see every transaction that was committed before, and nothing of those committed
 * later. A later store outside of transactions may be seen or not, each by itself. So to see the
 * tree as it was at one moment, let all writers use transactions.
 *
 * A snapshot is valid until the read-side section in which it was made ends or, if it was made
 * under the tree's lock, until the tree changes or the lock is released. It belongs to one thread.
 *
 * CONTEXT: in RCU mode a read-side section of the tree's flavour (mt_rcu_read_lock()), or the
 * tree's lock; in plain mode the lock. Waits for nothing, allocates nothing, cannot fail.
 */
MT_API void mt_snapshot(struct maple_tree *snapshot, const struct maple_tree *mt);

MT_END_DECLS

#endif
