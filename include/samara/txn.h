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
 * The transaction works on a view of the tree: a node is copied when it is first changed, and
 * changed in place from then on. A lock-free reader finds the tree as it was at mt_txn_begin()
 * until mt_txn_commit() replaces the root with one release store; from then on it finds all of the
 * new tree. A cursor that stands in the tree across a commit notices, as after any store.
 *
 * The write lock is held from begin to commit or abort, without a break: even with a @gfp that may
 * block, it is not dropped here but kept while allocating. Meanwhile nothing else may write to the
 * tree, switch its RCU mode, or reserve memory for its stores or give that back: mas_preallocate()
 * and mt_credits_reserve() return -EBUSY, and mt_credits_return() and mt_credits_release() must not
 * be called. A tree has one transaction at a time.
 *
 * CONTEXT of every function: HOLDS the tree's write lock.
 */
#ifndef SAMARA_TXN_H
#define SAMARA_TXN_H

#include <samara/maple_tree.h>

MT_BEGIN_DECLS

struct mt_credits;

/* The caller's memory, on its stack or in its own structures; all fields are private. */
struct mt_txn {
	struct maple_tree *mt;
	struct maple_tree view;
	unsigned long stores;       /* made so far */
	struct mt_credits *holders; /* that paid for its stores */
	void *leaves;               /* of the tree that others replace, the first one first */
	void *leaves_last;
	unsigned long leaves_nr;
	struct ma_state mas; /* in the view, at the last store */
};

/* Opens a transaction on @mt. Never fails: nothing is allocated or copied yet. */
MT_API void mt_txn_begin(struct mt_txn *txn, struct maple_tree *mt);

/*
 * mtree_store_range() within the transaction: 0, -EINVAL, or -ENOMEM, which is possible even over
 * exactly one range, reserved or not. After an error the transaction is as before the call: go on,
 * commit what there is, or abort.
 */
MT_API int mt_txn_store_range(struct mt_txn *txn, unsigned long first, unsigned long last,
			      void *entry, gfp_t gfp);

/*
 * Erases the whole range around @index as the transaction sees it: 0, even if nothing was there, or
 * -ENOMEM. Sets *@entry to what was there, unless @entry is NULL.
 */
MT_API int mt_txn_erase(struct mt_txn *txn, unsigned long index, void **entry, gfp_t gfp);

/* mtree_load() and mt_find(), seeing the transaction's own stores. */
MT_API void *mt_txn_load(struct mt_txn *txn, unsigned long index);
MT_API void *mt_txn_find(struct mt_txn *txn, unsigned long *index, unsigned long max);

/*
 * mas_walk() in the same view: the entry at *@index, or NULL in a gap. Sets [*@index..*@last] to
 * the range around it, that of a gap included. Zero entries are returned like any other.
 */
MT_API void *mt_txn_walk(struct mt_txn *txn, unsigned long *index, unsigned long *last);

/* Stores made in the transaction so far. */
static inline unsigned long mt_txn_stores(const struct mt_txn *txn)
{
	return txn->stores;
}

/*
 * Makes everything visible at once. Cannot fail and allocates nothing. Takes time in proportion to
 * the number of nodes replaced.
 */
MT_API void mt_txn_commit(struct mt_txn *txn);

/* Gives everything back; the tree is as it was at mt_txn_begin(). Cannot fail. */
MT_API void mt_txn_abort(struct mt_txn *txn);

MT_END_DECLS

#endif
