/* SPDX-License-Identifier: MIT */
/* Most stores of a transaction, by a shorter way than that of any store. */
#ifndef SMR_TREE_EDIT_H
#define SMR_TREE_EDIT_H

#include <samara/maple_tree.h>
#include <stdbool.h>

/*
 * Stores @entry over [@first..@last] in a transaction's view, if that comes to no more than an edit amid the leaf that
 * the cursor, of which only its place counts, stands in. Leaves index and last alone. False, and nothing has changed: perhaps it is more.
 * CONTEXT: HOLDS tree lock. ALLOC no.
 */
bool smr_edit_amid(struct ma_state *mas, unsigned long first, unsigned long last, void *entry);

#endif
