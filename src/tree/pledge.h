/* SPDX-License-Identifier: MIT */
/*
 * How many nodes the holders of credits on a tree rely on. docs/credits.md proves the bound; this
 * works out the sum.
 */
#ifndef SMR_TREE_PLEDGE_H
#define SMR_TREE_PLEDGE_H

#include "tree/write.h"

/* Nodes that the largest store builds in a tree of @levels, including a new top: deal.c. */
#define SMR_STORE_NODES(levels) (SMR_PARTS_MAX * (levels))

/*
 * The same in a tree that has at most @reach levels afterwards: if it has all of them already, the
 * top is one node.
 */
smr_inline unsigned long smr_store_nodes(unsigned long reach)
{
	return SMR_STORE_NODES(reach) - 2;
}

/*
 * Returns how many nodes a transaction holds at a time, at most, in a tree with a bound, if its
 * stores take @nodes in all.
 */
unsigned long smr_pledge_cap(const struct maple_tree *mt, unsigned long nodes, unsigned long reach);

/* Returns the size of the working set for @stores stores that are announced together. */
smr_inline unsigned long smr_working_nodes(const struct maple_tree *mt, unsigned long stores,
					   unsigned long reach)
{
	unsigned long nodes = stores * smr_store_nodes(reach);

	return smr_likely(!mt->ma_pledge.bound) ? nodes : smr_pledge_cap(mt, nodes, reach);
}

/* Whether any holder has credits on @mt. */
smr_inline bool smr_has_credits(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.recycling | mt->ma_pledge.strict);
}

/*
 * Whether a transaction is open. Then the pledge must stay as it is: a commit puts the view's in
 * its place, and an abort owes what it was at the beginning.
 */
smr_inline bool smr_txn_is_open(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.open);
}

/*
 * Copies the pledge of a transaction's @view to @mt, field by field: holders read reach without the
 * lock.
 */
smr_inline void smr_pledge_copy(struct maple_tree *mt, const struct maple_tree *view)
{
	mt->ma_pledge.leaves = view->ma_pledge.leaves;
	mt->ma_pledge.inner = view->ma_pledge.inner;
	mt->ma_pledge.crowding = view->ma_pledge.crowding;
	mt->ma_pledge.recycling = view->ma_pledge.recycling;
	mt->ma_pledge.strict = view->ma_pledge.strict;
	mt->ma_pledge.working = view->ma_pledge.working;
	mt->ma_pledge.pledged = view->ma_pledge.pledged;
	smr_store(&mt->ma_pledge.reach, view->ma_pledge.reach, RELAXED);
}

/*
 * Declares that @mt never has more than @ranges ranges from now on, gaps included (0: not known).
 * While it has recycling credits, all nodes that it can grow to are kept for it, so that more
 * credits cost nothing, and none has to be paid for again. Such a tree has one holder, a recycling
 * one, which announces the stores of one transaction at a time; a store without a credit must not
 * reach over whole nodes. CONTEXT: HOLDS tree, which has no credits.
 */
void smr_pledge_bound(struct maple_tree *mt, unsigned long ranges);

/* What the holders of credits on a tree have together. */
struct smr_claims {
	unsigned long recycling, strict; /* credits */
	unsigned long working;           /* stores that they may announce at once */
};

/* Returns how many nodes must be pledged for the tree as it is. Brings reach up to date. */
unsigned long smr_pledge_required(struct maple_tree *mt);

/*
 * The same if holders had @claims. Changes nothing: nobody may rely on the result until it is
 * pledged.
 */
unsigned long smr_pledge_required_for(const struct maple_tree *mt, const struct smr_claims *claims);

/* Returns how many more nodes must be pledged before @w, a store without a credit, is committed. */
unsigned long smr_pledge_shortfall(const struct smr_write *w);

/*
 * The same for a tree of @height under @root that is about to become @mt's, and is already counted
 * in its census (node.h).
 */
unsigned long smr_pledge_missing(const struct maple_tree *mt, const void *root,
				 unsigned int height);

/*
 * Returns how many more nodes must be pledged for @nr more strict credits. CONTEXT: HOLDS tree
 * lock.
 */
unsigned long smr_pledge_for_strict(const struct maple_tree *mt, unsigned long nr);

/*
 * Returns how many nodes a load in order of @leaves more leaves, with @inner nodes above them, must
 * pledge in the course of it, at most. CONTEXT: HOLDS tree lock.
 */
unsigned long smr_pledge_for_load(const struct maple_tree *mt, unsigned long leaves,
				  unsigned long inner);

/* After a store without a credit: releases what is pledged beyond the need. */
void smr_pledge_release_surplus(struct maple_tree *mt);

/*
 * After the tree was emptied by force: frees or retires the nodes of @dropped, which are all that
 * it had, and pledges what it now lacks out of these.
 */
void smr_pledge_emptied(struct maple_tree *mt, struct smr_nodes *dropped);

#endif
