/* SPDX-License-Identifier: MIT */
/* Initialising and destroying trees and cursors, and the modes of trees. */
#include "base/rcu.h"
#include "mem/refill.h"
#include "tree/check.h"
#include "tree/pledge.h"

#include <errno.h>
#include <string.h>

void maple_tree_init(void)
{
	/* If that fails, the first store that may block tries again. */
	(void)smr_mem_fill(mt_mem_default(), 1);
}

void smr_tree_init(struct maple_tree *mt, unsigned int flags)
{
	mt->ma_root = NULL;
	mt->ma_flags = flags;
	mt->ma_rcu = MT_RCU_BP;
	mt->ma_mem = NULL;
	mt->ma_lock_is_held = NULL;
	mt->ma_seq = 0;
	mt->ma_nodes_built = 0;
	mt->ma_newest = 0;
	mt->ma_nodes_retired = 0;
	mt->ma_txn = 0;
	mt->ma_txns = 0;
	memset(&mt->ma_pledge, 0, sizeof(mt->ma_pledge));
	mt->ma_pledge.reach = 1;
	if ((flags & MT_FLAGS_LOCK_MASK) != MT_FLAGS_LOCK_EXTERN)
		mt_lock_init(&mt->ma_lock);
}

void mt_init_flags(struct maple_tree *mt, unsigned int flags)
{
	smr_tree_init(mt, flags & ~(unsigned int)MT_FLAGS_HEIGHT_MASK);
	if (flags & MT_FLAGS_USE_RCU)
		smr_grace_start(MT_RCU_BP);
}

int mt_set_mem(struct maple_tree *mt, struct mt_mem *mem)
{
	if (smr_is_enode(mt->ma_root) || smr_txn_is_open(mt))
		return -EBUSY;
	mt->ma_mem = mem;
	return 0;
}

bool mt_lock_is_held(const struct maple_tree *mt)
{
	if (!mt_external_lock(mt))
		return mt_lock_held(&mt->ma_lock);
	return !mt->ma_lock_is_held || mt->ma_lock_is_held(mt->ma_external_lock);
}

/* Readers read the flags too, hence the atomic store; writers of the flags hold the lock. */
static void set_rcu(struct maple_tree *mt, unsigned int rcu)
{
	unsigned int flags;

	if (mt_in_rcu(mt) == !!rcu)
		return;
	if (rcu)
		smr_grace_start(mt->ma_rcu);
	smr_lock_tree(mt);
	smr_check_write(mt);
	smr_assert(!smr_txn_is_open(mt));
	flags = mt->ma_flags & ~(unsigned int)MT_FLAGS_USE_RCU;
	smr_store(&mt->ma_flags, flags | rcu, RELAXED);
	smr_unlock_tree(mt);
}

void mt_set_in_rcu(struct maple_tree *mt)
{
	set_rcu(mt, MT_FLAGS_USE_RCU);
}

void mt_clear_in_rcu(struct maple_tree *mt)
{
	set_rcu(mt, 0);
}

int mt_set_rcu_flavor(struct maple_tree *mt, enum mt_rcu_flavor flavor)
{
	if ((unsigned int)flavor >= SMR_RCU_FLAVORS)
		return -EINVAL;
	if (mt_in_rcu(mt))
		return -EBUSY;
	mt->ma_rcu = flavor;
	return 0;
}

enum mt_rcu_flavor mt_rcu_flavor(const struct maple_tree *mt)
{
	return mt->ma_rcu;
}

void __mt_destroy(struct maple_tree *mt)
{
	smr_check_write(mt);
	smr_assert(!smr_txn_is_open(mt));
	smr_destroy_tree(mt);
}

void mtree_destroy(struct maple_tree *mt)
{
	smr_lock_internal(mt);
	__mt_destroy(mt);
	mtree_unlock(mt);
	smr_mem_release_idle(smr_mem_of(mt));
}

void mas_init(struct ma_state *mas, struct maple_tree *tree, unsigned long addr)
{
	*mas = mas_state_(tree, addr, addr);
}
