/* SPDX-License-Identifier: MIT */
/*
 * A tree and its model, side by side: every step is done to both and the results are compared. One
 * cursor, with a model of its own, lives on from step to step.
 */
#ifndef TESTS_SUPPORT_RIG_H
#define TESTS_SUPPORT_RIG_H

#include "support/cursor_model.h"
#include "support/ops.h"
#include "support/treecheck.h"

/* A flag for rig_init() besides the tree's own: the lock is external. */
#define RIG_EXTERN MT_FLAGS_LOCK_EXTERN

struct rig {
	struct maple_tree tree;
	struct range_model model;
	struct mt_mem *mem;
	bool own_mem;
	unsigned long nodes; /* in use in mem before the test */
	struct ma_state mas;
	struct cursor_model cursor;
	unsigned int moves; /* of the cursor, so far */
	bool stay;          /* other writes do not pause the cursor, though its user ought to */
	bool stale;         /* such a write has happened */
	bool part;          /* its range is a part of the range it stands on */
	bool wrapped;       /* the cyclic allocator's wrap mark */
	unsigned int locks; /* how many times the lock is held now */
	char why[WHY_SIZE];
};

/*
 * Sets up a rig with its nodes in @mem or, if NULL, in an arena of its own. Returns false if there
 * is no memory for it.
 */
bool rig_init_in(struct rig *rig, unsigned int flags, struct mt_mem *mem);
bool rig_init(struct rig *rig, unsigned int flags);
/* Does one step; returns false, with the reason in why, if tree and model differ. */
bool rig_step(struct rig *rig, const struct op *op);
/* Checks the whole tree against the model. */
bool rig_check(struct rig *rig);
/* Frees everything; returns false, with the reason in why, if nodes leaked. */
bool rig_fini(struct rig *rig);

/*
 * Returns the entry for number @n: small numbers cover NULL, the zero entry, pointers, values and
 * plain words.
 */
void *rig_entry(unsigned long n);

#endif
