/* SPDX-License-Identifier: MIT */
/*
 * Credits within the library: whether mt_credits_begin() has waited, stores with edges, and what
 * the end of a transaction does for the holders that paid for it.
 */
#ifndef SMR_TREE_CREDITS_H
#define SMR_TREE_CREDITS_H

#include "tree/edges.h"
#include "tree/pledge.h"

#include <samara/credits.h>
#include <samara/txn.h>

/* As mt_credits_begin(); returns true if it has waited for a grace period. */
bool smr_credits_begin(struct mt_credits *c, unsigned long nr);

/* mas_store_credit() and mt_txn_store_credit() with edges. CONTEXT: as those. */
int smr_store_credit(struct ma_state *mas, void *entry, struct smr_edges edges,
		     struct mt_credits *c);
int smr_txn_store_credit(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
			 struct smr_edges edges, struct mt_credits *c);

/*
 * Gives back the nodes of @list, the pledge's first: those that the transaction has kept and, out
 * of RCU mode, if it has holders, those that it has replaced.
 */
void smr_credits_commit(struct mt_txn *txn, struct smr_nodes *list);
/* Gives back the used credits, and the nodes of @list, which are all that the transaction has. */
void smr_credits_abort(struct mt_txn *txn, struct smr_nodes *list);

#endif
