/* SPDX-License-Identifier: MIT */
/*
 * The contested keys. They come in stripes of 64: the first eight hold a fixed entry that never
 * changes, the others belong to one writer, which stores into them. For each key two version
 * numbers are kept, so that a reader can tell whether what it saw was there at some moment of its
 * look-up: done, the version of the last store over the key that has returned, and begun, that of
 * the last store that has begun.
 */
#ifndef TESTS_TORTURE_FIELD_H
#define TESTS_TORTURE_FIELD_H

#include "blame.h"
#include "objects.h"
#include "support/rng.h"

#include <samara/maple_tree.h>

enum { STRIPE = 64, FIXED = 8 };

struct key_state {
	unsigned long begun;   /* atomic */
	unsigned long done;    /* atomic; version * 2, and 1 when it was a store of NULL */
	struct object *object; /* the owner's */
};

struct field {
	struct maple_tree tree;
	struct pool pool;
	unsigned long stripes;
	unsigned long writers;
	bool fixed_stay; /* false if the tree is destroyed now and then */
	struct key_state *keys;
	struct blame blame;
};

bool field_start(struct field *f, unsigned int flags, enum mt_rcu_flavor flavor,
		 unsigned long stripes, unsigned long writers);
/*
 * Checks the tree against what the writers know of it, then frees everything. Returns false if
 * anything is wrong.
 */
bool field_stop(struct field *f);
/* Stores the fixed entries. */
bool field_plant(struct field *f);

/* Makes a random change within the stripes of writer @id; @version is its own counter. */
void field_write(struct field *f, unsigned long id, unsigned long *version, struct rng *rng);
/* Destroys the tree. Only for a single writer. */
void field_raze(struct field *f, unsigned long *version);

/* Make a random look-up or iteration, lock-free or with the lock held for each step. */
void field_read(struct field *f, struct rng *rng);
void field_read_locked(struct field *f, struct rng *rng);

#endif
