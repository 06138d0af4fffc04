/* SPDX-License-Identifier: MIT */
/* Stores of which much is known beforehand, where the cursor stands: for those who know what they come to. */
#ifndef SMR_TREE_KNOWN_H
#define SMR_TREE_KNOWN_H

#include "base/base.h"
#include <samara/maple_tree.h>

/*
 * The most nodes that one store takes, be it of an entry or of NULL, over whichever range whose ends are ends of
 * [@first..@last] or of ranges that lie in it: one, most often, if the cursor stands close by; otherwise what any store
 * does in a tree of this height. Outside of transactions, in a tree that owes holders of credits nothing. CONTEXT: HOLDS tree
 * lock. ALLOC no.
 */
unsigned long smr_nodes_within(const struct ma_state *mas, unsigned long first, unsigned long last);

/*
 * Puts @entry, not NULL, in the place of another over [@first..@last], which lies right before the cursor's range (@by -1) or
 * behind it (@by 1). False, and nothing has changed: that is not for sure, so store it. CONTEXT: HOLDS tree lock. ALLOC no.
 */
bool smr_swap_beside(const struct ma_state *mas, int by, unsigned long first, unsigned long last,
		     void *entry);

#endif
