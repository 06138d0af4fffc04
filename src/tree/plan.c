/* SPDX-License-Identifier: MIT */
/* Plans every store that is more than an edit: what of the tree changes, and what it becomes. */
#include "tree/plan.h"

/* ---- Where the new range goes ---- */

/* The value of range @i, which may be a joined piece. */
smr_inline void *value_at(const void *leaf, unsigned int i)
{
	return smr_value(smr_slots(leaf), i);
}

/* The first key of range @i of the cursor's leaf. */
smr_inline unsigned long first_of(const struct ma_state *mas, unsigned int i)
{
	return smr_leaf_first(mas->node, i, mas->min);
}

smr_inline unsigned long last_of(const struct ma_state *mas, unsigned int i)
{
	return smr_leaf_last(mas->node, i, mas->end, mas->max);
}

/* Begins the store in range @i, and ends it there until more is known. */
smr_inline void begin_at(struct smr_write *w, unsigned int i)
{
	void *const *slots = smr_slots(w->mas->node);

	w->i = smr_head(slots, i);
	w->j = smr_tail(slots, i, w->mas->end);
	w->begin = first_of(w->mas, w->i);
	w->end = last_of(w->mas, w->j);
	w->spans = false;
}

static void *right_leaf(const struct smr_write *w)
{
	return w->spans ? w->right.node[w->right.depth] : w->mas->node;
}

/* Ends the old ranges with range @j of the right leaf. */
static void end_at(struct smr_write *w, unsigned int j)
{
	const struct smr_path *r = &w->right;
	void *leaf = right_leaf(w);

	w->j = j = smr_tail(smr_slots(leaf), j, smr_count(leaf) - 1);
	w->end = w->spans ? smr_leaf_last(leaf, j, smr_count(leaf) - 1,
					  smr_path_max(r->node, r->slot, r->depth))
			  : last_of(w->mas, j);
}

/* Finds the range of @last, which lies after the range that the store begins in. */
static smr_noinline void locate_last(struct smr_write *w, unsigned long last)
{
	w->spans = last > w->mas->max;
	if (w->spans)
		smr_path_to(&w->right, w->mt->ma_root, last);
	end_at(w, w->spans ? w->right.slot[w->right.depth] : smr_search_leaf(w->mas->node, last));
}

/* Widens a NULL store by the gap that ends where the store begins, even one in the leaf before. */
static void widen_left(struct smr_write *w, unsigned long last)
{
	struct ma_state *mas = w->mas;

	if (value_at(mas->node, w->i)) {
		if (w->first > w->begin || w->first == 0)
			return;
		if (w->i > 0) {
			if (value_at(mas->node, w->i - 1))
				return;
			w->i = smr_head(smr_slots(mas->node), w->i - 1);
			w->begin = first_of(mas, w->i);
		} else {
			smr_range_down(mas, ULONG_MAX, 0);
			if (value_at(mas->node, mas->offset)) {
				smr_range_up(mas, 0, ULONG_MAX);
				return;
			}
			begin_at(w, mas->offset);
			locate_last(w, last); /* in a later leaf */
		}
	}
	w->i = smr_run_from(smr_slots(mas->node), w->i);
	w->begin = first_of(mas, w->i);
	mas->offset = w->i;
	w->first = w->begin;
}

static void widen_right(struct smr_write *w)
{
	void *leaf = right_leaf(w);

	if (value_at(leaf, w->j)) {
		if (w->last < w->end || w->last == ULONG_MAX)
			return;
		if (w->j + 1 < smr_count(leaf)) {
			if (value_at(leaf, w->j + 1))
				return;
			end_at(w, w->j + 1);
		} else {
			struct smr_path next;

			smr_path_to(&next, w->mt->ma_root, w->last + 1);
			if (value_at(next.node[next.depth], 0))
				return;
			w->right = next;
			w->spans = true;
			end_at(w, 0);
			leaf = right_leaf(w);
		}
	}
	end_at(w, smr_run_to(smr_slots(leaf), w->j, smr_count(leaf) - 1));
	w->last = w->end;
}

/* ---- One leaf that keeps its encoding ---- */

/*
 * Returns true if one leaf of the same encoding holds the result, and is full enough with it. The
 * only new bounds are where the new range cuts range i and range j; the others were there before.
 */
smr_inline bool fits_leaf(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	bool left_edge = w->first > w->begin, right_edge = w->last < w->end;
	unsigned int n = smr_leaf_ranges(w);

	if (n > smr_kind_cap(smr_enode_kind(mas->node)) || (n < SMR_LEAF_MIN && mas->depth > 0))
		return false;
	return (!left_edge || smr_can_start(mas->node, w->first)) &&
	       (!right_edge || smr_can_start(mas->node, w->last + 1));
}

/* How many nodes above the cursor's leaf a transaction has to copy before it can swap the leaf. */
smr_inline unsigned int count_path_copies(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	unsigned int own = 0;

	if (smr_likely(!w->mt->ma_txn))
		return 0;
	while (own < mas->depth && smr_editable(w->mt, mas->path[own]))
		own++;
	return mas->depth - own;
}

/*
 * Returns true if slots of the cursor's leaf may be swapped: in a transaction only if others cannot
 * see them.
 */
static bool may_swap(const struct smr_write *w)
{
	return !w->mt->ma_txn || smr_editable(w->mt, w->mas->node);
}

/* ---- Levels ---- */

static void add_left_edge(const struct smr_write *w, struct smr_items *it)
{
	if (w->first > w->begin)
		smr_items_add(it, w->begin, value_at(w->mas->node, w->i), 0);
}

static void add_right_edge(const struct smr_write *w, struct smr_items *it)
{
	if (w->last < w->end)
		smr_items_add(it, w->last + 1, value_at(right_leaf(w), w->j), 0);
}

static void gather_new(const struct smr_write *w, unsigned int l, struct smr_items *it)
{
	const struct smr_level *below;
	unsigned int at;

	if (l == 0) {
		add_left_edge(w, it);
		at = it->n;
		smr_items_add(it, w->first, w->entry, 0);
		add_right_edge(w, it);
		smr_put_edges(it->slot + at, w->edges);
		return;
	}
	below = &w->level[l - 1];
	for (unsigned int c = 0; c < below->parts; c++)
		smr_items_add(it, below->start[c], below->node[c], below->gap[c]);
}

void smr_gather(const struct smr_write *w, unsigned int l, struct smr_items *it)
{
	const struct smr_level *lev = &w->level[l];
	unsigned int d = w->mas->depth - l;
	const void *nb = lev->neighbour;
	const void *right;

	it->n = 0;
	it->pieces = false;
	if (l > w->mas->depth) { /* a new top */
		gather_new(w, l, it);
		return;
	}
	right = w->right.node[d];
	if (nb && lev->neighbour_left)
		smr_items_add_node(it, nb, 0, smr_count(nb), lev->neighbour_min);
	smr_items_add_node(it, w->left.node[d], 0, l ? w->left.slot[d] : w->i, lev->left_min);
	gather_new(w, l, it);
	smr_items_add_node(it, right, (l ? w->right.slot[d] : w->j) + 1, smr_count(right), 0);
	if (nb && !lev->neighbour_left)
		smr_items_add_node(it, nb, 0, smr_count(nb), lev->neighbour_min);
	if (l == 0)
		smr_items_join(it);
}

/* ---- Neighbours ---- */

/* Moves @path, above depth @d, to the preceding node at that depth, and returns that node. */
static void *step_left(struct smr_path *path, unsigned int d)
{
	unsigned int e = d;
	void *node;

	do
		e--;
	while (path->slot[e] == 0);
	path->slot[e]--;
	node = smr_slots(path->node[e])[path->slot[e]];
	while (++e < d) {
		path->node[e] = node;
		path->slot[e] = (unsigned char)(smr_count(node) - 1);
		node = smr_slots(node)[path->slot[e]];
	}
	return node;
}

static void *step_right(struct smr_path *path, unsigned int d)
{
	unsigned int e = d;
	void *node;

	do
		e--;
	while (path->slot[e] + 1u == smr_count(path->node[e]));
	path->slot[e]++;
	node = smr_slots(path->node[e])[path->slot[e]];
	while (++e < d) {
		path->node[e] = node;
		path->slot[e] = 0;
		node = smr_slots(node)[0];
	}
	return node;
}

/*
 * Returns true if the left neighbour is to join the window. Prefers a sibling (under the same
 * parent) to a cousin, which would widen the window above; then the one on the side that is to be
 * left full; else the emptier one.
 */
static bool choose_left(const struct smr_write *w, const struct smr_level *lev, unsigned int d,
			enum smr_side full)
{
	const struct smr_path *l = &w->left, *r = &w->right;
	bool left = l->slot[d - 1] > 0;
	bool right = r->slot[d - 1] + 1u < smr_count(r->node[d - 1]);
	const void *before, *behind;

	if (left != right)
		return left;
	if (!left)
		return lev->min > 0;
	if (full != SMR_EITHER)
		return full == SMR_LEFT;
	before = smr_slots(l->node[d - 1])[l->slot[d - 1] - 1];
	behind = smr_slots(r->node[d - 1])[r->slot[d - 1] + 1];
	smr_prefetch_node(before); /* one of the two will be read as a whole */
	smr_prefetch_node(behind);
	return smr_count(before) <= smr_count(behind);
}

static void join_neighbour(struct smr_write *w, struct smr_level *lev, unsigned int d,
			   enum smr_side full)
{
	lev->neighbour_left = choose_left(w, lev, d, full);
	if (lev->neighbour_left) {
		lev->neighbour = step_left(&w->left, d);
		lev->min = smr_path_min(w->left.node, w->left.slot, d);
		lev->neighbour_min = lev->min;
	} else {
		lev->neighbour = step_right(&w->right, d);
		lev->neighbour_min = lev->max + 1;
		lev->max = smr_path_max(w->right.node, w->right.slot, d);
	}
}

/* ---- Level by level ---- */

static void open_window(struct smr_write *w, unsigned int l)
{
	struct smr_level *lev = &w->level[l];
	unsigned int d = w->mas->depth - l;

	lev->neighbour = NULL;
	lev->spliced = false;
	lev->left_min = lev->min = 0;
	lev->max = ULONG_MAX;
	if (l > w->mas->depth)
		return;
	lev->left_min = lev->min = smr_path_min(w->left.node, w->left.slot, d);
	lev->max = smr_path_max(w->right.node, w->right.slot, d);
}

static bool window_is_all(const struct smr_level *lev)
{
	return lev->min == 0 && lev->max == ULONG_MAX;
}

/* The side that a store of an entry within one leaf is to leave full. */
static enum smr_side full_side(const struct smr_write *w)
{
	if (!w->entry || w->spans)
		return SMR_EITHER;
	return smr_full_side(w->mt, w->mas->node, w->mas->min, w->i, w->j);
}

/*
 * How many items the window of level @l has before a neighbour joins it, and before gaps in pieces
 * are put together.
 */
static unsigned int count_items(const struct smr_write *w, unsigned int l)
{
	unsigned int d = w->mas->depth - l;
	unsigned int rest = smr_count(w->right.node[d]) - 1;

	if (l == 0)
		return w->i + (w->first > w->begin) + 1 + (w->last < w->end) + rest - w->j;
	return w->left.slot[d] + w->level[l - 1].parts + rest - w->right.slot[d];
}

/* Gathers the items of a level. Those of level 0 are kept for the build: their slots are final. */
static const struct smr_items *gather(struct smr_write *w, unsigned int l, struct smr_items *it)
{
	if (l == 0)
		it = &w->share.items;
	smr_gather(w, l, it);
	return it;
}

/*
 * Plans level @l as a splice, for which nothing has to be gathered and dealt out. Returns false if
 * its only node cannot keep its encoding with the @n children that it gets. Most inner nodes can,
 * and nearly all of their children stay.
 */
static bool plan_splice(struct smr_write *w, unsigned int l, unsigned int n)
{
	const struct smr_level *below = &w->level[l - 1];
	struct smr_level *lev = &w->level[l];
	const void *inner = w->left.node[w->mas->depth - l];

	if (n > smr_kind_cap(smr_enode_kind(inner)))
		return false;
	for (unsigned int c = 1; c < below->parts; c++)
		if (!smr_can_start(inner, below->start[c]))
			return false;
	lev->spliced = true;
	lev->start[0] = lev->min;
	lev->cut[0] = 0;
	lev->cut[1] = (unsigned char)n;
	lev->parts = 1;
	return true;
}

/* Plans a level whose window covers all keys, and so has no neighbour; returns as plan_level(). */
static bool plan_top(struct smr_write *w, unsigned int l)
{
	struct smr_level *lev = &w->level[l];
	bool old_top = l > 0 && l == w->mas->depth;
	struct smr_items buffer;
	const struct smr_items *it;
	enum smr_side full;

	if (old_top && plan_splice(w, l, count_items(w, l))) {
		w->to_root = true;
		return true;
	}
	full = l == 0 ? full_side(w) : SMR_EITHER;
	it = gather(w, l, &buffer);
	if (full == SMR_EITHER || !smr_deal_sequential(lev, it, w->first, full))
		smr_deal(lev, it, l == 0, 0);
	w->to_root = lev->parts == 1;
	return w->to_root;
}

/* Plans one level. Returns true if it is the last that changes. */
static bool plan_level(struct smr_write *w, unsigned int l)
{
	struct smr_level *lev = &w->level[l];
	unsigned int d = w->mas->depth - l, n, least = l ? SMR_INNER_MIN : SMR_LEAF_MIN;
	bool single, enough;
	enum smr_side full;
	struct smr_items buffer;
	const struct smr_items *it;

	open_window(w, l);
	if (window_is_all(lev))
		return plan_top(w, l);
	single = w->left.node[d] == w->right.node[d];
	n = count_items(w, l);
	enough = n >= least;
	if (enough && (!single || n <= smr_kind_cap(l ? SMR_NINNER : SMR_SLEAF))) {
		if (l > 0 && single && plan_splice(w, l, n))
			return smr_can_publish(w, w->left.node, d);
		it = gather(w, l, &buffer);
		enough = it->n >= least;
		if (enough && smr_deal_to_one(lev, it, l == 0))
			return single && smr_can_publish(w, w->left.node, d);
		if (enough && !single) {
			smr_deal(lev, it, l == 0, 0);
			return false;
		}
	}
	full = l == 0 && enough ? full_side(w) : SMR_EITHER;
	if (smr_sibling_is_full(w->left.node[d - 1], w->left.slot[d - 1], full) &&
	    smr_deal_sequential(lev, gather(w, l, &buffer), w->first, full))
		return false;
	join_neighbour(w, lev, d, full);
	it = gather(w, l, &buffer);
	if (l == 0)
		smr_deal_leaves(lev, it, w->first, full);
	else
		smr_deal(lev, it, false, 0);
	w->to_root = window_is_all(lev) && lev->parts == 1;
	return w->to_root;
}

/*
 * The path to the cursor's leaf is the left path, and the right one, too, if the store stays within
 * that leaf.
 */
static void set_paths(struct smr_write *w)
{
	const struct ma_state *mas = w->mas;

	w->left.depth = mas->depth;
	for (unsigned int d = 0; d <= mas->depth; d++) {
		w->left.node[d] = mas->path[d];
		w->left.slot[d] = mas->slot[d];
	}
	if (!w->spans)
		w->right = w->left;
}

/* Plans the levels from @l upwards. */
static void plan_levels(struct smr_write *w, unsigned int l)
{
	w->to_root = false;
	for (w->top = l;; w->top++) {
		bool last = plan_level(w, w->top);

		w->nodes += w->level[w->top].parts;
		if (last)
			return;
	}
}

static smr_noinline void plan_subtree(struct smr_write *w)
{
	set_paths(w);
	w->form = SMR_SUBTREE;
	w->shared = false;
	w->nodes = 0;
	plan_levels(w, 0);
}

void smr_plan_above_share(struct smr_write *w)
{
	const struct smr_share *s = &w->share;
	void *const *slots = smr_slots(s->path[s->depth]);

	smr_assert(smr_share_leaves(s) < 3); /* three share only where the parent has room */
	w->form = SMR_SUBTREE;
	w->spans = false;
	set_paths(w);
	w->left.slot[s->depth] = (unsigned char)s->first_slot;
	w->right.slot[s->depth] = (unsigned char)(s->first_slot + smr_share_leaves(s) - 1);
	w->left.node[s->depth + 1] = slots[s->first_slot];
	w->right.node[s->depth + 1] = slots[w->right.slot[s->depth]];
	w->level[0].neighbour = NULL;
	w->shared = true;
	w->nodes = w->level[0].parts;
	w->top = 0;
	w->to_root = window_is_all(&w->level[0]) && w->nodes == 1;
	if (!w->to_root)
		plan_levels(w, 1);
}

/* ---- The plan ---- */

/* Plans the first leaf. A tree without nodes is one leaf in disguise: [0..0], and all after it. */
static void plan_first(struct smr_write *w)
{
	struct smr_items *it = &w->share.items;
	void *root = w->mt->ma_root;

	it->n = 0;
	it->pieces = false;
	if (w->first > 0)
		smr_items_add(it, 0, root, 0);
	if (root && w->first > 1)
		smr_items_add(it, 1, NULL, 0);
	w->i = it->n;
	smr_items_add(it, w->first, w->entry, 0);
	if (w->last < ULONG_MAX)
		smr_items_add(it, w->last + 1, NULL, 0);
	(void)smr_code_choose(&w->level[0].code[0], it->start, it->n, ULONG_MAX, true, 0);
	w->form = SMR_FIRST;
	w->nodes = 1;
}

int smri_plan_compact(struct smr_write *w, bool free_only)
{
	void *root = w->mt->ma_root;
	bool covers = w->first == 0;

	w->compact = true;
	w->former = covers ? root : NULL;
	if (free_only && covers && root)
		return -EEXIST;
	if (!w->entry) {
		w->form = covers && root ? SMR_ROOT : SMR_NOTHING;
		return 0;
	}
	if (w->last == 0 && !smr_is_enode(w->entry)) {
		w->form = SMR_ROOT;
		return 0;
	}
	plan_first(w);
	return 0;
}

/* Returns true if the store covers nothing but NULL, which then lies in one leaf, as gaps do. */
static bool is_free(const struct smr_write *w)
{
	const struct ma_state *mas = w->mas;
	unsigned int i = w->i;

	for (; !value_at(mas->node, i); i++) {
		if (w->last <= last_of(mas, i))
			return true;
		if (i == mas->end)
			return false;
	}
	return false;
}

/*
 * Plans NULL over one entry and gaps next to it, or over nothing but gaps, as one slot that
 * changes. Returns false if that is not possible. Edits (edit.c) do the same, but not where these
 * gaps begin or end a leaf.
 */
static bool plan_slot_erase(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	void *const *slots = smr_slots(mas->node);
	unsigned int i = w->i, j = w->j, end = mas->end, from, to;

	if (w->spans || !may_swap(w))
		return false;
	while (!slots[i] && smr_tail(slots, i, end) < j)
		i = smr_tail(slots, i, end) + 1;
	while (!value_at(mas->node, j) && smr_head(slots, j) > i)
		j = smr_head(slots, j) - 1;
	from = smr_run_from(slots, i);
	to = smr_run_to(slots, j, end);
	if (slots[i] &&
	    (i == 0 || j == end || smr_tail(slots, i, end) < j || first_of(mas, i) < w->first ||
	     last_of(mas, j) > w->last || !smr_may_run(w->mt, from, to, end)))
		return false;
	w->form = SMR_SLOT;
	w->i = i;
	w->j = j;
	w->first = first_of(mas, from);
	w->last = last_of(mas, to);
	mas->offset = to;
	return true;
}

/* Chooses the cheapest form that will do. */
smr_inline void choose_form(struct smr_write *w)
{
	struct ma_state *mas = w->mas;
	void *const *slots = smr_slots(mas->node);
	bool exact = !w->spans && w->first == w->begin && w->last == w->end;
	bool same = exact && smr_tail(slots, w->i, w->j) == w->j;
	bool fits = !w->spans && !smr_has_joined(mas->node) && fits_leaf(w);

	if (!w->entry && w->first == 0 && w->last == ULONG_MAX) {
		w->form = SMR_ROOT;
	} else if (same && (may_swap(w) || slots[w->i] == w->entry)) {
		w->form = SMR_SLOT;
		mas->offset = w->j;
	} else if (fits && smr_editable(w->mt, mas->node)) {
		w->form = SMR_INPLACE;
	} else if (exact && w->entry && may_swap(w) && smr_is_gap(slots, w->i, w->j)) {
		w->form = SMR_JOIN;
		mas->offset = w->j;
	} else if (fits) {
		w->form = SMR_LEAF;
		w->nodes = 1 + count_path_copies(w);
	} else if (!w->spans || !smr_plan_slide_across(w)) {
		plan_subtree(w);
	}
}

/*
 * Plans an edit that its leaf is too full for, or would be too empty after: as a share, or by
 * emptying the tree. Returns false if it takes more, or if one new leaf may do.
 */
static bool plan_share(struct smr_write *w)
{
	const struct ma_state *mas = w->mas;

	if (smr_edit_empties(&w->edit, w->entry)) {
		w->form = SMR_ROOT;
		w->first = 0;
		w->last = ULONG_MAX;
		return true;
	}
	w->share.leaves = &w->level[0];
	if (!smr_plan_share(&w->share, &w->edit, w->mt, mas->path, mas->slot, mas->depth, w->entry))
		return false;
	smr_share_put_edges(&w->share, w->edges);
	w->first = w->edit.first;
	w->last = w->edit.last;
	if (smr_share_fits(&w->share, &w->nodes))
		w->form = SMR_SHARE;
	else
		smr_plan_above_share(w);
	return true;
}

int smri_plan_slow(struct smr_write *w, bool free_only)
{
	unsigned long last = w->last;

	begin_at(w, (unsigned int)w->mas->offset);
	w->former = value_at(w->mas->node, w->i);
	if (free_only && !is_free(w))
		return -EEXIST;
	if (w->edit.ranges && plan_share(w))
		return 0;
	if (smr_unlikely(last > w->end))
		locate_last(w, last);
	if (!w->entry) {
		if (plan_slot_erase(w) || smr_plan_slide(w))
			return 0;
		widen_left(w, last);
		widen_right(w);
	}
	choose_form(w);
	return 0;
}

void smri_plan_edges(struct smr_write *w, struct ma_state *mas, void *entry, struct smr_edges edges)
{
	smri_plan_begin(w, mas, entry);
	w->edges = edges;
	w->first = mas->index;
	w->last = mas->last;
	smr_walk_to(mas, w->first);
	/* If one leaf changes, choose_form() plans it; a share is planned from the edit. */
	if (smr_edit_plan_store(&w->edit, mas, w->first, w->last, entry))
		w->edit.ranges = 0;
	(void)smri_plan_slow(w, false);
}

int smri_plan_erase(struct smr_write *w, struct ma_state *mas, const void *root)
{
	if (!mas->node) {
		if (root && mas->index == 0) {
			mas->last = 0;
			return smr_plan(w, mas, 0, 0, NULL, false);
		}
		mas->status = root ? ma_root : ma_none;
		return -ENOENT;
	}
	mas->status = ma_active;
	if (!smr_range_here(mas))
		return -ENOENT;
	w->first = mas->index;
	w->last = mas->last;
	(void)smri_plan_slow(w, false);
	smri_plan_pledge(w);
	return 0;
}
