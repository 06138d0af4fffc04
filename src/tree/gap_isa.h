/* SPDX-License-Identifier: MIT */
/*
 * The search for free space: gap.c includes this once for each instruction set, as search_isa.h is
 * included. Figures and lengths are compared all at once; the result is a word with a bit for each
 * child, or range, worth a look.
 */

/* Returns a bit for each range of a leaf that is a gap or a piece of one. */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(gaps_of)(enum smr_kind kind, const void *leaf)
{
	struct smr_node *node = smr_kind_node(leaf, kind);

	if (smr_unlikely(smr_has_joined(leaf)))
		return gaps_of_joined(leaf);
	return SMR_ISA(smri_nulls)(smr_kind_slots(node, kind), kind) &
	       ((UINT64_C(2) << (node->count - 1)) - 1);
}

/*
 * Returns the length of the longest of @ranges of a leaf, each together with the @more after it.
 * None of them may be the leaf's first or last range.
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
 * Returns the length of the longest of the gaps that are in pieces (run.h). @middle are the pieces
 * that are neither the leaf's first range nor its last. If a gap has more than two, some of them
 * are seen twice.
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
 * Only the parent knows where the first range begins and the last one ends. The others are compared
 * in their encoding.
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

/* Returns the children of an inner node whose gaps may serve. Without true figures: all. */
SMR_ISA_TARGET smr_inline uint32_t SMR_ISA(kind_candidates)(enum smr_kind kind, const void *enode,
							    uint32_t figure)
{
	struct smr_node *node = smr_kind_node(enode, kind);
	uint32_t all = (2u << (node->count - 1)) - 1;

	if (!figure)
		return all;
	return all & SMR_ISA(smri_gaps_atleast)(smr_gaps(enode), kind, figure);
}

SMR_ISA_TARGET smr_inline uint32_t SMR_ISA(candidates)(const void *enode, uint32_t figure)
{
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE))
		return SMR_ISA(kind_candidates)(SMR_WINNER, enode, figure);
	return SMR_ISA(kind_candidates)(SMR_NINNER, enode, figure);
}

/*
 * Returns a bit for each of @gaps of a leaf that is as long as what is wanted, with or without the
 * pieces that follow it. Lengths are compared in their encoding. A wide leaf's are not compared:
 * all its bits are set. The bits of the first and of the last range mean nothing.
 */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(long_enough)(const struct want *want, const void *leaf,
							uint64_t gaps)
{
	const struct smr_node *node = smr_node_of(leaf);
	bool is_short = smr_enode_is(leaf, SMR_SLEAF);
	unsigned long units = (want->span >> node->shift) + 1;
	uint64_t found = 0;

	if (smr_unlikely((uintptr_t)leaf & SMR_ENODE_WIDE))
		return ~UINT64_C(0);
	if (units > (is_short ? UINT16_MAX : INT32_MAX))
		return 0;
	for (unsigned int more = 0; gaps; gaps &= gaps >> 1, more++)
		found |= gaps &
			 (is_short
				  ? SMR_ISA(smri_lengths_atleast_short)(node->b16, (uint16_t)units,
									more)
				  : SMR_ISA(smri_lengths_atleast)(node->b32, (int32_t)units, more));
	return found;
}

/*
 * Returns those of @gaps, the ranges of a leaf that are gaps or pieces of gaps, that may serve. The
 * node does not say where the first one begins and the last one ends, but @gap does. If either is
 * a piece, try_gap() has to decide.
 */
SMR_ISA_TARGET smr_inline uint64_t SMR_ISA(candidate_gaps)(const struct want *want,
							   const void *leaf,
							   const struct smr_gap *gap, uint64_t gaps)
{
	unsigned int end = smr_count(leaf) - 1;
	uint64_t ends = UINT64_C(1) | UINT64_C(1) << end;
	uint64_t first = smr_leaf_last(leaf, 0, end, gap->max) - gap->min >= want->span;
	uint64_t last = gap->max - smr_leaf_first(leaf, end, gap->min) >= want->span;
	uint64_t pieces = gaps >> 1 | gaps << 1;

	return gaps & ((SMR_ISA(long_enough)(want, leaf, gaps) & ~ends) | first | last << end |
		       (pieces & ends));
}

/* Looks into @leaf, at depth @d, to which the path leads. @cut: whether the limit cuts it. */
SMR_ISA_TARGET smr_inline bool SMR_ISA(leaf_gap)(const struct want *want, struct smr_gap *gap,
						 const void *leaf, unsigned int d, bool cut,
						 bool high)
{
	uint64_t gaps = SMR_FOR_LEAF(leaf, SMR_ISA(gaps_of), leaf), left;
	unsigned int at;

	smr_path_limits(gap->path.node, gap->path.slot, d, &gap->min, &gap->max);
	left = SMR_ISA(candidate_gaps)(want, leaf, gap, gaps);
	if (cut) {
		at = SMR_ISA(smr_search_leaf)(leaf, high ? want->max : want->min);
		left &= high ? (UINT64_C(2) << at) - 1 : ~UINT64_C(0) << at;
	}
	gap->path.depth = d;
	while (left)
		if (try_gap(want, gap, gaps, take_first_bit(&left, high), high))
			return true;
	return false;
}

/*
 * Goes down towards the limit that the search begins at, as far as what is there may serve, and
 * looks into the leaf if it comes to one. What else may serve on this side of the limit is left for
 * seek_rest(), which begins where this has ended.
 */
SMR_ISA_TARGET smr_inline bool SMR_ISA(seek_limit)(const struct want *want, struct seek *k,
						   bool high)
{
	struct smr_path *path = &k->gap->path;
	uint32_t figure = want->figure;
	void *node = path->node[0];
	struct SMR_ISA(smr_aim) aim;
	uint64_t may, left;
	unsigned int d, i;

	SMR_ISA(smr_aim_at)(&aim, high ? want->max : want->min);
	for (d = 0; !smr_enode_leaf(node); d++) {
		may = SMR_ISA(candidates)(node, figure);
		SMR_ISA(smr_child_slot)(&aim, node, false, &i);
		left = may & (high ? (UINT64_C(1) << i) - 1 : ~UINT64_C(1) << i);
		k->left[d] = left;
		path->depth = d;
		if (!(may >> i & 1))
			return false;
		/*
		 * What child @i has may well lie beyond the limit: have the next one ready, if
		 * there is one. That is as good as random, so this does not branch on it.
		 */
		smr_prefetch_node(
			smr_slots(node)[first_bit(left | (may & -(uint64_t)!left), high)]);
		node = go_down(path, d, node, i);
	}
	k->left[d] = 0;
	return SMR_ISA(leaf_gap)(want, k->gap, node, d, true, high);
}

/*
 * Tries, one after the other, the children that are left; the limit does not cut these. It goes one
 * more level down or, if nothing is left there, up. Once a child lies beyond the limit that the
 * search runs towards, so does all that is left further up.
 */
SMR_ISA_TARGET smr_inline bool SMR_ISA(seek_rest)(const struct want *want, struct seek *k,
						  bool high)
{
	struct smr_path *path = &k->gap->path;
	uint32_t figure = want->figure;
	unsigned int d = path->depth, i;
	uint64_t left = k->left[d];
	void *node;

	for (;;) {
		while (!left) {
			if (d == 0)
				return false;
			left = k->left[--d];
		}
		node = path->node[d];
		i = take_first_bit(&left, high);
		if (is_beyond(want, node, i, high))
			return false;
		node = go_down(path, d, node, i);
		k->left[d++] = left;
		left = 0;
		if (!smr_enode_leaf(node))
			left = SMR_ISA(candidates)(node, figure);
		else if (SMR_ISA(leaf_gap)(want, k->gap, node, d, false, high))
			return true;
	}
}

SMR_ISA_TARGET smr_inline bool SMR_ISA(seek_gap)(const struct want *want, struct seek *k, bool high)
{
	return SMR_ISA(seek_limit)(want, k, high) || SMR_ISA(seek_rest)(want, k, high);
}

SMR_ISA_TARGET static bool SMR_ISA(smri_seek_low)(const struct want *want, struct seek *k)
{
	return SMR_ISA(seek_gap)(want, k, false);
}

SMR_ISA_TARGET static bool SMR_ISA(smri_seek_high)(const struct want *want, struct seek *k)
{
	return SMR_ISA(seek_gap)(want, k, true);
}
