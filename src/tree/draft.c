/* SPDX-License-Identifier: MIT */
#include "tree/draft.h"

#include "tree/check.h"
#include "tree/encode.h"
#include "tree/pledge.h"
#include "tree/write.h"

/* Finds the range of @key in the cursor's leaf, searching from range @i, which is close by. */
smr_inline unsigned int range_of(const struct ma_state *mas, unsigned long key, unsigned int i)
{
	while (i > 0 && key < smr_start(mas->node, i))
		i--;
	while (i < mas->end && key >= smr_start(mas->node, i + 1))
		i++;
	return i;
}

/*
 * Returns true if any store that smr_nodes_within() allows for is sure to leave one leaf of the
 * same encoding. Then *@i and *@j are the ranges of @first and @last. Inside a leaf, where neither
 * its first nor its last key is stored over, NULL merges with no gap of another leaf.
 */
static bool stays_in_leaf(const struct ma_state *mas, unsigned long first, unsigned long last,
			  unsigned int *i, unsigned int *j)
{
	unsigned int count = mas->end + 1u, more, less;
	void *const *slots;

	smr_assert(!mas->tree->ma_txn);
	if (!smr_path_fresh(mas) || smr_has_joined(mas->node) || first <= mas->min ||
	    last >= mas->max)
		return false;
	slots = smr_slots(mas->node);
	*i = range_of(mas, first, mas->offset);
	*j = range_of(mas, last, *i);
	/*
	 * At most one range more, or two if one is cut in three. At least one is left of [i..j] and
	 * the gaps that NULL merges with.
	 */
	more = *i == *j ? 2 : 1;
	less = smr_run_to(slots, *j, mas->end) - smr_run_from(slots, *i);
	return count + more <= smr_kind_cap(smr_enode_kind(mas->node)) &&
	       count - less >= SMR_LEAF_MIN && smr_can_start(mas->node, first) &&
	       smr_can_start(mas->node, last + 1);
}

unsigned long smr_nodes_within(const struct ma_state *mas, unsigned long first, unsigned long last)
{
	unsigned int height = mt_height(mas->tree), i, j;

	if (height == 0 || stays_in_leaf(mas, first, last, &i, &j))
		return 1;
	return SMR_STORE_NODES(height);
}

/* ---- Drafts ---- */

/* Fills in what a commit of the cursor's leaf must know of a store from range @i to range @j. */
static void set_write(struct smr_write *w, struct ma_state *mas, unsigned long first,
		      unsigned long last, unsigned int i, unsigned int j)
{
	w->mas = mas;
	w->mt = mas->tree;
	w->first = first;
	w->last = last;
	w->entry = NULL;
	w->edges = SMR_NO_EDGES;
	w->form = SMR_LEAF;
	w->i = i;
	w->j = j;
	w->begin = smr_leaf_first(mas->node, i, mas->min);
	w->end = smr_leaf_last(mas->node, j, mas->end, mas->max);
	w->compact = w->spans = false;
}

void smr_draft_begin(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last)
{
	struct smr_node *node;
	struct smr_write w;
	unsigned int i, j, x;

	d->leaf = NULL;
	if (!stays_in_leaf(mas, first, last, &i, &j))
		return;
	set_write(&w, mas, first, last, i, j);
	/* The same range again only changes a slot, which takes no node. */
	if (i == j && first == w.begin && last == w.end)
		return;
	node = smr_mem_take_one(smr_mem_of(mas->tree), GFP_NOWAIT | __GFP_NOWARN);
	if (!node)
		return;
	/* The commit will look at its gap figure. */
	if (mas->depth > 0)
		smr_prefetch(&smr_gaps(mas->path[mas->depth - 1])[mas->slot[mas->depth - 1]]);
	d->leaf = smr_build_leaf(&w, node, &x);
	d->i = (unsigned char)i;
	d->j = (unsigned char)j;
	d->x = (unsigned char)x;
}

void smr_draft_store(struct smr_draft *d, struct ma_state *mas, unsigned long first,
		     unsigned long last, void *entry, struct smr_edges edges)
{
	void **slot = smr_slots(d->leaf) + d->x;
	struct smr_write w;

	smr_check_write(mas->tree);
	smr_assert(mas->seq == mas->tree->ma_seq);
	*slot = entry;
	smr_put_edges(slot, edges);
	set_write(&w, mas, first, last, d->i, d->j);
	w.entry = entry;
	mas->tree->ma_nodes_built++;
	mas->tree->ma_newest = first;
	smr_publish_leaf(&w, d->leaf, d->x);
	smr_place_cursor(&w);
	d->leaf = NULL;
}

void smr_draft_drop(struct smr_draft *d, struct ma_state *mas)
{
	struct smr_nodes draft = { smr_node_of(d->leaf), 1 };

	if (!d->leaf)
		return;
	smr_cursor_add_nodes(mas, &draft);
	d->leaf = NULL;
}
