/* SPDX-License-Identifier: MIT */
#ifndef SMR_TREE_SNAPSHOT_H
#define SMR_TREE_SNAPSHOT_H

#include <samara/snapshot.h>

/*
 * Is @mt a snapshot? Then nodes below its root that are marked dead are those of its version, and
 * there are no others to be found in their place.
 */
bool smr_is_snapshot(const struct maple_tree *mt);

#endif
