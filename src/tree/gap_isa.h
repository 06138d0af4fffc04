/* SPDX-License-Identifier: MIT */
/*
 * The search for free space: gap.c includes this once for each instruction set, as search_isa.h is
 * included. Figures and lengths are compared all at once; what comes of it is a word with a bit for
 * each child, or range, worth a look.
 */

/* A bit for each range of a leaf that is a gap or a piece of one. */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(gaps_of)(enum smr_kind kind, const void *leaf)
{
	struct smr_node *node = smr_kind_node(leaf, kind);

	if (smr_unlikely(smr_has_joined(leaf)))
		return gaps_of_joined(leaf);
	return SMR_ISA(smri_nulls)(smr_kind_slots(node, kind), kind) &
	       ((UINT64_C(2) << (node->count - 1)) - 1);
}

/*
 * The length of the longest of those @ranges of a leaf, with the @more behind each, none of them
 * its first or last.
 */
SMR_ISA_TARGET smr_inline unsigned long SMR_ISA(longest_of)(enum smr_kind kind,
							    const struct smr_node *node,
							    uint64_t ranges, unsigned int more)
{
	if (smr_kind_wide(kind))
		return SMR_ISA(smri_longest_wide)(node->b64, ranges, more);
	if (smr_kind_short(kind))
		return (unsigned long)SMR_ISA(smri_longest_short)(node->b16, ranges, more)
		       << node->shift;
	return (unsigned long)SMR_ISA(smri_longest)(node->b32, ranges, more) << node->shift;
}

/*
 * The length of the longest of the gaps that are in pieces (run.h), @middle being those pieces that
 * are neither the leaf's first nor its last. Of more than two pieces some are seen twice.
 */
SMR_ISA_TARGET smr_inline unsigned long SMR_ISA(longest_run)(enum smr_kind kind,
							     const struct smr_node *node,
							     uint64_t middle)
{
	unsigned long longest = 0, length;

	for (unsigned int more = 1; (middle &= middle >> 1) != 0; more++) {
		length = SMR_ISA(longest_of)(kind, node, middle, more);
		longest = length > longest ? length : longest;
	}
	return longest;
}

/*
 * The first range begins and the last one ends where only the parent knows: the others are compared
 * as they are written.
 */
SMR_ISA_TARGET smr_inline uint32_t SMR_ISA(beside)(enum smr_kind kind, const void *leaf,
						   unsigned long min, unsigned long max,
						   unsigned int i, unsigned int j)
{
	const struct smr_node *node = smr_kind_node(leaf, kind);
	unsigned int end = node->count - 1u;
	unsigned long first_end = end ? smr_kind_start(node, kind, 1) - 1 : max;
	unsigned long last_start = end ? smr_kind_start(node, kind, end) : min;
	uint64_t gaps = SMR_ISA(gaps_of)(kind, leaf), middle;
	uint32_t largest, run;

	if (i <= j)
		gaps &= ~((UINT64_C(2) << j) - (UINT64_C(1) << i));
	middle = gaps & ~(UINT64_C(1) << end) & ~UINT64_C(1);
	largest = length_figure(SMR_ISA(longest_of)(kind, node, middle, 0));
	largest = smr_gap_larger(largest, range_figure(min, first_end, gaps));
	largest = smr_gap_larger(largest, range_figure(last_start, max, gaps >> end));
	if (gaps & gaps >> 1) {
		run = length_figure(SMR_ISA(longest_run)(kind, node, middle));
		largest = smr_gap_larger(largest, run);
		run = outer_runs_figure(leaf, end, min, max, gaps);
		largest = smr_gap_larger(largest, run);
	}
	return largest;
}

SMR_ISA_TARGET static uint32_t SMR_ISA(smr_gap_beside)(const void *leaf, unsigned long min,
						       unsigned long max, unsigned int i,
						       unsigned int j)
{
	return SMR_FOR_LEAF(leaf, SMR_ISA(beside), leaf, min, max, i, j);
}

/*
 * Children of @enode whose gaps may serve, those outside the limits left out. @aim is at the limit
 * that the search begins at, all the way down.
 */
SMR_ISA_TARGET smr_inline uint32_t SMR_ISA(candidates)(const struct want *want,
						       struct SMR_ISA(smr_aim) * aim,
						       const void *enode, unsigned long min,
						       unsigned long max, bool high)
{
	uint32_t left = ~0u;
	unsigned int i;

	/* Without true figures every child is looked into. */
	if (want->figure)
		left = SMR_ISA(smri_gaps_from)(smr_gaps(enode), smr_enode_kind(enode),
					       want->figure);
	left &= (2u << (smr_count(enode) - 1)) - 1;
	if (high ? want->max < max : want->min > min) {
		SMR_ISA(smr_child)(aim, enode, false, &i);
		left &= high ? (2u << i) - 1 : ~0u << i;
	}
	return left;
}

/* A bit for each range of a leaf, not a wide one, that is with the @more behind it so long. */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(lengths_from)(const void *leaf, unsigned long units,
							 unsigned int more)
{
	const struct smr_node *node = smr_node_of(leaf);

	if (smr_enode_is(leaf, SMR_SLEAF))
		return SMR_ISA(smri_lengths_from_short)(node->b16, (uint16_t)units, more);
	return SMR_ISA(smri_lengths_from)(node->b32, (int32_t)units, more);
}

/*
 * The gaps that begin, or go on, with one of ranges [from, to) of a leaf, none of them its first or
 * last. In a leaf that is not wide lengths are compared as they are written, those of as many
 * pieces as a gap can have; what is long enough is looked at again, for the limits.
 */
SMR_ISA_TARGET smr_inline bool SMR_ISA(leaf_middle)(struct want *want, const void *leaf,
						    unsigned long min, unsigned long max,
						    unsigned int from, unsigned int to, bool high,
						    unsigned char *slot)
{
	const struct smr_node *node = smr_node_of(leaf);
	unsigned long units = (want->span >> node->shift) + 1;
	uint64_t gaps = SMR_FOR_LEAF(leaf, SMR_ISA(gaps_of), leaf), left = gaps;

	if (!((uintptr_t)leaf & SMR_ENODE_WIDE)) {
		if (units > (smr_enode_is(leaf, SMR_SLEAF) ? UINT16_MAX : INT32_MAX))
			return false;
		left &= SMR_ISA(lengths_from)(leaf, units, 0);
		for (unsigned int more = 1; (gaps &= gaps >> 1) != 0; more++)
			left |= gaps & SMR_ISA(lengths_from)(leaf, units, more);
	}
	left &= from < to ? (UINT64_C(1) << to) - (UINT64_C(1) << from) : 0;
	while (left) {
		*slot = (unsigned char)take_place(&left, high);
		if (try_gap(want, leaf, *slot, min, max, high))
			return true;
	}
	return false;
}

SMR_ISA_TARGET smr_inline bool SMR_ISA(leaf_low)(struct want *want, const void *leaf,
						 unsigned long min, unsigned long max,
						 unsigned char *slot)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = want->min > min ? SMR_ISA(smr_search_leaf)(leaf, want->min) : 0;

	*slot = 0;
	if (from == 0 && try_gap(want, leaf, 0, min, max, false))
		return true;
	if (SMR_ISA(leaf_middle)(want, leaf, min, max, from ? from : 1, end, false, slot))
		return true;
	*slot = (unsigned char)end;
	return end > 0 && try_gap(want, leaf, end, min, max, false);
}

SMR_ISA_TARGET smr_inline bool SMR_ISA(leaf_high)(struct want *want, const void *leaf,
						  unsigned long min, unsigned long max,
						  unsigned char *slot)
{
	unsigned int end = smr_count(leaf) - 1;
	unsigned int from = want->max < max ? SMR_ISA(smr_search_leaf)(leaf, want->max) : end;

	*slot = (unsigned char)end;
	if (from == end && try_gap(want, leaf, end, min, max, true))
		return true;
	if (SMR_ISA(leaf_middle)(want, leaf, min, max, 1, from < end ? from + 1 : end, true, slot))
		return true;
	*slot = 0;
	return end > 0 && try_gap(want, leaf, 0, min, max, true);
}

SMR_ISA_TARGET smr_inline bool SMR_ISA(leaf_gap)(struct want *want, struct seek *k, unsigned int d,
						 bool high)
{
	k->depth = d;
	return high ? SMR_ISA(leaf_high)(want, k->node[d], k->min[d], k->max[d], &k->slot[d])
		    : SMR_ISA(leaf_low)(want, k->node[d], k->min[d], k->max[d], &k->slot[d]);
}

/*
 * Tries the next child of the node at depth @d that is left: one more level down, or, where nothing
 * is left, up. Once a child lies beyond the limit that the search runs towards, so does all that is
 * left further up.
 */
SMR_ISA_TARGET smr_inline bool SMR_ISA(seek_gap)(struct want *want, struct seek *k, bool high)
{
	struct SMR_ISA(smr_aim) aim;
	unsigned int d = 0, i, end;
	unsigned long lo, hi;
	uint64_t left;
	void *node;

	if (smr_enode_leaf(k->node[0]))
		return SMR_ISA(leaf_gap)(want, k, 0, high);
	SMR_ISA(smr_aim_at)(&aim, high ? want->max : want->min);
	k->left[0] = SMR_ISA(candidates)(want, &aim, k->node[0], 0, ULONG_MAX, high);
	for (;;) {
		while (!k->left[d])
			if (d-- == 0)
				return false;
		node = k->node[d];
		left = k->left[d];
		i = take_place(&left, high);
		end = smr_count(node) - 1;
		k->left[d] = (uint32_t)left;
		k->min[d + 1] = i ? smr_child_start(node, i) : k->min[d];
		k->max[d + 1] = i < end ? smr_child_start(node, i + 1) - 1 : k->max[d];
		if (high ? k->max[d + 1] < want->min : k->min[d + 1] > want->max)
			return false;
		if (!holds(want, k->min[d + 1], k->max[d + 1], &lo, &hi))
			continue;
		k->slot[d] = (unsigned char)i;
		k->node[d + 1] = smr_slots(node)[i];
		smr_prefetch_node(k->node[d + 1]);
		/*
		 * One that the limit cuts may well have its gap on the far side of it: have the
		 * next ready.
		 */
		if (left && (high ? want->max < k->max[d + 1] : want->min > k->min[d + 1]))
			smr_prefetch_node(smr_slots(node)[take_place(&left, high)]);
		if (smr_enode_leaf(k->node[d + 1])) {
			if (SMR_ISA(leaf_gap)(want, k, d + 1, high))
				return true;
		} else {
			d++;
			k->left[d] = SMR_ISA(candidates)(want, &aim, k->node[d], k->min[d],
							 k->max[d], high);
		}
	}
}

SMR_ISA_TARGET static bool SMR_ISA(smri_seek_low)(struct want *want, struct seek *k)
{
	return SMR_ISA(seek_gap)(want, k, false);
}

SMR_ISA_TARGET static bool SMR_ISA(smri_seek_high)(struct want *want, struct seek *k)
{
	return SMR_ISA(seek_gap)(want, k, true);
}
