/* SPDX-License-Identifier: MIT */
/*
 * What the end of a transaction means for the holders of credits that paid for it, and what a
 * driver of many needs to know.
 */
#ifndef SMR_TREE_CREDITS_H
#define SMR_TREE_CREDITS_H

#include "tree/edges.h"
#include "tree/pledge.h"

#include <samara/credits.h>
#include <samara/txn.h>

/* mt_credits_begin(): did it wait for a grace period? */
bool smr_credits_begin(struct mt_credits *c, unsigned long nr);

/* mas_store_credit() and mt_txn_store_credit() with edges. CONTEXT: as those. */
int smr_store_credit(struct ma_state *mas, void *entry, struct smr_edges edges,
		     struct mt_credits *c);
int smr_txn_store_credit(struct mt_txn *txn, unsigned long first, unsigned long last, void *entry,
			 struct smr_edges edges, struct mt_credits *c);

/*
 * Gives the nodes of @list back, the pledge's first: in RCU mode what the transaction has kept,
 * otherwise those that it has replaced, too, if it has holders.
 */
void smr_credits_commit(struct mt_txn *txn, struct smr_nodes *list);
/* Gives the credits back, and the nodes of @list, which are all that the transaction has. */
void smr_credits_abort(struct mt_txn *txn, struct smr_nodes *list);

#endif
