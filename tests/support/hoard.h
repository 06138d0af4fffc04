/* SPDX-License-Identifier: MIT */
/* An arena in which nothing is left: what there was is kept aside until it is given back. */
#ifndef TESTS_SUPPORT_HOARD_H
#define TESTS_SUPPORT_HOARD_H

#include "mem/refill.h"

/* To the last node that @gfp may have: if it may block, of the last chunk that there may be. */
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
