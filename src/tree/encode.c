/* SPDX-License-Identifier: MIT */
#include "tree/encode.h"
#include "base/isa.h"

#include "tree/run.h"

#include <string.h>

/*
 * No processor can predict how many items there are, and a branch on that in each of a dozen loops
 * was most of what a split took. So loops run for as many items as a node can have, however many
 * there are. These numbers make whole vectors:
 */
#define MOST_SHORT 44  /* bounds of a short leaf, and its slots except the last one */
#define MOST_NARROW 40 /* the same of a narrow leaf */
#define MOST 32        /* bounds and slots of all others */

_Static_assert(MOST_SHORT == SMR_SLEAF_CAP - 1 && MOST_NARROW == SMR_NLEAF_CAP - 1 &&
		       MOST > SMR_WLEAF_CAP && MOST > SMR_NINNER_CAP && MOST > SMR_WINNER_CAP &&
		       SMR_SLEAF_BOUNDS + 1 <= SMR_ITEMS_SPARE,
	       "all that a node can have");

/* ---- Reading ---- */

/* Reads where @most items from @from on begin. @from must not be item 0. */
smr_inline void add_starts(enum smr_kind kind, unsigned long *restrict out,
			   const struct smr_node *restrict node, unsigned int from,
			   unsigned int most)
{
	for (unsigned long i = 0; i < most; i++)
		out[i] = smr_kind_start(node, kind, from + i);
}

smr_inline void copy_slots(void **restrict out, void *const *restrict slots, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		out[i] = slots[i];
}

/*
 * Copies all slots that a node of @kind can have; for kinds that have fewer than the loop copies,
 * some of what follows, too.
 */
smr_inline void copy_most(void **out, void *const *slots, enum smr_kind kind)
{
	if (kind == SMR_SLEAF) {
		copy_slots(out, slots, MOST_SHORT);
		out[MOST_SHORT] = slots[MOST_SHORT];
	} else if (kind == SMR_NLEAF) {
		copy_slots(out, slots, MOST_NARROW);
		out[MOST_NARROW] = slots[MOST_NARROW];
	} else {
		copy_slots(out, slots, MOST);
	}
}

/* Copies @n slots, or as many as a node has if @from is 0, as it mostly is. */
smr_inline void add_slots(void **out, const void *enode, unsigned int from, unsigned int n)
{
	if (from > 0)
		memcpy(out, smr_slots(enode) + from, n * sizeof(void *));
	else
		copy_most(out, smr_slots(enode), smr_enode_kind(enode));
}

SMR_CLONES void smr_items_add_node(struct smr_items *it, const void *enode, unsigned int from,
				   unsigned int to, unsigned long min)
{
	enum smr_kind kind = smr_enode_kind(enode);
	const struct smr_node *node = smr_node_of(enode);
	unsigned int n = to - from, skip = from == 0; /* item 0 has no bound */
	unsigned long *start = it->start + it->n;

	if (from >= to)
		return;
	smr_assert(it->n + n <= SMR_ITEMS_MAX);
	it->pieces |= node->mark == SMR_PIECES;
	start[0] = min;
	start += skip;
	if (smr_kind_wide(kind))
		add_starts(SMR_WLEAF, start, node, from + skip, MOST);
	else if (smr_kind_short(kind))
		add_starts(SMR_SLEAF, start, node, from + skip, MOST_SHORT);
	else
		add_starts(SMR_NLEAF, start, node, from + skip, MOST_NARROW);
	add_slots(it->slot + it->n, enode, from, n);
	if (!smr_enode_leaf(enode))
		memcpy(it->gap + it->n, smr_gaps(enode) + from, n * sizeof(uint32_t));
	it->n += n;
}

/* Whether item @i is a piece of the range of item @before, the one before it. */
smr_inline bool is_piece(const struct smr_items *it, unsigned int before, unsigned int i)
{
	return it->slot[i] == smr_joined() || !(it->slot[i] || it->slot[before]);
}

void smr_items_join(struct smr_items *it)
{
	unsigned int n = 1;

	if (smr_likely(!it->pieces))
		return;
	for (unsigned int i = 1; i < it->n; i++) {
		if (is_piece(it, n - 1, i))
			continue;
		it->start[n] = it->start[i];
		it->slot[n] = it->slot[i];
		n++;
	}
	it->n = n;
}

/* ---- Choosing ---- */

#define SHORT_SHIFT_MAX (63 - SMR_SHORT_BITS)

smr_inline unsigned int bit_length(unsigned long v)
{
	return v ? 64 - (unsigned int)__builtin_clzl(v) : 0;
}

/*
 * What to choose by: where all ranges begin, or some of them. @most, a constant, is how many there
 * can be besides the first.
 */
struct starts {
	const unsigned long *at;
	unsigned int n, most;
};

smr_inline unsigned long last_start(const struct starts *s)
{
	return s->at[s->n - 1];
}

/* Returns the bits that are set in any start but the first, each less @base. */
smr_inline unsigned long start_bits(const struct starts *s, unsigned long base)
{
	unsigned long any = 0;

	for (unsigned long i = 1; i <= s->most; i++)
		any |= i < s->n ? s->at[i] - base : 0;
	return any;
}

smr_inline bool is_multiple(unsigned long start, unsigned int shift)
{
	return (start & ((1UL << shift) - 1)) == 0;
}

/* Whether all but the first are multiples of 1 << @shift. If not, usually the last one is not. */
smr_inline bool all_multiples(const struct starts *s, unsigned int shift)
{
	return s->n < 2 || shift == 0 ||
	       (is_multiple(last_start(s), shift) && is_multiple(start_bits(s, 0), shift));
}

/*
 * Tries short bounds, for which all keys of the leaf must lie in one block, in units of some
 * alignment that all starts have. The choice is the starts' own alignment, rounded down to a
 * multiple of four bits if that reaches: so nearly all leaves of a tree get the same one, and walks
 * predict it. The smallest alignment that reaches would be a different one next to each end of a
 * block.
 */
smr_inline bool try_short(struct smr_code *code, const struct starts *s, unsigned long max)
{
	unsigned int differ = bit_length(s->at[0] ^ max);
	unsigned int least = differ > SMR_SHORT_BITS ? differ - SMR_SHORT_BITS : 0, align, shift;
	unsigned long any;

	if (least > SHORT_SHIFT_MAX || (s->n > 1 && !is_multiple(last_start(s), least)))
		return false;
	any = start_bits(s, 0);
	if (any)
		align = (unsigned int)__builtin_ctzl(any);
	else /* there is only one range, which has no bound */
		align = least > SMR_COMMON_SHIFT ? least : SMR_COMMON_SHIFT;
	if (align > SHORT_SHIFT_MAX)
		align = SHORT_SHIFT_MAX;
	shift = align & ~3u;
	if (shift < least)
		shift = align;
	if (shift < least || (max >> shift & UINT16_MAX) == UINT16_MAX)
		return false;
	code->kind = SMR_SLEAF;
	code->base = (s->at[0] & ~0UL << (SMR_SHORT_BITS + shift)) +
		     (1UL << (SMR_SHORT_BITS - 1 + shift));
	code->shift = (uint8_t)shift;
	return true;
}

/*
 * Tries narrow bounds in units of @shift, measured from the next lower multiple of 2^31 units.
 * Nodes written this way share base and shift unless such a multiple lies between them: a look-up
 * converts its key once for all that do.
 */
smr_inline bool try_narrow_common(struct smr_code *code, const struct starts *s, unsigned int shift)
{
	unsigned long base = s->n > 1 ? s->at[1] : s->at[0];

	base &= ~0UL << (31 + shift);
	if (s->n > 1 && (last_start(s) - base) >> shift > SMR_NARROW_MAX)
		return false;
	if (!all_multiples(s, shift))
		return false;
	code->base = base;
	code->shift = (uint8_t)shift;
	return true;
}

/*
 * Tries narrow bounds relative to @base. The shift is the smallest that reaches @max, if the
 * ranges' alignment allows that: then every range of the same alignment that is stored later can be
 * added without a new encoding.
 */
smr_inline bool try_narrow_from(struct smr_code *code, const struct starts *s, unsigned long max,
				unsigned long base)
{
	unsigned int reach = bit_length(max - base), align, shift;
	unsigned long any, span = last_start(s) - base;

	/* The last start's own alignment rules it out, as it does where keys lie far apart. */
	if (span && span >> __builtin_ctzl(span) > SMR_NARROW_MAX)
		return false;
	any = start_bits(s, base);
	align = any ? (unsigned int)__builtin_ctzl(any) : 63;
	shift = reach > 31 ? reach - 31 : 0;
	if (shift > align)
		shift = align;
	if (span >> shift > SMR_NARROW_MAX)
		return false;
	code->base = base;
	code->shift = (uint8_t)shift;
	return true;
}

/* smr_code_choose() for @n items, by some of their starts, or all. */
smr_inline bool choose(struct smr_code *code, const struct starts *s, unsigned int n,
		       unsigned long max, bool leaf, unsigned int slack)
{
	enum smr_kind narrow = leaf ? SMR_NLEAF : SMR_NINNER;
	enum smr_kind wide = leaf ? SMR_WLEAF : SMR_WINNER;

	if (n + slack > smr_kind_cap(leaf ? SMR_SLEAF : SMR_NINNER))
		return false;
	if (leaf && try_short(code, s, max))
		return true;
	if (n + slack > smr_kind_cap(narrow))
		return false;
	code->kind = narrow;
	if (try_narrow_common(code, s, SMR_COMMON_SHIFT) || try_narrow_common(code, s, 0))
		return true;
	if (try_narrow_from(code, s, max, s->at[0]))
		return true;
	/* A first range that is far larger than the rest needs no bound: measure from its end. */
	if (n > 1 && try_narrow_from(code, s, max, s->at[1]))
		return true;
	code->kind = wide;
	code->base = 0;
	code->shift = 0;
	return n + slack <= smr_kind_cap(wide);
}

SMR_CLONES bool smr_code_choose(struct smr_code *code, const unsigned long *start, unsigned int n,
				unsigned long max, bool leaf, unsigned int slack)
{
	const struct starts all = { start, n, MOST_SHORT };

	return choose(code, &all, n, max, leaf, slack);
}

/*
 * Fewer starts have at least the alignment of all. So what they rule out is ruled out, and the
 * first encoding that they leave is, if all starts allow it, the first that all of them leave.
 */
bool smr_code_guess(struct smr_code *code, const unsigned long start[3], unsigned int n,
		    unsigned long max, unsigned int slack)
{
	const struct starts some = { start, 3, 2 };

	return choose(code, &some, n, max, true, slack);
}

/* ---- Writing ---- */

/* Writes the @n - 1 bounds of the ranges that begin at @start, and padding: @most in all. */
smr_inline void set_bounds(enum smr_kind kind, struct smr_node *restrict node,
			   const unsigned long *restrict start, unsigned int n,
			   const struct smr_code *restrict code, unsigned int most)
{
	unsigned long base = code->base, bound;
	unsigned int shift = code->shift;

	for (unsigned long i = 0; i < most; i++) {
		bound = smr_kind_wide(kind) ? start[i + 1] ^ SMR_WIDE_SIGN
					    : (start[i + 1] - base) >> shift;
		smr_kind_set_bound(node, kind, i,
				   i + 1 < n ? (int64_t)bound : smr_kind_padding(kind));
	}
}

smr_inline void set_gaps(uint32_t *restrict gap, const uint32_t *restrict figure, unsigned int n,
			 unsigned int kept)
{
	for (unsigned int i = 0; i < kept; i++)
		gap[i] = i < n ? figure[i] : 0;
}

/*
 * Bounds, slots and gap figures are written in the order in which they lie in the node: whatever
 * one of them writes beyond its end, the next overwrites.
 */
SMR_CLONES void *smr_encode(struct smr_node *node, const struct smr_code *code,
			    const struct smr_items *it, unsigned int from, unsigned int n)
{
	void *enode = smr_enode_make(node, code->kind);

	node->base = code->base;
	node->shift = code->shift;
	node->count = (uint8_t)n;
	node->dead = 0;
	node->mark = n < SMR_LEAF_MIN && it->pieces ? SMR_PIECES : SMR_UNMARKED;
	if (smr_kind_wide(code->kind))
		set_bounds(SMR_WLEAF, node, it->start + from, n, code, MOST);
	else if (smr_kind_short(code->kind))
		set_bounds(SMR_SLEAF, node, it->start + from, n, code, SMR_SLEAF_BOUNDS);
	else if (smr_kind_leaf(code->kind))
		set_bounds(SMR_NLEAF, node, it->start + from, n, code, MOST_NARROW);
	else
		set_bounds(SMR_NINNER, node, it->start + from, n, code, MOST);
	copy_most(smr_slots(enode), it->slot + from, code->kind);
	if (code->kind == SMR_NINNER)
		set_gaps(smr_gaps(enode), it->gap + from, n, SMR_NINNER_GAPS);
	else if (code->kind == SMR_WINNER)
		set_gaps(smr_gaps(enode), it->gap + from, n, SMR_WINNER_GAPS);
	return enode;
}
