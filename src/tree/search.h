/* SPDX-License-Identifier: MIT */
/*
 * Finding a key's range within one node: counting the bounds that are not above the key. All bounds
 * are compared, including the unused ones (which hold the largest value), so no branch depends on
 * data, and look-ups of independent keys overlap. The fewer instructions each takes, the more of
 * them overlap: a processor looks a few hundred instructions ahead. So there is a version of this
 * code for each instruction set (base/isa.h): of the counting below, and of what search_isa.h
 * builds on it. What is not plain C is in search_simd.h.
 *
 * No vector of a narrow node's bounds is read across the end of a cache line: that would be two
 * reads, of which a processor can look ahead over a limited number, and if both lines miss, it
 * requests the second one late (docs/performance.md).
 */
#ifndef SMR_TREE_SEARCH_H
#define SMR_TREE_SEARCH_H

#include "base/isa.h"
#include "tree/run.h"

#include <string.h>

/* ---- Counting, in plain C ---- */

/*
 * Returns how many of @n bounds are below @limit. Whole multiples of four come first, because some
 * compilers vectorise nothing else.
 */
smr_inline unsigned int smri_below(const int32_t *bound, unsigned int n, int32_t limit)
{
	unsigned int whole = n & ~3u;
	int below = 0;

	for (unsigned int i = 0; i < whole; i++)
		below += bound[i] < limit;
	for (unsigned int i = whole; i < n; i++)
		below += bound[i] < limit;
	return (unsigned int)below;
}

/* Returns how many of @n bounds are not above @key. */
smr_inline unsigned int smri_upto(const int64_t *bound, unsigned int n, int64_t key)
{
	int64_t upto = 0;

	for (unsigned int i = 0; i < n; i++)
		upto += bound[i] <= key;
	return (unsigned int)upto;
}

/* A limit in the form that compares take. */
typedef int32_t smri_limits_any;

smr_inline int32_t smri_limits_of_any(int32_t limit)
{
	return limit;
}

/*
 * Called where the limits are recomputed: has the compiler compute them in the register where they
 * stay. Without this, or with it at each node, the compiler moves them at each node.
 */
smr_inline void smri_limits_keep_any(int32_t *limits)
{
	(void)limits;
}

/* What a search reads of a narrow node first. Here: nothing; it keeps the node. */
typedef const struct smr_node *smri_head_any;

smr_inline const struct smr_node *smri_head_of_any(const struct smr_node *node)
{
	return node;
}

/* With the shift, how a narrow node measures its bounds. Here: its base. */
typedef unsigned long smri_measure_any;

/* A measure that, with a shift that no node has, matches no node. */
smr_inline unsigned long smri_measure_none_any(void)
{
	return 0;
}

smr_inline unsigned long smri_measure_of_any(const struct smr_node *head)
{
	return head->base;
}

smr_inline bool smri_same_measure_any(unsigned long base, unsigned int shift,
				      const struct smr_node *head)
{
	return head->base == base && head->shift == shift;
}

smr_inline unsigned int smri_below_inner_any(const struct smr_node *node,
					     const struct smr_node *head, int32_t limit)
{
	(void)head;
	return smri_below(node->b32, SMR_NINNER_CAP - 1, limit);
}

smr_inline unsigned int smri_below_leaf_any(const struct smr_node *node,
					    const struct smr_node *head, int32_t limit)
{
	(void)head;
	return smri_below(node->b32, SMR_NLEAF_CAP - 1, limit);
}

/* How many bounds are on the first two lines of a narrow node. */
#define SMRI_NEAR_BOUNDS 28

_Static_assert(offsetof(struct smr_node, b32[SMRI_NEAR_BOUNDS]) == 2 * SMR_CACHE_LINE, "two lines");

/* Returns how many of those are below the limits. */
smr_inline unsigned int smri_below_near_any(const struct smr_node *node,
					    const struct smr_node *head, int32_t limit)
{
	(void)head;
	return smri_below(node->b32, SMRI_NEAR_BOUNDS, limit);
}

/* How many bounds are on the first line of a narrow node. */
#define SMRI_FEW_BOUNDS 12

_Static_assert(offsetof(struct smr_node, b32[SMRI_FEW_BOUNDS]) == SMR_CACHE_LINE, "a line");

/* Returns how many of those are below the limits. */
smr_inline unsigned int smri_below_few_any(const struct smr_node *node, const struct smr_node *head,
					   int32_t limit)
{
	(void)head;
	return smri_below(node->b32, SMRI_FEW_BOUNDS, limit);
}

/* Returns how many bounds of a short leaf are below the limit. */
smr_inline unsigned int smri_below_short_any(const struct smr_node *node, int16_t limit)
{
	int below = 0;

	for (unsigned int i = 0; i < SMR_SLEAF_CAP - 1; i++)
		below += node->b16[i] < limit;
	return (unsigned int)below;
}

smr_inline unsigned int smri_upto_inner_any(const int64_t *bound, int64_t key)
{
	return smri_upto(bound, SMR_WINNER_CAP - 1, key);
}

smr_inline unsigned int smri_upto_leaf_any(const int64_t *bound, int64_t key)
{
	return smri_upto(bound, SMR_WLEAF_CAP - 1, key);
}

/*
 * For gap.c: returns a bit for each gap figure that is @figure or more. Bits past the node's count
 * mean nothing.
 */
smr_inline uint32_t smri_gaps_atleast_any(const uint32_t *gap, enum smr_kind kind, uint32_t figure)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < smr_kind_cap(kind); i++)
		bits |= (uint32_t)(gap[i] >= figure) << i;
	return bits;
}

/*
 * For gap.c: returns a bit for each range of a narrow leaf that is, together with the @more after
 * it, @units long or longer. The first range's bit means nothing, nor do those of ranges that are,
 * or reach as far as, the last one.
 */
smr_inline uint64_t smri_lengths_atleast_any(const int32_t *bound, int32_t units, unsigned int more)
{
	uint64_t bits = 0;

	for (unsigned int i = 1; i + more < SMR_NLEAF_CAP - 1; i++)
		bits |= (uint64_t)(bound[i + more] - bound[i - 1] >= units) << i;
	return bits;
}

/* The same for a short leaf. */
smr_inline uint64_t smri_lengths_atleast_short_any(const int16_t *bound, uint16_t units,
						   unsigned int more)
{
	uint64_t bits = 0;

	for (unsigned int i = 1; i < SMR_SLEAF_CAP - 1; i++)
		bits |= (uint64_t)((uint16_t)(bound[i + more] - bound[i - 1]) >= units) << i;
	return bits;
}

/* Returns a bit for each slot of a leaf that holds NULL. Bits past its count mean nothing. */
smr_inline uint64_t smri_nulls_any(void *const *slots, enum smr_kind kind)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < smr_leaf_cap(kind); i++)
		bits |= (uint64_t)!smr_load(&slots[i], RELAXED) << i;
	return bits;
}

/*
 * For gap.c: returns the length, in units, of the longest range of a narrow leaf that has a bit in
 * @ranges, each together with the @more after it. @ranges must not contain the leaf's first range,
 * nor contain its last or reach it with @more.
 */
smr_inline uint32_t smri_longest_any(const int32_t *bound, uint64_t ranges, unsigned int more)
{
	int32_t longest = 0, length;

	for (unsigned int k = 1; k < SMR_NLEAF_CAP - 1; k++) {
		length = ranges >> k & 1 ? bound[k + more] - bound[k - 1] : 0;
		longest = length > longest ? length : longest;
	}
	return (uint32_t)longest;
}

/* The same for a short leaf. */
smr_inline uint32_t smri_longest_short_any(const int16_t *bound, uint64_t ranges, unsigned int more)
{
	uint16_t longest = 0, length;

	for (unsigned int k = 1; k < SMR_SLEAF_CAP - 1; k++) {
		length = ranges >> k & 1 ? (uint16_t)(bound[k + more] - bound[k - 1]) : 0;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* The same for a wide leaf, but the length is in keys. */
smr_inline unsigned long smri_longest_wide_any(const int64_t *bound, uint64_t ranges,
					       unsigned int more)
{
	unsigned long longest = 0, length;

	for (unsigned int k = 1; k < SMR_WLEAF_CAP - 1; k++) {
		length = ranges >> k & 1
				 ? (unsigned long)bound[k + more] - (unsigned long)bound[k - 1]
				 : 0;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* ---- Limits and prefetching ---- */

/*
 * Returns a key of a short leaf as a bound of that leaf, plus one. The base is half a block above a
 * multiple of a block, so the 16 bits of it that matter are always the same.
 */
smr_inline int16_t smri_short_limit(unsigned int shift, unsigned long key)
{
	return (int16_t)((key >> (shift & 63)) + (1 << (SMR_SHORT_BITS - 1)) + 1);
}

/*
 * Returns the key as a bound of a narrow node, plus one; 0 if it lies below all of them, and never
 * more than the padding.
 */
smr_inline int32_t smri_limit(const struct smr_node *node, unsigned long key)
{
	unsigned long units = (key - node->base) >> (node->shift & 63);

	if (smr_unlikely(key < node->base))
		return 0;
	if (smr_unlikely(units > SMR_NARROW_MAX))
		return INT32_MAX;
	return (int32_t)units + 1;
}

/*
 * The same for @n keys. Usually none lies so far from the base, on either side, that its limit has
 * to be clamped, and that is faster to check for all keys at once.
 */
smr_inline void smri_limit_each(const struct smr_node *node, const unsigned long *key,
				int32_t *limit, unsigned int n)
{
	unsigned long base = node->base, all = 0, units;
	unsigned int shift = node->shift & 63;

	for (unsigned int i = 0; i < n; i++) {
		units = (key[i] - base) >> shift;
		all |= units | (units + 1); /* the last key's limit may wrap to 0 */
		limit[i] = (int32_t)(units + 1);
	}
	/* Keys below the base come out as far above it, unless it is high or the shift large. */
	if (smr_unlikely(all > INT32_MAX || base >> 63 || shift > 31))
		for (unsigned int i = 0; i < n; i++)
			limit[i] = smri_limit(node, key[i]);
}

/* How many keys are compared at once, and the fewest for which that is worthwhile. */
#define SMRI_EACH 16

/* Bytes in a vector. */
#define SMRI_VECTOR_any 16

/*
 * Prefetches the lines of @node that its slots are on. The compares themselves fetch those of the
 * bounds, waiting for nothing but the node's address; so bounds and slot arrive together.
 */
smr_inline void smri_prefetch_slots(struct smr_node *node, enum smr_kind kind)
{
	const char *line = (const char *)node;
	size_t end = smr_kind_end(kind);

#pragma GCC unroll 8
	for (size_t at = (smr_kind_short(kind) ? 2 : 3) * SMR_CACHE_LINE; at < MT_NODE_SIZE;
	     at += SMR_CACHE_LINE)
		if (at < end)
			smr_prefetch(line + at);
}

/*
 * Prefetches the lines that a search of the node begins with; for a narrow node, these are usually
 * all that it needs.
 */
smr_inline void smr_prefetch_bounds(const void *enode)
{
	const char *node = (const char *)smr_node_of(enode);

	smr_prefetch(node);
	smr_prefetch(node + SMR_CACHE_LINE);
	if (smr_unlikely((uintptr_t)enode & SMR_ENODE_WIDE)) {
		smr_prefetch(node + 2 * SMR_CACHE_LINE);
		smr_prefetch(node + 3 * SMR_CACHE_LINE);
	}
}

smr_inline void smr_prefetch_node(const void *enode)
{
	const char *node = (const char *)smr_node_of(enode);

	for (unsigned int line = 0; line < MT_NODE_SIZE; line += SMR_CACHE_LINE)
		smr_prefetch(node + line);
}

/* Returns what the normal API returns for the value of a leaf's slot. */
smr_inline void *smr_visible(void *const *slot)
{
	void *entry = smr_slot_read(slot);

	if (smr_is_special(entry)) {
		entry = smr_slot_value(slot);
		if (xa_is_zero(entry))
			return NULL;
	}
	return entry;
}

#define SMR_ISA(name) name##_any
#define SMR_ISA_TARGET SMR_TARGET_any
#include "tree/search_isa.h"
#undef SMR_ISA
#undef SMR_ISA_TARGET

/* For callers that search rarely. */
smr_inline unsigned int smr_search_leaf(const void *enode, unsigned long key)
{
	return smr_search_leaf_any(enode, key);
}

#endif
