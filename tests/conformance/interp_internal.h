/* SPDX-License-Identifier: MIT */
#ifndef TESTS_CONFORMANCE_INTERP_INTERNAL_H
#define TESTS_CONFORMANCE_INTERP_INTERNAL_H

#include "interp_text.h"

#define ARGS_MAX 6

struct world {
	struct maple_tree trees[2]; /* t and u */
	struct ma_state cursor;     /* on t */
	unsigned int variant;
	bool rcu;    /* in a read-side critical section of t */
	bool locked; /* the lock of t is held */
	struct text out;
	const char *fault; /* why the run must end */
	bool any;          /* something has been written to out */
};

/* One parsed call: keys and the entry in the order of the signature. */
struct call {
	struct maple_tree *mt;
	struct ma_state *mas;
	unsigned long key[ARGS_MAX];
	unsigned int keys;
	void *entry;
	gfp_t gfp;
	enum maple_status status;
	const char *words; /* the argument as it is written */
};

/*
 * signature: k is a key, e an entry, s a status, w free text; '?' makes the next one optional; a
 * final "g" allows a gfp. lock says whether the call needs t's lock.
 */
enum op_lock {
	OP_TAKES, /* takes it itself */
	OP_READS, /* the lock, or the read-side critical section */
	OP_HOLDS, /* the lock */
	OP_ANY,
};

struct op {
	const char *name;
	const char *signature;
	enum op_lock lock;
	bool quiet; /* returns nothing */
	void (*run)(struct world *w, struct call *call);
};

/* Put into out-parameters beforehand, to check that a failed call leaves them alone. */
#define UNTOUCHED 0x5a5a5a5aUL

extern const struct op tree_ops[];
extern const struct op cursor_ops[];

void world_lock(struct world *w);
void world_unlock(struct world *w);
/* Makes @mt from "alloc rcu 5..9:A". Returns false if that is not understood or a store failed. */
bool world_make_tree(struct world *w, struct maple_tree *mt, const char *setup);

/* Write " @start" and " next=n" after a success; after a failure both must be as they were. */
void world_show_start(struct world *w, int code, unsigned long start);
void world_show_next(struct world *w, int code, unsigned long next, unsigned long before);

#endif
