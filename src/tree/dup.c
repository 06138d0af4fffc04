/* SPDX-License-Identifier: MIT */
/* Duplicating a tree node by node. */
#include "lock/check.h"
#include "mem/refill.h"
#include "tree/check.h"
#include "mem/pledge.h"
#include "tree/pledge.h"

#include <errno.h>
#include <string.h>

static void *copy_nodes(struct maple_tree *dst, const void *enode, struct smr_nodes *nodes)
{
	struct smr_node *node = smr_nodes_pop(nodes);
	void *copy = smr_enode_make(node, smr_enode_kind(enode));
	void **slots = smr_slots(copy);

	memcpy(node, smr_node_of(enode), MT_NODE_SIZE);
	if (!smr_enode_leaf(enode))
		node->mark = SMR_UNMARKED;
	node->txn = 0;
	smr_count_node(dst, copy, 1);
	if (!smr_enode_leaf(enode))
		for (unsigned int i = 0; i < smr_count(enode); i++)
			slots[i] = copy_nodes(dst, slots[i], nodes);
	return copy;
}

static int obtain_nodes(struct maple_tree *dst, struct smr_nodes *nodes, unsigned long nr,
			gfp_t gfp)
{
	if (nr && gfpflags_allow_blocking(gfp))
		smr_check_alloc("nodes");
	return smr_mem_obtain(smr_mem_of(dst), nodes, nr, gfp);
}

static void drop_copy(struct maple_tree *dst, void *root)
{
	struct smr_nodes dropped = { NULL, 0 };

	smr_drop_subtree(dst, root, &dropped);
	smr_mem_give_list(smr_mem_of(dst), &dropped);
}

/* Pledges the nodes that holders of credits on @dst need on top of the copy under @root. */
static int pay_pledge(struct maple_tree *dst, void *root, unsigned int height, gfp_t gfp)
{
	unsigned long more = smr_pledge_missing(dst, root, height);
	struct smr_nodes nodes = { NULL, 0 };
	int err = obtain_nodes(dst, &nodes, more, gfp);

	if (!err && more)
		smr_pledge_add(smr_mem_of(dst), &nodes, more);
	dst->ma_pledge.pledged += err ? 0 : more;
	return err;
}

static int copy_tree(struct maple_tree *mt, struct maple_tree *dst, void **root, gfp_t gfp)
{
	struct smr_nodes nodes = { NULL, 0 };
	unsigned long nr = mt->ma_pledge.leaves + mt->ma_pledge.inner;
	int err = obtain_nodes(dst, &nodes, nr, gfp);

	if (err)
		return err;
	*root = copy_nodes(dst, *root, &nodes);
	if (smr_has_credits(dst))
		err = pay_pledge(dst, *root, mt_height(mt), gfp);
	if (err)
		drop_copy(dst, *root);
	else
		dst->ma_nodes_built += nr;
	return err;
}

int __mt_dup(struct maple_tree *mt, struct maple_tree *dst, gfp_t gfp)
{
	unsigned int height = MT_FLAGS_HEIGHT_MASK;
	void *root = mt->ma_root;
	int err = 0;

	if (dst->ma_root || (mt->ma_flags & ~height) != (dst->ma_flags & ~height))
		return -EINVAL;
	smr_check_write(dst);
	smr_assert(!smr_txn_is_open(mt) && !smr_txn_is_open(dst));
	if (smr_is_enode(root))
		err = copy_tree(mt, dst, &root, gfp);
	if (err)
		return err;
	/* ORDER publish: the copy is complete. PARTNER node.h, smr_root(). */
	smr_store(&dst->ma_flags, mt->ma_flags, RELAXED);
	smr_store(&dst->ma_root, root, ORDER(publish, release));
	if (smr_has_credits(dst))
		smr_pledge_release_surplus(dst);
	return 0;
}

int mtree_dup(struct maple_tree *mt, struct maple_tree *dst, gfp_t gfp)
{
	int err;

	smr_assert(!mt_external_lock(mt));
	smr_lock_internal(dst);
	mtree_lock_nested(mt, 1);
	err = __mt_dup(mt, dst, gfp);
	mtree_unlock(mt);
	mtree_unlock(dst);
	return err;
}
