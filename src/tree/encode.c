/* SPDX-License-Identifier: MIT */
#include "tree/encode.h"

#include <string.h>

/* Keys are addresses of pages more often than not. */
#define SMR_COMMON_SHIFT 12

smr_inline void add_starts(unsigned long *out, const void *enode, unsigned int from, unsigned int n)
{
	const struct smr_node *node = smr_node_of(enode);

	if ((uintptr_t)enode & SMR_ENODE_WIDE) {
		for (unsigned int i = 0; i < n; i++)
			out[i] = (unsigned long)node->b64[from - 1 + i] ^ SMR_WIDE_SIGN;
	} else {
		for (unsigned int i = 0; i < n; i++)
			out[i] = node->base +
				 ((unsigned long)node->b32[from - 1 + i] << node->shift);
	}
}

SMR_CLONES void smr_items_add_node(struct smr_items *it, const void *enode, unsigned int from,
				   unsigned int to, unsigned long min)
{
	unsigned int n = to - from;
	unsigned long *start = it->start + it->n;

	if (from >= to)
		return;
	smr_assert(it->n + n <= SMR_ITEMS_MAX);
	if (from == 0)
		start[0] = min;
	add_starts(start + (from == 0), enode, from + (from == 0), n - (from == 0));
	memcpy(it->slot + it->n, smr_slots(enode) + from, n * sizeof(void *));
	if (!smr_enode_leaf(enode))
		memcpy(it->gap + it->n, smr_gaps(enode) + from, n * sizeof(uint32_t));
	it->n += n;
}

smr_inline unsigned int bit_length(unsigned long v)
{
	return v ? 64 - (unsigned int)__builtin_clzl(v) : 0;
}

/*
 * Tries narrow bounds in units of @shift, measured from the next lower multiple of 2^31 units. Nodes that are written so are
 * written alike unless such a multiple lies between them: then a look-up converts its key once for all of them.
 */
smr_inline bool narrow_common(struct smr_code *code, const unsigned long *start, unsigned int n,
			      unsigned int shift)
{
	unsigned long base = n > 1 ? start[1] : start[0], any = 0;

	base &= ~0UL << (31 + shift);
	if (n > 1 && (start[n - 1] - base) >> shift > SMR_NARROW_MAX)
		return false;
	for (unsigned int i = 1; i < n; i++)
		any |= start[i];
	if (any & ((1UL << shift) - 1))
		return false;
	code->base = base;
	code->shift = (uint8_t)shift;
	return true;
}

/*
 * Tries narrow bounds relative to @base. The shift is the smallest that reaches @max, if the ranges' alignment
 * allows that: then every range of the same alignment that is stored later can be added as it is.
 */
smr_inline bool narrow_from(struct smr_code *code, const unsigned long *start, unsigned int n,
			    unsigned long max, unsigned long base)
{
	unsigned int reach = bit_length(max - base), align, shift;
	unsigned long any = 0, span = start[n - 1] - base;

	/* By the last start's own alignment already: so it is where keys lie far apart. */
	if (span && span >> __builtin_ctzl(span) > SMR_NARROW_MAX)
		return false;
	for (unsigned int i = 1; i < n; i++)
		any |= start[i] - base;
	align = any ? (unsigned int)__builtin_ctzl(any) : 63;
	shift = reach > 31 ? reach - 31 : 0;
	if (shift > align)
		shift = align;
	if (span >> shift > SMR_NARROW_MAX) {
		if (++shift > align || span >> shift > SMR_NARROW_MAX)
			return false;
	}
	code->base = base;
	code->shift = (uint8_t)shift;
	return true;
}

SMR_CLONES bool smr_code_choose(struct smr_code *code, const unsigned long *start, unsigned int n,
				unsigned long max, bool leaf, unsigned int slack)
{
	enum smr_kind narrow = leaf ? SMR_NLEAF : SMR_NINNER;
	enum smr_kind wide = leaf ? SMR_WLEAF : SMR_WINNER;

	if (n + slack > smr_kind_cap(narrow))
		return false;
	code->kind = narrow;
	if (narrow_common(code, start, n, SMR_COMMON_SHIFT) || narrow_common(code, start, n, 0))
		return true;
	if (narrow_from(code, start, n, max, start[0]))
		return true;
	/* A first range that is far larger than the rest needs no bound: measure from its end. */
	if (n > 1 && narrow_from(code, start, n, max, start[1]))
		return true;
	code->kind = wide;
	code->base = 0;
	code->shift = 0;
	return n + slack <= smr_kind_cap(wide);
}

smr_inline void set_gaps(void *enode, const uint32_t *figure, unsigned int n)
{
	uint32_t *gap = smr_gaps(enode);

	for (unsigned int i = 0; i < n; i++)
		gap[i] = figure[i];
	while (n < smr_gaps_kept(enode))
		gap[n++] = 0;
}

SMR_CLONES void *smr_encode(struct smr_node *node, const struct smr_code *code,
			    const struct smr_items *it, unsigned int from, unsigned int n)
{
	const unsigned long *start = it->start + from;
	void *enode = smr_enode_make(node, code->kind);

	node->base = code->base;
	node->shift = code->shift;
	node->count = (uint8_t)n;
	node->dead = 0;
	node->mark = SMR_UNMARKED;
	node->txn = 0;
	if (smr_kind_wide(code->kind)) {
		for (unsigned int i = 1; i < n; i++)
			node->b64[i - 1] = (int64_t)(start[i] ^ SMR_WIDE_SIGN);
	} else {
		for (unsigned int i = 1; i < n; i++)
			node->b32[i - 1] = (int32_t)((start[i] - code->base) >> code->shift);
	}
	smr_bounds_pad(node, code->kind, n - 1, smr_kind_bounds(code->kind));
	memcpy(smr_slots(enode), it->slot + from, n * sizeof(void *));
	if (!smr_kind_leaf(code->kind))
		set_gaps(enode, it->gap + from, n);
	return enode;
}
