/* SPDX-License-Identifier: MIT */
/* Gap figures, and the search for free space by them. */
#include "tree/gap.h"
#include "tree/store.h"
#include "tree/walk.h"

#include <errno.h>

/* All slots are looked at, also unused ones: a loop of constant length becomes vector code throughout. */
smr_inline uint32_t narrow_gap(const struct smr_node *node, void *const *slots)
{
	int32_t largest = 0, length, end = node->count - 1;

	for (int32_t i = 1; i < SMR_NLEAF_CAP - 1; i++) {
		length = node->b32[i] - node->b32[i - 1];
		length = i >= end || slots[i] ? 0 : length;
		largest = length > largest ? length : largest;
	}
	return (uint32_t)largest;
}

SMR_CLONES uint32_t smr_gap_leaf(const void *enode, unsigned long min, unsigned long max)
{
	const struct smr_node *node = smr_node_of(enode);
	void *const *slots = smr_slots(enode);
	unsigned int end = node->count - 1u;
	unsigned long span = 0, s;
	bool any = false;

	if ((uintptr_t)enode & SMR_ENODE_WIDE) {
		for (unsigned int i = 1; i < end; i++) {
			s = (unsigned long)node->b64[i] - (unsigned long)node->b64[i - 1] - 1;
			if (!slots[i] && (!any || s > span)) {
				span = s;
				any = true;
			}
		}
	} else {
		uint32_t units = narrow_gap(node, slots);

		any = units > 0;
		span = any ? ((unsigned long)units << node->shift) - 1 : 0;
	}
	/* The first range begins and the last one ends where only the parent knows. */
	for (unsigned int i = 0; i <= end; i += end ? end : 1) {
		s = smr_leaf_last(enode, i, end, max) - smr_leaf_first(enode, i, min);
		if (!slots[i] && (!any || s > span)) {
			span = s;
			any = true;
		}
	}
	return any ? smr_gap_figure(span) : 0;
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

/* Does range [first..last], cut to the limits, hold what is wanted? */
smr_inline bool holds(const struct want *want, unsigned long first, unsigned long last,
		      unsigned long *lo, unsigned long *hi)
{
	*lo = first > want->min ? first : want->min;
	*hi = last < want->max ? last : want->max;
	return *lo <= *hi && *hi - *lo >= want->span;
}

/* Is range @i of @leaf a gap that holds what is wanted? Then the place for it is found. */
smr_inline bool try_gap(struct want *want, const void *leaf, unsigned int i, unsigned long min,
			unsigned long max, bool high)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned long lo, hi;

	if (smr_slots(leaf)[i] ||
	    !holds(want, smr_leaf_first(leaf, i, min), smr_leaf_last(leaf, i, end, max), &lo, &hi))
		return false;
	want->found = high ? hi - want->span : lo;
	return true;
}

/*
 * Ranges [from, to) of a leaf, none of them its first or last, from below (@step 1) or above (-1). In a narrow leaf
 * lengths are compared as they are written; what is long enough is looked at again, for the limits.
 */
smr_inline bool search_middle(struct want *want, const void *leaf, unsigned int from,
			      unsigned int to, bool high)
{
	const struct smr_node *node = smr_node_of(leaf);
	void *const *slots = smr_slots(leaf);
	bool wide = (uintptr_t)leaf & SMR_ENODE_WIDE;
	unsigned long units = (want->span >> node->shift) + 1;

	for (unsigned int n = to > from ? to - from : 0, i = high ? to - 1 : from; n > 0;
	     n--, i += high ? -1u : 1u) {
		if (slots[i] || (!wide && (unsigned long)(node->b32[i] - node->b32[i - 1]) < units))
			continue;
		if (try_gap(want, leaf, i, 0, 0, high))
			return true;
	}
	return false;
}

static bool leaf_low(struct want *want, const void *leaf, unsigned long min, unsigned long max)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = want->min > min ? smr_search_leaf(leaf, want->min) : 0;

	if (from == 0 && try_gap(want, leaf, 0, min, max, false))
		return true;
	if (search_middle(want, leaf, from ? from : 1, end, false))
		return true;
	return end > 0 && try_gap(want, leaf, end, min, max, false);
}

static bool leaf_high(struct want *want, const void *leaf, unsigned long min, unsigned long max)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = want->max < max ? smr_search_leaf(leaf, want->max) : end;

	if (from == end && try_gap(want, leaf, end, min, max, true))
		return true;
	if (search_middle(want, leaf, 1, from < end ? from + 1 : end, true))
		return true;
	return end > 0 && try_gap(want, leaf, 0, min, max, true);
}

static bool search_low(struct want *want, const void *enode, unsigned long min, unsigned long max)
{
	const uint32_t *gap = smr_gaps(enode);
	unsigned int end = smr_count(enode) - 1;
	unsigned long first, last, lo, hi;

	if (smr_enode_leaf(enode))
		return leaf_low(want, enode, min, max);
	for (unsigned int i = want->min > min ? smr_search_inner_any(enode, want->min) : 0;
	     i <= end; i++) {
		if (gap[i] < want->figure)
			continue;
		first = smr_leaf_first(enode, i, min);
		if (first > want->max)
			return false;
		last = smr_leaf_last(enode, i, end, max);
		if (holds(want, first, last, &lo, &hi) &&
		    search_low(want, smr_slots(enode)[i], first, last))
			return true;
	}
	return false;
}

static bool search_high(struct want *want, const void *enode, unsigned long min, unsigned long max)
{
	const uint32_t *gap = smr_gaps(enode);
	unsigned int end = smr_count(enode) - 1;
	unsigned long first, last, lo, hi;

	if (smr_enode_leaf(enode))
		return leaf_high(want, enode, min, max);
	for (unsigned int i = (want->max < max ? smr_search_inner_any(enode, want->max) : end) + 1;
	     i-- > 0;) {
		if (gap[i] < want->figure)
			continue;
		last = smr_leaf_last(enode, i, end, max);
		if (last < want->min)
			return false;
		first = smr_leaf_first(enode, i, min);
		if (holds(want, first, last, &lo, &hi) &&
		    search_high(want, smr_slots(enode)[i], first, last))
			return true;
	}
	return false;
}

static bool search_compact(struct want *want, void *root, bool high)
{
	unsigned long lo, hi;

	if (!holds(want, root ? 1 : 0, ULONG_MAX, &lo, &hi))
		return false;
	want->found = high ? hi - want->span : lo;
	return true;
}

int smr_gap_search(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size,
		   bool high)
{
	struct want want = { min, max, size - 1, 0, 0 };
	void *root = smr_root(mas->tree);
	bool found;

	if (min > max || size == 0 || size - 1 > max - min)
		return -EINVAL;
	/* Without true figures every leaf is looked at. */
	if (mas->tree->ma_flags & MT_FLAGS_ALLOC_RANGE)
		want.figure = smr_gap_figure(want.span);
	if (!smr_is_enode(root))
		found = search_compact(&want, root, high);
	else if (high)
		found = search_high(&want, root, 0, ULONG_MAX);
	else
		found = search_low(&want, root, 0, ULONG_MAX);
	if (!found)
		return -EBUSY;
	mas->index = want.found;
	mas->last = want.found + want.span;
	if (smr_walk(mas, mas->index, &root))
		mas->status = ma_active;
	else
		mas->status = root ? ma_root : ma_none;
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
