/* SPDX-License-Identifier: MIT */
/*
 * Moving a cursor. Every operation checks its limit; decides, by status, whether to look up the
 * index and whether an entry found there is the answer; and then steps. Trees without nodes have
 * their own short rules in compact.c.
 *
 * A writer may have replaced the nodes of a position. Then the path is looked up again by key: from
 * the last key of the range when going up, from the first when going down, so that nothing is
 * returned twice and nothing is left out.
 */
#include "base/isa.h"
#include "tree/check.h"
#include "tree/compact.h"
#include "tree/search_simd.h"
#include "tree/walk.h"

static void *stop(struct ma_state *mas, enum maple_status status)
{
	mas->status = status;
	return NULL;
}

/*
 * Stops because the limit is reached before anything has been looked at. The status set here says
 * that the cursor stands somewhere, which is true only if it did before.
 */
static void *stop_at_once(struct ma_state *mas, enum maple_status status)
{
	if (!smr_stands(mas))
		smr_cursor_off(mas);
	return stop(mas, status);
}

/* Looks up @key. Returns false if the tree has no nodes. */
smr_inline bool look_up(struct ma_state *mas, unsigned long key, void **root)
{
	if (smr_unlikely(!smr_walk(mas, key, root)))
		return false;
	mas->status = ma_active;
	return true;
}

/*
 * Makes sure that the cursor stands in the tree as it is now: looks up @key if it does not. Returns
 * false if the tree has no nodes.
 */
smr_inline bool revalidate(struct ma_state *mas, unsigned long key, void **root)
{
	smr_check_cursor(mas);
	if (smr_likely(smr_path_revalidate(mas))) {
		mas->status = ma_active;
		return true;
	}
	if (!look_up(mas, key, root))
		return false;
	smr_range_here(mas);
	return true;
}

/*
 * Moves to the next piece above. Returns false if the last key of the current one is not below
 * @max, or if there is no next. @from: as for smr_range_up(). Pieces that have become joined to the
 * cursor's range since it came there are not passed over.
 */
smr_inline bool piece_up(struct ma_state *mas, unsigned long from, unsigned long max)
{
	if (smr_piece_last(mas) >= max)
		return false;
	if (mas->offset == mas->end)
		return smr_range_up(mas, from, max);
	mas->offset++;
	return true;
}

smr_inline void *read_here(const struct ma_state *mas)
{
	return smr_slot_read(smr_slots(mas->node) + mas->offset);
}

/*
 * Moves to the range above the current one or, without @gaps, to the next that has an entry. A gap
 * that begins before the piece moved to is skipped: it is, or now contains, the one that the cursor
 * comes from. @from: as for smr_range_up(). A gap that the cursor has only just come to has not
 * been returned, so @from follows what was returned or asked for, not the gap; it is 0 if neither
 * matters. @shown: index and last are those of the current range; otherwise nothing has been
 * returned yet. If there is no other range, they become those of the last gap that was passed,
 * unless the tree has lost its nodes meanwhile.
 */
smr_inline void *step_up(struct ma_state *mas, unsigned long from, unsigned long max, bool gaps,
			 bool shown)
{
	unsigned int at, to;
	void *entry, **slots;

	for (; piece_up(mas, from, max); shown = false) {
		slots = smr_slots(mas->node);
		at = (unsigned int)mas->offset;
		entry = smr_read_range(slots, at, mas->end, &to);
		if (smr_is_joined(entry) || (!entry && (!gaps || smr_run_from(slots, at) < at)))
			continue;
		smr_stand_on(mas, at, entry ? to : smr_run_to(slots, to, mas->end));
		return entry;
	}
	if (!shown && mas->node)
		smr_range_here(mas);
	return stop(mas, ma_overflow);
}

/* Returns the first piece of the gap that the cursor is in; if it is in none, its own piece. */
smr_inline unsigned int first_piece(const struct ma_state *mas)
{
	void *const *slots = smr_slots(mas->node);
	unsigned int at = (unsigned int)mas->offset;

	return smr_value(slots, at) ? at : smr_run_from(slots, smr_head(slots, at));
}

/*
 * Moves to the next piece below that neither is of the current range, which begins at index, nor
 * has become joined to it. @to: as for smr_range_down(). Returns false, and leaves the cursor where
 * it is, if the current range reaches down to @min; or as smr_range_down() does if there is no such
 * piece.
 */
smr_inline bool leave_range_down(struct ma_state *mas, unsigned long to, unsigned long min)
{
	unsigned long offset = mas->offset;
	bool joined;

	mas->offset = first_piece(mas);
	do {
		if (smr_piece_first(mas) <= min) {
			mas->offset = offset;
			return false;
		}
		if (mas->offset == 0)
			return smr_range_down(mas, to, min);
		joined = smr_is_joined(read_here(mas));
		mas->offset--;
	} while (joined || smr_piece_first(mas) >= mas->index);
	return true;
}

/*
 * Moves to the range below the current one or, without @gaps, to the next that has an entry. Ranges
 * that end at @below or lower are new, as with @from for step_up().
 */
smr_inline void *step_down(struct ma_state *mas, unsigned long below, unsigned long min, bool gaps)
{
	unsigned int from, to, tail;
	void *entry, **slots, *root;

	do {
		while (smr_unlikely(!leave_range_down(mas, below, min))) {
			if (mas->node)
				return stop(mas, ma_underflow);
			/* The tree has lost its nodes meanwhile, but may have an entry at 0. */
			if (!look_up(mas, mas->index, &root))
				return smr_compact_prev(mas, root, min);
		}
		slots = smr_slots(mas->node);
		from = to = (unsigned int)mas->offset;
		entry = smr_slot_read(slots + from);
		while (smr_is_joined(entry))
			entry = smr_slot_read(slots + --from);
		/* The range that it came from may just have become joined to this one. */
		tail = smr_tail(slots, to, mas->end);
		if (!entry)
			from = smr_run_from(slots, from);
		smr_stand_on(mas, from, to);
	} while (tail > to || (!entry && !gaps));
	return entry;
}

void *mas_walk(struct ma_state *mas)
{
	void *root;

	if (!look_up(mas, mas->index, &root))
		return smr_compact_walk(mas, root);
	return smr_range_here(mas);
}

static smr_noinline void *next(struct ma_state *mas, unsigned long max, bool gaps)
{
	enum maple_status before = mas->status;
	/* After what was returned, or else asked for; a cursor that turns round gets that again. */
	unsigned long from = mas->last + 1;
	void *root, *entry;

	if (mas->last >= max)
		return stop_at_once(mas, ma_overflow);
	if (before == ma_error)
		return NULL;
	if ((before == ma_active || before == ma_overflow) && smr_likely(mas->node)) {
		if (!revalidate(mas, mas->last, &root))
			return smr_compact_next(mas, root, before);
		return step_up(mas, from, max, gaps, true);
	}
	from = before == ma_underflow ? 0 : mas->index + 1;
	if (!look_up(mas, mas->index, &root))
		return smr_compact_next(mas, root, before);
	entry = smr_range_here(mas);
	if (before == ma_underflow && entry)
		return entry;
	return step_up(mas, from, max, gaps, true);
}

static smr_noinline void *prev(struct ma_state *mas, unsigned long min, bool gaps)
{
	enum maple_status before = mas->status;
	unsigned long below = mas->index - 1;
	void *root, *entry;

	if (mas->index <= min)
		return stop_at_once(mas, ma_underflow);
	if (before == ma_error)
		return NULL;
	if ((before == ma_active || before == ma_underflow) && smr_likely(mas->node)) {
		if (!revalidate(mas, mas->index, &root))
			return smr_compact_prev(mas, root, min);
		return step_down(mas, below, min, gaps);
	}
	if (before == ma_overflow)
		below = ULONG_MAX; /* as in next() */
	if (!look_up(mas, mas->index, &root))
		return smr_compact_prev(mas, root, min);
	entry = smr_range_here(mas);
	if (before == ma_overflow && entry)
		return entry;
	return step_down(mas, below, min, gaps);
}

/*
 * A plain find that reaches its limit leaves the cursor active, so that one with a higher limit
 * goes on from there.
 */
smr_inline void *find_step(struct ma_state *mas, unsigned long from, unsigned long max, bool gaps,
			   bool shown)
{
	void *entry = step_up(mas, from, max, gaps, shown);

	if (!gaps && mas->status == ma_overflow)
		mas->status = ma_active;
	return entry;
}

/*
 * Goes on in a tree that held nothing but [0..0], where the cursor is, and has nodes now: whatever
 * range [0..0] has become part of has been returned.
 */
static void *find_after_root(struct ma_state *mas, unsigned long max, bool gaps)
{
	unsigned long from = mas->last + 1;
	void *root;

	if (mas->last >= max)
		return NULL;
	if (!look_up(mas, mas->last, &root))
		return smr_compact_find(mas, root, max);
	smr_range_here(mas);
	return find_step(mas, from, max, gaps, true);
}

static smr_noinline void *find(struct ma_state *mas, unsigned long max, bool gaps)
{
	enum maple_status before = mas->status;
	unsigned long from = mas->last + 1;
	void *root, *entry;

	if (smr_likely(before == ma_active)) {
		if (mas->last >= max)
			return NULL;
		if (!revalidate(mas, mas->last, &root))
			return smr_compact_find(mas, root, max);
		return find_step(mas, from, max, gaps, true);
	}
	root = smr_root(mas->tree);
	if (!smr_is_enode(root))
		return smr_compact_find(mas, root, max);
	if (before == ma_root)
		return find_after_root(mas, max, gaps);
	if (!smr_find_begin(mas, max))
		return NULL;
	if (!look_up(mas, mas->index, &root))
		return smr_compact_find(mas, root, max);
	/* The search ends in a gap that begins at max; from any other gap it just goes on. */
	if (!gaps && mas->index < max && !read_here(mas))
		return find_step(mas, 0, max, false, false);
	entry = smr_range_here(mas);
	if (entry || (before != ma_overflow && before != ma_underflow && mas->index == max))
		return entry;
	return find_step(mas, 0, max, gaps, true);
}

/* The guard of mas_find*_rev(): false if these return NULL at once. */
static bool find_rev_begin(struct ma_state *mas, unsigned long min)
{
	switch (mas->status) {
	case ma_start:
	case ma_active:
		return mas->index >= min;
	case ma_pause:
	case ma_root:
	case ma_overflow:
		if (mas->index > min)
			break;
		stop_at_once(mas, ma_underflow);
		return false;
	case ma_none:
		if (mas->index <= min)
			return false;
		mas->last = mas->index;
		return true;
	case ma_error:
		return false;
	default:
		return mas->index > min;
	}
	if (mas->status != ma_overflow)
		mas->index = mas->last = mas->index - 1;
	return true;
}

static smr_noinline void *find_rev(struct ma_state *mas, unsigned long min, bool gaps)
{
	enum maple_status before = mas->status;
	unsigned long below = mas->index - 1;
	void *root, *entry;

	root = smr_root(mas->tree);
	if (smr_unlikely(!smr_is_enode(root)))
		return smr_compact_find_rev(mas, root, min);
	if (!find_rev_begin(mas, min))
		return NULL;
	if (before == ma_active || before == ma_overflow || before == ma_underflow) {
		if (!revalidate(mas, mas->index, &root))
			return smr_compact_find_rev(mas, root, min);
		return step_down(mas, below, min, gaps);
	}
	if (!look_up(mas, mas->index, &root))
		return smr_compact_find_rev(mas, root, min);
	entry = smr_range_here(mas);
	if (entry || mas->index < min)
		return entry;
	return step_down(mas, ULONG_MAX, min, gaps);
}

/*
 * ---- Fast paths ----
 *
 * Steps to where the next range usually is. They return NULL, or false, and change nothing, if it
 * is not there. If the lock checker has to see each step, reach is 0. A leaf's dead mark is read
 * after its slots. The slow path is not inlined after a fast one, which then saves no registers.
 */

/* Whether the cursor stands in a leaf that is still in the tree, and has reach. */
smr_inline bool may_step(const struct ma_state *mas)
{
	return mas->status == ma_active && mas->reach && smr_path_fresh(mas);
}

/* Returns @a if @which, otherwise @b, without a branch, which could not be predicted. */
smr_inline unsigned long select_key(bool which, unsigned long a, unsigned long b)
{
	return b ^ ((a ^ b) & -(unsigned long)which);
}

/* Whether nothing follows the cursor in its leaf, or just a gap. */
smr_inline bool at_end(enum smr_kind kind, const struct ma_state *mas)
{
	void *const *slots = smr_kind_slots(smr_kind_node(mas->node, kind), kind);
	unsigned long left = mas->end - mas->offset;

	return left == 0 || (left == 1 && !smr_slot_read(slots + mas->end));
}

/* Returns a bit for the first entry in the first two slots; 0 if they have none. */
smr_inline uint64_t first_entry_bit(void *const *slots)
{
	uint64_t first = smr_slot_read(slots) != NULL;

	return first ? first : (uint64_t)(smr_slot_read(slots + 1) != NULL) << 1;
}

/* Whether the parent has at least as many leaves after the next one as are prefetched ahead. */
smr_inline bool has_leaves_ahead(const struct ma_state *mas)
{
	unsigned int d = mas->depth;

	return d > 0 && mas->slot[d - 1] + 1u + SMR_AHEAD < smr_count(mas->path[d - 1]);
}

#define SMR_ISA_FILE "tree/each_isa.h"
#include "base/isa_files.h"

/* Steps to the next entry, if it is in the cursor's leaf or the one after it. */
SMR_DISPATCH(static void *, smri_next_near, (struct ma_state * mas, unsigned long max));
SMR_DISPATCH(struct mt_found_, mas_each_beyond_,
	     (struct ma_state * mas, unsigned long max, unsigned long left, unsigned long last,
	      unsigned long seq, const struct maple_tree *of));

/* Steps to the entry above, across at most one gap, if it is in the cursor's leaf, of @kind. */
smr_inline void *up_in_leaf(enum smr_kind kind, struct ma_state *mas, unsigned long max)
{
	const struct smr_node *node = smr_kind_node(mas->node, kind);
	void *const *slots = smr_kind_slots(smr_kind_node(mas->node, kind), kind);
	unsigned long i = mas->offset + 1, reach = mas->reach, first;
	void *entry = smr_slot_read(slots + i);

	if (!entry) {
		if (++i > reach)
			return NULL;
		entry = smr_slot_read(slots + i);
	}
	if (!entry || smr_load(&node->dead, RELAXED))
		return NULL;
	first = smr_kind_start(node, kind, (unsigned int)i);
	if (first > max || mas->last >= max)
		return NULL;
	mas->offset = i;
	mas->index = first;
	mas->last = i < reach ? smr_kind_start(node, kind, (unsigned int)i + 1) - 1 : mas->max;
	return entry;
}

/* The same for any cursor, in a leaf or not. */
smr_inline void *up_near(struct ma_state *mas, unsigned long max)
{
	if (mas->status != ma_active || mas->offset + 1 > mas->reach ||
	    mas->seq != smr_load(&mas->tree->ma_seq, RELAXED))
		return NULL;
	if (smr_likely(smr_enode_is(mas->node, SMR_SLEAF)))
		return up_in_leaf(SMR_SLEAF, mas, max);
	return SMR_FOR_LEAF(mas->node, up_in_leaf, mas, max);
}

/* Steps to the entry below, across at most one gap, if it is in the cursor's leaf, of @kind. */
smr_inline void *down_in_leaf(enum smr_kind kind, struct ma_state *mas, unsigned long min)
{
	const struct smr_node *node = smr_kind_node(mas->node, kind);
	void *const *slots = smr_kind_slots(smr_kind_node(mas->node, kind), kind);
	unsigned int at = (unsigned int)mas->offset, i = at - 1;
	void *entry;

	if (at == 0)
		return NULL;
	entry = smr_slot_read(slots + i);
	if (!entry && i > 0)
		entry = smr_slot_read(slots + --i);
	if (!entry || smr_load(&node->dead, RELAXED) ||
	    smr_kind_start(node, kind, at) != mas->index ||
	    smr_kind_start(node, kind, i + 1) <= min)
		return NULL;
	mas->offset = i;
	mas->index = i > 0 ? smr_kind_start(node, kind, i) : mas->min;
	mas->last = smr_kind_start(node, kind, i + 1) - 1;
	return entry;
}

smr_inline void *down_near(struct ma_state *mas, unsigned long min)
{
	return may_step(mas) ? SMR_FOR_LEAF(mas->node, down_in_leaf, mas, min) : NULL;
}

/* Steps to the range above or below, entry or gap, if it is one piece and in the same leaf. */
smr_inline bool step_range(struct ma_state *mas, unsigned long limit, bool up, void **entry)
{
	unsigned int at = (unsigned int)mas->offset, i = up ? at + 1 : at - 1;
	void *const *slots;
	unsigned long edge; /* where the upper one of the two begins */

	if (smr_unlikely(!may_step(mas)) || (up ? at == mas->end : at == 0))
		return false;
	slots = smr_slots(mas->node);
	*entry = smr_slot_read(slots + i);
	if (!*entry &&
	    (!smr_slot_read(slots + at) || (up ? i < mas->end && !smr_slot_read(slots + i + 1)
					       : i > 0 && !smr_slot_read(slots + i - 1))))
		return false;
	edge = smr_start(mas->node, up ? i : at);
	if (smr_load(&smr_node_of(mas->node)->dead, RELAXED) ||
	    (up ? mas->last >= limit || edge > limit : edge != mas->index || edge <= limit))
		return false;
	smr_stand_on(mas, i, i);
	return true;
}

/* ---- The interface ---- */

/* mas_find() from the end of a leaf, or across more than one gap. */
static smr_noinline void *find_beyond(struct ma_state *mas, unsigned long max)
{
	void *entry = may_step(mas) ? smri_next_near(mas, max) : NULL;

	return smr_likely(entry) ? entry : find(mas, max, false);
}

void *mas_find(struct ma_state *mas, unsigned long max)
{
	void *entry = up_near(mas, max);

	return smr_likely(entry) ? entry : find_beyond(mas, max);
}

void *mas_find_range(struct ma_state *mas, unsigned long max)
{
	void *entry;

	return step_range(mas, max, true, &entry) ? entry : find(mas, max, true);
}

void *mas_find_rev(struct ma_state *mas, unsigned long min)
{
	void *entry = down_near(mas, min);

	return smr_likely(entry) ? entry : find_rev(mas, min, false);
}

void *mas_find_range_rev(struct ma_state *mas, unsigned long min)
{
	void *entry;

	return step_range(mas, min, false, &entry) ? entry : find_rev(mas, min, true);
}

static smr_noinline void *next_beyond(struct ma_state *mas, unsigned long max)
{
	void *entry = may_step(mas) ? smri_next_near(mas, max) : NULL;

	return smr_likely(entry) ? entry : next(mas, max, false);
}

void *mas_next(struct ma_state *mas, unsigned long max)
{
	void *entry = up_near(mas, max);

	return smr_likely(entry) ? entry : next_beyond(mas, max);
}

void *mas_next_range(struct ma_state *mas, unsigned long max)
{
	void *entry;

	return step_range(mas, max, true, &entry) ? entry : next(mas, max, true);
}

void *mas_prev(struct ma_state *mas, unsigned long min)
{
	void *entry = down_near(mas, min);

	return smr_likely(entry) ? entry : prev(mas, min, false);
}

void *mas_prev_range(struct ma_state *mas, unsigned long min)
{
	void *entry;

	return step_range(mas, min, false, &entry) ? entry : prev(mas, min, true);
}
