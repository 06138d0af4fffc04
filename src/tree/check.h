/* SPDX-License-Identifier: MIT */
/*
 * What trees and cursors tell the checker of the locking rules (lock/check.h). Nothing, where it is
 * off.
 */
#ifndef SMR_TREE_CHECK_H
#define SMR_TREE_CHECK_H

#include "base/base.h"

#include <samara/maple_tree.h>

/* Takes the internal lock, for what must not be called of a tree with an external one. */
smr_inline void smr_lock_internal(struct maple_tree *mt)
{
	smr_assert(!mt_external_lock(mt));
	mtree_lock(mt);
}

/* The same for what may be called of any tree: who has an external lock has taken that himself. */
smr_inline void smr_lock_tree(struct maple_tree *mt)
{
	if (!mt_external_lock(mt))
		mtree_lock(mt);
}

smr_inline void smr_unlock_tree(struct maple_tree *mt)
{
	if (!mt_external_lock(mt))
		mtree_unlock(mt);
}

#ifdef SMR_LOCKCHECK

/* @mt, or the tree that it is a transaction's view of, is about to be written. */
void smr_check_write(const struct maple_tree *mt);
/* The cursor has found its place: notes what protects it. */
void smr_check_place(struct ma_state *mas);
void smri_check_cursor(const struct ma_state *mas);

/* The cursor's place is about to be relied on. */
smr_inline void smr_check_cursor(const struct ma_state *mas)
{
	if (mas->node && mas->guard)
		smri_check_cursor(mas);
}

/*
 * Memory that storing takes is got, or may be: the internal lock is dropped if it has to come from
 * the system.
 */
void smr_check_store_alloc(const struct maple_tree *mt);

#else

smr_inline void smr_check_write(const struct maple_tree *mt)
{
	(void)mt;
}

smr_inline void smr_check_place(struct ma_state *mas)
{
	(void)mas;
}

smr_inline void smr_check_cursor(const struct ma_state *mas)
{
	(void)mas;
}

smr_inline void smr_check_store_alloc(const struct maple_tree *mt)
{
	(void)mt;
}

#endif

#endif
