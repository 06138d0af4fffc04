/* SPDX-License-Identifier: MIT */
/*
 * Sharing: what becomes of an edit for which its leaf is too full, or after which it would be too
 * empty. The leaf and its siblings, those under the same parent, deal their ranges out anew. Nearly
 * every store that is not an edit is this. plan.c, which does the same for windows of any level,
 * takes twice as long.
 *
 * A full leaf shares with both its siblings, and the three become three or four. So it takes longer
 * until one of them is full again than if the leaf had shared with one, and they are as full in the
 * end. For that all must have the same encoding, and so must the new leaves: ranges stay encoded,
 * so no bound is converted to a key and back, and no encoding is chosen by looking at all ranges.
 *
 * If that cannot be, if the parent has no room, if one side is to be left full, or if the leaf
 * would be too empty, it shares with one sibling, and the nodes are those that plan.c would make;
 * or it shares with none, if a sibling is to be left full and is so already. Ranges are then
 * decoded, as in plan.c, unless a full leaf is dealt out evenly, no ranges are in pieces, both
 * leaves have the same encoding, and a few ranges tell that the new leaves will have it, too.
 */
#include "base/isa.h"
#include "tree/check.h"
#include "tree/gap.h"
#include "tree/plan.h"
#include "tree/splice.h"
#include "tree/write.h"

#include <errno.h>
#include <string.h>

/* ---- Which leaves ---- */

smr_inline const void *parent_of(const struct smr_share *s)
{
	return s->path[s->depth];
}

/* The leaf's left sibling (@by -1), or its right one (1). */
smr_inline const void *sibling_of(const struct smr_share *s, int by)
{
	return smr_slots(parent_of(s))[s->slot[s->depth] + by];
}

/*
 * Returns true if the one sibling that shares is to be the right one: because the leaf has no
 * other, or else because that side is to be left full, or else because it is the emptier of the
 * two.
 */
smr_inline bool choose_right(const struct smr_share *s, enum smr_side full)
{
	const void *parent = parent_of(s);
	unsigned int at = s->slot[s->depth];

	if (at == 0 || at + 1 == smr_count(parent))
		return at == 0;
	if (full != SMR_EITHER)
		return full == SMR_RIGHT;
	smr_prefetch_node(sibling_of(s, -1)); /* one of them will be read, as a whole */
	smr_prefetch_node(sibling_of(s, 1));
	return smr_count(sibling_of(s, -1)) > smr_count(sibling_of(s, 1));
}

/* The first and the last key of child @i of the parent, which mostly knows them itself. */
smr_inline unsigned long child_min(const struct smr_share *s, unsigned int i)
{
	return i > 0 ? smr_child_start(parent_of(s), i) : smr_path_min(s->path, s->slot, s->depth);
}

smr_inline unsigned long child_max(const struct smr_share *s, unsigned int i)
{
	return i + 1 < smr_count(parent_of(s)) ? smr_child_start(parent_of(s), i + 1) - 1
					       : smr_path_max(s->path, s->slot, s->depth);
}

/* Sets which siblings share: the left one, the right one, both, or none. */
static void set_siblings(struct smr_share *s, const struct smr_edit *e, bool left, bool right)
{
	unsigned int at = s->slot[s->depth];

	s->left = left;
	s->right = right;
	s->first_slot = at - left;
	s->left_ranges = left ? smr_count(sibling_of(s, -1)) : 0;
	s->ranges = s->left_ranges + e->ranges + (right ? smr_count(sibling_of(s, 1)) : 0);
	s->new_range = s->left_ranges + e->i + e->left_edge;
	s->leaves->neighbour_left = left;
	s->leaves->min = left ? child_min(s, at - 1) : s->min;
	s->leaves->max = right ? child_max(s, at + 1) : s->max;
}

/*
 * Returns true if @sibling has the leaf's encoding, which can write a bound at @meet, where the two
 * meet, and no ranges in pieces.
 */
smr_inline bool has_same_encoding(const struct smr_share *s, const void *sibling,
				  unsigned long meet)
{
	const struct smr_node *a = smr_node_of(s->leaf), *b = smr_node_of(sibling);

	return smr_enode_kind(s->leaf) == smr_enode_kind(sibling) && a->base == b->base &&
	       a->shift == b->shift && b->mark == SMR_UNMARKED && smr_can_start(s->leaf, meet);
}

smr_inline bool all_same_encoding(const struct smr_share *s)
{
	return smr_node_of(s->leaf)->mark == SMR_UNMARKED &&
	       (!s->left || has_same_encoding(s, sibling_of(s, -1), s->min)) &&
	       (!s->right || has_same_encoding(s, sibling_of(s, 1), s->max + 1));
}

/* ---- Ranges that stay encoded ---- */

smr_inline void *bounds_of(enum smr_kind kind, struct smr_encoded *r, unsigned int i)
{
	if (smr_kind_wide(kind))
		return r->b64 + i;
	return smr_kind_short(kind) ? (void *)(r->b16 + i) : r->b32 + i;
}

smr_inline void set_bound(enum smr_kind kind, struct smr_encoded *r, unsigned int i, int64_t bound)
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

/* Copies by vectors, where the machine has them: compilers do not make these of memcpy(). */
smr_inline void copy_words(void *to, const void *from, unsigned int n)
{
	typedef unsigned long vector __attribute__((vector_size(64), aligned(2), may_alias));
	unsigned int i = 0;

	for (; i + 8 <= n; i += 8)
		*(vector *)((char *)to + 8 * i) = *(const vector *)((const char *)from + 8 * i);
	memcpy((char *)to + 8 * i, (const char *)from + 8 * i, 8 * (n - i));
}

/* These copy as many as a leaf can have; what is too much is overwritten by what is added next. */
smr_inline void copy_slots(enum smr_kind kind, void **to, void *const *from)
{
	copy_words(to, from, smr_leaf_cap(kind));
}

smr_inline void copy_bounds(enum smr_kind kind, void *to, const void *from)
{
	copy_words(to, from, (smr_leaf_cap(kind) - 1) * bound_size(kind) / 8);
}

/* Adds all ranges of @leaf from index @at on, except the first one's bound, which no leaf has. */
smr_inline void add_leaf(enum smr_kind kind, struct smr_encoded *r, unsigned int at,
			 const void *leaf)
{
	struct smr_node *node = smr_kind_node(leaf, kind);

	copy_bounds(kind, bounds_of(kind, r, at + 1), node->b16);
	copy_slots(kind, r->entry + at, smr_kind_slots(node, kind));
}

/*
 * Adds all ranges of the full leaf, with those after range @i moved on by @by, one or two. What
 * lies before the first bound or slot, or after the last, may be read but is not used.
 */
smr_inline void add_edited(enum smr_kind kind, struct smr_encoded *r, unsigned int at,
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
	struct smr_encoded *r = &s->encoded;
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);
	unsigned int to = s->left_ranges + e->ranges;

	if (s->left)
		add_leaf(kind, r, 0, sibling_of(s, -1));
	add_edited(kind, r, s->left_ranges, s->leaf, e->i, e->ranges - leaf->count);
	if (s->left)
		set_bound(kind, r, s->left_ranges, smr_kind_bound_of(leaf, kind, s->min));
	if (s->right) {
		add_leaf(kind, r, to, sibling_of(s, 1));
		set_bound(kind, r, to, smr_kind_bound_of(leaf, kind, s->max + 1));
	}
	set_bound(kind, r, s->new_range, e->from_bound);
	r->entry[s->new_range] = entry;
	if (e->right_edge)
		set_bound(kind, r, s->new_range + 1, e->to_bound);
}

SMR_CLONES static void gather_encoded(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	SMR_FOR_LEAF(s->leaf, gather_kind, s, e, entry);
}

smr_inline int64_t bound_of(enum smr_kind kind, const struct smr_encoded *r, unsigned int i)
{
	if (smr_kind_wide(kind))
		return r->b64[i];
	return smr_kind_short(kind) ? r->b16[i] : r->b32[i];
}

/* The first key of range @i of all. */
smr_inline unsigned long start_of(enum smr_kind kind, const struct smr_share *s, unsigned int i)
{
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);

	return i ? smr_kind_key(leaf, kind, bound_of(kind, &s->encoded, i)) : s->leaves->min;
}

/* Divides the ranges evenly, as deal.c does. */
smr_inline void divide(enum smr_kind kind, struct smr_share *s, unsigned int parts)
{
	struct smr_level *lev = s->leaves;

	lev->parts = (unsigned char)parts;
	for (unsigned int c = 0; c <= parts; c++)
		lev->cut[c] = (unsigned char)(s->ranges * c / parts);
	for (unsigned int c = 0; c < parts; c++)
		lev->start[c] = start_of(kind, s, lev->cut[c]);
}

/*
 * Guesses the encoding of a leaf of ranges [@from, @to), keys [@min..@max], with room for @slack
 * more ranges. Returns false if they surely do not fit.
 */
smr_inline bool guess(enum smr_kind kind, const struct smr_share *s, struct smr_code *code,
		      unsigned int from, unsigned int to, unsigned long min, unsigned long max,
		      unsigned int slack)
{
	const unsigned long start[3] = { min, start_of(kind, s, from + 1),
					 start_of(kind, s, to - 1) };

	return smr_code_guess(code, start, to - from, max, slack);
}

/* Returns true if @code is the leaf's encoding. */
smr_inline bool is_code(enum smr_kind kind, const struct smr_share *s, const struct smr_code *code)
{
	const struct smr_node *leaf = smr_kind_node(s->leaf, kind);

	return code->kind == kind && code->base == leaf->base && code->shift == leaf->shift;
}

/* Returns true if each part may fit into a leaf. */
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
 * The unit of a short leaf is the alignment of its starts, in steps of four bits (encode.c).
 * Returns true if some start is not aligned to the next step, so that the unit stays; looks at
 * three, which mostly tell.
 */
smr_inline bool short_part_stays(const struct smr_share *s, unsigned int from, unsigned int to)
{
	const int16_t *bound = s->encoded.b16;

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
 * Deals out as smr_deal_leaves() does, to as many leaves as there are or one more, if the encoding
 * stays. Returns false if it does not, or perhaps not. Of short leaves, which most are, all that
 * has to be known is whether the unit stays.
 */
smr_inline bool deal_kind(enum smr_kind kind, struct smr_share *s)
{
	unsigned int leaves = smr_share_leaves(s), parts = leaves;

	if (smr_kind_short(kind)) {
		divide(kind, s, leaves + (s->ranges > leaves * (SMR_SLEAF_CAP - SMR_DEAL_SLACK)));
		return short_parts_stay(s);
	}
	do
		divide(kind, s, parts);
	while (!parts_fit(kind, s) && ++parts <= leaves + 1);
	return parts <= leaves + 1 && parts_stay(kind, s);
}

/* Returns true if what belongs into the leaf may fit into one leaf of another kind. */
smr_inline bool may_fit_one_leaf(enum smr_kind kind, const struct smr_share *s,
				 const struct smr_edit *e)
{
	struct smr_code code;

	return !smr_kind_short(kind) &&
	       guess(kind, s, &code, s->left_ranges, s->left_ranges + e->ranges, s->min, s->max, 0);
}

smr_inline bool plan_kind(enum smr_kind kind, struct smr_share *s, const struct smr_edit *e)
{
	return !may_fit_one_leaf(kind, s, e) && deal_kind(kind, s);
}

/* Plans a share without decoding. Returns false if the encoding does not stay, or perhaps not. */
static bool plan_encoded(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	if (!all_same_encoding(s))
		return false;
	gather_encoded(s, e, entry);
	return SMR_FOR_LEAF(s->leaf, plan_kind, s, e);
}

/*
 * Always writes as much padding after the bounds as a leaf of one range needs: what is too much is
 * in slots, which are written later.
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
	copy_bounds(kind, node->b16, bounds_of(kind, &s->encoded, from + 1));
	for (unsigned long i = 0; i < smr_kind_bounds(kind); i++)
		smr_kind_set_bound(node, kind, n - 1 + i, smr_kind_padding(kind));
	copy_slots(kind, smr_kind_slots(node, kind), s->encoded.entry + from);
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

static void add_sibling(struct smr_share *s, int by, unsigned long min)
{
	const void *sibling = sibling_of(s, by);

	smr_items_add_node(&s->items, sibling, 0, smr_count(sibling), min);
}

static void gather_items(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	struct smr_items *it = &s->items;
	const void *leaf = s->leaf;

	it->n = 0;
	it->pieces = false;
	if (s->left)
		add_sibling(s, -1, s->leaves->min);
	smr_items_add_node(it, leaf, 0, e->i + e->left_edge, s->min);
	smr_items_add(it, e->first, entry, 0);
	if (e->right_edge)
		smr_items_add(it, e->last + 1, smr_slots(leaf)[e->j], 0);
	smr_items_add_node(it, leaf, e->j + 1, smr_count(leaf), 0);
	if (s->right)
		add_sibling(s, 1, s->max + 1);
}

/* ---- Planning ---- */

/*
 * Returns true if all that belongs into the leaf may fit into one, of another kind or with its
 * pieces put together: that is better than a share.
 */
static bool fits_one_leaf(const struct smr_share *s, const struct smr_edit *e)
{
	struct smr_code code;

	if (e->ranges > SMR_SLEAF_CAP || e->ranges < SMR_LEAF_MIN)
		return false;
	return smr_node_of(s->leaf)->mark == SMR_PIECES ||
	       smr_code_choose(&code, s->items.start + s->left_ranges, e->ranges, s->max, true, 0);
}

/* The index of the item that begins at @start. */
static unsigned int find_start(const struct smr_items *it, unsigned long start)
{
	unsigned int i = 0;

	while (it->start[i] != start)
		i++;
	return i;
}

/* Plans a share of decoded ranges. Returns false if one leaf may do. */
static bool plan_items(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	s->decoded = true;
	gather_items(s, e, entry);
	if (fits_one_leaf(s, e))
		return false;
	smr_items_join(&s->items);
	if (s->items.pieces)
		s->new_range = find_start(&s->items, e->first);
	return true;
}

/*
 * Plans a share of a full leaf and both its siblings: to four, if three will not do. With the
 * parent, which must have room, these must be no more nodes than any store may take in a tree of
 * that height. Returns false if that cannot be, or perhaps not.
 */
static bool plan_three(struct smr_share *s, const struct smr_edit *e, void *entry)
{
	unsigned int at = s->slot[s->depth], nodes;
	const void *parent = parent_of(s);

	if (at == 0 || at + 1 >= smr_count(parent) ||
	    smr_count(parent) == smr_kind_cap(smr_enode_kind(parent)) ||
	    smr_store_nodes(s->depth + 2UL) < SMR_SHARES_MAX + 1)
		return false;
	smr_prefetch_node(sibling_of(s, -1));
	smr_prefetch_node(sibling_of(s, 1));
	set_siblings(s, e, true, true);
	return plan_encoded(s, e, entry) && smr_share_fits(s, &nodes);
}

/* Plans a share of the leaf and one sibling. @full: the side that is to be left full. */
static bool plan_two(struct smr_share *s, const struct smr_edit *e, void *entry, bool evenly,
		     enum smr_side full)
{
	bool right = choose_right(s, full);

	set_siblings(s, e, !right, right);
	if (evenly && plan_encoded(s, e, entry))
		return true;
	if (!plan_items(s, e, entry))
		return false;
	smr_deal_leaves(s->leaves, &s->items, e->first, full);
	return true;
}

/* Plans the leaf alone: it grows away from a sibling that is to be left full, and is so already. */
static bool plan_one(struct smr_share *s, const struct smr_edit *e, void *entry, enum smr_side full)
{
	if (!smr_sibling_is_full(parent_of(s), s->slot[s->depth], full))
		return false;
	set_siblings(s, e, false, false);
	return plan_items(s, e, entry) && smr_deal_sequential(s->leaves, &s->items, e->first, full);
}

bool smr_plan_share(struct smr_share *s, const struct smr_edit *e, struct maple_tree *mt,
		    void *const *path, const unsigned char *slot, unsigned int depth, void *entry)
{
	bool too_full = e->ranges > SMR_LEAF_MIN;
	enum smr_side full = SMR_EITHER;

	if (depth == 0)
		return false;
	/* A transaction edits only leaves of its own, below nodes that are its own, too. */
	smr_assert(!mt->ma_txn || smr_editable(mt, path[0]));
	s->mt = mt;
	s->path = path;
	s->slot = slot;
	s->depth = depth - 1;
	s->leaf = path[depth];
	s->min = child_min(s, slot[depth - 1]);
	s->max = child_max(s, slot[depth - 1]);
	s->decoded = false;
	if (entry && too_full)
		full = smr_full_side(mt, s->leaf, s->min, e->i, e->j);
	if (full != SMR_EITHER)
		return plan_one(s, e, entry, full) || plan_two(s, e, entry, false, full);
	return (too_full && plan_three(s, e, entry)) || plan_two(s, e, entry, too_full, full);
}

void smr_share_put_edges(struct smr_share *s, struct smr_edges edges)
{
	smr_put_edges((s->decoded ? s->items.slot : s->encoded.entry) + s->new_range, edges);
}

bool smr_share_fits(const struct smr_share *s, unsigned int *nodes)
{
	const void *parent = parent_of(s);
	const struct smr_level *lev = s->leaves;
	unsigned int children = smr_count(parent) + lev->parts - smr_share_leaves(s);

	if (children > smr_kind_cap(smr_enode_kind(parent)) ||
	    children < (s->depth > 0 ? SMR_INNER_MIN : 2))
		return false;
	for (unsigned int c = 1; c < lev->parts; c++)
		if (!smr_can_start(parent, lev->start[c]))
			return false;
	*nodes = lev->parts + 1u;
	return true;
}

/* ---- The commit ---- */

/* Puts @parent, which leads to the new leaves, in the place of the old parent. */
static void publish(struct smr_share *s, void *parent, struct smr_nodes *dropped)
{
	struct maple_tree *mt = s->mt;
	void *old = s->path[s->depth];
	unsigned int d = s->depth;

	for (unsigned int i = 0; i < smr_share_leaves(s); i++)
		smr_drop_node(mt, smr_slots(old)[s->first_slot + i], dropped);
	smr_drop_node(mt, old, dropped);
	smr_publish(d ? smr_slots(s->path[d - 1]) + s->slot[d - 1] : &mt->ma_root, parent);
	if (d > 0 && smr_tracks_gaps(mt))
		smr_set_gap(s->path, s->slot, d, smr_gap_inner(parent));
	smr_advance_seq(mt);
}

void smr_build_share(struct smr_share *s, struct smr_nodes *own)
{
	if (s->decoded)
		smr_encode_parts(s->leaves, &s->items, own);
	else
		write_parts(s, own);
}

/* Commits the share. Returns the new parent. */
static void *commit(struct smr_share *s, struct smr_nodes *own, struct smr_nodes *dropped)
{
	struct smr_level *lev = s->leaves;
	struct smr_node *node;
	void *parent;

	smr_build_share(s, own);
	node = smr_nodes_pop(own);
	smr_finish_level(s->mt, lev, true);
	parent = smr_splice_inner(node, s->path[s->depth], s->first_slot,
				  s->first_slot + smr_share_leaves(s) - 1, lev);
	node->txn = s->mt->ma_txn;
	smr_count_node(s->mt, parent, 1);
	publish(s, parent, dropped);
	return parent;
}

/* Returns which of the new leaves has the new range. */
static unsigned int part_of(const struct smr_share *s)
{
	const struct smr_level *lev = s->leaves;
	unsigned int c = lev->parts - 1u;

	while (s->new_range < lev->cut[c])
		c--;
	return c;
}

void smr_commit_share(struct smr_share *s, struct ma_state *mas)
{
	struct smr_nodes own = smr_own_nodes(mas), dropped = { NULL, 0 };
	void *parent = commit(s, &own, &dropped);
	const struct smr_level *lev = s->leaves;
	unsigned int c = part_of(s), d = mas->depth;

	smr_set_own_nodes(mas, &own);
	smr_free_dropped(s->mt, mas, &dropped);
	mas->path[d - 1] = parent;
	mas->slot[d - 1] = (unsigned char)(s->first_slot + c);
	mas->path[d] = lev->node[c];
	mas->offset = mas->slot[d] = (unsigned char)(s->new_range - lev->cut[c]);
	mas->min = lev->start[c];
	mas->max = smr_part_last(lev, c);
	smr_cursor_on(mas, lev->node[c], smr_count(lev->node[c]));
	mas->seq = s->mt->ma_seq;
}

/*
 * Takes nodes for a store without a cursor. If too few are free, returns -EAGAIN if @gfp may block,
 * for the caller to try again in a way that waits for more; else -ENOMEM.
 */
static int take_nodes(struct maple_tree *mt, struct smr_nodes *own, unsigned int nr, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		smr_check_store_alloc(mt);
	if (!smr_mem_take(smr_mem_of(mt), own, nr, gfp))
		return 0;
	return gfpflags_allow_blocking(gfp) ? -EAGAIN : -ENOMEM;
}

/*
 * Commits a share that does not fit into the parent: dealing out the nodes above takes a cursor. Of
 * *@w, only the share and its leaves are planned so far.
 */
static smr_noinline int share_above(struct smr_write *w, const struct smr_edit *e,
				    const struct smr_path *path, void *entry, gfp_t gfp)
{
	MA_STATE(mas, w->share.mt, e->first, e->last);
	struct smr_nodes own = { NULL, 0 };
	int err;

	smr_cursor_follow(&mas, path);
	smri_plan_begin(w, &mas, entry);
	w->first = e->first;
	w->last = e->last;
	smr_plan_above_share(w);
	err = take_nodes(w->mt, &own, w->nodes, gfp);
	if (err)
		return err;
	smr_set_own_nodes(&mas, &own);
	smr_commit(w);
	return 0;
}

int smr_share_range(const struct smr_edit *e, struct maple_tree *mt, const struct smr_path *path,
		    void *entry, gfp_t gfp)
{
	struct smr_nodes own = { NULL, 0 }, dropped = { NULL, 0 };
	struct smr_write w;
	struct smr_share *s = &w.share;
	unsigned int nodes;
	int err;

	if (smr_has_credits(mt))
		return -EAGAIN;
	if (smr_edit_empties(e, entry)) {
		smr_replace_tree(mt, NULL, NULL);
		return 0;
	}
	s->leaves = &w.level[0];
	if (!smr_plan_share(s, e, mt, path->node, path->slot, path->depth, entry))
		return -EAGAIN;
	if (!smr_share_fits(s, &nodes))
		return share_above(&w, e, path, entry, gfp);
	err = take_nodes(mt, &own, nodes, gfp);
	if (err)
		return err;
	mt->ma_nodes_built += nodes;
	if (entry)
		mt->ma_newest = e->first;
	commit(s, &own, &dropped);
	smr_free_dropped(mt, NULL, &dropped);
	return 0;
}
