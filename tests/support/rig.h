/* SPDX-License-Identifier: MIT */
/*
 * A tree and its model, side by side: every step is done to both, and what they answer is compared.
 * One cursor lives on from step to step with a model of its own.
 */
#ifndef TESTS_SUPPORT_RIG_H
#define TESTS_SUPPORT_RIG_H

#include "support/cursor_model.h"
#include "support/ops.h"
#include "support/treecheck.h"

/* A flag for rig_init() besides the tree's own: the caller's lock. */
#define RIG_EXTERN MT_FLAGS_LOCK_EXTERN

struct rig {
	struct maple_tree tree;
	struct range_model model;
	struct mt_mem *mem;
	bool own_mem;
	unsigned long nodes; /* in use in mem before */
	struct ma_state mas;
	struct cursor_model cursor;
	unsigned int moves; /* of the cursor, so far */
	bool stay; /* others' writes leave the cursor as it is, though its user ought to pause it */
	bool stale;         /* and they have */
	bool part;          /* its range is a part of the one that it stands on */
	bool wrapped;       /* the cyclic allocator's mark */
	unsigned int locks; /* how often the lock has been taken and not given back */
	char why[WHY_SIZE];
};

/*
 * With its nodes in @mem, or, when NULL, in an arena of its own. False when there is no memory for
 * it.
 */
bool rig_init_in(struct rig *rig, unsigned int flags, struct mt_mem *mem);
bool rig_init(struct rig *rig, unsigned int flags);
/* Does one step; false and why, when the tree did something else than the model. */
bool rig_step(struct rig *rig, const struct op *op);
/* Compares everything there is to compare. */
bool rig_check(struct rig *rig);
/* Frees everything; false and why, when something was left over. */
bool rig_fini(struct rig *rig);

/*
 * The entry that number @n stands for: small ones make NULL, the zero entry, pointers, values,
 * words.
 */
void *rig_entry(unsigned long n);

#endif
