/* SPDX-License-Identifier: MIT */
/*
 * How many nodes the holders of credits on a tree rely on. docs/credits.md proves the bound; this
 * is the sum of it.
 */
#ifndef SMR_TREE_PLEDGE_H
#define SMR_TREE_PLEDGE_H

#include "tree/write.h"

/* Nodes that the largest store builds in a tree of that many levels, a new top included: deal.c. */
#define SMR_STORE_NODES(levels) (SMR_PARTS_MAX * (levels))

/*
 * The same in a tree that has @reach levels at most afterwards: where all are there already the top
 * is one node.
 */
smr_inline unsigned long smr_store_nodes(unsigned long reach)
{
	return SMR_STORE_NODES(reach) - 2;
}

/*
 * Of @nodes that stores of one transaction take, how many it holds at a time in a tree with a
 * bound.
 */
unsigned long smr_pledge_cap(const struct maple_tree *mt, unsigned long nodes, unsigned long reach);

/* The working set for @stores stores that are announced together. */
smr_inline unsigned long smr_working_nodes(const struct maple_tree *mt, unsigned long stores,
					   unsigned long reach)
{
	unsigned long nodes = stores * smr_store_nodes(reach);

	return smr_likely(!mt->ma_pledge.bound) ? nodes : smr_pledge_cap(mt, nodes, reach);
}

/* Anybody to think of? */
smr_inline bool smr_has_credits(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.recycling | mt->ma_pledge.strict);
}

/*
 * Is a transaction open? Then the pledge must stay as it is: a commit puts the view's in its place,
 * and an abort owes what it was at the beginning.
 */
smr_inline bool smr_pledge_is_open(const struct maple_tree *mt)
{
	return smr_unlikely(mt->ma_pledge.open);
}

/*
 * Takes over what a transaction's view has come to. Holders read reach without the lock, hence the
 * parts.
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
 * From now on @mt never has more than @ranges ranges, gaps included (0: not known). While it has
 * recycling credits, all nodes that it may then come to are kept for it, so that more credits cost
 * nothing, and none has to be paid for again. Such a tree has one holder, a recycling one, which
 * announces the stores of one transaction at a time; a store without a credit does not reach over
 * whole nodes. CONTEXT: HOLDS tree, which has no credits.
 */
void smr_pledge_bound(struct maple_tree *mt, unsigned long ranges);

/* What holders of credits on a tree have. */
struct smr_claims {
	unsigned long recycling, strict; /* credits */
	unsigned long working;           /* stores that they may announce at once */
};

/* Nodes that have to be pledged for the tree as it is. Brings reach up to date. */
unsigned long smr_pledge_required(struct maple_tree *mt);

/*
 * The same for the tree as it is, if holders had @claims. Changes nothing: until it is pledged
 * nobody may go by it.
 */
unsigned long smr_pledge_required_for(const struct maple_tree *mt, const struct smr_claims *claims);

/*
 * Nodes that have to be pledged in addition before @w, of somebody without credits, is committed.
 */
unsigned long smr_pledge_shortfall(const struct smr_write *w);

/*
 * The same for a tree of @height under @root that is about to become @mt's, and is counted in its
 * census already.
 */
unsigned long smr_pledge_missing(const struct maple_tree *mt, const void *root,
				 unsigned int height);

/*
 * What a load in order of @leaves leaves more, with @inner nodes above them, has to pledge in all,
 * at most. CONTEXT: HOLDS tree lock.
 */
unsigned long smr_pledge_foreseen(const struct maple_tree *mt, unsigned long leaves,
				  unsigned long inner);

/* After a store of somebody without credits: lets go of what is pledged beyond need. */
void smr_pledge_settle(struct maple_tree *mt);

/*
 * After the tree was emptied by force: frees or retires the nodes of @dropped, all that it had, and
 * pledges what it lacks now out of these.
 */
void smr_pledge_emptied(struct maple_tree *mt, struct smr_nodes *dropped);

#endif
