/* SPDX-License-Identifier: MIT */
/* Builds what was planned, bottom up, in nodes that no other thread can see yet. */
#include "tree/gap.h"
#include "tree/write.h"

static uint32_t part_gap(const struct smr_level *lev, unsigned int c, bool leaf)
{
	return leaf ? smr_gap_leaf(lev->node[c], lev->start[c], smr_part_last(lev, c))
		    : smr_gap_inner(lev->node[c]);
}

/*
 * Reads the nodes only when all parts have been written: what has just been written is still on its
 * way to the cache.
 */
void smr_finish_level(struct maple_tree *mt, struct smr_level *lev, bool leaves)
{
	for (unsigned int c = 0; c < lev->parts; c++) {
		smr_node_of(lev->node[c])->txn = mt->ma_txn;
		smr_count_node(mt, lev->node[c], 1);
		lev->gap[c] = smr_tracks_gaps(mt) ? part_gap(lev, c, leaves) : 0;
	}
}

void smr_encode_parts(struct smr_level *lev, const struct smr_items *it, struct smr_nodes *own)
{
	for (unsigned int c = 0; c < lev->parts; c++)
		lev->node[c] = smr_encode(smr_nodes_pop(own), &lev->code[c], it, lev->cut[c],
					  lev->cut[c + 1] - (unsigned int)lev->cut[c]);
}

/* Children are gathered again, as the nodes that their slots lead to are built by now. */
static void encode_level(struct smr_write *w, unsigned int l, struct smr_nodes *own)
{
	struct smr_items children;

	if (l > 0)
		smr_gather(w, l, &children);
	smr_encode_parts(&w->level[l], l > 0 ? &children : &w->share.items, own);
}

/* Builds a level whose only node stays, except for some of its children. */
static void splice_level(struct smr_write *w, unsigned int l, struct smr_nodes *own)
{
	unsigned int d = w->mas->depth - l;

	w->level[l].node[0] = smr_splice_inner(smr_nodes_pop(own), w->left.node[d], w->left.slot[d],
					       w->right.slot[d], &w->level[l - 1]);
}

static void build_level(struct smr_write *w, unsigned int l, struct smr_nodes *own)
{
	if (l == 0 && w->shared)
		smr_build_share(&w->share, own);
	else if (w->level[l].spliced)
		splice_level(w, l, own);
	else
		encode_level(w, l, own);
	smr_finish_level(w->mt, &w->level[l], l == 0);
}

void smr_build(struct smr_write *w)
{
	struct smr_nodes own = smr_own_nodes(w->mas);

	for (unsigned int l = 0; l <= w->top; l++)
		build_level(w, l, &own);
	smr_set_own_nodes(w->mas, &own);
}
