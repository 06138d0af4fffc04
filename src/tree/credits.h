/* SPDX-License-Identifier: MIT */
/* What the end of a transaction means for the holders of credits that paid for it. */
#ifndef SMR_TREE_CREDITS_H
#define SMR_TREE_CREDITS_H

#include "tree/pledge.h"

#include <samara/txn.h>

void smr_credits_commit(struct mt_txn *txn);
/* Gives the credits back. The transaction's nodes have been given back already. */
void smr_credits_abort(struct mt_txn *txn);

#endif
