/* SPDX-License-Identifier: MIT */
/*
 * Counting bounds with AVX-512, for search_simd.h: a line of a node at a time. How many look-ups
 * overlap depends on the number of instructions and, on Zen 4, of loads and of moves from ordinary
 * registers into masks (docs/performance.md). So the header is loaded with the bounds next to it,
 * and what is not a bound is dropped from the word that is counted, not left out by a mask, which
 * would be such a move.
 */
#ifndef SMR_TREE_SEARCH_AVX512_H
#define SMR_TREE_SEARCH_AVX512_H

#include "tree/search_avx2.h"

#define SMRI_VECTOR_avx512 64

typedef __m512i smri_limits_avx512;

SMR_TARGET_avx512 smr_inline __m512i smri_limits_of_avx512(int32_t limit)
{
	return _mm512_set1_epi32(limit);
}

SMR_TARGET_avx512 smr_inline void smri_limits_keep_avx512(__m512i *limits)
{
	__asm__("" : "+v"(*limits));
}

SMR_TARGET_avx512 smr_inline __m512i smri_line(const struct smr_node *node, unsigned int line)
{
	return _mm512_load_si512((const char *)node + SMR_CACHE_LINE * line);
}

/* The first line: the header and twelve bounds. The asm keeps Clang from rereading parts of it. */
typedef __m512i smri_head_avx512;

SMR_TARGET_avx512 smr_inline __m512i smri_head_of_avx512(const struct smr_node *node)
{
	__m512i head = smri_line(node, 0);

	__asm__("" : "+v"(head));
	return head;
}

/*
 * Base and shift are the first nine bytes of a header, and constant; the others can be anything. A
 * writer may be storing one of these: a vector's load, like any other, gets the old byte or the new
 * one, and the compare leaves it out.
 */
typedef __m128i smri_measure_avx512;

SMR_TARGET_avx512 smr_inline __m128i smri_measure_none_avx512(void)
{
	return _mm_set1_epi32(-1);
}

SMR_TARGET_avx512 smr_inline __m128i smri_measure_of_avx512(__m512i head)
{
	return _mm512_castsi512_si128(head);
}

SMR_TARGET_avx512 smr_inline bool smri_same_measure_avx512(__m128i as, unsigned int shift,
							   __m512i head)
{
	const unsigned int those = 0x1ff;

	_Static_assert(offsetof(struct smr_node, base) == 0 &&
			       offsetof(struct smr_node, shift) == 8 &&
			       offsetof(struct smr_node, b32) == 16,
		       "where they are");
	(void)shift; /* one of the nine bytes */
	return !(_mm_cmpneq_epi8_mask(as, _mm512_castsi512_si128(head)) & those);
}

/* One bit for each lane of the first two lines, or of what stands in for them. */
SMR_TARGET_avx512 smr_inline unsigned int smri_below_lines(__m512i first, __m512i second,
							   __m512i all)
{
	return _mm512_kunpackw(_mm512_cmpgt_epi32_mask(all, second),
			       _mm512_cmpgt_epi32_mask(all, first));
}

SMR_TARGET_avx512 smr_inline unsigned int smri_below_few_avx512(const struct smr_node *node,
								__m512i head, __m512i all)
{
	unsigned int bits = _mm512_cmpgt_epi32_mask(all, head);

	_Static_assert(SMRI_FEW_BOUNDS == 12, "those that come with the header, four lanes");
	(void)node;
	return (unsigned int)__builtin_popcount(bits >> 4);
}

SMR_TARGET_avx512 smr_inline unsigned int smri_below_near_avx512(const struct smr_node *node,
								 __m512i head, __m512i all)
{
	_Static_assert(SMRI_NEAR_BOUNDS == 28, "twelve and a line");
	return (unsigned int)__builtin_popcount(smri_below_lines(head, smri_line(node, 1), all) >>
						4);
}

/*
 * The first line, with the first lanes of the third one in place of the header. In an inner node,
 * the last two of these are a slot, which a writer may be storing: they are left out, like the
 * header's.
 */
SMR_TARGET_avx512 smr_inline __m512i smri_ends(const struct smr_node *node, __m512i head)
{
	const char *third = (const char *)node + 2 * SMR_CACHE_LINE;

	return _mm512_inserti32x4(head, _mm_load_si128((const __m128i *)(const void *)third), 0);
}

SMR_TARGET_avx512 smr_inline unsigned int smri_below_inner_avx512(const struct smr_node *node,
								  __m512i head, __m512i all)
{
	const unsigned int bounds = ~0xcu;
	__m512i ends = smri_ends(node, head);

	_Static_assert(SMR_NINNER_CAP - 1 == 30, "twelve, a line and two");
	return (unsigned int)__builtin_popcount(smri_below_lines(ends, smri_line(node, 1), all) &
						bounds);
}

SMR_TARGET_avx512 smr_inline unsigned int smri_below_leaf_avx512(const struct smr_node *node,
								 __m512i head, __m512i all)
{
	__m512i ends = smri_ends(node, head);
	__m256i last = _mm256_loadu_si256((const __m256i_u *)(node->b32 + 32));
	__mmask32 most = smri_below_lines(ends, smri_line(node, 1), all);

	_Static_assert(SMR_NLEAF_CAP - 1 == 40, "twelve, a line, four and eight");
	return (unsigned int)__builtin_popcountl(
		_mm512_kunpackd(_mm256_cmpgt_epi32_mask(_mm512_castsi512_si256(all), last), most));
}

SMR_TARGET_avx512 smr_inline unsigned int smri_below_short_avx512(const struct smr_node *node,
								  int16_t limit)
{
	__m512i all = _mm512_set1_epi16(limit);
	uint64_t bits = _mm512_kunpackd(_mm512_cmpgt_epi16_mask(all, smri_line(node, 1)),
					_mm512_cmpgt_epi16_mask(all, smri_line(node, 0)));

	_Static_assert(2 * SMR_CACHE_LINE == offsetof(struct smr_node, b16[SMR_SLEAF_BOUNDS]),
		       "eight lanes of header, and bounds");
	return (unsigned int)__builtin_popcountl(bits >> 8);
}

/* One bit for each of a line's eight words that is not above the keys. */
SMR_TARGET_avx512 smr_inline __mmask8 smri_upto_line(const char *node, unsigned int line,
						     __m512i keys)
{
	return _mm512_cmple_epi64_mask(_mm512_load_si512(node + SMR_CACHE_LINE * line), keys);
}

/* The same for lines 0 to 3 of a wide node; the first two bits are the header's. */
SMR_TARGET_avx512 smr_inline __mmask32 smri_upto_lines(const int64_t *bound, int64_t key)
{
	const char *node = (const char *)bound - offsetof(struct smr_node, b64);
	__m512i keys = _mm512_set1_epi64(key);
	__mmask16 low = _mm512_kunpackb(smri_upto_line(node, 1, keys),
					smri_upto_line(node, 0, keys));
	__mmask16 high = _mm512_kunpackb(smri_upto_line(node, 3, keys),
					 smri_upto_line(node, 2, keys));

	return _mm512_kunpackw(high, low);
}

SMR_TARGET_avx512 smr_inline unsigned int smri_upto_inner_avx512(const int64_t *bound, int64_t key)
{
	const uint32_t bounds = ((1u << (SMR_WINNER_CAP - 1)) - 1) << 2;

	_Static_assert(offsetof(struct smr_node, b64) == 2 * sizeof(int64_t), "the header");
	return (unsigned int)__builtin_popcount(smri_upto_lines(bound, key) & bounds);
}

SMR_TARGET_avx512 smr_inline unsigned int smri_upto_leaf_avx512(const int64_t *bound, int64_t key)
{
	_Static_assert(SMR_WLEAF_CAP - 1 == 30, "all that is behind the header");
	return (unsigned int)__builtin_popcount(smri_upto_lines(bound, key) & ~3u);
}

/* ---- For gap.c ---- */

SMR_TARGET_avx512 smr_inline uint32_t smri_gaps_atleast_avx512(const uint32_t *gap,
							       enum smr_kind kind, uint32_t figure)
{
	const __mmask16 rest = smr_kind_wide(kind) ? (1 << (SMR_WINNER_CAP - 16)) - 1 : 0xffff;
	__m512i least = _mm512_set1_epi32((int32_t)figure);
	__mmask16 low = _mm512_cmpge_epu32_mask(_mm512_loadu_si512(gap), least);

	_Static_assert(SMR_NINNER_GAPS == 32, "two lines");
	return _mm512_kunpackw(
		_mm512_mask_cmpge_epu32_mask(rest, _mm512_maskz_loadu_epi32(rest, gap + 16), least),
		low);
}

/* The lengths of sixteen ranges from @k on, each with the @more after it. */
SMR_TARGET_avx512 smr_inline __m512i smri_lengths16(const int32_t *bound, unsigned int k,
						    unsigned int more)
{
	return _mm512_sub_epi32(_mm512_loadu_si512(bound + k + more),
				_mm512_loadu_si512(bound + k - 1));
}

SMR_TARGET_avx512 smr_inline uint64_t smri_lengths_atleast_avx512(const int32_t *bound,
								  int32_t units, unsigned int more)
{
	__m512i least = _mm512_set1_epi32(units);
	__mmask16 a = _mm512_cmpge_epi32_mask(smri_lengths16(bound, 1, more), least);
	__mmask16 b = _mm512_cmpge_epi32_mask(smri_lengths16(bound, 17, more), least);
	__mmask16 c = _mm512_cmpge_epi32_mask(smri_lengths16(bound, 33, more), least);

	_Static_assert(SMR_NLEAF_CAP - 1 == 40, "all bounds, and slots that mean nothing");
	return (_mm512_kunpackw(b, a) | (uint64_t)c << 32) << 1;
}

/* The lengths of 32 ranges of a short leaf from @k on, each with the @more after it. */
SMR_TARGET_avx512 smr_inline __m512i smri_lengths32(const int16_t *bound, unsigned int k,
						    unsigned int more)
{
	return _mm512_sub_epi16(_mm512_loadu_si512(bound + k + more),
				_mm512_loadu_si512(bound + k - 1));
}

SMR_TARGET_avx512 smr_inline uint64_t smri_lengths_atleast_short_avx512(const int16_t *bound,
									uint16_t units,
									unsigned int more)
{
	__m512i least = _mm512_set1_epi16((int16_t)units);
	__mmask32 a = _mm512_cmpge_epu16_mask(smri_lengths32(bound, 1, more), least);
	__mmask32 b = _mm512_cmpge_epu16_mask(smri_lengths32(bound, 33, more), least);

	return _mm512_kunpackd(b, a) << 1;
}

/* One bit for each word of a line that is 0. */
SMR_TARGET_avx512 smr_inline __mmask8 smri_null_line(const void *node, unsigned int line)
{
	__m512i words = _mm512_load_si512((const char *)node + SMR_CACHE_LINE * line);

	return _mm512_testn_epi64_mask(words, words);
}

/* Slots begin with a short leaf's third line, within a narrow one's, with a wide one's fifth. */
SMR_TARGET_avx512 smr_inline uint64_t smri_nulls_avx512(void *const *slots, enum smr_kind kind)
{
	const char *node = (const char *)slots - smr_kind_slots_at(kind);
	__mmask16 low = _mm512_kunpackb(smri_null_line(node, 5), smri_null_line(node, 4));
	__mmask16 high = _mm512_kunpackb(smri_null_line(node, 7), smri_null_line(node, 6));
	uint64_t bits = _mm512_kunpackw(high, low);
	__mmask16 before;

	_Static_assert(2 + SMR_SLEAF_BOUNDS / 4 == 16 && 2 + (SMR_NLEAF_CAP - 1) / 2 == 16 + 6 &&
			       2 + SMR_WLEAF_CAP - 1 == 32,
		       "with the header, in words");
	if (smr_kind_wide(kind))
		return bits;
	before = _mm512_kunpackb(smri_null_line(node, 3), smri_null_line(node, 2));
	return (bits << 16 | before) >> (smr_kind_short(kind) ? 0 : 6);
}

SMR_TARGET_avx512 smr_inline uint32_t smri_longest_avx512(const int32_t *bound, uint64_t ranges,
							  unsigned int more)
{
	__m512i a, b, c;

	ranges &= (UINT64_C(1) << (SMR_NLEAF_CAP - 1)) - 1;
	ranges >>= 1;
	a = _mm512_maskz_mov_epi32((__mmask16)ranges, smri_lengths16(bound, 1, more));
	b = _mm512_maskz_mov_epi32((__mmask16)(ranges >> 16), smri_lengths16(bound, 17, more));
	c = _mm512_maskz_mov_epi32((__mmask16)(ranges >> 32), smri_lengths16(bound, 33, more));
	a = _mm512_max_epi32(_mm512_max_epi32(a, b), c);
	return smri_largest32(
		_mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
}

SMR_TARGET_avx512 smr_inline uint32_t smri_longest_short_avx512(const int16_t *bound,
								uint64_t ranges, unsigned int more)
{
	__m512i a, b;

	ranges &= (UINT64_C(1) << (SMR_SLEAF_CAP - 1)) - 1;
	ranges >>= 1;
	a = _mm512_maskz_mov_epi16((__mmask32)ranges, smri_lengths32(bound, 1, more));
	b = _mm512_maskz_mov_epi16((__mmask32)(ranges >> 32), smri_lengths32(bound, 33, more));
	a = _mm512_max_epu16(a, b);
	return smri_largest16(
		_mm256_max_epu16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
}

/*
 * The lengths of eight ranges of a wide leaf from @k on, each with the @more after it; 0 for those
 * without a bit.
 */
SMR_TARGET_avx512 smr_inline __m512i smri_lengths8(const int64_t *bound, unsigned int k,
						   uint64_t ranges, unsigned int more)
{
	return _mm512_maskz_sub_epi64((__mmask8)(ranges >> k), _mm512_loadu_si512(bound + k + more),
				      _mm512_loadu_si512(bound + k - 1));
}

SMR_TARGET_avx512 smr_inline unsigned long smri_longest_wide_avx512(const int64_t *bound,
								    uint64_t ranges,
								    unsigned int more)
{
	__m512i v;
	__m256i half;

	ranges &= (UINT64_C(1) << (SMR_WLEAF_CAP - 1)) - 1;
	v = _mm512_max_epu64(_mm512_max_epu64(smri_lengths8(bound, 1, ranges, more),
					      smri_lengths8(bound, 9, ranges, more)),
			     _mm512_max_epu64(smri_lengths8(bound, 17, ranges, more),
					      smri_lengths8(bound, 25, ranges, more)));
	half = _mm256_max_epu64(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
	half = _mm256_max_epu64(half, _mm256_permute4x64_epi64(half, 0x4e));
	half = _mm256_max_epu64(half, _mm256_permute4x64_epi64(half, 0xb1));
	return (unsigned long)_mm_cvtsi128_si64(_mm256_castsi256_si128(half));
}

#endif
