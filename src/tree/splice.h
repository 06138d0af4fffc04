/* SPDX-License-Identifier: MIT */
/*
 * Copies one leaf into another of the same encoding: the ranges before a place stay, those after it
 * move up or down, and the caller writes what goes in between. Nearly every store does this, so
 * there is a version for each instruction set (base/isa.h).
 *
 * Most stores move ranges by at most two. With AVX2 or AVX-512 that takes neither a branch that
 * depends on the place nor a loop of unknown length: each vector of the new leaf is put together,
 * lane by lane, from the same vector of the old leaf and the one that lies as many ranges away as
 * they move. Inner nodes whose children move go the same way.
 */
#ifndef SMR_TREE_SPLICE_H
#define SMR_TREE_SPLICE_H

#include "base/isa.h"
#include "tree/encode.h"

#include <string.h>

/*
 * Copies line by line: for a copy of this size the compiler would use a string instruction, which
 * starts slowly.
 */
smr_inline void smri_node_copy(struct smr_node *to, const struct smr_node *from)
{
	struct line {
		uint64_t word[8];
	};
	const struct line *src = (const struct line *)(const void *)from;
	struct line *dst = (struct line *)(void *)to;

	for (unsigned int i = 0; i < MT_NODE_SIZE / sizeof(struct line); i++)
		dst[i] = src[i];
}

/* Moves figures @j to @count - 1 to @y and on, and makes those after them, up to @count - 1, 0. */
smr_inline void smri_move_gaps(uint32_t *gap, unsigned int y, unsigned int j, unsigned int count)
{
	unsigned int rest = count - j;

	memmove(gap + y, gap + j, rest * sizeof(*gap));
	for (unsigned int i = y + rest; i < count; i++)
		gap[i] = 0;
}

/* Moves ranges @j to @count - 1 to @y and on, and pads the bounds after the last one. */
smr_inline void smri_move(struct smr_node *node, enum smr_kind kind, unsigned int y, unsigned int j,
			  unsigned int count)
{
	unsigned int rest = count - j;
	void **slots = smr_kind_slots(node, kind);

	if (smr_kind_wide(kind))
		memmove(node->b64 + y, node->b64 + j, (rest - 1) * sizeof(int64_t));
	else if (smr_kind_short(kind))
		memmove(node->b16 + y, node->b16 + j, (rest - 1) * sizeof(int16_t));
	else
		memmove(node->b32 + y, node->b32 + j, (rest - 1) * sizeof(int32_t));
	memmove(slots + y, slots + j, rest * sizeof(void *));
	if (!smr_kind_leaf(kind))
		smri_move_gaps(smr_gaps(smr_enode_make(node, kind)), y, j, count);
	node->count = (uint8_t)(y + rest);
	smr_bounds_pad(node, kind, node->count - 1u, count - 1);
}

/*
 * Moves ranges @j and on of @node, a leaf that nobody else can see, to @y and on. The caller must
 * write range @y - 1, unless it is an old one, and the bounds before and after it. @j must be a
 * range of the leaf. (Or moves the children of an inner node, with their gap figures.)
 */
smr_inline void smr_shift_within(struct smr_node *node, enum smr_kind kind, unsigned int y,
				 unsigned int j)
{
	smri_move(node, kind, y, j, node->count);
}

/* The same from @from into the new node @to. */
smr_inline void smr_shift_new_any(struct smr_node *to, const struct smr_node *from,
				  enum smr_kind kind, unsigned int y, unsigned int j)
{
	smri_node_copy(to, from);
	smri_move(to, kind, y, j, from->count);
}

#define SMRI_SHIFT_NEAR 2

/*
 * Writes the first @n elements of a row that has one for each range: those before @y as in @from,
 * the others from @by places before. Both are always read, so that compilers make vectors of it and
 * no branch; so up to @by elements before the row, or after it, are read, too.
 */
#define SMR_MOVE_ROW(name, type)                                                           \
	smr_inline void name(type *restrict to, const type *restrict from, unsigned int n, \
			     unsigned int y, int by)                                       \
	{                                                                                  \
		const type *moved = from - by;                                             \
                                                                                           \
		for (unsigned long k = 0; k < n; k++) {                                    \
			type stays = from[k], moves = moved[k];                            \
                                                                                           \
			to[k] = (type)k < (type)y ? stays : moves;                         \
		}                                                                          \
	}

SMR_MOVE_ROW(smr_move_row16, int16_t)
SMR_MOVE_ROW(smr_move_row32, int32_t)
SMR_MOVE_ROW(smr_move_row64, int64_t)

/*
 * Shifts by @by, up to SMRI_SHIFT_NEAR either way, of an inner node only up. Rows are rounded up to
 * whole vectors: what is written after one of them is overwritten by the next. After a short leaf's
 * bounds there is more padding than it takes to move down.
 */
smr_inline void smri_shift_near(enum smr_kind kind, struct smr_node *to,
				const struct smr_node *from, unsigned int y, int by)
{
	const unsigned int cap = smr_kind_cap(kind), bounds = smr_kind_bounds(kind);
	const unsigned int vectors = smr_kind_leaf(kind) ? cap & ~3u : 32;
	int64_t *out = (int64_t *)(void *)smr_kind_slots(to, kind);
	const int64_t *slot = (const int64_t *)(void *)smr_kind_slots((struct smr_node *)from,
								      kind);

	_Static_assert(SMR_SLEAF_CAP <= 48 && SMR_NLEAF_CAP - 1 == 40 && SMR_WLEAF_CAP - 1 <= 32 &&
			       SMR_NINNER_CAP <= 32 && SMR_NINNER_GAPS == 32,
		       "rows");
	memcpy(to, from, offsetof(struct smr_node, b64));
	to->count = (uint8_t)(from->count + (unsigned int)by);
	if (smr_kind_wide(kind))
		smr_move_row64(to->b64, from->b64, 32, y, by);
	else if (smr_kind_short(kind))
		smr_move_row16(to->b16, from->b16, 48, y, by);
	else
		smr_move_row32(to->b32, from->b32, smr_kind_leaf(kind) ? 40 : 32, y, by);
	if (smr_kind_short(kind))
		smr_bounds_pad(to, kind, 48, bounds);
	else if (smr_kind_leaf(kind) && by < 0)
		smr_bounds_pad(to, kind, bounds + (unsigned int)by, bounds);
	smr_move_row64(out, slot, vectors, y, by);
	for (unsigned int k = vectors; k < cap; k++) {
		unsigned int at = k < y ? k : k - (unsigned int)by;

		out[k] = slot[at < cap ? at : k];
	}
	if (!smr_kind_leaf(kind))
		smr_move_row32((int32_t *)(void *)(out + cap),
			       (const int32_t *)(const void *)(slot + cap), SMR_NINNER_GAPS, y, by);
}

#if SMR_HAVE_AVX2

/* Separate functions: as one they would share, and keep in memory, what is cheap to compute. */
#define SMRI_SHIFT(isa, name, kind)                                                       \
	SMR_TARGET_##isa smr_noinline static void smri_shift_##name##_##isa(              \
		struct smr_node *to, const struct smr_node *from, unsigned int y, int by) \
	{                                                                                 \
		smri_shift_near(kind, to, from, y, by);                                   \
	}

#define SMRI_SHIFT_NEW(isa)                                                           \
	SMRI_SHIFT(isa, short, SMR_SLEAF)                                             \
	SMRI_SHIFT(isa, narrow, SMR_NLEAF)                                            \
	SMRI_SHIFT(isa, wide, SMR_WLEAF)                                              \
	SMRI_SHIFT(isa, inner, SMR_NINNER)                                            \
	SMR_TARGET_##isa smr_inline void smr_shift_new_##isa(                         \
		struct smr_node *to, const struct smr_node *from, enum smr_kind kind, \
		unsigned int y, unsigned int j)                                       \
	{                                                                             \
		int by = (int)y - (int)j;                                             \
                                                                                      \
		if (smr_unlikely(by > SMRI_SHIFT_NEAR || by < -SMRI_SHIFT_NEAR))      \
			smr_shift_new_any(to, from, kind, y, j);                      \
		else if (smr_likely(smr_kind_short(kind)))                            \
			smri_shift_short_##isa(to, from, y, by);                      \
		else if (kind == SMR_NLEAF)                                           \
			smri_shift_narrow_##isa(to, from, y, by);                     \
		else if (kind == SMR_WLEAF)                                           \
			smri_shift_wide_##isa(to, from, y, by);                       \
		else if (kind == SMR_NINNER && by >= 0)                               \
			smri_shift_inner_##isa(to, from, y, by);                      \
		else                                                                  \
			smr_shift_new_any(to, from, kind, y, j);                      \
	}

SMRI_SHIFT_NEW(avx2)
SMRI_SHIFT_NEW(avx512)

#endif

void smr_shift_new(struct smr_node *to, const struct smr_node *from, enum smr_kind kind,
		   unsigned int y, unsigned int j);

/* The shift into a new leaf, or within @from if @to is the same. */
smr_inline void smr_shift(struct smr_node *to, struct smr_node *from, enum smr_kind kind,
			  unsigned int y, unsigned int j)
{
	if (to == from)
		smr_shift_within(from, kind, y, j);
	else
		smr_shift_new(to, from, kind, y, j);
}

#endif
