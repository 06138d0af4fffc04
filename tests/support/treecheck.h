/* SPDX-License-Identifier: MIT */
/*
 * Checks that a tree is sound and matches the model. Each check returns false and describes the
 * first fault in @why, so that a caller with a sequence to shrink or to print can go on.
 */
#ifndef TESTS_SUPPORT_TREECHECK_H
#define TESTS_SUPPORT_TREECHECK_H

#include "model/range_model.h"
#include <samara/maple_tree.h>

#define WHY_SIZE 256

/* Calls mt_check(). CONTEXT: the lock. */
bool tree_sound(struct maple_tree *mt, char why[WHY_SIZE]);

/*
 * Compares all ranges, gaps included, forwards and backwards, and mtree_empty(). CONTEXT: the lock,
 * or no writers.
 */
bool tree_equal(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE]);

/* Both checks. */
bool tree_good(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE]);

/* What mtree_load() and mt_find() should return: to them the zero entry is nothing. */
void *model_load(const struct range_model *model, unsigned long key);
void *model_find(const struct range_model *model, unsigned long *index, unsigned long max);

/*
 * Returns how many nodes of @mem are in trees, cursors and promises; not those that wait for a
 * grace period.
 */
unsigned long nodes_in_use(struct mt_mem *mem);

#endif
