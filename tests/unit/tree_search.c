/* SPDX-License-Identifier: MIT */
/*
 * Searching a node gives what looking at each range gives, with every instruction set of this
 * machine.
 */
#include "support/cm.h"

#include "support/rng.h"
#include "tree/encode.h"
#include "tree/run.h"
#include "tree/search_simd.h"

#include <stdalign.h>

static alignas(MT_NODE_SIZE) struct smr_node node;

static bool have_any(void)
{
	return true;
}

#if SMR_HAVE_AVX2
static bool have_avx2(void)
{
	return smr_isa_have_avx2();
}

static bool have_avx512(void)
{
	return smr_isa_have_avx512();
}
#endif

/* Returns how many of @below bounds are among a node's first @n. */
static unsigned int among(unsigned int below, unsigned int n)
{
	return below < n ? below : n;
}

/* Keys on, just below and just above each bound are all that can be told apart. */
#define DEFINE_COUNTS(isa)                                                                        \
	SMR_TARGET_##isa static unsigned int below_inner_##isa(smri_limits_##isa limits)          \
	{                                                                                         \
		return smri_below_inner_##isa(&node, smri_head_of_##isa(&node), limits);          \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static unsigned int below_leaf_##isa(smri_limits_##isa limits)           \
	{                                                                                         \
		return smri_below_leaf_##isa(&node, smri_head_of_##isa(&node), limits);           \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static unsigned int below_near_##isa(smri_limits_##isa limits)           \
	{                                                                                         \
		return smri_below_near_##isa(&node, smri_head_of_##isa(&node), limits);           \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static unsigned int below_few_##isa(smri_limits_##isa limits)            \
	{                                                                                         \
		return smri_below_few_##isa(&node, smri_head_of_##isa(&node), limits);            \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static void counts_of_##isa(enum smr_kind kind, int64_t key,             \
						     unsigned int below, unsigned int upto)       \
	{                                                                                         \
		smri_limits_##isa limits = smri_limits_of_##isa((int32_t)key);                    \
                                                                                                  \
		if (smr_kind_narrow(kind)) {                                                      \
			assert_int_equal(below_near_##isa(limits),                                \
					 among(below, SMRI_NEAR_BOUNDS));                         \
			assert_int_equal(below_few_##isa(limits), among(below, SMRI_FEW_BOUNDS)); \
		}                                                                                 \
		if (kind == SMR_NINNER)                                                           \
			assert_int_equal(below_inner_##isa(limits), below);                       \
		else if (kind == SMR_NLEAF)                                                       \
			assert_int_equal(below_leaf_##isa(limits), below);                        \
		else if (kind == SMR_WINNER)                                                      \
			assert_int_equal(smri_upto_inner_##isa(node.b64, key), upto);             \
		else if (kind == SMR_SLEAF)                                                       \
			assert_int_equal(smri_below_short_##isa(&node, (int16_t)key), below);     \
		else                                                                              \
			assert_int_equal(smri_upto_leaf_##isa(node.b64, key), upto);              \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static unsigned int search_##isa(const void *enode, unsigned long key)   \
	{                                                                                         \
		struct smr_aim_##isa aim;                                                         \
		unsigned int i;                                                                   \
                                                                                                  \
		if (smr_enode_leaf(enode))                                                        \
			return smr_search_leaf_##isa(enode, key);                                 \
		if (smr_enode_ninner(enode)) {                                                    \
			smr_child_from_top_##isa(&aim, enode, key, &i);                           \
			assert_int_equal(i, smr_search_inner_##isa(enode, key));                  \
		}                                                                                 \
		return smr_search_inner_##isa(enode, key);                                        \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static bool measured_##isa(const struct smr_node *as)                    \
	{                                                                                         \
		return smri_same_measure_##isa(smri_measure_of_##isa(smri_head_of_##isa(as)),     \
					       as->shift, smri_head_of_##isa(&node));             \
	}                                                                                         \
                                                                                                  \
	SMR_TARGET_##isa static void below_each_##isa(const int32_t *limit, int32_t *below,       \
						      unsigned int n)                             \
	{                                                                                         \
		smri_below_each_##isa(&node, limit, below, n);                                    \
	}

SMR_EACH_ISA(DEFINE_COUNTS)

struct isa {
	bool (*have)(void);
	void (*counts_of)(enum smr_kind kind, int64_t key, unsigned int below, unsigned int upto);
	unsigned int (*search)(const void *enode, unsigned long key);
	bool (*measured)(const struct smr_node *as);
	void (*below_each)(const int32_t *limit, int32_t *below, unsigned int n);
};

#define ISA(isa) { have_##isa, counts_of_##isa, search_##isa, measured_##isa, below_each_##isa },
static const struct isa isas[] = { SMR_EACH_ISA(ISA) };

static int64_t bound_of(enum smr_kind kind, unsigned int i)
{
	return smr_kind_bound(&node, kind, i);
}

static void check_count(enum smr_kind kind, int64_t key)
{
	unsigned int below = 0, upto = 0;

	for (unsigned int i = 0; i < smr_kind_bounds(kind); i++) {
		below += bound_of(kind, i) < key;
		upto += bound_of(kind, i) <= key;
	}
	for (size_t k = 0; k < ARRAY_SIZE(isas); k++)
		if (isas[k].have())
			isas[k].counts_of(kind, key, below, upto);
}

/*
 * Makes @used bounds. The rest of the node is full of values that would count if they were looked
 * at.
 */
static void make_bounds(enum smr_kind kind, unsigned int used, struct rng *rng)
{
	unsigned long most = smr_kind_wide(kind)    ? 1UL << 58
			     : smr_kind_short(kind) ? 1UL << 10
						    : 1UL << 25;
	int64_t at = smr_kind_wide(kind) ? INT64_MIN : smr_kind_short(kind) ? INT16_MIN : 0;

	for (size_t i = 0; i < ARRAY_SIZE(node.b64); i++)
		node.b64[i] = INT64_MIN;
	for (unsigned int i = 0; i < used; i++) {
		at += 1 + (int64_t)rng_below(rng, rng_one_in(rng, 4) ? most : 3);
		if (smr_kind_wide(kind))
			node.b64[i] = at;
		else if (smr_kind_short(kind))
			node.b16[i] = (int16_t)at;
		else
			node.b32[i] = (int32_t)at;
	}
	smr_bounds_pad(&node, kind, used, smr_kind_bounds(kind));
}

#define DEFINE_BITS(isa)                                                                           \
	SMR_TARGET_##isa static uint64_t gaps_from_##isa(enum smr_kind kind, uint32_t figure)      \
	{                                                                                          \
		return smri_gaps_atleast_##isa(smr_gaps(smr_enode_make(&node, kind)), kind,        \
					       figure) &                                           \
		       ((1UL << smr_kind_cap(kind)) - 1);                                          \
	}                                                                                          \
                                                                                                   \
	SMR_TARGET_##isa static uint64_t lengths_from_##isa(enum smr_kind kind, int32_t units,     \
							    unsigned int more)                     \
	{                                                                                          \
		return smr_kind_short(kind)                                                        \
			       ? smri_lengths_atleast_short_##isa(node.b16, (uint16_t)units, more) \
			       : smri_lengths_atleast_##isa(node.b32, units, more);                \
	}                                                                                          \
                                                                                                   \
	SMR_TARGET_##isa static uint64_t nulls_##isa(enum smr_kind kind)                           \
	{                                                                                          \
		return smri_nulls_##isa(smr_kind_slots(&node, kind), kind);                        \
	}                                                                                          \
                                                                                                   \
	SMR_TARGET_##isa static uint64_t longest_##isa(enum smr_kind kind, uint64_t ranges,        \
						       unsigned int more)                          \
	{                                                                                          \
		return smr_kind_wide(kind)    ? smri_longest_wide_##isa(node.b64, ranges, more)    \
		       : smr_kind_short(kind) ? smri_longest_short_##isa(node.b16, ranges, more)   \
					      : smri_longest_##isa(node.b32, ranges, more);        \
	}

SMR_EACH_ISA(DEFINE_BITS)

struct bits {
	bool (*have)(void);
	uint64_t (*gaps_from)(enum smr_kind kind, uint32_t figure);
	uint64_t (*lengths_from)(enum smr_kind kind, int32_t units, unsigned int more);
	uint64_t (*nulls)(enum smr_kind kind);
	uint64_t (*longest)(enum smr_kind kind, uint64_t ranges, unsigned int more);
};

#define BITS(isa) { have_##isa, gaps_from_##isa, lengths_from_##isa, nulls_##isa, longest_##isa },
static const struct bits bits[] = { SMR_EACH_ISA(BITS) };

static void check_gaps(enum smr_kind kind, uint32_t figure)
{
	const uint32_t *gap = smr_gaps(smr_enode_make(&node, kind));
	uint64_t want = 0;

	for (unsigned int i = 0; i < smr_kind_cap(kind); i++)
		if (gap[i] >= figure)
			want |= 1UL << i;
	for (size_t k = 0; k < ARRAY_SIZE(bits); k++)
		if (bits[k].have())
			assert_int_equal(bits[k].gaps_from(kind, figure), want);
}

/* Figures of all sizes, each searched for exactly and by a little more or less. */
static void gap_figures(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 2000; n++) {
		struct rng rng = rng_make(13, n);
		enum smr_kind kind = rng_one_in(&rng, 2) ? SMR_NINNER : SMR_WINNER;
		uint32_t *gap = smr_gaps(smr_enode_make(&node, kind));

		for (unsigned int i = 0; i < smr_kind_cap(kind); i++)
			gap[i] = (uint32_t)rng_next(&rng) >> (1 + rng_below(&rng, 31));
		for (unsigned int i = 0; i < smr_kind_cap(kind); i++) {
			check_gaps(kind, gap[i] + 1);
			if (gap[i])
				check_gaps(kind, gap[i]);
			if (gap[i] > 1)
				check_gaps(kind, gap[i] - 1);
		}
	}
}

static void check_lengths(enum smr_kind kind, unsigned int used, int32_t units, unsigned int more)
{
	uint64_t want = 0, known = used > more ? (1UL << (used - more)) - 2 : 0;

	for (unsigned int i = 1; i + more < used; i++)
		if (bound_of(kind, i + more) - bound_of(kind, i - 1) >= units)
			want |= 1UL << i;
	for (size_t k = 0; k < ARRAY_SIZE(bits); k++)
		if (bits[k].have())
			assert_int_equal(bits[k].lengths_from(kind, units, more) & known, want);
}

static int32_t length_of(enum smr_kind kind, unsigned int i, unsigned int more)
{
	return (int32_t)(bound_of(kind, i + more) - bound_of(kind, i - 1));
}

/* Lengths of single ranges, and of as many together as a gap can have pieces. */
static void check_all_lengths(enum smr_kind kind)
{
	for (unsigned int used = 0; used <= smr_kind_cap(kind) - 1; used++) {
		struct rng rng = rng_make(14, used);

		make_bounds(kind, used, &rng);
		for (unsigned int more = 0; more < SMR_RUN_MAX; more++) {
			for (int32_t units = 1; units < 6; units++)
				check_lengths(kind, used, units, more);
			for (unsigned int i = 1; i + more < used; i++)
				check_lengths(kind, used, length_of(kind, i, more), more);
			check_lengths(kind, used, smr_kind_short(kind) ? UINT16_MAX : INT32_MAX,
				      more);
		}
	}
}

static void lengths(void **state)
{
	(void)state;
	check_all_lengths(SMR_SLEAF);
	check_all_lengths(SMR_NLEAF);
}

static void check_nulls(enum smr_kind kind)
{
	void **slots = smr_kind_slots(&node, kind);
	unsigned int cap = smr_kind_cap(kind);
	uint64_t all = (1UL << cap) - 1, want;

	for (uint64_t n = 0; n < 2000; n++) {
		struct rng rng = rng_make(16, n);

		want = rng_next(&rng) & all;
		for (unsigned int i = 0; i < cap;
		     i++) /* low words are 0 in some, high ones in others */
			slots[i] = want >> i & 1 ? NULL
						 : (void *)(rng_one_in(&rng, 2) ? 8UL : 8UL << 40);
		for (size_t k = 0; k < ARRAY_SIZE(bits); k++)
			if (bits[k].have())
				assert_int_equal(bits[k].nulls(kind) & all, want);
	}
}

static void nulls(void **state)
{
	(void)state;
	check_nulls(SMR_SLEAF);
	check_nulls(SMR_NLEAF);
	check_nulls(SMR_WLEAF);
}

/* With @more ranges behind each of @ranges, without the leaf's last. */
static void check_longest(enum smr_kind kind, unsigned int end, uint64_t ranges, unsigned int more)
{
	uint64_t want = 0, length;

	ranges &= (1UL << (end > more ? end - more : 0)) - 1;
	for (unsigned int i = 1; i + more < end; i++) {
		length = (uint64_t)bound_of(kind, i + more) - (uint64_t)bound_of(kind, i - 1);
		if (ranges >> i & 1 && length > want)
			want = length;
	}
	for (size_t k = 0; k < ARRAY_SIZE(bits); k++)
		if (bits[k].have())
			assert_int_equal(bits[k].longest(kind, ranges, more), want);
}

/* Leaves of all sizes, asked for few ranges or many. */
static void check_longests(enum smr_kind kind)
{
	for (unsigned int end = 1; end < smr_kind_cap(kind); end++) {
		struct rng rng = rng_make(15, end);

		for (unsigned int n = 1; n < 200; n++) {
			uint64_t ranges = rng_next(&rng);

			if (n % 3 == 0)
				ranges &= rng_next(&rng) & rng_next(&rng);
			make_bounds(kind, end, &rng);
			/* The last range is longer than half of all keys. */
			if (kind == SMR_WLEAF && n % 2)
				node.b64[end - 1] = INT64_MAX - 1;
			if (kind == SMR_SLEAF && n % 2)
				node.b16[end - 1] = INT16_MAX - 1;
			for (unsigned int more = 0; more < SMR_RUN_MAX; more++)
				check_longest(kind, end, ranges & ~1UL, more);
		}
	}
}

static void longests(void **state)
{
	(void)state;
	check_longests(SMR_SLEAF);
	check_longests(SMR_NLEAF);
	check_longests(SMR_WLEAF);
}

static void counts(void **state)
{
	static const enum smr_kind kinds[] = { SMR_NINNER, SMR_NLEAF, SMR_WINNER, SMR_WLEAF,
					       SMR_SLEAF };

	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(kinds); k++) {
		enum smr_kind kind = kinds[k];

		for (unsigned int used = 0; used <= smr_kind_cap(kind) - 1; used++) {
			struct rng rng = rng_make(11, 100 * kind + used);

			make_bounds(kind, used, &rng);
			for (unsigned int i = 0; i < used; i++) {
				check_count(kind, bound_of(kind, i) - 1);
				check_count(kind, bound_of(kind, i));
				check_count(kind, bound_of(kind, i) + 1);
			}
			check_count(kind, 0);
			if (kind == SMR_SLEAF) {
				check_count(kind, INT16_MIN);
				check_count(kind, INT16_MAX);
				continue;
			}
			check_count(kind, INT32_MAX);
			check_count(kind, smr_kind_wide(kind) ? INT64_MAX - 1 : INT32_MAX);
		}
	}
}

/* More and more limits side by side; nothing is written behind the last. */
static void check_each(const struct isa *isa, unsigned int used, const int32_t *limit)
{
	int32_t below[4 * SMRI_EACH], want;

	for (unsigned int n = SMRI_EACH; n <= ARRAY_SIZE(below); n++) {
		memset(below, -1, sizeof(below));
		isa->below_each(limit, below, n);
		for (unsigned int i = 0; i < n; i++) {
			want = 0;
			for (unsigned int b = 0; b < used; b++)
				want += node.b32[b] < limit[i];
			assert_int_equal(below[i], want);
		}
		for (unsigned int i = n; i < ARRAY_SIZE(below); i++)
			assert_int_equal(below[i], -1);
	}
}

static void limits_side_by_side(void **state)
{
	int32_t limit[4 * SMRI_EACH];

	(void)state;
	for (unsigned int used = 1; used < SMR_NINNER_CAP; used++) {
		struct rng rng = rng_make(12, used);

		make_bounds(SMR_NINNER, used, &rng);
		node.count = (uint8_t)(used + 1);
		for (unsigned int i = 0; i < ARRAY_SIZE(limit); i++)
			limit[i] = rng_one_in(&rng, 9) ? (rng_one_in(&rng, 2) ? 0 : INT32_MAX)
						       : node.b32[rng_below(&rng, used)] +
								 (int32_t)rng_below(&rng, 3) - 1;
		for (size_t k = 0; k < ARRAY_SIZE(isas); k++)
			if (isas[k].have())
				check_each(&isas[k], used, limit);
	}
}

/* Returns a key around @base, near or as far as keys go. */
static unsigned long key_about(unsigned long base, struct rng *rng)
{
	unsigned long by = rng_next(rng) >> rng_below(rng, 64);

	return rng_one_in(rng, 2) ? base + by : base - by;
}

static int32_t limit_of(unsigned long key)
{
	unsigned long units;

	if (key < node.base)
		return 0;
	units = (key - node.base) >> node.shift;
	return units > SMR_NARROW_MAX ? INT32_MAX : (int32_t)(units + 1);
}

/* Most keys are near, so that some batches are all near and in others one key is not. */
static void limits_of_many(void **state)
{
	unsigned long key[20];
	int32_t limit[ARRAY_SIZE(key)];
	struct rng rng = rng_make(13, 0);

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		node.shift = (uint8_t)rng_below(&rng, 64);
		node.base = rng_next(&rng) >> rng_below(&rng, 64);
		for (unsigned int i = 0; i < ARRAY_SIZE(key); i++)
			key[i] = rng_one_in(&rng, 50)
					 ? key_about(node.base, &rng)
					 : node.base + (rng_below(&rng, 1UL << 31) << node.shift);
		smri_limit_each(&node, key, limit, ARRAY_SIZE(key));
		for (unsigned int i = 0; i < ARRAY_SIZE(key); i++) {
			assert_int_equal(limit[i], limit_of(key[i]));
			assert_int_equal(smri_limit(&node, key[i]), limit_of(key[i]));
		}
	}
}

/* From a base of 0 the last key is as many units away as there are keys, and counts as one more. */
static void limits_of_the_last_key(void **state)
{
	unsigned long key[] = { ULONG_MAX, 0, 1, 2 };
	int32_t limit[ARRAY_SIZE(key)];

	(void)state;
	node.base = 0;
	for (node.shift = 0; node.shift < 64; node.shift++) {
		smri_limit_each(&node, key, limit, ARRAY_SIZE(key));
		for (unsigned int i = 0; i < ARRAY_SIZE(key); i++)
			assert_int_equal(limit[i], limit_of(key[i]));
	}
}

/*
 * Looks for @key if a node of these items that ends at @max may be asked for it: a short leaf only
 * takes its own keys.
 */
static void check_search(const struct smr_items *it, const void *enode, unsigned long max,
			 unsigned long key)
{
	unsigned int expected = 0;

	if (key > max || (key < it->start[0] && smr_enode_is(enode, SMR_SLEAF)))
		return;
	while (expected + 1 < it->n && it->start[expected + 1] <= key)
		expected++;
	for (size_t k = 0; k < ARRAY_SIZE(isas); k++)
		if (isas[k].have())
			assert_int_equal(isas[k].search(enode, key), expected);
}

static void check_searches(const struct smr_items *it, const void *enode, unsigned long max,
			   struct rng *rng)
{
	for (unsigned int i = 0; i < it->n; i++) {
		check_search(it, enode, max, it->start[i]);
		check_search(it, enode, max, it->start[i] + 1);
		if (it->start[i] > 0)
			check_search(it, enode, max, it->start[i] - 1);
		check_search(it, enode, max, rng_next(rng));
		check_search(it, enode, max, it->start[0] + rng_below(rng, max - it->start[0]));
	}
	check_search(it, enode, max, max);
	check_search(it, enode, max, 0);
}

/* Draws up to @most items of any spread and alignment; returns where the last one ends. */
static unsigned long draw_items(struct smr_items *it, unsigned int most, struct rng *rng)
{
	unsigned int items = 1 + (unsigned int)rng_below(rng, most);
	unsigned int shift = (unsigned int)rng_below(rng, 40);
	unsigned long unit = rng_one_in(rng, 2) ? 4096 : 1UL << rng_below(rng, 20);
	unsigned long start = (rng_next(rng) >> rng_below(rng, 60)) / unit * unit;

	it->n = 0;
	for (unsigned int i = 0; i < items; i++) {
		smr_items_add(it, start, NULL, 0);
		if (!smr_range_last(start, unit * (1 + rng_below(rng, 1UL << shift)) + 1, &start))
			return ULONG_MAX;
	}
	return rng_one_in(rng, 2) ? start - 1 : ULONG_MAX;
}

/* Nodes as encoded, of every kind, from one item to as many as fit. */
static void searches(void **state)
{
	static const enum smr_kind kinds[] = { SMR_SLEAF, SMR_NLEAF, SMR_WLEAF, SMR_NINNER,
					       SMR_WINNER };
	unsigned int full[ARRAY_SIZE(kinds)] = { 0 };
	struct smr_items it = { 0 };
	struct smr_code code;

	(void)state;
	for (uint64_t n = 0; n < 3000; n++) {
		struct rng rng = rng_make(12, n);
		bool leaf = rng_one_in(&rng, 2);
		unsigned long max = draw_items(&it, leaf ? SMR_SLEAF_CAP : SMR_NINNER_CAP, &rng);

		while (!smr_code_choose(&code, it.start, it.n, max, leaf, 0))
			it.n--;
		check_searches(&it, smr_encode(&node, &code, &it, 0, it.n), max, &rng);
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			full[k] += kinds[k] == code.kind && it.n == smr_kind_cap(code.kind);
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		assert_true(full[k] > 0);
}

static void check_measured(const struct smr_node *as, bool want)
{
	for (size_t k = 0; k < ARRAY_SIZE(isas); k++)
		if (isas[k].have())
			assert_int_equal(isas[k].measured(as), want);
}

/*
 * A key converted for one node serves another if no bit of base and shift differs, whatever else
 * does.
 */
static void measures(void **state)
{
	static alignas(MT_NODE_SIZE) struct smr_node other;
	unsigned char *byte = (unsigned char *)&other;

	(void)state;
	for (uint64_t n = 0; n < 100; n++) {
		struct rng rng = rng_make(16, n);

		for (size_t i = 0; i < ARRAY_SIZE(node.b64); i++) {
			node.b64[i] = (int64_t)rng_next(&rng);
			other.b64[i] = (int64_t)rng_next(&rng);
		}
		node.base = other.base = rng_next(&rng);
		node.shift = other.shift = (uint8_t)rng_below(&rng, 64);
		for (unsigned int i = 0; i < 8 * offsetof(struct smr_node, b32); i++) {
			byte[i / 8] ^= (unsigned char)(1u << i % 8);
			check_measured(&other, i / 8 > offsetof(struct smr_node, shift));
			byte[i / 8] ^= (unsigned char)(1u << i % 8);
		}
		check_measured(&other, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),         cmocka_unit_test(searches),
		cmocka_unit_test(gap_figures),    cmocka_unit_test(lengths),
		cmocka_unit_test(nulls),          cmocka_unit_test(longests),
		cmocka_unit_test(measures),       cmocka_unit_test(limits_side_by_side),
		cmocka_unit_test(limits_of_many), cmocka_unit_test(limits_of_the_last_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
