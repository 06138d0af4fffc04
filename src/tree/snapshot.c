/* SPDX-License-Identifier: MIT */
/*
 * A snapshot is a tree with the root that another had at some moment. It stays as it was because
 *
 *   1. a transaction changes nothing that a reader looks at in nodes that were there before it,
 *      except their marks (txn.c), and replaces the root;
 *   2. any other write leaves a valid tree below every root that leads to the slot that it swaps;
 *   3. the section keeps all nodes below the snapshot's root.
 *
 * A mark only makes readers find their place again from the root. In a snapshot that leads them to
 * where they were, and smri_path_revalidate() spares them most of it.
 */
#include "tree/snapshot.h"

#include "base/rcu.h"
#include "tree/node.h"
#include "tree/write.h"

/* Nobody may write to a snapshot: its lock, which is itself, is never held. */
static bool is_held(void *lock)
{
	(void)lock;
	return false;
}

bool smr_is_snapshot(const struct maple_tree *mt)
{
	return mt->ma_lock_is_held == is_held;
}

void mt_snapshot(struct maple_tree *snapshot, const struct maple_tree *mt)
{
	unsigned int rcu = mt_in_rcu(mt) ? MT_FLAGS_USE_RCU : 0;

	smr_tree_init(snapshot, rcu | MT_FLAGS_LOCK_EXTERN);
	snapshot->ma_external_lock = snapshot;
	snapshot->ma_lock_is_held = is_held;
	snapshot->ma_rcu = mt->ma_rcu;
	smr_rcu_meet();
	snapshot->ma_root = smr_root(mt);
}
