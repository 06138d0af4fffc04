/* SPDX-License-Identifier: MIT */
/*
 * Stores of which much is known beforehand, where the cursor stands: for those who know what they
 * come to.
 */
#ifndef SMR_TREE_KNOWN_H
#define SMR_TREE_KNOWN_H

#include "tree/edges.h"

#include <samara/maple_tree.h>

/*
 * The most nodes that one store takes, be it of an entry or of NULL, over whichever range whose
 * ends are ends of [@first..@last] or of ranges that lie in it: one, most often, if the cursor
 * stands close by; otherwise what any store does in a tree of this height. Outside of transactions,
 * in a tree that owes holders of credits nothing. CONTEXT: HOLDS tree lock. ALLOC no.
 */
unsigned long smr_nodes_within(const struct ma_state *mas, unsigned long first, unsigned long last);

/*
 * A leaf that is to take the place of the cursor's, built but for the entries, which are not known
 * yet.
 */
struct smr_draft {
	void *leaf;         /* NULL: there is none */
	unsigned char i, j; /* the old leaf's ranges that the store begins and ends in */
	unsigned char x;    /* the new leaf's that is stored */
};

/*
 * Drafts a store over [@first..@last], where the cursor stands, if smr_nodes_within() it is one and
 * a free node is to be had at once; the draft is that node then. It is good for as long as nothing
 * else changes the tree. CONTEXT: as smr_nodes_within().
 */
void smr_draft_begin(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last);
/*
 * Stores @entry, not NULL, and @edges. @mas: the same cursor, in the same leaf. CONTEXT: HOLDS tree
 * lock. ALLOC no.
 */
void smr_draft_store(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last, void *entry, struct smr_edges edges);
/* Makes the draft, if there is one, a node that the cursor owns. */
void smr_draft_drop(struct smr_draft *d, struct ma_state *mas);

#endif
