/* SPDX-License-Identifier: MIT */
/*
 * Counting bounds with AVX2, for search_simd.h. Compares yield lanes of ones. For narrow and short
 * bounds, these are packed to bytes and gathered into a word of bits to count; for wide ones, they
 * are summed. The order in which packing leaves the lanes does not matter to a count.
 */
#ifndef SMR_TREE_SEARCH_AVX2_H
#define SMR_TREE_SEARCH_AVX2_H

#include "base/isa.h"
#include "tree/node.h"

#include <immintrin.h>

#define SMRI_VECTOR_avx2 32

typedef __m256i smri_limits_avx2;

SMR_TARGET_avx2 smr_inline __m256i smri_limits_of_avx2(int32_t limit)
{
	return _mm256_set1_epi32(limit);
}

SMR_TARGET_avx2 smr_inline void smri_limits_keep_avx2(__m256i *limits)
{
	__asm__("" : "+x"(*limits));
}

/* Headers are compared as in plain C: with a vector it would take more instructions. */
typedef smri_head_any smri_head_avx2;

SMR_TARGET_avx2 smr_inline smri_head_avx2 smri_head_of_avx2(const struct smr_node *node)
{
	return smri_head_of_any(node);
}

typedef smri_measure_any smri_measure_avx2;

SMR_TARGET_avx2 smr_inline smri_measure_avx2 smri_measure_none_avx2(void)
{
	return smri_measure_none_any();
}

SMR_TARGET_avx2 smr_inline smri_measure_avx2 smri_measure_of_avx2(smri_head_avx2 head)
{
	return smri_measure_of_any(head);
}

SMR_TARGET_avx2 smr_inline bool smri_same_measure_avx2(smri_measure_avx2 base, unsigned int shift,
						       smri_head_avx2 head)
{
	return smri_same_measure_any(base, shift, head);
}

SMR_TARGET_avx2 smr_inline __m256i smri_lt32(const int32_t *bound, __m256i limit)
{
	return _mm256_cmpgt_epi32(limit, _mm256_load_si256((const __m256i *)(const void *)bound));
}

SMR_TARGET_avx2 smr_inline __m128i smri_four(const int32_t *bound)
{
	return _mm_load_si128((const __m128i *)(const void *)bound);
}

/* Bounds 28 and 29, and two that are above every limit. */
SMR_TARGET_avx2 smr_inline __m128i smri_last_two(const struct smr_node *node)
{
	__m128 above = _mm_castsi128_ps(_mm_set1_epi32(INT32_MAX));

	return _mm_castps_si128(_mm_loadl_pi(above, (const __m64 *)(const void *)(node->b32 + 28)));
}

/* One bit for each lane of four vectors of 32-bit lanes. */
SMR_TARGET_avx2 smr_inline unsigned int smri_bits(__m256i a, __m256i b, __m256i c, __m256i d)
{
	a = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
	return (unsigned int)_mm256_movemask_epi8(a);
}

/*
 * Returns how many of the bounds on the first two lines, and of @four others, are below the limits.
 * The four take the place of the header, so that no vector crosses a cache line.
 */
SMR_TARGET_avx2 smr_inline unsigned int smri_below_with(const struct smr_node *node, __m128i four,
							__m256i all)
{
	const int32_t *bound = node->b32;
	__m256i first = _mm256_set_m128i(smri_four(bound), four);

	_Static_assert(SMRI_NEAR_BOUNDS == 28, "four and three vectors");
	return (unsigned int)__builtin_popcount(
		smri_bits(_mm256_cmpgt_epi32(all, first), smri_lt32(bound + 4, all),
			  smri_lt32(bound + 12, all), smri_lt32(bound + 20, all)));
}

SMR_TARGET_avx2 smr_inline unsigned int smri_below_few_avx2(const struct smr_node *node,
							    smri_head_avx2 head, __m256i all)
{
	__m128i four = _mm_cmpgt_epi32(_mm256_castsi256_si128(all), smri_four(node->b32));
	__m256i eight = smri_lt32(node->b32 + 4, all);

	_Static_assert(SMRI_FEW_BOUNDS == 12, "four and a vector");
	(void)head;
	return (unsigned int)__builtin_popcount(
		(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(four)) << 8 |
		(unsigned int)_mm256_movemask_ps(_mm256_castsi256_ps(eight)));
}

SMR_TARGET_avx2 smr_inline unsigned int smri_below_near_avx2(const struct smr_node *node,
							     smri_head_avx2 head, __m256i all)
{
	(void)head;
	return smri_below_with(node, _mm_set1_epi32(INT32_MAX), all);
}

SMR_TARGET_avx2 smr_inline unsigned int smri_below_inner_avx2(const struct smr_node *node,
							      smri_head_avx2 head, __m256i all)
{
	_Static_assert(SMR_NINNER_CAP - 1 == SMRI_NEAR_BOUNDS + 2, "and two");
	(void)head;
	return smri_below_with(node, smri_last_two(node), all);
}

SMR_TARGET_avx2 smr_inline unsigned int smri_below_leaf_avx2(const struct smr_node *node,
							     smri_head_avx2 head, __m256i all)
{
	const int32_t *bound = node->b32;
	__m256i ends = _mm256_set_m128i(smri_four(bound), smri_four(bound + 36));
	unsigned int low = smri_bits(smri_lt32(bound + 4, all), smri_lt32(bound + 12, all),
				     smri_lt32(bound + 20, all), smri_lt32(bound + 28, all));
	__m256 high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(all, ends));

	_Static_assert(SMR_NLEAF_CAP - 1 == 40, "four, four vectors and four");
	(void)head;
	return (unsigned int)__builtin_popcountl(low | (unsigned long)_mm256_movemask_ps(high)
							       << 32);
}

SMR_TARGET_avx2 smr_inline __m256i smri_lt16(const int16_t *bound, __m256i limit)
{
	return _mm256_cmpgt_epi16(limit, _mm256_load_si256((const __m256i *)(const void *)bound));
}

SMR_TARGET_avx2 smr_inline __m128i smri_lt16_eight(const int16_t *bound, __m256i limit)
{
	return _mm_cmpgt_epi16(_mm256_castsi256_si128(limit),
			       _mm_load_si128((const __m128i *)(const void *)bound));
}

SMR_TARGET_avx2 smr_inline unsigned int smri_below_short_avx2(const struct smr_node *node,
							      int16_t limit)
{
	const int16_t *bound = node->b16;
	__m256i all = _mm256_set1_epi16(limit);
	__m256i middle = _mm256_packs_epi16(smri_lt16(bound + 8, all), smri_lt16(bound + 24, all));
	__m128i ends = _mm_packs_epi16(smri_lt16_eight(bound, all),
				       smri_lt16_eight(bound + 40, all));

	_Static_assert(SMR_SLEAF_CAP - 1 == 44,
		       "eight, two vectors, and eight of which four are used");
	return (unsigned int)__builtin_popcountl((uint64_t)_mm_movemask_epi8(ends) << 32 |
						 (uint32_t)_mm256_movemask_epi8(middle));
}

SMR_TARGET_avx2 smr_inline __m256i smri_gt64(const int64_t *bound, __m256i key)
{
	return _mm256_cmpgt_epi64(_mm256_loadu_si256((const __m256i_u *)bound), key);
}

/*
 * Returns how many bounds in @n whole vectors are above @key, plus what @sum has counted before.
 * Lanes of @sum hold the negated count.
 */
SMR_TARGET_avx2 smr_inline unsigned int smri_sum64(const int64_t *bound, unsigned int n,
						   __m256i key, __m256i sum)
{
	__m128i half;

#pragma GCC unroll 8
	for (unsigned int i = 0; i < n; i++)
		sum = _mm256_add_epi64(sum, smri_gt64(bound + 4 * i, key));
	half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	half = _mm_add_epi64(half, _mm_unpackhi_epi64(half, half));
	return (unsigned int)-_mm_cvtsi128_si32(half);
}

SMR_TARGET_avx2 smr_inline unsigned int smri_upto_inner_avx2(const int64_t *bound, int64_t key)
{
	_Static_assert(SMR_WINNER_CAP - 1 == 24, "six vectors");
	return 24 - smri_sum64(bound, 6, _mm256_set1_epi64x(key), _mm256_setzero_si256());
}

/* Thirty bounds: the eighth vector begins two before the seventh one ends. */
SMR_TARGET_avx2 smr_inline unsigned int smri_upto_leaf_avx2(const int64_t *bound, int64_t key)
{
	const __m256i rest = _mm256_setr_epi64x(0, 0, -1, -1);
	__m256i all = _mm256_set1_epi64x(key);
	__m256i last = _mm256_and_si256(smri_gt64(bound + 26, all), rest);

	_Static_assert(SMR_WLEAF_CAP - 1 == 30, "eight vectors, two lanes counted twice");
	return 30 - smri_sum64(bound, 7, all, last);
}

/* ---- For gap.c: a bit for each that is large enough ---- */

SMR_TARGET_avx2 smr_inline uint32_t smri_bits_gt32(const void *at, __m256i than)
{
	__m256i larger = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i_u *)at), than);

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(larger));
}

/* A narrow node's last bit is of what lies past its children's figures; the caller drops it. */
SMR_TARGET_avx2 smr_inline uint32_t smri_gaps_atleast_avx2(const uint32_t *gap, enum smr_kind kind,
							   uint32_t figure)
{
	__m256i than = _mm256_set1_epi32((int32_t)figure - 1);
	uint32_t bits = smri_bits_gt32(gap, than) | smri_bits_gt32(gap + 8, than) << 8 |
			smri_bits_gt32(gap + 16, than) << 16;

	_Static_assert(SMR_WINNER_CAP == 25 && SMR_NINNER_CAP == 31, "three vectors and a rest");
	if (smr_kind_wide(kind))
		return bits | (uint32_t)(gap[24] >= figure) << 24;
	return bits | smri_bits_gt32(gap + 24, than) << 24;
}

/* Reads as far as @more + 1 bounds beyond the last, for bits that mean nothing. */
SMR_TARGET_avx2 smr_inline uint64_t smri_lengths_atleast_avx2(const int32_t *bound, int32_t units,
							      unsigned int more)
{
	__m256i than = _mm256_set1_epi32(units - 1), from, to;
	uint64_t bits = 0;

	_Static_assert(SMR_NLEAF_CAP - 1 == 40, "five vectors");
#pragma GCC unroll 5
	for (unsigned int i = 0; i < 5; i++) {
		from = _mm256_loadu_si256((const __m256i_u *)(bound + 8 * i));
		to = _mm256_loadu_si256((const __m256i_u *)(bound + 8 * i + 1 + more));
		to = _mm256_cmpgt_epi32(_mm256_sub_epi32(to, from), than);
		bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(to)) << 8 * i;
	}
	return bits << 1;
}

/* The lengths of sixteen ranges of a short leaf from @k on, each with the @more after it. */
SMR_TARGET_avx2 smr_inline __m256i smri_short_lengths(const int16_t *bound, unsigned int k,
						      unsigned int more)
{
	return _mm256_sub_epi16(_mm256_loadu_si256((const __m256i_u *)(bound + k + more)),
				_mm256_loadu_si256((const __m256i_u *)(bound + k - 1)));
}

/* Lanes of ones where the lanes of @a, unsigned, are at least those of @least. */
SMR_TARGET_avx2 smr_inline __m256i smri_ge16(__m256i a, __m256i least)
{
	return _mm256_cmpeq_epi16(_mm256_max_epu16(a, least), a);
}

SMR_TARGET_avx2 smr_inline uint64_t smri_lengths_atleast_short_avx2(const int16_t *bound,
								    uint16_t units,
								    unsigned int more)
{
	__m256i least = _mm256_set1_epi16((int16_t)units);
	__m256i a = smri_ge16(smri_short_lengths(bound, 1, more), least);
	__m256i b = smri_ge16(smri_short_lengths(bound, 17, more), least);
	__m256i c = smri_ge16(smri_short_lengths(bound, 33, more), least);
	uint32_t low, high;

	_Static_assert(SMR_SLEAF_CAP - 1 <= 48, "three vectors");
	a = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
	c = _mm256_permute4x64_epi64(_mm256_packs_epi16(c, c), 0xd8);
	low = (uint32_t)_mm256_movemask_epi8(a);
	high = (uint16_t)_mm256_movemask_epi8(c);
	return ((uint64_t)high << 32 | low) << 1;
}

SMR_TARGET_avx2 smr_inline uint64_t smri_nulls_avx2(void *const *slots, enum smr_kind kind)
{
	unsigned int cap = smr_leaf_cap(kind), whole = cap & ~3u;
	uint64_t bits = 0;
	__m256i null;

	_Static_assert(SMR_SLEAF_CAP == 45 && SMR_NLEAF_CAP == 41 && SMR_WLEAF_CAP == 31,
		       "vectors, and one or three");
#pragma GCC unroll 11
	for (unsigned int i = 0; i < whole; i += 4) {
		null = _mm256_loadu_si256((const __m256i_u *)(const void *)(slots + i));
		null = _mm256_cmpeq_epi64(null, _mm256_setzero_si256());
		bits |= (uint64_t)(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(null)) << i;
	}
	for (unsigned int i = whole; i < cap; i++)
		bits |= (uint64_t)!slots[i] << i;
	return bits;
}

SMR_TARGET_avx2 smr_inline uint32_t smri_largest32(__m256i v)
{
	__m128i half = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
	half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(half);
}

/* Ignores bit 0 and that of the last range that a leaf can have. */
SMR_TARGET_avx2 smr_inline uint32_t smri_longest_avx2(const int32_t *bound, uint64_t ranges,
						      unsigned int more)
{
	const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
	__m256i longest = _mm256_setzero_si256(), from, to, in;

	_Static_assert(SMR_NLEAF_CAP == 41, "five vectors");
	ranges &= (UINT64_C(1) << (SMR_NLEAF_CAP - 1)) - 1;
	ranges >>= 1;
#pragma GCC unroll 5
	for (unsigned int k = 0; k < 40; k += 8) {
		from = _mm256_loadu_si256((const __m256i_u *)(bound + k));
		to = _mm256_loadu_si256((const __m256i_u *)(bound + k + 1 + more));
		in = _mm256_and_si256(_mm256_set1_epi32((int)(ranges >> k)), bit);
		in = _mm256_cmpeq_epi32(in, bit);
		longest = _mm256_max_epi32(longest,
					   _mm256_and_si256(_mm256_sub_epi32(to, from), in));
	}
	return smri_largest32(longest);
}

SMR_TARGET_avx2 smr_inline uint32_t smri_largest16(__m256i v)
{
	__m128i half = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	__m128i ones = _mm_set1_epi16(-1);

	/* There is an instruction for the smallest only. */
	half = _mm_xor_si128(_mm_minpos_epu16(_mm_xor_si128(half, ones)), ones);
	return (uint16_t)_mm_cvtsi128_si32(half);
}

SMR_TARGET_avx2 smr_inline uint32_t smri_longest_short_avx2(const int16_t *bound, uint64_t ranges,
							    unsigned int more)
{
	const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048,
					      4096, 8192, 16384, INT16_MIN);
	__m256i longest = _mm256_setzero_si256(), in;

	ranges &= (UINT64_C(1) << (SMR_SLEAF_CAP - 1)) - 1;
#pragma GCC unroll 3
	for (unsigned int k = 1; k < 48; k += 16) {
		in = _mm256_and_si256(_mm256_set1_epi16((int16_t)(ranges >> k)), bit);
		in = _mm256_cmpeq_epi16(in, bit);
		in = _mm256_and_si256(smri_short_lengths(bound, k, more), in);
		longest = _mm256_max_epu16(longest, in);
	}
	return smri_largest16(longest);
}

/* The larger of lanes that are unsigned, but with the sign bit flipped. */
SMR_TARGET_avx2 smr_inline __m256i smri_larger64(__m256i a, __m256i b)
{
	return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(b, a));
}

SMR_TARGET_avx2 smr_inline unsigned long smri_largest64(__m256i v)
{
	v = smri_larger64(v, _mm256_permute4x64_epi64(v, 0x4e));
	v = smri_larger64(v, _mm256_permute4x64_epi64(v, 0xb1));
	return (unsigned long)_mm_cvtsi128_si64(_mm256_castsi256_si128(v)) ^ SMR_WIDE_SIGN;
}

/* The lengths of ranges @k to @k + 3 of a wide leaf, as above; 0 for those without a bit. */
SMR_TARGET_avx2 smr_inline __m256i smri_wide_lengths(const int64_t *bound, unsigned int k,
						     uint64_t ranges, unsigned int more)
{
	const __m256i bit = _mm256_setr_epi64x(1, 2, 4, 8);
	__m256i from = _mm256_loadu_si256((const __m256i_u *)(bound + k - 1));
	__m256i to = _mm256_loadu_si256((const __m256i_u *)(bound + k + more));
	__m256i in = _mm256_and_si256(_mm256_set1_epi64x((long long)(ranges >> k)), bit);

	return _mm256_and_si256(_mm256_sub_epi64(to, from), _mm256_cmpeq_epi64(in, bit));
}

/* Seven vectors, and one that shares three ranges with the seventh, for the last that counts. */
SMR_TARGET_avx2 smr_inline unsigned long smri_longest_wide_avx2(const int64_t *bound,
								uint64_t ranges, unsigned int more)
{
	const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
	__m256i longest = sign;

	_Static_assert(SMR_WLEAF_CAP == 31, "ranges 1 to 29");
#pragma GCC unroll 7
	for (unsigned int k = 1; k < 29; k += 4)
		longest = smri_larger64(
			longest, _mm256_xor_si256(smri_wide_lengths(bound, k, ranges, more), sign));
	longest = smri_larger64(longest,
				_mm256_xor_si256(smri_wide_lengths(bound, 26, ranges, more), sign));
	return smri_largest64(longest);
}

#endif
