/* SPDX-License-Identifier: MIT */
/*
 * Inserts into libbsd's red-black trees beside a neighbour, without a search from the root.
 */
#ifndef BENCH_RB_NEAR_H
#define BENCH_RB_NEAR_H

#include <bsd/sys/tree.h>

/*
 * Sets @parent and @slot to the place of a new element right behind @before (NULL: in front of
 * all): one of two places is always free, below @before and below its successor. Afterwards call
 * RB_SET(), store to *@slot, and call NAME_RB_INSERT_COLOR().
 */
#define RB_BEHIND(head, before, parent, slot, field)                           \
	do {                                                                   \
		(parent) = (before) ? RB_RIGHT(before, field) : RB_ROOT(head); \
		(slot) = (before) ? &RB_RIGHT(before, field) : &RB_ROOT(head); \
		if (!(parent)) {                                               \
			(parent) = (before);                                   \
			break;                                                 \
		}                                                              \
		while (RB_LEFT(parent, field))                                 \
			(parent) = RB_LEFT(parent, field);                     \
		(slot) = &RB_LEFT(parent, field);                              \
	} while (0)

#endif
