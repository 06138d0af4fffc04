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
 *      a node that is not replaced is shared with the view, and so is everything below it;
 *   4. a fresh inner node with the note `twin` has as many children as the node whose place it took, with the same
 *      first keys: in a slot where the two differ a replaced child has a fresh one in its place, and where they do not
 *      all below is shared.
 *
 * Commit publishes the view's root, makes the fresh nodes ordinary ones, and retires the replaced ones. Abort gives
 * the fresh ones back and takes the notes off. Both walk only what the transaction touched. Most inner nodes are
 * twins, and tell where that is by their slots; at others each child has to be looked at.
 *
 * Rejected: a list of replaced nodes through their link words, since those of inner nodes lie over a gap figure, which an
 * abort needs; a transaction number in each node instead of one bit, since it would wrap one day.
 */
#include "mem/pledge.h"
#include "mem/retire.h"
#include "tree/check.h"
#include "tree/credits.h"
#include "tree/edit.h"
#include "tree/store.h"
#include "tree/walk.h"

#include <errno.h>
#include <samara/txn.h>

void mt_txn_begin(struct mt_txn *txn, struct maple_tree *mt)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)(MT_FLAGS_USE_RCU | MT_FLAGS_LOCK_MASK);

	smr_check_write(mt);
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
	mas_init(&txn->mas, &txn->view, 0);
}

/*
 * Brings the cursor to where a store from @first on begins. Stores that have come into the leaf behind the last one's will go
 * on to the one behind that, too.
 */
static void go_to(struct mt_txn *txn, unsigned long first)
{
	struct ma_state *mas = &txn->mas;
	bool placed = mas->node && mas->seq == txn->view.ma_seq;
	unsigned long max = mas->max;
	void *root;

	if (placed && first >= mas->min && first <= max)
		return;
	if (!(placed && smr_walk_near(mas, first)) && !smr_walk(mas, first, &root))
		return;
	if (mas->min == max + 1)
		smr_prefetch_behind(mas);
}

int mt_txn_store_range(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	struct ma_state *mas = &txn->mas;
	int err = 0;

	if (first > last || xa_is_advanced(entry))
		return -EINVAL;
	smr_check_write(txn->mt);
	go_to(txn, first);
	if (smr_unlikely(!smr_edit_amid(mas, first, last, entry))) {
		mas->index = first;
		mas->last = last;
		err = smr_write_entry(mas, entry, gfp, false, NULL, NULL);
		mas_destroy(mas);
	}
	txn->stores += !err;
	return err;
}

int mt_txn_erase(struct mt_txn *txn, unsigned long index, void **entry, gfp_t gfp)
{
	void *former;
	int err = 0;

	txn->mas.index = txn->mas.last = index;
	former = mas_walk(&txn->mas);
	if (former)
		err = mt_txn_store_range(txn, txn->mas.index, txn->mas.last, NULL, gfp);
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

struct ending {
	struct maple_tree *mt, *view;
	bool commit;
	struct smr_nodes dropped;
	void *last; /* of them */
};

/* Makes a fresh node an ordinary one, or gives it back. */
static void end_fresh_node(struct ending *e, void *enode)
{
	if (e->commit)
		smr_node_of(enode)->fresh = 0;
	else
		smr_drop_node(e->view, enode, &e->dropped);
}

/* Drops a replaced node, or takes the note off it. */
static void end_replaced_node(struct ending *e, void *enode)
{
	smr_node_of(enode)->replaced = 0;
	if (!e->commit)
		return;
	if (!e->dropped.head)
		e->last = smr_node_of(enode);
	smr_drop_node(e->mt, enode, &e->dropped);
}

/* Whether a node has been touched says its header: asks for those of all children at once. */
static void prefetch_headers(const void *enode)
{
	for (unsigned int i = 0; i < smr_count(enode); i++)
		__builtin_prefetch(smr_node_of(smr_slots(enode)[i]), 1);
}

/* The fresh nodes from @enode down. */
static void end_fresh(struct ending *e, void *enode)
{
	if (!smr_is_enode(enode) || !smr_node_of(enode)->fresh)
		return;
	if (!smr_enode_leaf(enode)) {
		prefetch_headers(enode);
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_fresh(e, smr_slots(enode)[i]);
	}
	end_fresh_node(e, enode);
}

/* The replaced nodes from @enode down. */
static void end_replaced(struct ending *e, void *enode)
{
	if (!smr_is_enode(enode) || !smr_node_of(enode)->replaced)
		return;
	if (!smr_enode_leaf(enode)) {
		prefetch_headers(enode);
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_replaced(e, smr_slots(enode)[i]);
	}
	end_replaced_node(e, enode);
}

static void prefetch_pair(void *old, void *new)
{
	if (smr_enode_leaf(old)) {
		__builtin_prefetch(smr_node_of(old), 1);
		__builtin_prefetch(smr_node_link(smr_node_of(old)), 1);
		__builtin_prefetch(smr_node_of(new), 1);
	} else {
		smr_prefetch_node(old);
		smr_prefetch_node(new);
	}
}

/*
 * Those from @old down in the tree and from @new, which took its place, in the view. Where the two are twins, slots
 * that differ lead to further pairs, and nothing else below has been touched.
 */
static void end_pair(struct ending *e, void *old, void *new)
{
	void **before, **after;

	if (smr_enode_leaf(new) || !smr_node_of(new)->twin) {
		end_fresh(e, new);
		end_replaced(e, old);
		return;
	}
	before = smr_slots(old);
	after = smr_slots(new);
	for (unsigned int i = 0; i < smr_count(new); i++)
		if (before[i] != after[i])
			prefetch_pair(before[i], after[i]);
	for (unsigned int i = 0; i < smr_count(new); i++)
		if (before[i] != after[i])
			end_pair(e, before[i], after[i]);
	end_fresh_node(e, new);
	end_replaced_node(e, old);
}

static void end_all(struct ending *e)
{
	void *old = e->mt->ma_root, *new = e->view->ma_root;

	if (old == new)
		return;
	if (smr_is_enode(old) && smr_is_enode(new)) {
		end_pair(e, old, new);
	} else {
		end_fresh(e, new);
		end_replaced(e, old);
	}
}

/* Without lock-free readers they are free at once; a pledge that lent some of them must find them. */
static void free_replaced(struct mt_txn *txn, struct ending *e)
{
	struct maple_tree *mt = txn->mt;
	struct mt_mem *mem = smr_mem_of(mt);

	mt->ma_nodes_retired += e->dropped.nr;
	if (e->dropped.nr == 0)
		return;
	if (mt_in_rcu(mt))
		smr_mem_retire_to(mem, (enum mt_rcu_flavor)mt->ma_rcu, &e->dropped, e->last);
	else if (txn->holders)
		smr_pledge_give(mem, &e->dropped);
	else
		smr_mem_give_list(mem, &e->dropped);
}

void mt_txn_commit(struct mt_txn *txn)
{
	struct maple_tree *mt = txn->mt, *view = &txn->view;
	struct ending e = { .mt = mt, .view = view, .commit = true };

	smr_check_write(mt);
	smr_assert(mt->ma_seq == txn->seq);
	/* Before they can be seen: afterwards their headers would be written beside readers. */
	end_all(&e);
	smr_replace_root(mt, view->ma_root, mt_height(view));
	mt->ma_nodes_built += view->ma_nodes_built - view->ma_nodes_retired;
	free_replaced(txn, &e);
	smr_pledge_copy(mt, view);
	smr_credits_commit(txn);
	if (mt->ma_pledge.pledged)
		smr_pledge_settle(mt);
}

void mt_txn_abort(struct mt_txn *txn)
{
	struct maple_tree *view = &txn->view;
	struct ending e = { .mt = txn->mt, .view = view, .commit = false };

	smr_check_write(txn->mt);
	smr_assert(txn->mt->ma_seq == txn->seq);
	end_all(&e);
	smr_pledge_give(smr_mem_of(view), &e.dropped);
	smr_credits_abort(txn);
}
