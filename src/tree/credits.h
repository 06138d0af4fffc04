/* SPDX-License-Identifier: MIT */
/*
 * What the end of a transaction means for the holders of credits that paid for it, and what a
 * driver of many needs to know.
 */
#ifndef SMR_TREE_CREDITS_H
#define SMR_TREE_CREDITS_H

#include "tree/pledge.h"

#include <samara/credits.h>
#include <samara/txn.h>

/* mt_credits_begin(): did it wait for a grace period? */
bool smr_credits_begin(struct mt_credits *c, unsigned long nr);

void smr_credits_commit(struct mt_txn *txn);
/* Gives the credits back. The transaction's nodes have been given back already. */
void smr_credits_abort(struct mt_txn *txn);

#endif
