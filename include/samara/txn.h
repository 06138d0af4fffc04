/* SPDX-License-Identifier: MIT */
/*
 * Transactions: many stores that readers see all at once, or not at all.
 *
 *	struct mt_txn txn;
 *
 *	mtree_lock(&tree);
 *	mt_txn_begin(&txn, &tree);
 *	err = mt_txn_store_range(&txn, 0x1000, 0x1fff, a, GFP_KERNEL);
 *	if (!err)
 *		err = mt_txn_store_range(&txn, 0x8000, 0x8fff, b, GFP_KERNEL);
 *	if (err)
 *		mt_txn_abort(&txn);
 *	else
 *		mt_txn_commit(&txn);
 *	mtree_unlock(&tree);
 *
 * The transaction works on a view of the tree: nodes that it changes are copied, once, and changed
 * in place from then on. What a lock-free reader finds is the tree as it was at mt_txn_begin(),
 * until mt_txn_commit() replaces the root by one release store; from then on it is all of the new.
 * A cursor that stands in the tree across a commit notices, as after any store.
 *
 * The write lock is held from begin to commit or abort, without a break: also a @gfp that may block
 * does not drop it here, but allocates with it held. Nothing else may write to the tree meanwhile,
 * nor switch its RCU mode, nor reserve memory for its stores or give that back: mas_preallocate()
 * and mt_credits_reserve() answer -EBUSY, and mt_credits_return() and mt_credits_release() are not
 * to be called. A tree has one transaction at a time.
 *
 * CONTEXT of every function: HOLDS the tree's write lock.
 */
#ifndef SAMARA_TXN_H
#define SAMARA_TXN_H

#include <samara/maple_tree.h>

MT_BEGIN_DECLS

struct mt_credits;

/* The caller's, on its stack or in its own structures; all fields are private. */
struct mt_txn {
	struct maple_tree *mt;
	struct maple_tree view;
	unsigned long stores;       /* made so far */
	struct mt_credits *holders; /* that paid for stores of it */
	void *leaves; /* of the tree that others take the place of, the first one first */
	void *leaves_last;
	unsigned long leaves_nr;
	struct ma_state mas; /* in the view, at the last store */
};

/* Opens a transaction on @mt. Never fails: nothing is allocated or copied yet. */
MT_API void mt_txn_begin(struct mt_txn *txn, struct maple_tree *mt);

/*
 * mtree_store_range() within the transaction: 0, -EINVAL, -ENOMEM, the latter also over exactly one
 * range, reserved or not. After an error the transaction is as before the call: go on, commit what
 * there is, or abort.
 */
MT_API int mt_txn_store_range(struct mt_txn *txn, unsigned long first, unsigned long last,
			      void *entry, gfp_t gfp);

/*
 * Erases the whole range around @index as the transaction sees it: 0, also where nothing was, or
 * -ENOMEM. What was there goes to *@entry unless that is NULL.
 */
MT_API int mt_txn_erase(struct mt_txn *txn, unsigned long index, void **entry, gfp_t gfp);

/* mtree_load() and mt_find(), seeing the transaction's own stores. */
MT_API void *mt_txn_load(struct mt_txn *txn, unsigned long index);
MT_API void *mt_txn_find(struct mt_txn *txn, unsigned long *index, unsigned long max);

/*
 * mas_walk() likewise: the entry at *@index, or NULL in a gap. [*@index..*@last] becomes the range
 * around it, also that of a gap. Zero entries are returned like any other.
 */
MT_API void *mt_txn_walk(struct mt_txn *txn, unsigned long *index, unsigned long *last);

/* Stores made in the transaction so far. */
static inline unsigned long mt_txn_stores(const struct mt_txn *txn)
{
	return txn->stores;
}

/*
 * Makes everything visible at once. Cannot fail and allocates nothing. The work is in proportion to
 * the nodes that were replaced.
 */
MT_API void mt_txn_commit(struct mt_txn *txn);

/* Gives everything back; the tree is as it was at mt_txn_begin(). Cannot fail. */
MT_API void mt_txn_abort(struct mt_txn *txn);

MT_END_DECLS

#endif
