/* SPDX-License-Identifier: MIT */
/* Gap figures, and the search for free space by them. */
#include "tree/gap.h"
#include "base/isa.h"
#include "base/rcu.h"
#include "tree/search_simd.h"
#include "tree/walk.h"

#include <errno.h>

/* Returns a bit for each range that is a gap or a piece of one, in a leaf with joined ranges. */
static uint64_t gaps_of_joined(const void *leaf)
{
	uint64_t gaps = 0;

	for (unsigned int i = 0; i < smr_count(leaf); i++)
		gaps |= (uint64_t)!smr_value(smr_slots(leaf), i) << i;
	return gaps;
}

/*
 * Returns the figure of a range of a leaf if the lowest bit of @gaps says that it is a gap, else 0.
 * It does not branch on the bit, which no processor can predict.
 */
smr_inline uint32_t range_figure(unsigned long first, unsigned long last, uint64_t gaps)
{
	return smr_gap_figure(last - first) & -(uint32_t)(gaps & 1);
}

/* Returns the figure of the larger of the gaps in pieces that the leaf begins and ends with. */
smr_inline uint32_t outer_runs_figure(const void *leaf, unsigned int end, unsigned long min,
				      unsigned long max, uint64_t gaps)
{
	uint32_t largest = 0, figure;
	uint64_t others = ~gaps & ((UINT64_C(2) << end) - 1);
	unsigned int i, j;

	if (smr_unlikely((gaps & 3) == 3)) {
		j = others ? (unsigned int)__builtin_ctzl(others) - 1 : end;
		largest = smr_gap_figure(smr_leaf_last(leaf, j, end, max) - min);
	}
	if (smr_unlikely(end > 0 && (gaps >> (end - 1) & 3) == 3)) {
		i = others ? 64u - (unsigned int)__builtin_clzl(others) : 0;
		figure = smr_gap_figure(max - smr_leaf_first(leaf, i, min));
		largest = smr_gap_larger(largest, figure);
	}
	return largest;
}

/* Returns the figure of a gap of @length keys; 0 for none. */
smr_inline uint32_t length_figure(unsigned long length)
{
	return length > 0 ? smr_gap_figure(length - 1) : 0;
}

smr_inline uint32_t largest_of(const uint32_t *gap, unsigned int n)
{
	uint32_t largest = 0;

	for (unsigned int i = 0; i < n; i++)
		largest = gap[i] > largest ? gap[i] : largest;
	return largest;
}

SMR_CLONES uint32_t smr_gap_inner(const void *enode)
{
	if ((uintptr_t)enode & SMR_ENODE_WIDE)
		return largest_of(smr_gaps(enode), SMR_WINNER_GAPS);
	return largest_of(smr_gaps(enode), SMR_NINNER_GAPS);
}

/* ---- Search ---- */

struct want {
	unsigned long min, max;
	unsigned long span; /* keys wanted, less one */
	uint32_t figure;    /* subtrees whose figure is lower cannot serve */
};

/* The path down to where the search is, and the children along it that remain to be tried. */
struct seek {
	struct smr_gap *gap;
	uint64_t left[MT_PATH_MAX];
};

/* Whether range [first..last], cut to the limits, holds what is wanted: if so, from *@at on. */
smr_inline bool fits_in(const struct want *want, unsigned long first, unsigned long last, bool high,
			unsigned long *at)
{
	unsigned long lo = first > want->min ? first : want->min;
	unsigned long hi = last < want->max ? last : want->max;

	*at = high ? hi - want->span : lo;
	return lo <= hi && hi - lo >= want->span;
}

/*
 * Tries the gap of which range @i of the leaf at the end of the path is a piece; @gaps are all of
 * the leaf's. Returns true if it holds what is wanted: the path then leads to the piece in which
 * the place found begins.
 */
smr_inline bool try_gap(const struct want *want, struct smr_gap *gap, uint64_t gaps, unsigned int i,
			bool high)
{
	struct smr_path *path = &gap->path;
	const void *leaf = path->node[path->depth];
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = i + 1 - (unsigned int)__builtin_clzl(~(gaps << (63 - i)));
	unsigned int to = i - 1 + (unsigned int)__builtin_ctzl(~(gaps >> i));

	if (!fits_in(want, smr_leaf_first(leaf, from, gap->min),
		     smr_leaf_last(leaf, to, end, gap->max), high, &gap->first))
		return false;
	while (from < to && smr_start(leaf, from + 1) <= gap->first)
		from++;
	path->slot[path->depth] = (unsigned char)from;
	return true;
}

/* Returns the lowest, or with @high the highest, bit in @left; there must be one. */
smr_inline unsigned int first_bit(uint64_t left, bool high)
{
	return (unsigned int)(high ? 63 - __builtin_clzl(left) : __builtin_ctzl(left));
}

/* The same, and takes it out of *@left. */
smr_inline unsigned int take_first_bit(uint64_t *left, bool high)
{
	unsigned int i = first_bit(*left, high);

	*left &= ~(UINT64_C(1) << i);
	return i;
}

/*
 * Whether child @i of @node lies beyond the limit that the search runs towards. The first child in
 * that direction does not, or @node itself would.
 */
smr_inline bool is_beyond(const struct want *want, const void *node, unsigned int i, bool high)
{
	if (high)
		return i + 1 < smr_count(node) && smr_child_start(node, i + 1) <= want->min;
	return i > 0 && smr_child_start(node, i) > want->max;
}

/* Goes down to child @i of @node, which is at depth @d of @path. */
smr_inline void *go_down(struct smr_path *path, unsigned int d, void *node, unsigned int i)
{
	path->slot[d] = (unsigned char)i;
	return path->node[d + 1] = smr_slots(node)[i];
}

#define SMR_ISA_FILE "tree/gap_isa.h"
#include "base/isa_files.h"

SMR_DISPATCH(uint32_t, smr_gap_beside,
	     (const void *leaf, unsigned long min, unsigned long max, unsigned int i,
	      unsigned int j));
SMR_DISPATCH(static bool, smri_seek_low, (const struct want *want, struct seek *k));
SMR_DISPATCH(static bool, smri_seek_high, (const struct want *want, struct seek *k));

int smr_gap_find(const struct maple_tree *mt, unsigned long min, unsigned long max,
		 unsigned long size, bool high, struct smr_gap *gap)
{
	struct want want = { min, max, size - 1, 0 };
	struct seek k;
	void *root;
	bool there;

	if (min > max || size == 0 || size - 1 > max - min)
		return -EINVAL;
	smr_rcu_meet();
	k.gap = gap; /* the rest is set where it is needed */
	root = gap->path.node[0] = smr_root(mt);
	gap->path.depth = 0;
	if (mt->ma_flags & MT_FLAGS_ALLOC_RANGE)
		want.figure = smr_gap_figure(want.span);
	if (!smr_is_enode(root))
		there = fits_in(&want, root ? 1 : 0, ULONG_MAX, high, &gap->first);
	else
		there = high ? smri_seek_high(&want, &k) : smri_seek_low(&want, &k);
	return there ? 0 : -EBUSY;
}

void smr_gap_set_cursor(struct ma_state *mas, const struct smr_gap *gap, unsigned long size)
{
	const struct smr_path *path = &gap->path;

	mas->index = gap->first;
	mas->last = gap->first + (size - 1);
	if (!smr_is_enode(path->node[0])) {
		smr_cursor_off(mas);
		mas->status = path->node[0] ? ma_root : ma_none;
		return;
	}
	mas->min = gap->min;
	mas->max = gap->max;
	smr_cursor_take(mas, path);
	mas->offset = smr_run_to(smr_slots(mas->node), (unsigned int)mas->offset, mas->end);
}

static int empty_area(struct ma_state *mas, unsigned long min, unsigned long max,
		      unsigned long size, bool high)
{
	struct smr_gap gap;
	int err = smr_gap_find(mas->tree, min, max, size, high, &gap);

	if (!err)
		smr_gap_set_cursor(mas, &gap, size);
	return err;
}

int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return empty_area(mas, min, max, size, false);
}

int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max,
		       unsigned long size)
{
	return empty_area(mas, min, max, size, true);
}
