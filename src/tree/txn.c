/* SPDX-License-Identifier: MIT */
/*
 * Transactions.
 *
 * The view is a struct maple_tree of its own that begins with the tree's root. All of the writing
 * code works on it unchanged. Only when the tree is a view (ma_txn) does it ask two more questions:
 *
 *   May this node be changed in place?      If it is fresh, that is, made by this transaction.
 *   May this slot be swapped?               If it is in a fresh node, or is the view's own root.
 *
 * So the first store to a leaf copies it and its ancestors, up to the root or to the first fresh
 * one; later stores find the leaf fresh and edit it. Nodes of the tree that are replaced in the
 * view stay as they are, for readers and for an abort, and are only noted.
 *
 * A fresh node is known by the transaction's number in it, so that a commit need not touch it
 * again. Numbers count the transactions of a tree; before they start over, once in 2^32
 * transactions, they are cleared in all nodes of the tree.
 *
 * Replaced leaves are linked by their last words (mem/nodes.h), which no reader looks at. In inner
 * nodes that word is part of a gap figure, so replaced inner nodes are marked, in a byte that
 * readers never look at either.
 *
 * Invariants, between begin and the end:
 *   1. no node of the tree has changed in anything a reader looks at;
 *   2. every ancestor of a fresh node in the view is fresh, so fresh nodes can be found from the
 *      view's root;
 *   3. every ancestor of a replaced node in the tree is replaced, so replaced inner nodes can be
 *      found from the tree's root: a node that is not replaced is shared with the view, and so is
 *      everything below it;
 *   4. a fresh inner node marked as a twin has as many children as the node whose place it took,
 *      with the same first keys: in a slot where the two differ, a fresh child has replaced the old
 *      one; where they do not, everything below is shared.
 *
 * Commit marks the replaced nodes dead, publishes the view's root, and retires them. Abort gives
 * back the fresh ones and removes the marks. Both walk only what the transaction touched: most
 * inner nodes are twins, whose slots tell where that is; of the others each child has to be looked
 * at. In a leaf (most nodes are leaves) a commit accesses only two lines: the one with the mark
 * that readers look at, and the one with the link.
 *
 * Once a holder of credits has paid for a store, an abort owes the pledge the nodes that it gave,
 * and any store may replace those. So no node of such a transaction becomes free before its end:
 * nodes that stores on credits replace go back to the pledge, and nodes that other stores replace
 * stay with the transaction's cursor, for the next of these stores.
 *
 * Rejected: marking leaves dead when they are replaced, which would save one of these lines, but
 * readers in them would look up their place again at each step until the commit; a bit for fresh
 * nodes in place of the number, since it would have to be cleared in each of them.
 */
#include "mem/retire.h"
#include "tree/check.h"
#include "tree/credits.h"
#include "tree/store.h"
#include "tree/walk.h"

#include <errno.h>
#include <samara/txn.h>

/* Removes the transaction's number from @enode and all nodes below it. */
static void forget_numbers(void *enode)
{
	if (!smr_is_enode(enode))
		return;
	if (!smr_enode_leaf(enode))
		for (unsigned int i = 0; i < smr_count(enode); i++)
			forget_numbers(smr_slots(enode)[i]);
	smr_node_of(enode)->txn = 0;
}

/*
 * Returns a number that no node of the tree has. When numbers start over, once in 2^32 times, this
 * takes the old ones out of all nodes.
 */
static unsigned int next_number(struct maple_tree *mt)
{
	if (++mt->ma_txns == 0) {
		forget_numbers(mt->ma_root);
		mt->ma_txns = 1;
	}
	return mt->ma_txns;
}

void mt_txn_begin(struct mt_txn *txn, struct maple_tree *mt)
{
	unsigned int flags = mt->ma_flags & ~(unsigned int)(MT_FLAGS_USE_RCU | MT_FLAGS_LOCK_MASK);

	smr_check_write(mt);
	smr_assert(!smr_txn_is_open(mt));
	txn->mt = mt;
	txn->stores = 0;
	txn->holders = NULL;
	txn->leaves = txn->leaves_last = NULL;
	txn->leaves_nr = 0;
	/* The view's lock belongs to nobody, and so is never dropped. */
	smr_tree_init(&txn->view, flags | MT_FLAGS_LOCK_EXTERN);
	txn->view.ma_root = mt->ma_root;
	txn->view.ma_mem = mt->ma_mem;
	txn->view.ma_newest = mt->ma_newest;
	txn->view.ma_txn = next_number(mt);
	txn->view.ma_pledge = mt->ma_pledge;
	mt->ma_pledge.open = 1;
	mas_init(&txn->mas, &txn->view, 0);
}

/*
 * Most stores are edits of the transaction's own leaves, one leaf after the other: if this store is
 * in the leaf after that of the store before, the next ones will probably go on to the leaf after.
 */
static bool edit(struct ma_state *mas, unsigned long first, unsigned long last, void *entry)
{
	unsigned long max = mas->max;

	if (!smr_walk_to(mas, first))
		return false;
	if (mas->min == max + 1)
		smr_prefetch_next_leaf(mas);
	return smr_edit_in_place(mas, first, last, entry);
}

int mt_txn_store_range(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	struct ma_state *mas = &txn->mas;
	int err = 0;

	if (first > last || xa_is_advanced(entry))
		return -EINVAL;
	smr_check_write(txn->mt);
	if (smr_unlikely(!edit(mas, first, last, entry))) {
		smr_store_prepare(txn->mt, gfp); /* the commit retires, and allocates nothing */
		mas->index = first;
		mas->last = last;
		err = smr_write_entry(mas, entry, gfp, false, NULL);
		if (!txn->holders) /* else the cursor keeps the nodes that it owns */
			mas_destroy(mas);
	}
	txn->stores += !err;
	return err;
}

void *mt_txn_walk(struct mt_txn *txn, unsigned long *index, unsigned long *last)
{
	struct ma_state *mas = &txn->mas;
	void *entry;

	mas->index = mas->last = *index;
	entry = mas_walk(mas);
	*index = mas->index;
	*last = mas->last;
	return entry;
}

int mt_txn_erase(struct mt_txn *txn, unsigned long index, void **entry, gfp_t gfp)
{
	unsigned long first = index, last;
	void *former = mt_txn_walk(txn, &first, &last);
	int err = 0;

	if (former)
		err = mt_txn_store_range(txn, first, last, NULL, gfp);
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

/* ---- Nodes that are replaced ---- */

void smr_txn_note_replaced(struct maple_tree *view, void *enode)
{
	struct mt_txn *txn = container_of(view, struct mt_txn, view);
	struct maple_tree *mt = txn->mt;
	struct smr_node *node = smr_node_of(enode);

	if (!smr_enode_leaf(enode)) {
		node->mark = SMR_REPLACED;
		return;
	}
	if (mt_in_rcu(mt))
		smr_mem_note(smr_mem_of(mt), mt->ma_rcu, txn->leaves_nr, node);
	if (txn->leaves_nr++ == 0)
		txn->leaves = node;
	else
		*smr_node_link(txn->leaves_last) = node;
	txn->leaves_last = node;
}

/* How many leaves ahead of the one being marked a leaf is prefetched. */
#define MARK_AHEAD 16

/*
 * For a commit: marks the replaced leaves dead. Out of RCU mode there are no readers without the
 * lock, so nothing needs to be marked.
 */
static void mark_leaves(const struct mt_txn *txn)
{
	struct maple_tree *mt = txn->mt;
	struct smr_node *node = txn->leaves;
	unsigned long nr = mt_in_rcu(mt) ? txn->leaves_nr : 0;

	for (unsigned long i = 0; i < nr; i++) {
		smr_mem_prefetch_noted(smr_mem_of(mt), mt->ma_rcu, i + MARK_AHEAD);
		smr_mark_dead(node);
		if (i + 1 < nr)
			node = *smr_node_link(node);
	}
}

/* ---- The end ---- */

struct ending {
	struct maple_tree *mt, *view;
	bool commit;
	unsigned int lowest;      /* level whose nodes end one by one: at a commit leaves do not */
	struct smr_nodes dropped; /* not including the replaced leaves */
};

/* Removes the mark of a replaced inner node, and at a commit drops the node. */
static void end_replaced_node(struct ending *e, void *enode)
{
	struct smr_node *node = smr_node_of(enode);

	node->mark = SMR_UNMARKED;
	if (e->commit)
		smr_drop_node(e->mt, enode, &e->dropped);
}

/* Prefetches the headers of all children, which tell whether the transaction touched them. */
static void prefetch_headers(const void *enode)
{
	for (unsigned int i = 0; i < smr_count(enode); i++)
		__builtin_prefetch(smr_node_of(smr_slots(enode)[i]), 1);
}

/* For an abort: gives back @enode and the nodes below it, as far as they are fresh. */
static void end_fresh(struct ending *e, void *enode)
{
	if (e->commit || !smr_is_enode(enode) || !smr_editable(e->view, enode))
		return;
	if (!smr_enode_leaf(enode)) {
		prefetch_headers(enode);
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_fresh(e, smr_slots(enode)[i]);
	}
	smr_drop_node(e->view, enode, &e->dropped);
}

/* Ends the replaced inner nodes from @enode, of level @l, down. */
static void end_replaced(struct ending *e, void *enode, unsigned int l)
{
	if (l == 0 || smr_node_of(enode)->mark != SMR_REPLACED)
		return;
	if (l > 1) {
		prefetch_headers(enode);
		for (unsigned int i = 0; i < smr_count(enode); i++)
			end_replaced(e, smr_slots(enode)[i], l - 1);
	}
	end_replaced_node(e, enode);
}

/* Prefetches what end_pair() looks at. */
static void prefetch_pair(const struct ending *e, void *old, void *new, unsigned int l)
{
	struct smr_node *ends = smr_node_of(e->commit ? old : new);

	if (l > e->lowest) {
		smr_prefetch_node(old);
		smr_prefetch_node(new);
	} else {
		__builtin_prefetch(ends, 1);
		__builtin_prefetch(smr_node_link(ends), 1);
	}
}

smr_inline bool is_twin(const void *new)
{
	return !smr_enode_leaf(new) && smr_node_of(new)->mark == SMR_TWIN;
}

/*
 * Ends the replaced nodes from @old, of level @l, down in the tree, and the fresh ones from @new,
 * which took its place in the view. If the two are twins, slots that differ lead to further pairs,
 * and nothing else below has been touched.
 */
static void end_pair(struct ending *e, void *old, void *new, unsigned int l)
{
	void **before = smr_slots(old), **after = smr_slots(new);

	if (l <= e->lowest || !is_twin(new)) {
		end_fresh(e, new);
		end_replaced(e, old, l);
		return;
	}
	for (unsigned int i = 0; i < smr_count(new); i++)
		if (before[i] != after[i])
			prefetch_pair(e, before[i], after[i], l - 1);
	for (unsigned int i = 0; i < smr_count(new); i++)
		if (before[i] != after[i])
			end_pair(e, before[i], after[i], l - 1);
	if (!e->commit)
		smr_drop_node(e->view, new, &e->dropped);
	end_replaced_node(e, old);
}

static void end_all(struct ending *e)
{
	void *old = e->mt->ma_root, *new = e->view->ma_root;

	e->lowest = e->commit ? 1 : 0;
	if (old == new)
		return;
	if (smr_is_enode(old) && smr_is_enode(new)) {
		end_pair(e, old, new, mt_height(e->mt) - 1);
	} else {
		end_fresh(e, new);
		if (smr_is_enode(old))
			end_replaced(e, old, mt_height(e->mt) - 1);
	}
}

/*
 * Retires the replaced nodes. Without lock-free readers it makes them free at once, unless a pledge
 * has lent some of them: then it leaves them all in @inner.
 */
static void free_replaced(struct mt_txn *txn, struct smr_nodes *inner)
{
	struct maple_tree *mt = txn->mt;
	struct mt_mem *mem = smr_mem_of(mt);
	enum mt_rcu_flavor flavor = mt->ma_rcu;
	struct smr_nodes leaves = { txn->leaves, txn->leaves_nr };

	mt->ma_nodes_retired += leaves.nr + inner->nr;
	if (mt_in_rcu(mt)) {
		if (leaves.nr > 0)
			smr_mem_retire_noted(mem, flavor, &leaves, txn->leaves_last);
		smr_mem_retire(mem, flavor, inner);
	} else if (txn->holders) {
		smr_nodes_move(inner, &leaves);
	} else {
		smr_mem_give_list(mem, &leaves);
		smr_mem_give_list(mem, inner);
	}
}

/* Moves the nodes that the cursor has kept for an abort to @list. */
static void take_kept(struct mt_txn *txn, struct smr_nodes *list)
{
	struct smr_nodes kept = smr_own_nodes(&txn->mas);

	smr_nodes_move(list, &kept);
	smr_set_own_nodes(&txn->mas, &kept);
}

void mt_txn_commit(struct mt_txn *txn)
{
	struct maple_tree *mt = txn->mt, *view = &txn->view;
	struct ending e = { .mt = mt, .view = view, .commit = true };
	bool nodes = smr_is_enode(mt->ma_root);

	smr_check_write(mt);
	smr_assert(smr_txn_is_open(mt));
	mark_leaves(txn);
	end_all(&e);
	smr_replace_root(mt, view->ma_root, mt_height(view));
	mt->ma_nodes_built += view->ma_nodes_built - view->ma_nodes_retired;
	mt->ma_newest = view->ma_newest;
	free_replaced(txn, &e.dropped);
	smr_pledge_copy(mt, view);
	mt->ma_pledge.open = 0;
	take_kept(txn, &e.dropped);
	smr_credits_commit(txn, &e.dropped);
	if (mt->ma_pledge.pledged)
		smr_pledge_release_surplus(mt);
	/* When the view lost its nodes, they were still the tree's. */
	if (nodes && !smr_is_enode(mt->ma_root))
		smr_mem_flush_emptied(smr_mem_of(mt));
}

void mt_txn_abort(struct mt_txn *txn)
{
	struct maple_tree *view = &txn->view;
	struct ending e = { .mt = txn->mt, .view = view, .commit = false };

	smr_check_write(txn->mt);
	smr_assert(smr_txn_is_open(txn->mt));
	end_all(&e);
	txn->mt->ma_pledge.open = 0;
	take_kept(txn, &e.dropped);
	smr_credits_abort(txn, &e.dropped);
}
