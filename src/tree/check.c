/* SPDX-License-Identifier: MIT */
#include "tree/check.h"

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "lock/check.h"

/* Returns what stands for the lock of @mt; NULL for a transaction's view: its tree is asked. */
static const void *lock_of(const struct maple_tree *mt)
{
	if (mt->ma_txn)
		return NULL;
	return mt_external_lock(mt) ? mt->ma_external_lock : (const void *)&mt->ma_lock;
}

/* Returns the thread that holds an internal lock, or 0 if none does. */
static unsigned int owner_of(const struct maple_tree *mt)
{
	return mt_external_lock(mt) ? 0 : smr_load(&mt->ma_lock.word, RELAXED) & ~(1u << 31);
}

void smr_check_write(const struct maple_tree *mt)
{
	const void *lock = lock_of(mt);

	if (lock && (!mt_lock_is_held(mt) || smr_check_only_shared(lock)))
		smr_check_report_write(lock, owner_of(mt), smr_check_frame());
}

void smr_check_place(struct ma_state *mas)
{
	const struct maple_tree *mt = mas->tree;

	mas->guard = mt->ma_txn ? 0 : smr_check_guard(lock_of(mt), mt_in_rcu(mt), mt->ma_rcu);
}

smr_noinline void smri_check_cursor(const struct ma_state *mas)
{
	if (!smr_check_guarded(mas->guard))
		smr_check_report_cursor(lock_of(mas->tree), mas->guard, smr_check_frame());
}

void smr_check_store_alloc(const struct maple_tree *mt)
{
	const void *lock = mt_external_lock(mt) ? NULL : &mt->ma_lock;

	smr_check_alloc_without("nodes", lock);
	if (lock)
		smr_check_retake(lock);
}

#else

/* ISO C allows no empty translation unit. */
typedef int smr_tree_check_is_off;

#endif
