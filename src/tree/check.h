/* SPDX-License-Identifier: MIT */
/*
 * What trees and cursors tell the lock checker (lock/check.h): nothing, where it is off.
 */
#ifndef SMR_TREE_CHECK_H
#define SMR_TREE_CHECK_H

#include "base/base.h"

#include <samara/maple_tree.h>

/* Takes the internal lock, in functions that must not be called for a tree with an external one. */
smr_inline void smr_lock_internal(struct maple_tree *mt)
{
	smr_assert(!mt_external_lock(mt));
	mtree_lock(mt);
}

/* The same in functions for any tree: callers take an external lock themselves. */
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

/* Called before a write to @mt, or to the tree that it is a transaction's view of. */
void smr_check_write(const struct maple_tree *mt);
/* Called when the cursor has found its place: notes what protects it. */
void smr_check_place(struct ma_state *mas);
void smri_check_cursor(const struct ma_state *mas);

/* Called before the cursor's place is relied on. */
smr_inline void smr_check_cursor(const struct ma_state *mas)
{
	if (mas->node && mas->guard)
		smri_check_cursor(mas);
}

/*
 * Called when a store allocates memory, or may: the internal lock is dropped if the memory has to
 * come from the system.
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
