/* SPDX-License-Identifier: MIT */
/*
 * Removing nodes from the tree. They are marked dead, so that readers standing on them look up
 * their place again, and retired; if there are no lock-free readers, they are freed at once.
 *
 * A transaction's view is not the tree yet. Nodes that the transaction has made itself are given
 * back at once when it replaces them; those of the tree are only noted as replaced, because readers
 * go on in them, and the transaction may be aborted. txn.c collects them at the commit.
 */
#include "mem/retire.h"
#include "tree/pledge.h"

void smr_drop_node(struct maple_tree *mt, void *enode, struct smr_nodes *dropped)
{
	struct smr_node *node = smr_node_of(enode);

	smr_count_node(mt, enode, -1);
	if (smr_unlikely(mt->ma_txn) && !smr_editable(mt, enode)) {
		smr_txn_note_replaced(mt, enode);
		return;
	}
	smr_mark_dead(node);
	smr_nodes_push(dropped, node);
}

void smr_drop_subtree(struct maple_tree *mt, void *enode, struct smr_nodes *dropped)
{
	if (!smr_enode_leaf(enode)) {
		void **slots = smr_slots(enode);

		for (unsigned int i = 0; i < smr_count(enode); i++)
			smr_drop_subtree(mt, slots[i], dropped);
	}
	smr_drop_node(mt, enode, dropped);
}

/*
 * Drops the children of @enode in the window of the level below: from where the plan's left path
 * goes on to where its right path does. A neighbour's children are not among them.
 */
static void drop_children(const struct smr_write *w, void *enode, unsigned int l,
			  struct smr_nodes *dropped)
{
	unsigned int d = w->mas->depth - l, i = 0, end = smr_count(enode) - 1;

	if (l <= w->top) { /* otherwise all of them: the top becomes the root */
		if (enode == w->level[l].neighbour)
			return;
		if (enode == w->left.node[d])
			i = w->left.slot[d];
		if (enode == w->right.node[d])
			end = w->right.slot[d];
	}
	for (; i <= end; i++)
		smr_drop_window(w, smr_slots(enode)[i], l - 1, dropped);
}

void smr_drop_window(const struct smr_write *w, void *enode, unsigned int l,
		     struct smr_nodes *dropped)
{
	if (l > 0)
		drop_children(w, enode, l, dropped);
	smr_drop_node(w->mt, enode, dropped);
}

void smr_cursor_add_nodes(struct ma_state *mas, struct smr_nodes *list)
{
	struct smr_nodes own = smr_own_nodes(mas);

	smr_nodes_move(&own, list);
	smr_set_own_nodes(mas, &own);
}

void smr_free_dropped(struct maple_tree *mt, struct ma_state *mas, struct smr_nodes *dropped)
{
	struct mt_mem *mem = smr_mem_of(mt);
	bool readers = mt_in_rcu(mt); /* not for a view: txn.c clears its flag */
	unsigned int keeps = mas ? mas->mas_flags : 0;

	mt->ma_nodes_retired += dropped->nr;
	if (smr_unlikely(keeps & (readers ? SMR_MAS_CREDIT : SMR_MAS_CREDIT | SMR_MAS_BULK)))
		smr_cursor_add_nodes(mas, dropped);
	else if (readers)
		smr_mem_retire(mem, mt->ma_rcu, dropped);
	else
		smr_mem_give_list(mem, dropped);
}

/* Publishes @root, an entry or NULL, in place of all nodes of @mt, and returns those, dropped. */
static struct smr_nodes detach(struct maple_tree *mt, void *root)
{
	struct smr_nodes dropped = { NULL, 0 };

	if (smr_is_enode(mt->ma_root))
		smr_drop_subtree(mt, mt->ma_root, &dropped);
	smr_replace_root(mt, root, 0);
	return dropped;
}

void smr_replace_tree(struct maple_tree *mt, struct ma_state *mas, void *root)
{
	bool nodes = smr_is_enode(mt->ma_root);
	struct smr_nodes dropped = detach(mt, root);

	if (!nodes)
		return;
	smr_free_dropped(mt, mas, &dropped);
	smr_mem_flush_emptied(smr_mem_of(mt));
}

void smr_destroy_tree(struct maple_tree *mt)
{
	bool nodes = smr_is_enode(mt->ma_root);
	struct smr_nodes dropped = detach(mt, NULL);

	if (smr_has_credits(mt))
		smr_pledge_emptied(mt, &dropped);
	else
		smr_free_dropped(mt, NULL, &dropped);
	if (nodes)
		smr_mem_flush_emptied(smr_mem_of(mt));
}
