/* SPDX-License-Identifier: MIT */
/*
 * An edit for which its leaf is too full, or would be too empty: the leaf and a brother, one under
 * the same parent, are dealt out anew, to three leaves at most. Nearly all that is not an edit is
 * this, and plan.c, which does it for whatever comes together in a window of any level, takes twice
 * as long. What comes of it is the same.
 *
 * Where both leaves are written alike, and what comes of them would be, too, ranges stay as they
 * are written: no bound becomes a key and a bound again, and no encoding is chosen by looking at
 * all of them. Where that cannot be told by a few, where ranges are in pieces, where one leaf is to
 * be left full, and where one is too empty, they are decoded, as plan.c does it.
 */
#include "tree/check.h"
#include "tree/gap.h"
#include "tree/pledge.h"
#include "tree/splice.h"
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
	s->leaves->neighbour_left = !s->behind;
	s->first = s->behind ? at : at - 1;
	s->brother = smr_slots(above)[s->behind ? at + 1 : at - 1];
	s->meet = smr_child_start(above, s->first + 1);
}

/* Do both write the same bound for the same key, also for that where they meet? */
smr_inline bool written_alike(const struct smr_share *s)
{
	const struct smr_node *leaf = smr_node_of(s->leaf), *brother = smr_node_of(s->brother);

	return smr_enode_kind(s->leaf) == smr_enode_kind(s->brother) &&
	       leaf->base == brother->base && leaf->shift == brother->shift &&
	       leaf->mark == SMR_UNMARKED && brother->mark == SMR_UNMARKED &&
	       smr_can_start(s->leaf, s->meet);
}

/* The first key of both, and the last: most often the node above knows them. */
static void set_limits(struct smr_share *s)
{
	const void *above = s->path[s->depth];
	struct smr_level *lev = s->leaves;
	unsigned int behind = s->first + 2;

	lev->min = s->first > 0 ? smr_child_start(above, s->first)
				: smr_path_min(s->path, s->slot, s->depth);
	lev->max = behind < smr_count(above) ? smr_child_start(above, behind) - 1
					     : smr_path_max(s->path, s->slot, s->depth);
}

/* ---- As they are written ---- */

smr_inline void *bounds_of(enum smr_kind kind, struct smr_written *r, unsigned int i)
{
	if (smr_kind_wide(kind))
		return r->b64 + i;
	return smr_kind_short(kind) ? (void *)(r->b16 + i) : r->b32 + i;
}

smr_inline void set_bound(enum smr_kind kind, struct smr_written *r, unsigned int i, int64_t bound)
{
	if (smr_kind_wide(kind))
		r->b64[i] = bound;
	else if (smr_kind_short(kind))
		r->b16[i] = (int16_t)bound;
	else
		r->b32[i] = (int32_t)bound;
}

smr_inline size_t bound_size(enum smr_kind kind)
{
	if (smr_kind_wide(kind))
		return sizeof(int64_t);
	return smr_kind_short(kind) ? sizeof(int16_t) : sizeof(int32_t);
}

/* By vectors, where a machine has them, which compilers do not make of memcpy(). */
smr_inline void copy_words(void *to, const void *from, unsigned int n)
{
	typedef unsigned long vector __attribute__((vector_size(64), aligned(2), may_alias));
	unsigned int i = 0;

	for (; i + 8 <= n; i += 8)
		*(vector *)((char *)to + 8 * i) = *(const vector *)((const char *)from + 8 * i);
	memcpy((char *)to + 8 * i, (const char *)from + 8 * i, 8 * (n - i));
}

/*
 * These copy as many as a leaf can have: what is too much is written over by what comes next.
 */
smr_inline void copy_slots(enum smr_kind kind, void **to, void *const *from)
{
	copy_words(to, from, smr_leaf_cap(kind));
}

smr_inline void copy_bounds(enum smr_kind kind, void *to, const void *from)
{
	copy_words(to, from, (smr_leaf_cap(kind) - 1) * bound_size(kind) / 8);
}

/* All ranges of @leaf, as those from @at on. Where the first one begins it does not say. */
smr_inline void add_leaf(enum smr_kind kind, struct smr_written *r, unsigned int at,
			 const void *leaf)
{
	struct smr_node *node = smr_kind_node(leaf, kind);

	copy_bounds(kind, bounds_of(kind, r, at + 1), node->b16);
	copy_slots(kind, r->entry + at, smr_kind_slots(node, kind));
}

/*
 * All ranges of the full leaf, but that those behind range @i are @by further on, one or two. What
 * lies before the first bound or slot, or behind the last, may be read, but is not used.
 */
smr_inline void add_edited(enum smr_kind kind, struct smr_written *r, unsigned int at,
			   const void *leaf, unsigned int i, unsigned int by)
{
	const unsigned int cap = smr_leaf_cap(kind), vectors = cap & ~3u;
	struct smr_node *node = smr_kind_node(leaf, kind);
	void *const *slots = smr_kind_slots(node, kind);

	_Static_assert(SMR_WLEAF_CAP + 1 <= 32 && SMR_NLEAF_CAP + 1 <= 48 &&
			       SMR_SLEAF_CAP + 1 <= 48,
		       "bounds of a leaf with two ranges more");
	if (smr_kind_wide(kind))
		smr_move_row64(r->b64 + at + 1, node->b64, 32, i, (int)by);
	else if (smr_kind_short(kind))
		smr_move_row16(r->b16 + at + 1, node->b16, 48, i, (int)by);
	else
		smr_move_row32(r->b32 + at + 1, node->b32, 48, i, (int)by);
	smr_move_row64((int64_t *)(void *)(r->entry + at), (const int64_t *)(const void *)slots,
		       vectors, i + 1, (int)by);
	for (unsigned int k = vectors; k < cap + 2; k++)
		r->entry[at + k] = slots[k <= i ? k : k - by];
}

smr_inline void gather_kind(enum smr_kind kind, struct smr_share *s, const struct smr_edit *e,
			    void *entry)
{
	struct smr_written *r = &s->written;
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);
	unsigned int at = s->behind ? 0 : smr_count(s->brother);

	if (!s->behind)
		add_leaf(kind, r, 0, s->brother);
	add_edited(kind, r, at, s->leaf, e->i, e->ranges - leaf->count);
	if (s->behind)
		add_leaf(kind, r, e->ranges, s->brother);
	set_bound(kind, r, s->behind ? e->ranges : at, smr_kind_bound_of(leaf, kind, s->meet));
	set_bound(kind, r, s->stand, e->from);
	r->entry[s->stand] = entry;
	if (e->behind)
		set_bound(kind, r, s->stand + 1, e->to);
}

SMR_CLONES static void gather_written(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	SMR_FOR_LEAF(s->leaf, gather_kind, s, e, entry);
}

smr_inline int64_t bound_of(enum smr_kind kind, const struct smr_written *r, unsigned int i)
{
	if (smr_kind_wide(kind))
		return r->b64[i];
	return smr_kind_short(kind) ? r->b16[i] : r->b32[i];
}

/* Where range @i of both begins. */
smr_inline unsigned long start_of(enum smr_kind kind, const struct smr_share *s, unsigned int i)
{
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);

	return i ? smr_kind_key(leaf, kind, bound_of(kind, &s->written, i)) : s->leaves->min;
}

/* Evenly, as deal.c does. */
smr_inline void divide(enum smr_kind kind, struct smr_share *s, unsigned int ranges,
		       unsigned int parts)
{
	struct smr_level *lev = s->leaves;

	lev->parts = (unsigned char)parts;
	for (unsigned int c = 0; c <= parts; c++)
		lev->cut[c] = (unsigned char)(ranges * c / parts);
	for (unsigned int c = 0; c < parts; c++)
		lev->start[c] = start_of(kind, s, lev->cut[c]);
}

/* Into what might ranges [@from, @to), keys [@min..@max], go with room for @slack more? */
smr_inline bool guess(enum smr_kind kind, const struct smr_share *s, struct smr_code *code,
		      unsigned int from, unsigned int to, unsigned long min, unsigned long max,
		      unsigned int slack)
{
	const unsigned long start[3] = { min, start_of(kind, s, from + 1),
					 start_of(kind, s, to - 1) };

	return smr_code_guess(code, start, to - from, max, slack);
}

/* Is that how the leaf is written? */
smr_inline bool is_code(enum smr_kind kind, const struct smr_share *s, const struct smr_code *code)
{
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);

	return code->kind == kind && code->base == leaf->base && code->shift == leaf->shift;
}

/* May each part go into a leaf? */
smr_inline bool parts_fit(enum smr_kind kind, struct smr_share *s)
{
	struct smr_level *lev = s->leaves;

	for (unsigned int c = 0; c < lev->parts; c++)
		if (!guess(kind, s, &lev->code[c], lev->cut[c], lev->cut[c + 1], lev->start[c],
			   smr_part_last(lev, c), SMR_DEAL_SLACK))
			return false;
	return true;
}

smr_inline bool parts_stay(enum smr_kind kind, const struct smr_share *s)
{
	for (unsigned int c = 0; c < s->leaves->parts; c++)
		if (!is_code(kind, s, &s->leaves->code[c]))
			return false;
	return true;
}

/*
 * Short ones have the alignment of their starts, in steps of four bits (encode.c): is there a start
 * that has no more? Three say so mostly.
 */
smr_inline bool short_part_stays(const struct smr_share *s, unsigned int from, unsigned int to)
{
	const int16_t *bound = s->written.b16;

	return ((bound[from + 1] | bound[from + 2] | bound[to - 1]) & 0xf) != 0;
}

smr_inline bool short_parts_stay(const struct smr_share *s)
{
	const struct smr_level *lev = s->leaves;

	if (smr_node_of(s->leaf)->shift & 3)
		return false;
	for (unsigned int c = 0; c < lev->parts; c++)
		if (!short_part_stays(s, lev->cut[c], lev->cut[c + 1]))
			return false;
	return true;
}

/*
 * As smr_deal_leaves() does, if they stay as they are written. Else, or perhaps, false. Of short
 * ones, as most are, no more has to be asked than whether their units stay.
 */
smr_inline bool deal_kind(enum smr_kind kind, struct smr_share *s, unsigned int ranges)
{
	unsigned int parts = 2;

	if (smr_kind_short(kind)) {
		divide(kind, s, ranges, ranges > 2 * (SMR_SLEAF_CAP - SMR_DEAL_SLACK) ? 3 : 2);
		return short_parts_stay(s);
	}
	do
		divide(kind, s, ranges, parts);
	while (!parts_fit(kind, s) && ++parts <= SMR_PARTS_MAX);
	return parts <= SMR_PARTS_MAX && parts_stay(kind, s);
}

/* May what belongs into the leaf fit into one of another kind? */
smr_inline bool may_do_alone(enum smr_kind kind, const struct smr_share *s,
			     const struct smr_edit *e)
{
	unsigned int from = s->behind ? 0 : smr_count(s->brother);
	struct smr_code code;

	return !smr_kind_short(kind) &&
	       guess(kind, s, &code, from, from + e->ranges, s->behind ? s->leaves->min : s->meet,
		     s->behind ? s->meet - 1 : s->leaves->max, 0);
}

smr_inline bool plan_kind(enum smr_kind kind, struct smr_share *s, const struct smr_edit *e)
{
	return !may_do_alone(kind, s, e) && deal_kind(kind, s, e->ranges + smr_count(s->brother));
}

/* False: or perhaps they do not stay as they are. */
static bool plan_written(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	gather_written(s, e, entry);
	return SMR_FOR_LEAF(s->leaf, plan_kind, s, e);
}

/*
 * Padding comes behind the bounds, wherever that is, as much as a leaf of one range needs: too much
 * of it is in slots, which are written later.
 */
smr_inline void *write_part(enum smr_kind kind, struct smr_share *s, struct smr_node *node,
			    unsigned int from, unsigned int n)
{
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);

	node->base = leaf->base;
	node->shift = leaf->shift;
	node->count = (uint8_t)n;
	node->dead = 0;
	node->mark = SMR_UNMARKED;
	copy_bounds(kind, node->b16, bounds_of(kind, &s->written, from + 1));
	for (unsigned long i = 0; i < smr_kind_bounds(kind); i++)
		smr_kind_set_bound(node, kind, n - 1 + i, smr_kind_padding(kind));
	copy_slots(kind, smr_kind_slots(node, kind), s->written.entry + from);
	return smr_enode_make(node, kind);
}

smr_inline void write_kind(enum smr_kind kind, struct smr_share *s, struct smr_nodes *own)
{
	struct smr_level *lev = s->leaves;

	for (unsigned int c = 0; c < lev->parts; c++)
		lev->node[c] = write_part(kind, s, smr_nodes_pop(own), lev->cut[c],
					  lev->cut[c + 1] - (unsigned int)lev->cut[c]);
}

SMR_CLONES static void write_parts(struct smr_share *s, struct smr_nodes *own)
{
	SMR_FOR_LEAF(s->leaf, write_kind, s, own);
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
		add_brother(s, s->leaves->min);
	smr_items_add_node(it, leaf, 0, e->i + e->front, s->behind ? s->leaves->min : s->meet);
	smr_items_add(it, e->first, entry, 0);
	if (e->behind)
		smr_items_add(it, e->last + 1, smr_slots(leaf)[e->j], 0);
	smr_items_add_node(it, leaf, e->j + 1, smr_count(leaf), 0);
	if (s->behind)
		add_brother(s, s->meet);
}

/* ---- Planning ---- */

/* May all that belongs into the leaf fit into one of another kind? Then that is better. */
static bool does_alone(const struct smr_share *s, const struct smr_edit *e)
{
	unsigned int at = s->behind ? 0 : smr_count(s->brother);
	struct smr_code code;

	if (e->ranges > SMR_SLEAF_CAP || e->ranges < SMR_LEAF_MIN)
		return false;
	return smr_node_of(s->leaf)->mark == SMR_PIECES ||
	       smr_code_choose(&code, s->items.start + at, e->ranges,
			       s->behind ? s->meet - 1 : s->leaves->max, true, 0);
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
	if (does_alone(s, e))
		return false;
	smr_items_join(&s->items);
	if (s->items.pieces)
		s->stand = find_start(&s->items, e->first);
	smr_deal_leaves(s->leaves, &s->items, e->first, full);
	return true;
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
	s->decoded = !too_full || full != SMR_EITHER || !written_alike(s) ||
		     !plan_written(s, e, entry);
	return !s->decoded || plan_decoded(s, e, entry, full);
}

bool smr_share_fits(const struct smr_share *s, unsigned int *nodes)
{
	const void *above = s->path[s->depth];
	const struct smr_level *lev = s->leaves;
	unsigned int children = smr_count(above) + lev->parts - 2u;

	if (children > smr_kind_cap(smr_enode_kind(above)) ||
	    children < (s->depth > 0 ? SMR_INNER_MIN : 2))
		return false;
	for (unsigned int c = 1; c < lev->parts; c++)
		if (!smr_can_start(above, lev->start[c]))
			return false;
	*nodes = lev->parts + 1u;
	return true;
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

void smr_build_share(struct smr_share *s, struct smr_nodes *own)
{
	if (s->decoded)
		smr_encode_parts(s->leaves, &s->items, own);
	else
		write_parts(s, own);
}

/* The node above, which the new leaves are in. */
static void *commit(struct smr_share *s, struct smr_nodes *own, struct smr_nodes *dropped)
{
	struct smr_level *lev = s->leaves;
	struct smr_node *node;
	void *above;

	smr_build_share(s, own);
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
	const struct smr_level *lev = s->leaves;
	unsigned int c = lev->parts - 1u;

	while (s->stand < lev->cut[c])
		c--;
	return c;
}

void smr_commit_share(struct smr_share *s, struct ma_state *mas)
{
	struct smr_nodes own = smr_own_nodes(mas), dropped = { NULL, 0 };
	void *above = commit(s, &own, &dropped);
	const struct smr_level *lev = s->leaves;
	unsigned int c = part_of(s), d = mas->depth;

	smr_set_own_nodes(mas, &own);
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
	struct smr_level leaves;
	struct smr_share s;
	unsigned int nodes;

	s.leaves = &leaves;
	if (smr_has_credits(mt) ||
	    !smr_plan_share(&s, e, mt, path->node, path->slot, path->depth, entry) ||
	    !smr_share_fits(&s, &nodes))
		return -EAGAIN;
	if (gfpflags_allow_blocking(gfp))
		smr_check_store_alloc(mt);
	if (smr_mem_take(smr_mem_of(mt), &own, nodes, gfp))
		return gfpflags_allow_blocking(gfp) ? -EAGAIN : -ENOMEM;
	mt->ma_nodes_built += nodes;
	if (entry)
		mt->ma_newest = e->first;
	commit(&s, &own, &dropped);
	smr_dispose(mt, NULL, &dropped);
	return 0;
}
