/* SPDX-License-Identifier: MIT */
/* Empties an arena: its nodes are set aside until they are given back. */
#ifndef TESTS_SUPPORT_HOARD_H
#define TESTS_SUPPORT_HOARD_H

#include "mem/refill.h"

/*
 * Takes every node that @gfp can get: if it may block, up to the last node of the last possible
 * chunk.
 */
static inline void hoard_all(struct mt_mem *mem, struct smr_nodes *hoard, gfp_t gfp)
{
	while (!smr_mem_obtain(mem, hoard, 1, gfp | __GFP_NOWARN))
		;
}

static inline void hoard_give(struct mt_mem *mem, struct smr_nodes *hoard)
{
	smr_mem_give_list(mem, hoard);
}

#endif
