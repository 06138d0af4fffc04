/* SPDX-License-Identifier: MIT */
/* Building what was planned, bottom up, in nodes that nobody can see yet. */
#include "tree/gap.h"
#include "tree/write.h"

static unsigned long part_last(const struct smr_level *lev, unsigned int c)
{
	return c + 1 < lev->parts ? lev->start[c + 1] - 1 : lev->max;
}

static uint32_t part_gap(const struct smr_level *lev, unsigned int c, bool leaf)
{
	return leaf ? smr_gap_leaf(lev->node[c], lev->start[c], part_last(lev, c))
		    : smr_gap_inner(lev->node[c]);
}

static void build_level(struct smr_write *w, unsigned int l)
{
	struct smr_level *lev = &w->level[l];
	bool gaps = smr_tracks_gaps(w->mt);
	struct smr_items children;
	const struct smr_items *it = &w->ranges;
	struct smr_node *node;

	if (l > 0) {
		smr_gather(w, l, &children);
		it = &children;
	}
	for (unsigned int c = 0; c < lev->parts; c++) {
		unsigned int from = lev->cut[c];

		node = smr_own_node(w->mas);
		lev->node[c] = smr_encode(node, &lev->code[c], it, from, lev->cut[c + 1] - from);
		node->txn = w->mt->ma_txn;
		smr_census(w->mt, lev->node[c], 1);
		lev->gap[c] = gaps ? part_gap(lev, c, l == 0) : 0;
	}
}

void smr_build(struct smr_write *w)
{
	for (unsigned int l = 0; l <= w->top; l++)
		build_level(w, l);
}
