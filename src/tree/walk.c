/* SPDX-License-Identifier: MIT */
#include "tree/walk.h"

#include "base/rcu.h"
#include "tree/check.h"
#include "tree/search_simd.h"
#include "tree/snapshot.h"

/*
 * Whether the calling thread reads without the lock. Only then does its read-side critical section
 * keep dead nodes readable. An external lock that cannot be asked is assumed to be held.
 */
static bool reads_locklessly(const struct maple_tree *mt)
{
	if (!mt_in_rcu(mt))
		return false;
	return !mt_lock_is_held(mt);
}

/*
 * A node is marked before it is replaced, and the change counter moves on after that. So if none of
 * the nodes is marked once the counter has been read, the path was the tree's at that count, and
 * the cursor may take the count over. (ORDER seq, as in smr_walk().) In a snapshot, marked nodes
 * stay in place.
 */
bool smri_path_revalidate(struct ma_state *mas)
{
	unsigned long seq = smr_load(&mas->tree->ma_seq, ORDER(seq, acquire));

	if (smr_is_snapshot(mas->tree))
		return seq == mas->seq;
	if (!reads_locklessly(mas->tree))
		return false;
	for (unsigned int d = 0; d <= mas->depth; d++)
		if (smr_node_dead(mas->path[d]))
			return false;
	mas->seq = seq;
	return true;
}

#define DEFINE_DESCEND(isa)                                                                      \
	SMR_TARGET_##isa static unsigned int smr_descend_##isa(void **node, unsigned char *slot, \
							       void *top, unsigned long key)     \
	{                                                                                        \
		struct smr_aim_##isa aim;                                                        \
		unsigned int d = 0, i;                                                           \
                                                                                                 \
		if (smr_likely(smr_enode_is(top, SMR_NINNER))) {                                 \
			node[d] = top;                                                           \
			top = smr_child_from_top_##isa(&aim, top, key, &i);                      \
			slot[d++] = (unsigned char)i;                                            \
		} else {                                                                         \
			smr_aim_at_##isa(&aim, key);                                             \
		}                                                                                \
		for (; !smr_enode_leaf(top); d++) {                                              \
			node[d] = top;                                                           \
			top = smr_slot_read(smr_child_slot_##isa(&aim, top, true, &i));          \
			slot[d] = (unsigned char)i;                                              \
		}                                                                                \
		node[d] = top;                                                                   \
		smr_entry_slot_##isa(&aim, top, true, &i);                                       \
		slot[d] = (unsigned char)i;                                                      \
		return d;                                                                        \
	}

SMR_EACH_ISA(DEFINE_DESCEND)
SMR_DISPATCH(unsigned int, smr_descend,
	     (void **node, unsigned char *slot, void *top, unsigned long key));

/* Puts the cursor on the leaf at depth @d of its path, but leaves min and max alone. */
smr_inline void set_place(struct ma_state *mas, unsigned int d)
{
	mas->depth = (unsigned char)d;
	smr_cursor_on(mas, mas->path[d], smr_count(mas->path[d]));
	mas->offset = mas->slot[d];
	smr_check_place(mas);
}

smr_inline void set_place_limits(struct ma_state *mas, unsigned int d)
{
	smr_path_limits(mas->path, mas->slot, d, &mas->min, &mas->max);
	set_place(mas, d);
}

bool smr_walk(struct ma_state *mas, unsigned long key, void **root)
{
	/*
	 * ORDER seq: the counter is read before the nodes, so it is never newer than they are.
	 * PARTNER write.h, smr_advance_seq(). WITHOUT a path through replaced nodes passes for a
	 * fresh one.
	 */
	unsigned long seq = smr_load(&mas->tree->ma_seq, ORDER(seq, acquire));
	void *top;
	unsigned int d;

	smr_rcu_meet();
	top = smr_root(mas->tree);
	if (!smr_is_enode(top)) {
		*root = top;
		smr_cursor_off(mas);
		return false;
	}
	d = smr_descend(mas->path, mas->slot, top, key);
	mas->seq = seq;
	set_place_limits(mas, d);
	return true;
}

/*
 * Whether the tree is unchanged since the cursor came to its place. The caller must hold the tree
 * lock. The counter alone does not tell: a user may have put another tree into the cursor that has
 * been changed as often. No two trees have the same top.
 */
smr_inline bool is_latest(const struct ma_state *mas)
{
	return mas->seq == mas->tree->ma_seq && mas->path[0] == mas->tree->ma_root;
}

bool smr_walk_from(struct ma_state *mas, unsigned long key, void **root)
{
	if (!smr_stands(mas) || !is_latest(mas) || key < mas->min || key > mas->max)
		return smr_walk(mas, key, root);
	mas->offset = smr_search_leaf(mas->node, key);
	mas->slot[mas->depth] = (unsigned char)mas->offset;
	smr_check_place(mas);
	return true;
}

void smr_cursor_take(struct ma_state *mas, const struct smr_path *path)
{
	for (unsigned int d = 0; d <= path->depth; d++) {
		mas->path[d] = path->node[d];
		mas->slot[d] = path->slot[d];
	}
	mas->status = ma_active;
	mas->seq = mas->tree->ma_seq;
	set_place(mas, path->depth);
}

void smr_cursor_follow(struct ma_state *mas, const struct smr_path *path)
{
	smr_path_limits(path->node, path->slot, path->depth, &mas->min, &mas->max);
	smr_cursor_take(mas, path);
}

/* Whether @key surely lies below @inner: in neither its first nor its last child. */
smr_inline bool is_inside(const void *inner, unsigned long key)
{
	return key >= smr_child_start(inner, 1) &&
	       key < smr_child_start(inner, smr_count(inner) - 1);
}

/*
 * Brings the cursor to the leaf of @key from its place, which must be fresh, if the leaf is near.
 * Returns false, and changes nothing, if it may be far.
 */
static bool walk_near(struct ma_state *mas, unsigned long key)
{
	unsigned int up = mas->depth < 2 ? mas->depth : 2;

	for (unsigned int d = mas->depth; up > 0; up--) {
		if (!is_inside(mas->path[--d], key))
			continue;
		set_place_limits(mas,
				 d + smr_descend(mas->path + d, mas->slot + d, mas->path[d], key));
		return true;
	}
	return false;
}

/*
 * Brings the cursor to the leaf of @key. Returns false if it stands there already; its offset is
 * then unchanged.
 */
smr_inline bool walk_to_leaf(struct ma_state *mas, unsigned long key)
{
	bool stands = smr_stands(mas), near = stands && key >= mas->min && key <= mas->max;
	bool fresh;
	void *root;

	if (near) {
		smr_check_cursor(mas);
		smr_check_place(mas); /* one report is enough */
	}
	/* It is not enough that the leaf is not dead: its parent may be. */
	fresh = stands && is_latest(mas);
	if (fresh && near)
		return false;
	if (!fresh || !walk_near(mas, key))
		smr_walk(mas, key, &root);
	return true;
}

/* Usually the range of @key is the cursor's or close after it: one of this many. */
#define RANGES_NEAR 4

/*
 * Returns how many of the RANGES_NEAR ranges after range @i of a leaf of @kind begin below @limit,
 * or RANGES_NEAR if range @i itself does not.
 */
smr_inline unsigned int count_starts_below(const struct smr_node *node, enum smr_kind kind,
					   unsigned int i, int32_t limit)
{
	unsigned int n = 0;

	if (i > 0 && smr_kind_bound(node, kind, i - 1) >= limit)
		return RANGES_NEAR;
	for (unsigned int k = 0; k < RANGES_NEAR; k++)
		n += smr_kind_bound(node, kind, i + k) < limit;
	return n;
}

/*
 * Returns how many ranges after the cursor's that of @key is, or RANGES_NEAR if it is none of
 * those. Bounds are counted, because the processor could not predict branches on them.
 */
smr_inline unsigned int ranges_to_key(const struct ma_state *mas, unsigned long key)
{
	const struct smr_node *node = smr_node_of(mas->node);
	unsigned int i = (unsigned int)mas->offset;

	if (smr_enode_is(mas->node, SMR_SLEAF))
		return count_starts_below(node, SMR_SLEAF, i, smri_short_limit(node->shift, key));
	if (!smr_enode_is(mas->node, SMR_NLEAF) || i + RANGES_NEAR >= SMR_NLEAF_CAP)
		return RANGES_NEAR;
	return count_starts_below(node, SMR_NLEAF, i, smri_limit(node, key));
}

bool smr_walk_to(struct ma_state *mas, unsigned long key)
{
	unsigned int ahead;

	if (!walk_to_leaf(mas, key)) {
		ahead = ranges_to_key(mas, key);
		mas->offset = ahead < RANGES_NEAR ? mas->offset + ahead
						  : smr_search_leaf(mas->node, key);
	}
	return mas->node;
}

static void enter_leaf(struct ma_state *mas, unsigned int d, void *leaf, bool at_end)
{
	mas->path[d] = leaf;
	mas->depth = (unsigned char)d;
	smr_cursor_on(mas, leaf, smr_count(leaf));
	mas->offset = mas->slot[d] = at_end ? mas->end : 0;
}

/*
 * Set *@d to the depth of the lowest ancestor that has a child after (before) the path. Return
 * false if there is none, or, with @check, if an ancestor up to there has been replaced.
 */
smr_inline bool climb_to_next(const struct ma_state *mas, unsigned int *d, bool check)
{
	do {
		if (smr_unlikely(*d == 0 || (smr_node_dead(mas->path[--*d]) && check)))
			return false;
	} while (mas->slot[*d] + 1u >= smr_count(mas->path[*d]));
	return true;
}

smr_inline bool climb_to_prev(const struct ma_state *mas, unsigned int *d, bool check)
{
	do {
		if (smr_unlikely(*d == 0 || (smr_node_dead(mas->path[--*d]) && check)))
			return false;
	} while (mas->slot[*d] == 0);
	return true;
}

/* Prefetches the next sibling of the node at depth @d or, from @i 1 on, that sibling's children. */
void smri_prefetch_sibling(const struct ma_state *mas, unsigned int d, unsigned int i)
{
	unsigned int beside = d ? mas->slot[d - 1] + 1u : 0;
	const void *inner;

	if (d == 0 || beside >= smr_count(mas->path[d - 1]))
		return;
	inner = smr_slot_read(smr_slots(mas->path[d - 1]) + beside);
	smr_prefetch_node(i ? smr_slot_read(smr_slots(inner) + i - 1) : inner);
}

static void enter_next_leaf(struct ma_state *mas, unsigned int d)
{
	unsigned long min = mas->max + 1;
	void *child;

	mas->slot[d]++;
	child = smr_slot_read(smr_slots(mas->path[d]) + mas->slot[d]);
	while (!smr_enode_leaf(child)) {
		mas->path[++d] = child;
		mas->slot[d] = 0;
		child = smr_slot_read(smr_slots(child));
	}
	for (unsigned int i = 1; i <= SMR_AHEAD; i++)
		smr_prefetch_ahead(mas, d, mas->slot[d] + i);
	enter_leaf(mas, d + 1, child, false);
	mas->min = min;
	mas->max = smr_path_max(mas->path, mas->slot, d + 1);
}

static void enter_prev_leaf(struct ma_state *mas, unsigned int d)
{
	unsigned int ahead = SMR_AHEAD; /* the first leaf that has not been prefetched yet */
	unsigned long max = mas->min - 1;
	void *child, **slots;

	mas->slot[d]--;
	child = smr_slot_read(smr_slots(mas->path[d]) + mas->slot[d]);
	while (!smr_enode_leaf(child)) {
		mas->path[++d] = child;
		mas->slot[d] = (unsigned char)(smr_count(child) - 1);
		child = smr_slot_read(smr_slots(child) + mas->slot[d]);
		ahead = 1;
	}
	enter_leaf(mas, d + 1, child, true);
	mas->max = max;
	mas->min = smr_path_min(mas->path, mas->slot, d + 1);
	slots = smr_slots(mas->path[d]);
	for (; ahead <= SMR_AHEAD && ahead <= mas->slot[d]; ahead++)
		smr_prefetch_node(smr_slot_read(slots + mas->slot[d] - ahead));
}

/*
 * Whether the range that the cursor has been put on has an entry and begins at @from or above. If
 * so, moves the cursor to its first piece.
 */
static bool is_new_up(struct ma_state *mas, unsigned long from)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int head = smr_head(slots, (unsigned int)mas->offset);

	if (!smr_slot_read(slots + head) || smr_leaf_first(mas->node, head, mas->min) < from)
		return false;
	mas->offset = head;
	return true;
}

/* The same for a range that ends at @to or below; moves the cursor to its last piece. */
static bool is_new_down(struct ma_state *mas, unsigned long to)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int head = smr_head(slots, (unsigned int)mas->offset);
	unsigned int tail = smr_tail(slots, head, mas->end);

	if (!smr_slot_read(slots + head) || smr_leaf_last(mas->node, tail, mas->end, mas->max) > to)
		return false;
	mas->offset = tail;
	return true;
}

/*
 * If an ancestor has been replaced, the last (first) key of the leaf is looked up again. The range
 * that is there now may extend beyond the old leaf: if it is new to the cursor, it is the next one;
 * otherwise the step is made from there, unless that range reaches the limit. The fresh path is
 * followed without another check, so a reader does this at most once.
 */
bool smr_range_up(struct ma_state *mas, unsigned long from, unsigned long max)
{
	void *leaf = smr_next_leaf(mas), *root;
	unsigned int d = mas->depth;

	if (mas->max == ULONG_MAX)
		return false;
	if (leaf) {
		smr_leaf_enter(mas, leaf, false);
		return true;
	}
	if (smr_unlikely(!climb_to_next(mas, &d, true))) {
		if (!smr_walk(mas, mas->max, &root))
			return false;
		if (is_new_up(mas, from))
			return true;
		if (smr_piece_last(mas) >= max)
			return false;
		if (mas->offset < mas->end) {
			mas->offset++;
			return true;
		}
		d = mas->depth;
		if (!climb_to_next(mas, &d, false))
			return false;
	}
	enter_next_leaf(mas, d);
	return true;
}

bool smr_range_down(struct ma_state *mas, unsigned long to, unsigned long min)
{
	unsigned int d = mas->depth;
	void *root;

	if (mas->min == 0)
		return false;
	if (smr_unlikely(!climb_to_prev(mas, &d, true))) {
		if (!smr_walk(mas, mas->min, &root))
			return false;
		if (is_new_down(mas, to))
			return true;
		if (smr_piece_first(mas) <= min)
			return false;
		if (mas->offset > 0) {
			mas->offset--;
			return true;
		}
		d = mas->depth;
		if (!climb_to_prev(mas, &d, false))
			return false;
	}
	enter_prev_leaf(mas, d);
	return true;
}
