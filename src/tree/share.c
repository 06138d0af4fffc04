/* SPDX-License-Identifier: MIT */
/*
 * An edit for which its leaf is too full, or would be too empty: the leaf and a brother, one under
 * the same parent, are dealt out anew, to three leaves at most. Nearly all that is not an edit is
 * this, and plan.c, which does it for whatever comes together in a window of any level, takes twice
 * as long. What comes of it is the same.
 *
 * When it is no more than that, ranges of two short leaves of one block stay as they are written:
 * no bound becomes a key and a bound again, and no encoding is chosen, for it would be the same.
 * (They have the smallest units there are, of a page or of a key; with larger ones each would reach
 * across the middle of the block.) Where ranges are in pieces, where one leaf is to be left full,
 * where one is too empty, and in other leaves they are decoded, as plan.c does it.
 */
#include "tree/check.h"
#include "tree/gap.h"
#include "tree/pledge.h"
#include "tree/write.h"

#include <errno.h>
#include <string.h>

/* ---- Which leaves ---- */

/*
 * Is the brother to be the one behind? It is the only one, or else the one to be left full, or else
 * the emptier.
 */
smr_inline bool choose_behind(const void *above, unsigned int at, enum smr_side full)
{
	void *const *slots = smr_slots(above);

	if (at == 0 || at + 1 == smr_count(above))
		return at == 0;
	if (full != SMR_EITHER)
		return full == SMR_RIGHT;
	smr_prefetch_node(slots[at - 1]); /* one of them will be read, as a whole */
	smr_prefetch_node(slots[at + 1]);
	return smr_count(slots[at - 1]) > smr_count(slots[at + 1]);
}

static void choose_brother(struct smr_share *s, enum smr_side full)
{
	const void *above = s->path[s->depth];
	unsigned int at = s->slot[s->depth];

	s->behind = choose_behind(above, at, full);
	s->leaves.neighbour_left = !s->behind;
	s->first = s->behind ? at : at - 1;
	s->brother = smr_slots(above)[s->behind ? at + 1 : at - 1];
	s->meet = smr_child_start(above, s->first + 1);
}

/* Of blocks of different units the middles are different, too. */
smr_inline bool stay_written(const struct smr_share *s)
{
	const struct smr_node *leaf = smr_node_of(s->leaf), *brother = smr_node_of(s->brother);

	return smr_enode_is(s->leaf, SMR_SLEAF) && smr_enode_is(s->brother, SMR_SLEAF) &&
	       leaf->base == brother->base && leaf->mark == SMR_UNMARKED &&
	       brother->mark == SMR_UNMARKED && smr_can_start(s->leaf, s->meet);
}

/* The first key of both, and the last. */
static void set_limits(struct smr_share *s)
{
	const void *above = s->path[s->depth];
	unsigned long min = smr_path_min(s->path, s->slot, s->depth);
	unsigned long max = smr_path_max(s->path, s->slot, s->depth);

	s->leaves.min = smr_leaf_first(above, s->first, min);
	s->leaves.max = smr_leaf_last(above, s->first + 1, smr_count(above) - 1, max);
}

/* ---- As they are written ---- */

/*
 * Loops run for as many ranges as a leaf can have: what is too much is written over by what comes
 * next. Slots are copied by the line, for else the compiler would call memcpy().
 */
smr_inline void copy_slots(void **to, void *const *from)
{
	struct line {
		void *slot[8];
	};
	struct line *dst = (struct line *)(void *)to;
	const struct line *src = (const struct line *)(const void *)from;

	for (unsigned int i = 0; i < SMR_SLEAF_CAP / 8; i++)
		dst[i] = src[i];
	for (unsigned int i = SMR_SLEAF_CAP & ~7u; i < SMR_SLEAF_CAP; i++)
		to[i] = from[i];
}

smr_inline void copy_bounds(int16_t *to, const int16_t *from)
{
	memcpy(to, from, (SMR_SLEAF_CAP - 1) * sizeof(int16_t));
}

/* All ranges of @leaf, as those from @at on. Where the first one begins it does not say. */
smr_inline void add_leaf(struct smr_written *r, unsigned int at, const void *leaf)
{
	copy_bounds(r->bound + at + 1, smr_node_of(leaf)->b16);
	copy_slots(r->entry + at, smr_kind_slots(smr_node_of(leaf), SMR_SLEAF));
}

/* Ranges [0..@i] of it. */
smr_inline void add_front(struct smr_written *r, unsigned int at, const void *leaf, unsigned int i)
{
	memcpy(r->bound + at + 1, smr_node_of(leaf)->b16, i * sizeof(int16_t));
	memcpy(r->entry + at, smr_slots(leaf), (i + 1) * sizeof(void *));
}

/*
 * The full leaf is added twice: as what is behind the new range, and then, over the rest of that,
 * as what is in front.
 */
SMR_CLONES static void gather_written(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	struct smr_written *r = &s->written;
	const struct smr_node *leaf = smr_node_of(s->leaf);
	unsigned int at = s->behind ? 0 : smr_count(s->brother);

	if (!s->behind)
		add_leaf(r, 0, s->brother);
	add_leaf(r, at + e->ranges - leaf->count, s->leaf);
	add_front(r, at, s->leaf, e->i);
	if (s->behind)
		add_leaf(r, e->ranges, s->brother);
	r->bound[s->behind ? e->ranges : at] = (int16_t)smr_kind_bound_of(leaf, SMR_SLEAF, s->meet);
	r->bound[s->stand] = (int16_t)e->from;
	r->entry[s->stand] = entry;
	if (e->behind)
		r->bound[s->stand + 1] = (int16_t)e->to;
}

/* Evenly, as plan.c does, to as many leaves as have been chosen. */
static void deal_written(struct smr_share *s, unsigned int ranges)
{
	struct smr_level *lev = &s->leaves;
	unsigned int parts = lev->parts;

	lev->start[0] = lev->min;
	for (unsigned int c = 0; c <= parts; c++)
		lev->cut[c] = (unsigned char)(ranges * c / parts);
	for (unsigned int c = 1; c < parts; c++)
		lev->start[c] = smr_kind_key(smr_node_of(s->leaf), SMR_SLEAF,
					     s->written.bound[lev->cut[c]]);
}

/*
 * Padding comes behind the bounds, wherever that is, as much as a leaf of one range needs: too much
 * of it is in slots, which are written later.
 */
smr_inline void *write_part(const struct smr_share *s, struct smr_node *node, unsigned int from,
			    unsigned int n)
{
	const struct smr_node *leaf = smr_node_of(s->leaf);
	int16_t *padding = node->b16 + n - 1;

	node->base = leaf->base;
	node->shift = leaf->shift;
	node->count = (uint8_t)n;
	node->dead = 0;
	node->mark = SMR_UNMARKED;
	copy_bounds(node->b16, s->written.bound + from + 1);
	for (unsigned int i = 0; i < SMR_SLEAF_BOUNDS; i++)
		padding[i] = INT16_MAX;
	copy_slots(smr_kind_slots(node, SMR_SLEAF), s->written.entry + from);
	return smr_enode_make(node, SMR_SLEAF);
}

SMR_CLONES static void write_parts(struct smr_share *s, struct smr_nodes *own)
{
	struct smr_level *lev = &s->leaves;

	for (unsigned int c = 0; c < lev->parts; c++)
		lev->node[c] = write_part(s, smr_nodes_pop(own), lev->cut[c],
					  lev->cut[c + 1] - (unsigned int)lev->cut[c]);
}

/* ---- Decoded ---- */

static void add_brother(struct smr_share *s, unsigned long min)
{
	smr_items_add_node(&s->items, s->brother, 0, smr_count(s->brother), min);
}

static void gather_items(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	struct smr_items *it = &s->items;
	const void *leaf = s->leaf;

	it->n = 0;
	it->pieces = false;
	if (!s->behind)
		add_brother(s, s->leaves.min);
	smr_items_add_node(it, leaf, 0, e->i + e->front, s->behind ? s->leaves.min : s->meet);
	smr_items_add(it, e->first, entry, 0);
	if (e->behind)
		smr_items_add(it, e->last + 1, smr_slots(leaf)[e->j], 0);
	smr_items_add_node(it, leaf, e->j + 1, smr_count(leaf), 0);
	if (s->behind)
		add_brother(s, s->meet);
}

static void encode_parts(struct smr_share *s, struct smr_nodes *own)
{
	struct smr_level *lev = &s->leaves;

	for (unsigned int c = 0; c < lev->parts; c++)
		lev->node[c] = smr_encode(smr_nodes_pop(own), &lev->code[c], &s->items, lev->cut[c],
					  lev->cut[c + 1] - (unsigned int)lev->cut[c]);
}

/* ---- Planning ---- */

/* Does the node above come to neither too many children nor too few? */
static bool has_room(const struct smr_share *s)
{
	const void *above = s->path[s->depth];
	unsigned int children = smr_count(above) + s->leaves.parts - 2u;

	return children <= smr_kind_cap(smr_enode_kind(above)) &&
	       children >= (s->depth > 0 ? SMR_INNER_MIN : 2);
}

/* Can it say where they begin? */
static bool can_begin(const struct smr_share *s)
{
	const struct smr_level *lev = &s->leaves;

	for (unsigned int c = 1; c < lev->parts; c++)
		if (!smr_can_start(s->path[s->depth], lev->start[c]))
			return false;
	return true;
}

/* False: the node above has no room for what comes of it. */
static bool plan_written(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	unsigned int ranges = e->ranges + smr_count(s->brother);

	s->leaves.parts = ranges > 2 * (SMR_SLEAF_CAP - SMR_DEAL_SLACK) ? 3 : 2;
	if (!has_room(s))
		return false;
	gather_written(s, e, entry);
	deal_written(s, ranges);
	return true;
}

/* May all that belongs into the leaf fit into one of another kind? Then that is better. */
static bool may_do_alone(const struct smr_share *s, const struct smr_edit *e)
{
	unsigned int at = s->behind ? 0 : smr_count(s->brother);
	struct smr_code code;

	if (e->ranges > SMR_SLEAF_CAP || e->ranges < SMR_LEAF_MIN)
		return false;
	return smr_node_of(s->leaf)->mark == SMR_PIECES ||
	       smr_code_choose(&code, s->items.start + at, e->ranges,
			       s->behind ? s->meet - 1 : s->leaves.max, true, 0);
}

/* The item that begins at @start. */
static unsigned int find_start(const struct smr_items *it, unsigned long start)
{
	unsigned int i = 0;

	while (it->start[i] != start)
		i++;
	return i;
}

/* @full: the side that is to be left so. */
static bool plan_decoded(struct smr_share *s, const struct smr_edit *e, void *entry,
			 enum smr_side full)
{
	gather_items(s, e, entry);
	if (may_do_alone(s, e))
		return false;
	smr_items_join(&s->items);
	if (s->items.pieces)
		s->stand = find_start(&s->items, e->first);
	smr_deal_leaves(&s->leaves, &s->items, e->first, full);
	return has_room(s);
}

bool smr_plan_share(struct smr_share *s, const struct smr_edit *e, struct maple_tree *mt,
		    void *const *path, const unsigned char *slot, unsigned int depth, void *entry)
{
	bool too_full = e->ranges > SMR_LEAF_MIN;
	enum smr_side full = SMR_EITHER;

	if (depth == 0)
		return false;
	/* Edits of a transaction are of its own leaves, to which nodes of its own lead. */
	smr_assert(!mt->ma_txn || smr_editable(mt, path[0]));
	s->mt = mt;
	s->path = path;
	s->slot = slot;
	s->depth = depth - 1;
	s->leaf = path[depth];
	if (entry && too_full)
		full = smr_growing(mt, s->leaf, smr_path_min(path, slot, depth), e->i, e->j);
	choose_brother(s, full);
	s->stand = (s->behind ? 0 : smr_count(s->brother)) + e->i + e->front;
	set_limits(s);
	s->decoded = !too_full || full != SMR_EITHER || !stay_written(s);
	if (s->decoded ? !plan_decoded(s, e, entry, full) : !plan_written(s, e, entry))
		return false;
	s->nodes = s->leaves.parts + 1u;
	return can_begin(s);
}

/* ---- The commit ---- */

/* Puts @above, which leads to them, in the place of the node above. */
static void publish(struct smr_share *s, void *above, struct smr_nodes *dropped)
{
	struct maple_tree *mt = s->mt;
	void *old = s->path[s->depth];
	unsigned int d = s->depth;

	smr_drop_node(mt, smr_slots(old)[s->first], dropped);
	smr_drop_node(mt, smr_slots(old)[s->first + 1], dropped);
	smr_drop_node(mt, old, dropped);
	smr_publish(d ? smr_slots(s->path[d - 1]) + s->slot[d - 1] : &mt->ma_root, above);
	if (d > 0 && smr_tracks_gaps(mt))
		smr_set_gap(s->path, s->slot, d, smr_gap_inner(above));
	smr_advance(mt);
}

/* The node above, which the new leaves are in. */
static void *commit(struct smr_share *s, struct smr_nodes *own, struct smr_nodes *dropped)
{
	struct smr_level *lev = &s->leaves;
	struct smr_node *node;
	void *above;

	if (s->decoded)
		encode_parts(s, own);
	else
		write_parts(s, own);
	node = smr_nodes_pop(own);
	smr_finish_level(s->mt, lev, true);
	above = smr_splice_inner(node, s->path[s->depth], s->first, s->first + 1, lev);
	node->txn = s->mt->ma_txn;
	smr_census(s->mt, above, 1);
	publish(s, above, dropped);
	return above;
}

/* Which of the new leaves has the new range? */
static unsigned int part_of(const struct smr_share *s)
{
	const struct smr_level *lev = &s->leaves;
	unsigned int c = lev->parts - 1u;

	while (s->stand < lev->cut[c])
		c--;
	return c;
}

void smr_commit_share(struct smr_share *s, struct ma_state *mas)
{
	struct smr_nodes own = { mas->alloc, mas->alloc_nr }, dropped = { NULL, 0 };
	void *above = commit(s, &own, &dropped);
	const struct smr_level *lev = &s->leaves;
	unsigned int c = part_of(s), d = mas->depth;

	mas->alloc = own.head;
	mas->alloc_nr = own.nr;
	smr_dispose(s->mt, mas, &dropped);
	mas->path[d - 1] = above;
	mas->slot[d - 1] = (unsigned char)(s->first + c);
	mas->path[d] = lev->node[c];
	mas->offset = mas->slot[d] = (unsigned char)(s->stand - lev->cut[c]);
	mas->min = lev->start[c];
	mas->max = smr_part_last(lev, c);
	smr_cursor_on(mas, lev->node[c], smr_count(lev->node[c]));
	mas->seq = s->mt->ma_seq;
}

int smr_share_range(const struct smr_edit *e, struct maple_tree *mt, const struct smr_path *path,
		    void *entry, gfp_t gfp)
{
	struct smr_nodes own = { NULL, 0 }, dropped = { NULL, 0 };
	struct smr_share s;

	if (smr_has_credits(mt) ||
	    !smr_plan_share(&s, e, mt, path->node, path->slot, path->depth, entry))
		return -EAGAIN;
	if (gfpflags_allow_blocking(gfp))
		smr_check_store_alloc(mt);
	if (smr_mem_take(smr_mem_of(mt), &own, s.nodes, gfp))
		return gfpflags_allow_blocking(gfp) ? -EAGAIN : -ENOMEM;
	mt->ma_nodes_built += s.nodes;
	if (entry)
		mt->ma_newest = e->first;
	commit(&s, &own, &dropped);
	smr_dispose(mt, NULL, &dropped);
	return 0;
}
