/* SPDX-License-Identifier: MIT */
/*
 * Trees without nodes: the empty one, and the compact one, whose only entry is at [0..0] and lies
 * in the root itself. @root is that entry, or NULL. On such trees a cursor has special statuses
 * (ma_root, ma_none); the rules are Linux's, and so are their oddities.
 */
#ifndef SMR_TREE_COMPACT_H
#define SMR_TREE_COMPACT_H

#include <samara/maple_tree.h>

/*
 * The guard of mas_find*(), in trees with nodes, too, unless the cursor is active there: false if
 * these return NULL at once. May set index to where to look.
 */
bool smr_find_begin(struct ma_state *mas, unsigned long max);
void *smr_compact_walk(struct ma_state *mas, void *root);
void *smr_compact_find(struct ma_state *mas, void *root, unsigned long max);
void *smr_compact_find_rev(struct ma_state *mas, void *root, unsigned long min);
/* To be called after the check that last < max. @before: the status that the cursor came with. */
void *smr_compact_next(struct ma_state *mas, void *root, enum maple_status before);
/* To be called after the check that index > min. */
void *smr_compact_prev(struct ma_state *mas, void *root, unsigned long min);

#endif
