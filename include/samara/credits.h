/* SPDX-License-Identifier: MIT */
/*
 * Credits: stores that cannot fail, whatever happens in between.
 *
 * A holder reserves credits where it may sleep. Much later, where nothing may sleep or allocate, it
 * makes that many stores, of any ranges, in a tree that others have changed meanwhile, and none of
 * them can fail:
 *
 *	struct mt_credits credits;
 *
 *	mt_credits_init(&credits, &tree, MT_CREDITS_RECYCLING);
 *	err = mt_credits_reserve(&credits, 2, GFP_KERNEL);           may sleep, may fail
 *	...                                                          others use the tree
 *	mt_credits_begin(&credits, 2);                               no lock held
 *	mtree_lock(&tree);
 *	mas_store_credit(&mas, entry, &credits);                     neither sleeps nor fails
 *	mas_store_credit(&mas2, entry2, &credits);
 *	mtree_unlock(&tree);
 *	mt_credits_release(&credits);
 *
 * docs/credits.md says what a credit costs in memory and proves that it is enough. In short:
 *
 *   MT_CREDITS_RECYCLING  a little over one node (544 bytes) a credit, plus a share for how full
 *                         the tree is, plus one working set for each holder. Nodes that a store
 *                         replaces serve the next one after a grace period, so mt_credits_begin()
 *                         may have to wait for one.
 *   MT_CREDITS_STRICT     all nodes of the largest store, for each credit: 3 nodes (1.5 KiB) for
 *                         every level the tree can reach, less 2. Never waits for anything.
 *
 * Holders never pay for others: any other store in the same tree that would use up what the credits
 * rely on pays the difference itself, or fails with -ENOMEM and changes nothing. Any number of
 * holders may share a tree, and any number of trees an arena.
 *
 * mas_preallocate() includes that difference as it is at the time. Reserving, returning or
 * releasing credits on the tree before the store, which is possible only under an external lock,
 * changes the difference and voids the preallocation.
 *
 * A store on a credit, or the end of a transaction, takes less than 12 KiB of stack in an optimized
 * library, and calls nothing that could allocate (docs/credits.md).
 *
 * A holder belongs to one tree and is used by one thread at a time, from mt_credits_begin() to the
 * last of the stores it announced. The tree must outlive it, and must not change its arena or
 * flavour while credits are out.
 */
#ifndef SAMARA_CREDITS_H
#define SAMARA_CREDITS_H

#include <samara/maple_tree.h>
#include <samara/txn.h>

MT_BEGIN_DECLS

enum mt_credits_mode {
	MT_CREDITS_RECYCLING, /* the default */
	MT_CREDITS_STRICT,
};

/* A holder: the caller's memory, private fields. */
struct mt_credits {
	struct maple_tree *mt;
	enum mt_credits_mode mode;
	unsigned long left;  /* credits */
	unsigned long batch; /* stores that one mt_credits_begin() may announce */
	unsigned long begun; /* stores announced and not made yet */
	/* Nodes of the working set that wait for a grace period, older and newer; for which one. */
	unsigned long limbo[2];
	unsigned int grace[2];
	unsigned long used; /* by the open transaction: credits, */
	unsigned long lent; /* and nodes of the working set */
	struct mt_credits *next;
};

/* Stores that one mt_credits_begin() may announce unless mt_credits_set_batch() says otherwise. */
#define MT_CREDITS_BATCH 64

/* An empty holder on @mt. Nothing is allocated. */
MT_API void mt_credits_init(struct mt_credits *c, struct maple_tree *mt, enum mt_credits_mode mode);

/*
 * Sets how many stores one mt_credits_begin() of this holder may announce; the working set is sized
 * for that many. In strict mode there is no limit and nothing to set. 0, -EBUSY while the holder
 * has credits or an open transaction has used some of its credits, -EINVAL for 0. CONTEXT: while
 * nobody else reserves or uses credits of this holder.
 */
MT_API int mt_credits_set_batch(struct mt_credits *c, unsigned long nr);

/*
 * Adds @nr credits, all or none: 0, -ENOMEM, -EINVAL (nr is 0), -EOVERFLOW; -EBUSY while a
 * transaction of the tree is open, which is possible only under an external lock. CONTEXT: TAKES
 * the tree's internal lock, and holds none while it allocates; with an external lock the caller
 * holds it. @gfp says how memory may be got, as in a store. Any thread, even while another
 * announces and makes stores of the holder.
 */
MT_API int mt_credits_reserve(struct mt_credits *c, unsigned long nr, gfp_t gfp);

/* Credits not used yet. CONTEXT: any. */
MT_API unsigned long mt_credits_left(const struct mt_credits *c);
/*
 * Bytes of memory held for them and for the holder's working set. CONTEXT: TAKES the tree's
 * internal lock; with an external lock the caller holds it.
 */
MT_API size_t mt_credits_bytes(const struct mt_credits *c);

/*
 * Announces @nr stores, in place of any announced before and not made. The holder must have the
 * credits for them, and @nr must not exceed its batch. In recycling mode, if nodes of its own last
 * stores are needed and still in limbo, and the arena has no others to spare, waits for their grace
 * period; never for memory, and never for another holder. In either mode, if the caller is in no
 * signalling section (fence.h), makes a system call now and then to learn that a grace period is
 * over already. CONTEXT: no lock held, not in a read-side section; a signalling section is fine.
 * SLEEP yes in recycling mode, only for a grace period.
 */
MT_API void mt_credits_begin(struct mt_credits *c, unsigned long nr);

/*
 * mas_store_gfp() on a credit: 0; -EINVAL for index > last; -ENOSPC when no announced credit is
 * left, which is the caller's mistake and fatal in a debug build; for a cursor in status error,
 * that error. On an error nothing has changed and no credit is used. The cursor must be on the
 * holder's tree. CONTEXT: HOLDS the tree's write lock. ALLOC no. SLEEP no.
 */
MT_API int mas_store_credit(struct ma_state *mas, void *entry, struct mt_credits *c);

/*
 * Begins, locks, stores and unlocks; so not between mt_credits_begin() and the stores it announced.
 * CONTEXT: as mt_credits_begin(); internal lock only.
 */
MT_API int mtree_store_range_credit(struct mt_credits *c, unsigned long first, unsigned long last,
				    void *entry);

/*
 * mt_txn_store_range() on a credit of a holder on the transaction's tree. One transaction may mix
 * such stores, of any holders, with others. mt_txn_abort() gives the credits back. After an abort
 * or commit the holder may be used for other stores.
 */
MT_API int mt_txn_store_credit(struct mt_txn *txn, unsigned long first, unsigned long last,
			       void *entry, struct mt_credits *c);

/*
 * Gives back @nr credits that are not needed after all; the holder must have that many. Announced
 * stores for which it then has no credits are no longer announced. Others may announce and make
 * stores of the holder meanwhile, with the credits it keeps. CONTEXT: as mt_credits_release().
 */
MT_API void mt_credits_return(struct mt_credits *c, unsigned long nr);

/*
 * Gives back all credits that are left. Idempotent. CONTEXT: as mt_credits_reserve(), but never
 * fails or blocks for memory. Not while a transaction of the tree is open: debug builds abort,
 * others give nothing back.
 */
MT_API void mt_credits_release(struct mt_credits *c);

MT_END_DECLS

#endif
