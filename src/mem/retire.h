/* SPDX-License-Identifier: MIT */
/*
 * Retiring nodes: they are out of the tree, but a reader may be on them, so they become free only after a
 * grace period of the readers' flavour.
 */
#ifndef SMR_MEM_RETIRE_H
#define SMR_MEM_RETIRE_H

#include "mem/arena.h"

/*
 * Retires all of @list, which is empty then. No new reader can reach them any more; until the grace period
 * is over only their last word (SMR_NODE_LINK) changes. CONTEXT: any. ALLOC no, SLEEP no, GRACE never.
 */
void smr_mem_retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, struct smr_nodes *list);

#endif
