/* SPDX-License-Identifier: MIT */
/*
 * Transactions.
 *
 * The view is a struct maple_tree of its own that begins with the tree's root. All of the writing code works on it
 * unchanged but for two questions, which it asks when the tree it works on is a view (ma_txn):
 *
 *   May this node be changed in place?      If it is fresh, that is, made by this transaction.
 *   May this slot be swapped?               If it is in a fresh node, or is the view's own root.
 *
 * The first store to a leaf therefore copies it and its ancestors up to the root, or up to the first fresh one; later
 * stores find the leaf fresh and edit it. Nodes of the tree that are replaced in the view stay as they are, for
 * readers and for an abort, and are only noted (`replaced`, a byte that readers never look at).
 *
 * Invariants, between begin and the end:
 *   1. no node of the tree has changed in anything a reader looks at;
 *   2. every ancestor of a fresh node in the view is fresh, so fresh nodes can be found from the view's root;
 *   3. every ancestor of a replaced node in the tree is replaced, so replaced nodes can be found from the tree's root:
 *      a node that is not replaced is shared with the view, and so is everything below it.
 *
 * Commit publishes the view's root, makes the fresh nodes ordinary ones, and retires the replaced ones. Abort gives
 * the fresh ones back and takes the notes off. Both walk only what the transaction touched.
 *
 * Rejected: a list of replaced nodes through their link words, since those of inner nodes lie over a gap figure, which an
 * abort needs; a transaction number in each node instead of one bit, since it would wrap one day.
 */
#include "mem/pledge.h"
#include "tree/credits.h"
#include "tree/store.h"

#include <errno.h>
#include <samara/txn.h>

void mt_txn_begin(struct mt_txn *txn, struct maple_tree *mt)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)(MT_FLAGS_USE_RCU | MT_FLAGS_LOCK_MASK);

	smr_assert(mt_lock_is_held(mt));
	txn->mt = mt;
	txn->seq = mt->ma_seq;
	txn->stores = 0;
	txn->holders = NULL;
	/* The lock of the view is nobody's, and so is never dropped. */
	mt_init_flags(&txn->view, flags | MT_FLAGS_LOCK_EXTERN);
	txn->view.ma_root = mt->ma_root;
	txn->view.ma_mem = mt->ma_mem;
	txn->view.ma_txn = 1;
	txn->view.ma_pledge = mt->ma_pledge;
}

int mt_txn_store_range(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	struct ma_state mas;
	int err;

	if (first > last || xa_is_advanced(entry))
		return -EINVAL;
	mas_init(&mas, &txn->view, first);
	mas.last = last;
	err = smr_write_entry(&mas, entry, gfp, false, NULL, NULL);
	mas_destroy(&mas);
	txn->stores += !err;
	return err;
}

int mt_txn_erase(struct mt_txn *txn, unsigned long index, void **entry, gfp_t gfp)
{
	MA_STATE(mas, &txn->view, index, index);
	void *former = mas_walk(&mas);
	int err = 0;

	if (former)
		err = mt_txn_store_range(txn, mas.index, mas.last, NULL, gfp);
	if (!err && entry)
		*entry = former;
	return err;
}

void *mt_txn_load(struct mt_txn *txn, unsigned long index)
{
	return mtree_load(&txn->view, index);
}

void *mt_txn_find(struct mt_txn *txn, unsigned long *index, unsigned long max)
{
	return mt_find(&txn->view, index, max);
}

/* ---- The end ---- */

/* Makes the fresh nodes below @enode ordinary ones; (with @dropped) gives them back instead. */
static void end_fresh(struct maple_tree *view, void *enode, struct smr_nodes *dropped)
{
	struct smr_node *node = smr_node_of(enode);

	if (!smr_is_enode(enode) || !node->fresh)
		return;
	if (!smr_enode_leaf(enode))
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_fresh(view, smr_slots(enode)[i], dropped);
	if (dropped)
		smr_drop_node(view, enode, dropped);
	else
		node->fresh = 0;
}

/* Takes the note off the replaced nodes below @enode; (with @dropped) drops them. */
static void end_replaced(struct maple_tree *mt, void *enode, struct smr_nodes *dropped)
{
	struct smr_node *node = smr_node_of(enode);

	if (!smr_is_enode(enode) || !node->replaced)
		return;
	if (!smr_enode_leaf(enode))
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_replaced(mt, smr_slots(enode)[i], dropped);
	node->replaced = 0;
	if (dropped)
		smr_drop_node(mt, enode, dropped);
}

void mt_txn_commit(struct mt_txn *txn)
{
	struct maple_tree *mt = txn->mt, *view = &txn->view;
	struct smr_nodes dropped = { NULL, 0 };

	smr_assert(mt->ma_seq == txn->seq);
	/* Before they can be seen: afterwards their headers would be written beside readers. */
	end_fresh(view, view->ma_root, NULL);
	end_replaced(mt, mt->ma_root, &dropped);
	smr_replace_root(mt, view->ma_root, mt_height(view));
	mt->ma_nodes_built += view->ma_nodes_built - view->ma_nodes_retired;
	/* Without lock-free readers they are free at once; a pledge that lent some of them must find them. */
	if (txn->holders && !mt_in_rcu(mt)) {
		mt->ma_nodes_retired += dropped.nr;
		smr_pledge_give(smr_mem_of(mt), &dropped);
	} else {
		smr_dispose(mt, NULL, &dropped);
	}
	smr_pledge_copy(mt, view);
	smr_credits_commit(txn);
	if (mt->ma_pledge.pledged)
		smr_pledge_settle(mt);
}

void mt_txn_abort(struct mt_txn *txn)
{
	struct maple_tree *view = &txn->view;
	struct smr_nodes dropped = { NULL, 0 };

	smr_assert(txn->mt->ma_seq == txn->seq);
	end_replaced(txn->mt, txn->mt->ma_root, NULL);
	end_fresh(view, view->ma_root, &dropped);
	smr_pledge_give(smr_mem_of(view), &dropped);
	smr_credits_abort(txn);
}
