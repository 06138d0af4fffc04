/* SPDX-License-Identifier: MIT */
/* Edits (edit.h). Everything is compiled once for each kind of leaf, with @kind a constant. */
#include "tree/edit.h"

#include "base/rcu.h"
#include "mem/pledge.h"
#include "mem/retire.h"
#include "tree/check.h"
#include "tree/gap.h"
#include "tree/pledge.h"
#include "tree/splice.h"

#include <errno.h>

/* ---- Bounds, as a leaf has them ---- */

/* The bound at which range @i begins, which must not be the first. */
smr_inline int64_t bound_of(const struct smr_node *node, enum smr_kind kind, unsigned int i)
{
	return smr_kind_bound(node, kind, i - 1);
}

smr_inline void set_bound(struct smr_node *node, enum smr_kind kind, unsigned int i, int64_t bound)
{
	smr_kind_set_bound(node, kind, i - 1, bound);
}

/* ---- The place ---- */

/*
 * Where the edit is made, as a cursor or a look-up has found it. It is never used as a whole, so
 * compilers keep its members in registers.
 */
struct place {
	struct maple_tree *mt;
	void *const *path; /* the leaf is at @depth */
	const unsigned char *slot;
	void *leaf;
	unsigned int depth, offset, end;
};

smr_inline struct place cursor_place(const struct ma_state *mas)
{
	return (struct place){ mas->tree, mas->path,  mas->slot,
			       mas->node, mas->depth, (unsigned int)mas->offset,
			       mas->end };
}

/* The first and the last key of the leaf, which few edits need. */
static smr_noinline unsigned long leaf_min(void *const *path, const unsigned char *slot,
					   unsigned int depth)
{
	return smr_path_min(path, slot, depth);
}

static smr_noinline unsigned long leaf_max(void *const *path, const unsigned char *slot,
					   unsigned int depth)
{
	return smr_path_max(path, slot, depth);
}

/* The first and the last key of range @i, which may be the leaf's first or last range. */
smr_inline unsigned long first_of(const struct place *p, enum smr_kind kind, unsigned int i)
{
	return i > 0 ? smr_kind_start(smr_kind_node(p->leaf, kind), kind, i)
		     : leaf_min(p->path, p->slot, p->depth);
}

smr_inline unsigned long last_of(const struct place *p, enum smr_kind kind, unsigned int i)
{
	return i < p->end ? first_of(p, kind, i + 1) - 1 : leaf_max(p->path, p->slot, p->depth);
}

smr_inline void **slots_of(const struct place *p, enum smr_kind kind)
{
	return smr_kind_slots(smr_kind_node(p->leaf, kind), kind);
}

/* ---- Planning ---- */

/*
 * Sets e->from_bound and e->to_bound. Returns false if one end of the store cannot be written as a
 * bound of @node. It may miss that for an end that lies beyond the reach of bounds, and so not
 * inside the leaf.
 */
smr_inline bool set_ends(struct smr_edit *e, const struct smr_node *node, enum smr_kind kind,
			 unsigned long first, unsigned long last)
{
	unsigned long from = first - node->base, to = last + 1 - node->base;

	if (smr_kind_wide(kind)) {
		e->from_bound = (int64_t)(first ^ SMR_WIDE_SIGN);
		e->to_bound = (int64_t)((last + 1) ^ SMR_WIDE_SIGN);
	} else if (smr_kind_short(kind)) { /* keys lie on both sides of the base */
		e->from_bound = (int64_t)from >> node->shift;
		e->to_bound = (int64_t)to >> node->shift;
	} else {
		e->from_bound = (int64_t)(from >> node->shift);
		e->to_bound = (int64_t)(to >> node->shift);
	}
	/* last + 1 may have wrapped to 0. A wide node's shift is 0. */
	return ((from | to) & ((1UL << node->shift) - 1)) == 0 && e->from_bound < e->to_bound;
}

smr_inline bool is_interior(const struct smr_edit *e, const struct place *p)
{
	return e->i > 0 && e->j < p->end;
}

/* Returns true if the edit replaces one range by one with the same keys. */
smr_inline bool is_slot_only(const struct smr_edit *e)
{
	return e->i == e->j && !e->left_edge && !e->right_edge;
}

/*
 * Adapts a NULL store to the gaps that it meets. These are NULL already, so only entries count. If
 * it covers one whole entry, between gaps with which that may form a run, or none at all, only a
 * slot changes. Otherwise one range takes in all gaps next to it, even one at an end of the leaf.
 */
smr_inline void join_gaps(struct smr_edit *e, const struct place *p, enum smr_kind kind)
{
	struct smr_node *node = smr_kind_node(p->leaf, kind);
	void *const *slots = slots_of(p, kind);
	unsigned int from, to;

	e->left_edge &= slots[e->i] != NULL;
	e->right_edge &= slots[e->j] != NULL;
	while (e->i < e->j && !slots[e->i])
		e->i++;
	while (e->i < e->j && !slots[e->j])
		e->j--;
	from = e->left_edge ? e->i : smr_run_from(slots, e->i);
	to = e->right_edge ? e->j : smr_run_to(slots, e->j, p->end);
	e->first = e->left_edge ? e->first : first_of(p, kind, from);
	e->last = e->right_edge ? e->last : last_of(p, kind, to);
	e->new_offset = to;
	if (is_slot_only(e) && (!slots[e->i] || smr_may_run(p->mt, from, to, p->end)))
		return;
	e->i = from;
	e->j = to;
	if (!e->left_edge && from > 0)
		e->from_bound = bound_of(node, kind, from);
	if (!e->right_edge && to < p->end)
		e->to_bound = bound_of(node, kind, to + 1);
	e->new_offset = from + e->left_edge;
}

/* A tree of one range may be all NULL, which takes no nodes. */
#define TOP_MIN 2

/*
 * Sets the rest of *@e, which follows from i, j, left_edge and right_edge. Returns false if the
 * leaf is too small for it, or would be too empty. A slot can change in any leaf, even in one that
 * has had few ranges since its pieces were put together.
 */
smr_inline bool finish_plan(struct smr_edit *e, const struct place *p, enum smr_kind kind)
{
	e->slot_only = is_slot_only(e);
	e->nodes = !e->slot_only && !smr_editable(p->mt, p->leaf);
	e->ranges = p->end + 1u - (e->j - e->i) + e->left_edge + e->right_edge;
	return e->slot_only || (e->ranges <= smr_kind_cap(kind) &&
				e->ranges >= (p->depth ? SMR_LEAF_MIN : TOP_MIN));
}

/*
 * Merges what an entry leaves of a gap with the piece next to it. Otherwise the next erase here
 * would find a run that is too long, and copy the leaf to put it together.
 */
smr_inline void take_pieces(struct smr_edit *e, const struct place *p, enum smr_kind kind)
{
	void *const *slots = slots_of(p, kind);

	if (e->left_edge && !slots[e->i] && e->i > 0 && !slots[e->i - 1])
		e->i--;
	if (e->right_edge && !slots[e->j] && e->j < p->end && !slots[e->j + 1])
		e->j++;
}

/* Returns true if an entry replaces all of a run. Something better than an edit may do (plan.c). */
smr_inline bool fills_run(const struct smr_edit *e, const struct place *p, enum smr_kind kind)
{
	return e->i < e->j && !e->left_edge && !e->right_edge &&
	       smr_is_gap(slots_of(p, kind), e->i, e->j);
}

/*
 * For an entry that meets the leaf's first or last range, or goes beyond. Returns true if it stays
 * in the leaf, and what it leaves of the ranges that it cuts can be written there. Where the leaf
 * itself begins and ends is written in the nodes above, and may be out of reach of its bounds.
 */
smr_inline bool stays_in_leaf(struct smr_edit *e, const struct place *p, enum smr_kind kind)
{
	unsigned long begin = first_of(p, kind, e->i), end = last_of(p, kind, e->j);

	e->left_edge = begin < e->first;
	e->right_edge = end > e->last;
	return end >= e->last && (!e->left_edge || smr_can_start(p->leaf, e->first)) &&
	       (!e->right_edge || smr_can_start(p->leaf, e->last + 1));
}

smr_inline bool plan_store(enum smr_kind kind, struct smr_edit *e, const struct place *p,
			   unsigned long first, unsigned long last, const void *entry)
{
	const struct smr_node *node = smr_kind_node(p->leaf, kind);

	e->ranges = 0; /* until all else is known */
	if (!set_ends(e, node, kind, first, last))
		return false;
	e->first = first;
	e->last = last;
	e->i = e->j = p->offset;
	while (e->j < p->end && bound_of(node, kind, e->j + 1) < e->to_bound)
		e->j++;
	if (smr_likely(is_interior(e, p))) {
		e->left_edge = bound_of(node, kind, e->i) < e->from_bound;
		e->right_edge = bound_of(node, kind, e->j + 1) > e->to_bound;
	} else if (!entry || !stays_in_leaf(e, p, kind)) {
		return false;
	}
	if (smr_unlikely(node->mark == SMR_PIECES) && entry)
		take_pieces(e, p, kind);
	e->new_offset = e->i + e->left_edge;
	if (!entry) {
		join_gaps(e, p, kind);
		return finish_plan(e, p, kind);
	}
	return !fills_run(e, p, kind) && finish_plan(e, p, kind);
}

smr_inline bool plan_erase(enum smr_kind kind, struct smr_edit *e, const struct place *p)
{
	*e = (struct smr_edit){ .i = p->offset, .j = p->offset };
	if (!is_interior(e, p))
		return false;
	join_gaps(e, p, kind);
	return finish_plan(e, p, kind);
}

/*
 * Returns true if @leaf may have edits. To copy a leaf that is not the transaction's own, with all
 * nodes above it, is more than an edit; so is putting the pieces of joined ranges together.
 */
smr_inline bool may_edit(const struct maple_tree *mt, const void *leaf)
{
	return smr_likely(!mt->ma_txn || smr_editable(mt, leaf)) &&
	       smr_likely(!smr_has_joined(leaf));
}

/* ---- Gap figures ---- */

smr_inline void *value_of(void *const *slots, unsigned int i, bool joined)
{
	return joined ? smr_value(slots, i) : slots[i];
}

smr_inline unsigned int last_piece(void *const *slots, unsigned int i, unsigned int end,
				   bool joined)
{
	return joined ? smr_tail(slots, i, end) : i;
}

/*
 * Brings the gap figures up to date for @entry, stored over e->first to e->last, in ranges e->i to
 * e->j. Must be called before the leaf changes: what has just been written to the new one is still
 * on its way to the cache, and reading it back in units of other sizes would have to wait for that.
 * @joined, a constant: whether ranges may be joined, as never for an edit.
 */
smr_inline void update_gaps(const struct smr_edit *e, const struct place *p, enum smr_kind kind,
			    const void *entry, bool joined)
{
	void *const *slots = slots_of(p, kind);
	unsigned long begin, last, min, max;
	unsigned int d = p->depth;
	uint32_t before, figure, beside;

	if (!smr_tracks_gaps(p->mt) || d == 0) /* the figure of the top is kept nowhere */
		return;
	/* A gap that is made is at least as large as those that go. */
	if (!entry) {
		smr_raise_gap(p->path, p->slot, d, smr_gap_figure(e->last - e->first));
		return;
	}
	before = *smr_kept_gap(p->path, p->slot, d);
	if (before == 0 || (last_piece(slots, e->i, p->end, joined) == e->j && slots[e->i]))
		return;
	begin = first_of(p, kind, slots[e->i] ? e->i : smr_run_from(slots, e->i));
	last = last_of(p, kind,
		       value_of(slots, e->j, joined) ? e->j : smr_run_to(slots, e->j, p->end));
	/* It stays unless one of those gaps may have been the one that it stands for. */
	if (smr_gap_figure(last - begin) < before)
		return;
	/* What stays of a gap may be only pieces that the entry does not meet. */
	figure = 0;
	if (begin < e->first && !slots[e->i])
		figure = smr_gap_figure(e->first - 1 - begin);
	if (last > e->last && !value_of(slots, e->j, joined))
		figure = smr_gap_larger(figure, smr_gap_figure(last - 1 - e->last));
	if (figure == before) /* no smaller, as far as figures can tell */
		return;
	min = leaf_min(p->path, p->slot, d);
	max = leaf_max(p->path, p->slot, d);
	/* If what is left is longer than all the rest, no other gap has to be looked for. */
	if (figure == 0 || figure < smr_gap_figure((begin - min) | (max - last))) {
		beside = smr_gap_beside(p->leaf, min, max, e->i, e->j);
		figure = smr_gap_larger(figure, beside);
	}
	if (figure != before)
		smr_set_gap(p->path, p->slot, d, figure);
}

void smri_update_gaps(const struct smr_write *w)
{
	const struct smr_edit e = { .i = w->i, .j = w->j, .first = w->first, .last = w->last };
	struct place p = cursor_place(w->mas);

	update_gaps(&e, &p, smr_enode_kind(p.leaf), w->entry, true);
}

/* ---- The edit ---- */

/* Puts @leaf in the place of the old leaf, which the caller must retire. */
smr_inline void replace_leaf(const struct place *p, void *leaf)
{
	unsigned int d = p->depth;

	smr_node_of(leaf)->txn = 0;
	smr_mark_dead(smr_node_of(p->leaf));
	smr_publish(d ? smr_slots(p->path[d - 1]) + p->slot[d - 1] : &p->mt->ma_root, leaf);
	p->mt->ma_nodes_retired++;
}

/* Writes what the leaf @from becomes into @to, which may be the same. */
smr_inline void build_leaf(const struct smr_edit *e, struct smr_node *to, struct smr_node *from,
			   enum smr_kind kind, void *entry)
{
	unsigned int x = e->i + e->left_edge;

	smr_shift(to, from, kind, x + e->right_edge, e->j);
	if (smr_likely(x > 0))
		set_bound(to, kind, x, e->from_bound);
	if (smr_likely(x + 1 < e->ranges))
		set_bound(to, kind, x + 1, e->to_bound);
	smr_kind_slots(to, kind)[x] = entry;
}

/* Carries out the edit, with @node if it needs one. */
smr_inline void commit_edit(enum smr_kind kind, const struct smr_edit *e, const struct place *p,
			    struct smr_node *node, void *entry)
{
	struct smr_node *old = smr_kind_node(p->leaf, kind);
	bool gap;

	if (e->nodes) {
		build_leaf(e, node, old, kind, entry);
		update_gaps(e, p, kind, entry, false);
		replace_leaf(p, smr_enode_make(node, kind));
	} else if (e->slot_only) {
		if (!entry)
			smr_mark_pieces(old);
		update_gaps(e, p, kind, entry, false);
		gap = !slots_of(p, kind)[e->i];
		smr_publish(slots_of(p, kind) + e->i, entry);
		if (!gap)
			return; /* filling a gap advances the change counter, as in publish.c */
	} else {
		update_gaps(e, p, kind, entry, false);
		build_leaf(e, old, old, kind, entry);
	}
	smr_advance_seq(p->mt);
}

/* ---- Through a cursor ---- */

smr_inline bool cursor_plan_store(enum smr_kind kind, struct smr_edit *e,
				  const struct ma_state *mas, unsigned long first,
				  unsigned long last, const void *entry)
{
	struct place p = cursor_place(mas);

	return plan_store(kind, e, &p, first, last, entry);
}

bool smr_edit_plan_store(struct smr_edit *e, const struct ma_state *mas, unsigned long first,
			 unsigned long last, const void *entry)
{
	if (!may_edit(mas->tree, mas->node))
		return false;
	return SMR_FOR_LEAF(mas->node, cursor_plan_store, e, mas, first, last, entry);
}

smr_inline bool cursor_plan_erase(enum smr_kind kind, struct smr_edit *e,
				  const struct ma_state *mas)
{
	struct place p = cursor_place(mas);

	return plan_erase(kind, e, &p);
}

bool smr_edit_plan_erase(struct smr_edit *e, const struct ma_state *mas)
{
	if (!may_edit(mas->tree, mas->node))
		return false;
	return SMR_FOR_LEAF(mas->node, cursor_plan_erase, e, mas);
}

/* Retires @old, which the cursor's new leaf has replaced. */
smr_inline void cursor_retire(struct ma_state *mas, struct smr_node *old)
{
	struct smr_nodes one = { old, 1 };

	if (smr_unlikely(mas->mas_flags & SMR_MAS_CREDIT))
		smr_cursor_add_nodes(mas, &one);
	else
		smr_mem_retire_one(smr_mem_of(mas->tree), mas->tree->ma_rcu, old);
}

smr_inline void cursor_commit(enum smr_kind kind, const struct smr_edit *e, struct ma_state *mas,
			      void *entry)
{
	struct place p = cursor_place(mas);
	struct smr_node *node = e->nodes ? smr_pop_own_node(mas) : smr_kind_node(mas->node, kind);

	commit_edit(kind, e, &p, node, entry);
	mas->index = e->first;
	mas->last = e->last;
	mas->status = ma_active;
	mas->offset = e->new_offset;
	mas->slot[mas->depth] = (unsigned char)e->new_offset;
	mas->seq = mas->tree->ma_seq;
	if (e->slot_only)
		return;
	mas->path[mas->depth] = smr_enode_make(node, kind);
	smr_cursor_on(mas, mas->path[mas->depth], e->ranges);
	if (e->nodes)
		cursor_retire(mas, smr_node_of(p.leaf));
}

void smr_edit_commit(const struct smr_edit *e, struct ma_state *mas, void *entry)
{
	SMR_FOR_LEAF(mas->node, cursor_commit, e, mas, entry);
}

smr_inline bool cursor_within(enum smr_kind kind, struct ma_state *mas, unsigned long first,
			      unsigned long last, void *entry)
{
	struct smr_edit e;

	if (!cursor_plan_store(kind, &e, mas, first, last, entry))
		return false;
	if (entry)
		mas->tree->ma_newest = first;
	cursor_commit(kind, &e, mas, entry);
	return true;
}

bool smr_edit_in_place(struct ma_state *mas, unsigned long first, unsigned long last, void *entry)
{
	if (!smr_editable(mas->tree, mas->node) || smr_has_joined(mas->node))
		return false;
	return SMR_FOR_LEAF(mas->node, cursor_within, mas, first, last, entry);
}

/* ---- Without a cursor ---- */

smr_inline struct place path_place(struct maple_tree *mt, const struct smr_path *path)
{
	unsigned int d = path->depth;
	void *leaf = path->node[d];

	return (struct place){ mt, path->node,    path->slot,         leaf,
			       d,  path->slot[d], smr_count(leaf) - 1 };
}

/* Carries out the edit, with @node if it needs one, and updates what the tree counts. */
smr_inline void path_commit(enum smr_kind kind, const struct smr_edit *e, const struct place *p,
			    struct smr_node *node, void *entry)
{
	p->mt->ma_nodes_built += e->nodes;
	if (entry)
		p->mt->ma_newest = e->first;
	commit_edit(kind, e, p, node, entry);
}

smr_inline void path_retire(const struct place *p)
{
	smr_mem_retire_one(smr_mem_of(p->mt), p->mt->ma_rcu, smr_node_of(p->leaf));
}

/* Takes the node that the edit needs, if any, and commits the edit. */
smr_inline int path_finish(enum smr_kind kind, const struct smr_edit *e, const struct place *p,
			   void *entry, gfp_t gfp)
{
	struct smr_node *node = NULL;

	if (e->nodes) {
		if (gfpflags_allow_blocking(gfp))
			smr_check_store_alloc(p->mt);
		node = smr_mem_take_one(smr_mem_of(p->mt), gfp);
		if (smr_unlikely(!node))
			return gfpflags_allow_blocking(gfp) ? -EAGAIN : -ENOMEM;
	}
	path_commit(kind, e, p, node, entry);
	if (node)
		path_retire(p);
	return 0;
}

bool smr_edit_find(const struct maple_tree *mt, unsigned long key, struct smr_path *path)
{
	void *top;

	smr_check_write(mt);
	smr_assert(!smr_txn_is_open(mt));
	smr_rcu_meet();
	top = mt->ma_root;
	if (mt->ma_txn || !smr_is_enode(top))
		return false;
	smr_path_to(path, top, key);
	return !smr_has_joined(path->node[path->depth]);
}

bool smr_edit_found(const struct maple_tree *mt, const struct smr_path *path)
{
	smr_check_write(mt);
	smr_assert(!smr_txn_is_open(mt));
	return !mt->ma_txn && smr_is_enode(path->node[0]) &&
	       !smr_has_joined(path->node[path->depth]);
}

smr_inline int path_store(enum smr_kind kind, struct maple_tree *mt, const struct smr_path *path,
			  unsigned long first, unsigned long last, void *entry, gfp_t gfp,
			  bool free_only)
{
	struct place p = path_place(mt, path);
	struct smr_edit e;
	bool fits = plan_store(kind, &e, &p, first, last, entry);

	if ((!fits && !e.ranges) || (free_only && !smr_is_gap(slots_of(&p, kind), e.i, e.j)))
		return -EAGAIN;
	if (smr_unlikely(!fits)) {
		struct smr_edit shared = e; /* a copy: compilers keep @e itself in registers */

		return smr_share_range(&shared, mt, path, entry, gfp);
	}
	return path_finish(kind, &e, &p, entry, gfp);
}

int smr_edit_range(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		   unsigned long last, void *entry, gfp_t gfp, bool free_only)
{
	return SMR_FOR_LEAF(path->node[path->depth], path_store, mt, path, first, last, entry, gfp,
			    free_only);
}

smr_inline int path_erase(enum smr_kind kind, struct maple_tree *mt, const struct smr_path *path,
			  void **former)
{
	struct place p = path_place(mt, path);
	struct smr_edit e;

	*former = slots_of(&p, kind)[p.offset];
	if (!*former)
		return -EAGAIN;
	if (smr_unlikely(!plan_erase(kind, &e, &p))) {
		struct smr_edit shared = e; /* as in path_store() */

		return e.ranges ? smr_share_range(&shared, mt, path, NULL, GFP_KERNEL) : -EAGAIN;
	}
	return path_finish(kind, &e, &p, NULL, GFP_KERNEL);
}

int smr_edit_remove(struct maple_tree *mt, const struct smr_path *path, void **former)
{
	return SMR_FOR_LEAF(path->node[path->depth], path_erase, mt, path, former);
}

smr_inline int path_store_paid(enum smr_kind kind, struct maple_tree *mt,
			       const struct smr_path *path, unsigned long first, unsigned long last,
			       void *entry)
{
	struct smr_nodes own = { NULL, 0 };
	struct place p = path_place(mt, path);
	struct smr_edit e;
	int used = 0;

	if (!plan_store(kind, &e, &p, first, last, entry))
		return -EAGAIN;
	if (e.nodes)
		used = (int)smr_pledge_take(smr_mem_of(mt), &own, 1);
	path_commit(kind, &e, &p, own.head, entry);
	if (e.nodes && !used)
		path_retire(&p);
	return used;
}

int smr_edit_paid(struct maple_tree *mt, const struct smr_path *path, unsigned long first,
		  unsigned long last, void *entry)
{
	return SMR_FOR_LEAF(path->node[path->depth], path_store_paid, mt, path, first, last, entry);
}
