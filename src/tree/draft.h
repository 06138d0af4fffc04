/* SPDX-License-Identifier: MIT */
/*
 * For callers that know where they will store before they know what: how many nodes the store may
 * take, and leaves that are built in advance.
 */
#ifndef SMR_TREE_DRAFT_H
#define SMR_TREE_DRAFT_H

#include "tree/edges.h"

#include <samara/maple_tree.h>

/*
 * Returns the most nodes that one store takes, of an entry or of NULL, over any range whose ends
 * are ends of [@first..@last] or of ranges that lie in it: mostly one, if the cursor stands close
 * by; otherwise what any store may take in a tree of this height. Not for transactions, nor for a
 * tree that owes holders of credits nodes. CONTEXT: HOLDS tree lock. ALLOC no.
 */
unsigned long smr_nodes_within(const struct ma_state *mas, unsigned long first, unsigned long last);

/* A leaf that is to replace the cursor's, built but for the entries, which are not known yet. */
struct smr_draft {
	void *leaf;         /* NULL: there is none */
	unsigned char i, j; /* ranges of the old leaf that the store begins and ends in */
	unsigned char x;    /* range of the new leaf that is stored */
};

/*
 * Drafts a store over [@first..@last], where the cursor stands, if smr_nodes_within() says one node
 * and one is free at once, which then is the draft. It is valid as long as nothing else changes the
 * tree. CONTEXT: as smr_nodes_within().
 */
void smr_draft_begin(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last);
/*
 * Stores @entry, which must not be NULL, and @edges, by publishing the draft. @mas must be the same
 * cursor, in the same leaf. CONTEXT: HOLDS tree lock. ALLOC no.
 */
void smr_draft_store(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last, void *entry, struct smr_edges edges);
/* Drops the draft, if there is one: its node becomes one that the cursor owns. */
void smr_draft_drop(struct smr_draft *d, struct ma_state *mas);

#endif
