/* SPDX-License-Identifier: MIT */
/* Gap figures, and the search for free space by them. */
#include "tree/gap.h"
#include "base/rcu.h"
#include "tree/check.h"
#include "tree/search_simd.h"
#include "tree/store.h"
#include "tree/walk.h"

#include <errno.h>
#include <string.h>

/* A bit for each range that is a gap or a piece of one, of a leaf that has joined ones. */
static uint64_t gaps_of_joined(const void *leaf)
{
	uint64_t gaps = 0;

	for (unsigned int i = 0; i < smr_count(leaf); i++)
		gaps |= (uint64_t)!smr_value(smr_slots(leaf), i) << i;
	return gaps;
}

/*
 * The figure of a range of a leaf if the lowest bit of @gaps says that it is a gap; which no
 * processor can foresee.
 */
smr_inline uint32_t range_figure(unsigned long first, unsigned long last, uint64_t gaps)
{
	return smr_gap_figure(last - first) & -(uint32_t)(gaps & 1);
}

/* The figure of the larger of those gaps in pieces that the leaf begins and ends with. */
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

/* The figure of the largest gap that is @length keys long. */
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
	unsigned long span;  /* keys wanted, less one */
	uint32_t figure;     /* subtrees below it cannot serve */
	unsigned long found; /* first key */
};

/* The way down to where the search is, and which children on it are still to be tried. */
struct seek {
	struct smr_path path;
	uint64_t left[MT_PATH_MAX];
};

/* First and last key of a node. */
struct limits {
	unsigned long min, max;
};

/* Those of the node at depth @d of @path. */
smr_inline void limits_of(struct limits *keys, const struct smr_path *path, unsigned int d)
{
	smr_path_limits(path->node, path->slot, d, &keys->min, &keys->max);
}

/* Does range [first..last], cut to the limits, hold what is wanted? Then the place is found. */
smr_inline bool holds(struct want *want, unsigned long first, unsigned long last, bool high)
{
	unsigned long lo = first > want->min ? first : want->min;
	unsigned long hi = last < want->max ? last : want->max;

	want->found = high ? hi - want->span : lo;
	return lo <= hi && hi - lo >= want->span;
}

/* Does the gap that range @i of the leaf at the end of the way is a piece of? @gaps are all. */
smr_inline bool try_gap(struct want *want, struct seek *k, const struct limits *keys, uint64_t gaps,
			unsigned int i, bool high)
{
	const void *leaf = k->path.node[k->path.depth];
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = i + 1 - (unsigned int)__builtin_clzl(~(gaps << (63 - i)));
	unsigned int to = i - 1 + (unsigned int)__builtin_ctzl(~(gaps >> i));

	k->path.slot[k->path.depth] = (unsigned char)to;
	return holds(want, smr_leaf_first(leaf, from, keys->min),
		     smr_leaf_last(leaf, to, end, keys->max), high);
}

/* The lowest, or the highest, of the places in @left, which are some. */
smr_inline unsigned int place(uint64_t left, bool high)
{
	return (unsigned int)(high ? 63 - __builtin_clzl(left) : __builtin_ctzl(left));
}

/* Takes it out. */
smr_inline unsigned int take_place(uint64_t *left, bool high)
{
	unsigned int i = place(*left, high);

	*left &= ~(UINT64_C(1) << i);
	return i;
}

/*
 * Does child @i of @node lie beyond the limit that the search runs towards? The outermost one does
 * not, or @node would.
 */
smr_inline bool beyond(const struct want *want, const void *node, unsigned int i, bool high)
{
	if (high)
		return i + 1 < smr_count(node) && smr_child_start(node, i + 1) <= want->min;
	return i > 0 && smr_child_start(node, i) > want->max;
}

/* Down to child @i of @node, which is at depth @d of @path. */
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
SMR_DISPATCH(static bool, smri_seek_low, (struct want * want, struct seek *k));
SMR_DISPATCH(static bool, smri_seek_high, (struct want * want, struct seek *k));

static bool search_nodes(struct ma_state *mas, struct want *want, void *root, bool high)
{
	struct seek k;

	k.path.depth = 0;
	k.path.node[0] = root;
	if (!(high ? smri_seek_high(want, &k) : smri_seek_low(want, &k)))
		return false;
	smr_cursor_follow(mas, &k.path);
	return true;
}

int smr_gap_search(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size,
		   bool high)
{
	struct want want = { min, max, size - 1, 0, 0 };
	void *root;
	bool found;

	if (min > max || size == 0 || size - 1 > max - min)
		return -EINVAL;
	smr_rcu_meet();
	root = smr_root(mas->tree);
	if (mas->tree->ma_flags & MT_FLAGS_ALLOC_RANGE)
		want.figure = smr_gap_figure(want.span);
	if (smr_is_enode(root))
		found = search_nodes(mas, &want, root, high);
	else
		found = holds(&want, root ? 1 : 0, ULONG_MAX, high);
	if (!found)
		return -EBUSY;
	mas->index = want.found;
	mas->last = want.found + want.span;
	if (!smr_is_enode(root)) {
		smr_cursor_off(mas);
		mas->status = root ? ma_root : ma_none;
	}
	return 0;
}

int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return smr_gap_search(mas, min, max, size, false);
}

int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max,
		       unsigned long size)
{
	return smr_gap_search(mas, min, max, size, true);
}
