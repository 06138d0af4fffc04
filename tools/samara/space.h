/* SPDX-License-Identifier: MIT */
/*
 * An address space kept in a maple tree: one entry per mapping, keyed by byte addresses, each
 * pointing to a record of its own (mapping.h). An operation over part of a mapping splits or trims
 * it; the pieces get new records. There is one writer. In RCU mode any number of readers run beside
 * it; without RCU readers take the tree's lock.
 *
 * A change is a sequence of steps, each one store: first the remaining parts of the outer mappings
 * get their new records (their contents stay), then the range itself changes. So no address ever
 * reads as something that is neither its old nor its new mapping.
 */
#ifndef SAMARA_TOOL_SPACE_H
#define SAMARA_TOOL_SPACE_H

#include <samara/maple_tree.h>

#include "history.h"
#include "mapping.h"
#include "reclaim.h"

struct space {
	struct maple_tree tree;
	struct reclaimer reclaimer;
	struct history *history; /* NULL: there are no readers */
	uint64_t step;
	size_t live; /* mappings, that is, entries of the tree */
	size_t peak;
	bool wrong;               /* a check has failed: the tree may contain freed records */
	struct mapping **victims; /* scratch space: records in the way of a change */
	size_t nr_victims;
	size_t room;
};

/* @history may be NULL; it must outlive the space. */
void space_init(struct space *space, bool rcu, struct history *history);
/*
 * Frees everything, waiting for grace periods, except the records of a tree that is wrong. No
 * reader may be left.
 */
void space_destroy(struct space *space);

/*
 * Does what @op says. Returns 0, -ENOMEM, or -EINVAL with *@why when it does not fit what is
 * mapped. After -EINVAL the space is as before; after -ENOMEM each address still has its old or its
 * new mapping.
 */
int space_apply(struct space *space, const struct trace_op *op, const char **why);

/* Prints the maximal runs (as_write_runs()) of @space, a struct space. Returns as_runs_count(). */
size_t space_write_runs(void *space, FILE *out);

#endif
