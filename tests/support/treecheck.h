/* SPDX-License-Identifier: MIT */
/*
 * Is a tree sound, and is it what the model says? Each check returns false and describes the first
 * fault in @why, so that callers with a sequence to shrink or to print can go on.
 */
#ifndef TESTS_SUPPORT_TREECHECK_H
#define TESTS_SUPPORT_TREECHECK_H

#include "model/range_model.h"
#include <samara/maple_tree.h>

#define WHY_SIZE 256

/* mt_check(). CONTEXT: the lock. */
bool tree_sound(struct maple_tree *mt, char why[WHY_SIZE]);

/*
 * The same ranges, gaps included, seen forwards and backwards, and a tree that knows when it is
 * empty. CONTEXT: the lock, or nobody writing.
 */
bool tree_equal(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE]);

/* Both. */
bool tree_good(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE]);

/* What mtree_load() and mt_find() should say: to them the zero entry is nothing. */
void *model_load(const struct range_model *model, unsigned long key);
void *model_find(const struct range_model *model, unsigned long *index, unsigned long max);

/* Nodes of @mem in trees, cursors and promises; those that wait for a grace period do not count. */
unsigned long nodes_in_use(struct mt_mem *mem);

#endif
