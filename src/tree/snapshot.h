/* SPDX-License-Identifier: MIT */
/* Telling snapshots from other trees. */
#ifndef SMR_TREE_SNAPSHOT_H
#define SMR_TREE_SNAPSHOT_H

#include <samara/snapshot.h>

/*
 * Whether @mt is a snapshot. Nodes below a snapshot's root that are marked dead belong to its
 * version: from the root no others can be found in their place.
 */
bool smr_is_snapshot(const struct maple_tree *mt);

#endif
