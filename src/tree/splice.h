/* SPDX-License-Identifier: MIT */
/*
 * One leaf into another of the same encoding: the ranges in front stay, those behind move up or
 * down, and what comes between is written over by the caller. That is what nearly every store comes
 * to, so there is a way of it for each instruction set (base/isa.h).
 *
 * Most stores move what is behind by two ranges at most. With AVX2 that takes neither a branch that
 * depends on where the place is, nor a loop of unknown length: each vector of the new leaf is made
 * of the same one of the old and of the one that lies so much further on, lane by lane.
 */
#ifndef SMR_TREE_SPLICE_H
#define SMR_TREE_SPLICE_H

#include "base/isa.h"
#include "tree/encode.h"

#include <string.h>

#if SMR_HAVE_AVX2
#include <immintrin.h>
#endif

/*
 * In lines: for a copy of this size the compiler would use a string instruction, which starts
 * slowly.
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

/* Ranges @j to @count - 1 become those from @y on; the bounds behind the last one are padded. */
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
	node->count = (uint8_t)(y + rest);
	smr_bounds_pad(node, kind, node->count - 1u, count - 1);
}

/*
 * Makes @node, which nobody else can see, a leaf whose ranges from @y on are those from @j on.
 * Range @y - 1, if that is not one of its own, and the bound before it and behind it are the
 * caller's to write. At least one range is left behind @y. (Or an inner node with its children, but
 * for their gap figures.)
 */
smr_inline void smr_shift_within(struct smr_node *node, enum smr_kind kind, unsigned int y,
				 unsigned int j)
{
	smri_move(node, kind, y, j, node->count);
}

/* The same, of what @from is, in a new node. */
smr_inline void smr_shift_new_any(struct smr_node *to, const struct smr_node *from,
				  enum smr_kind kind, unsigned int y, unsigned int j)
{
	smri_node_copy(to, from);
	smri_move(to, kind, y, j, from->count);
}

#if SMR_HAVE_AVX2

#define SMRI_SHIFT_NEAR 2

/* Functions of their own: as one they would share, and keep in memory, what is cheap to compute. */
#define SMRI_SHIFT SMR_TARGET_avx2 __attribute__((unused)) smr_noinline static

SMR_TARGET_avx2 smr_inline __m256i smri_load256(const void *at)
{
	return _mm256_loadu_si256((const __m256i_u *)at);
}

/*
 * Narrow leaves, @by up to SMRI_SHIFT_NEAR either way. The vectors that begin before the bounds, or
 * end behind the slots, read other words of the node, but for lanes that are then not used, or are
 * padded over.
 */
SMRI_SHIFT void smri_shift_near(struct smr_node *to, const struct smr_node *from, unsigned int y,
				int by)
{
	void **out = smr_kind_slots(to, SMR_NLEAF);
	void *const *slot = smr_kind_slots((struct smr_node *)from, SMR_NLEAF);
	__m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), stay;
	__m256i from32 = _mm256_set1_epi32((int)y), from64 = _mm256_set1_epi64x((long long)y);

	_Static_assert(SMR_NLEAF_CAP == 41, "five vectors of bounds, ten of slots and one slot");
	_Static_assert(offsetof(struct smr_node, b32) == sizeof(__m128i),
		       "the header is one vector");
	_mm_store_si128((__m128i *)(void *)to, _mm_load_si128((const __m128i *)(const void *)from));
#pragma GCC unroll 5
	for (int k = 0; k < 40; k += 8) {
		stay = _mm256_cmpgt_epi32(from32, lane);
		lane = _mm256_add_epi32(lane, _mm256_set1_epi32(8));
		_mm256_storeu_si256((__m256i_u *)(to->b32 + k),
				    _mm256_blendv_epi8(smri_load256(from->b32 + k - by),
						       smri_load256(from->b32 + k), stay));
	}
	lane = _mm256_setr_epi64x(0, 1, 2, 3);
#pragma GCC unroll 10
	for (int k = 0; k < 40; k += 4) {
		stay = _mm256_cmpgt_epi64(from64, lane);
		lane = _mm256_add_epi64(lane, _mm256_set1_epi64x(4));
		_mm256_storeu_si256((__m256i_u *)(out + k),
				    _mm256_blendv_epi8(smri_load256(slot + k - by),
						       smri_load256(slot + k), stay));
	}
	out[40] = slot[y > 40 || by < 0 ? 40 : 40 - by];
	to->count = (uint8_t)(from->count + by);
	for (int k = 40 + by; k < 40; k++)
		to->b32[k] = INT32_MAX;
}

/* Moves words @k to @k + 3 of a row, of which those before @y stay. */
SMR_TARGET_avx2 smr_inline void smri_shift_words(void *to, const void *from, int k, __m256i y,
						 int by)
{
	const int64_t *word = from;
	__m256i lane = _mm256_add_epi64(_mm256_setr_epi64x(0, 1, 2, 3), _mm256_set1_epi64x(k));

	_mm256_storeu_si256((__m256i_u *)((int64_t *)to + k),
			    _mm256_blendv_epi8(smri_load256(word + k - by), smri_load256(word + k),
					       _mm256_cmpgt_epi64(y, lane)));
}

/*
 * The same for wide leaves. The last vector of bounds is two bounds and two slots, which are
 * written next.
 */
SMRI_SHIFT void smri_shift_near_wide(struct smr_node *to, const struct smr_node *from,
				     unsigned int y, int by)
{
	void **out = smr_kind_slots(to, SMR_WLEAF);
	void *const *slot = smr_kind_slots((struct smr_node *)from, SMR_WLEAF);
	__m256i at = _mm256_set1_epi64x((long long)y);

	_Static_assert(SMR_WLEAF_CAP == 31, "seven vectors and two bounds, seven and three slots");
	_mm_store_si128((__m128i *)(void *)to, _mm_load_si128((const __m128i *)(const void *)from));
#pragma GCC unroll 8
	for (int k = 0; k < 32; k += 4)
		smri_shift_words(to->b64, from->b64, k, at, by);
#pragma GCC unroll 7
	for (int k = 0; k < 28; k += 4)
		smri_shift_words(out, slot, k, at, by);
	for (int k = 28; k < SMR_WLEAF_CAP; k++) {
		int at_from = k < (int)y ? k : k - by;

		out[k] = slot[at_from < SMR_WLEAF_CAP ? at_from : k];
	}
	to->count = (uint8_t)(from->count + by);
	for (int k = 30 + by; k < 30; k++)
		to->b64[k] = INT64_MAX;
}

/* The same for short leaves. Behind the bounds there is padding enough to move. */
SMRI_SHIFT void smri_shift_near_short(struct smr_node *to, const struct smr_node *from,
				      unsigned int y, int by)
{
	void **out = smr_kind_slots(to, SMR_SLEAF);
	void *const *slot = smr_kind_slots((struct smr_node *)from, SMR_SLEAF);
	__m256i at16 = _mm256_set1_epi16((short)y), at = _mm256_set1_epi64x((long long)y);
	__m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	_Static_assert(SMR_SLEAF_CAP == 45,
		       "three vectors of bounds, eleven of slots and one slot");
	_mm_store_si128((__m128i *)(void *)to, _mm_load_si128((const __m128i *)(const void *)from));
#pragma GCC unroll 3
	for (int k = 0; k < 48; k += 16) {
		__m256i stay = _mm256_cmpgt_epi16(at16, lane);

		lane = _mm256_add_epi16(lane, _mm256_set1_epi16(16));
		_mm256_storeu_si256((__m256i_u *)(to->b16 + k),
				    _mm256_blendv_epi8(smri_load256(from->b16 + k - by),
						       smri_load256(from->b16 + k), stay));
	}
	_mm_store_si128((__m128i *)(void *)(to->b16 + 48), _mm_set1_epi16(INT16_MAX));
#pragma GCC unroll 11
	for (int k = 0; k < 44; k += 4)
		smri_shift_words(out, slot, k, at, by);
	out[44] = slot[y > 44 || by < 0 ? 44 : 44 - by];
	to->count = (uint8_t)(from->count + by);
}

SMR_TARGET_avx2 smr_inline void smr_shift_new_avx2(struct smr_node *to, const struct smr_node *from,
						   enum smr_kind kind, unsigned int y,
						   unsigned int j)
{
	int by = (int)y - (int)j;

	if (smr_unlikely(by > SMRI_SHIFT_NEAR || by < -SMRI_SHIFT_NEAR))
		smr_shift_new_any(to, from, kind, y, j);
	else if (smr_likely(smr_kind_short(kind)))
		smri_shift_near_short(to, from, y, by);
	else if (smr_kind_wide(kind))
		smri_shift_near_wide(to, from, y, by);
	else
		smri_shift_near(to, from, y, by);
}

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
