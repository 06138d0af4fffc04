/* SPDX-License-Identifier: MIT */
/*
 * Edges: what a store leaves of the range that it cuts with its first key, and of the one that it
 * cuts with its last. An edge keeps the entry of its range, or is given another one at the moment
 * of the store: in leaves that nobody can see yet, or that nobody reads without the lock.
 */
#ifndef SMR_TREE_EDGES_H
#define SMR_TREE_EDGES_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

/* NULL: the edge keeps its entry. Otherwise there must be such an edge, and it held an entry. */
struct smr_edges {
	void *left, *right;
};

#define SMR_NO_EDGES ((struct smr_edges){ NULL, NULL })

smr_inline bool smr_has_edges(struct smr_edges edges)
{
	return edges.left || edges.right;
}

/* Gives the edges their entries. @slot is the slot of the new range. */
smr_inline void smr_put_edges(void **slot, struct smr_edges edges)
{
	if (edges.left)
		slot[-1] = edges.left;
	if (edges.right)
		slot[1] = edges.right;
}

#endif
