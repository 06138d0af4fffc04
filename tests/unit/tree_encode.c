/* SPDX-License-Identifier: MIT */
/*
 * Nodes written and read back: whatever kind is chosen, its starts, slots and searches give what
 * went in.
 */
#include "support/cm.h"

#include "support/rng.h"
#include "support/units.h"
#include "tree/encode.h"
#include "tree/search.h"

#include <stdalign.h>
#include <stdlib.h>

static alignas(MT_NODE_SIZE) struct smr_node node;

/* Makes @n ascending starts from @start on, apart by up to @most multiples of @unit. */
static void make_items(struct smr_items *it, struct rng *rng, unsigned int n, unsigned long start,
		       unsigned long unit, unsigned long most)
{
	it->n = 0;
	for (unsigned int i = 0; i < n; i++) {
		smr_items_add(it, start, xa_mk_value(rng_below(rng, 1000)),
			      (uint32_t)rng_next(rng));
		start += unit * (1 + rng_below(rng, most));
	}
}

static unsigned int search(const void *enode, unsigned long key)
{
	return smr_enode_leaf(enode) ? smr_search_leaf(enode, key)
				     : smr_search_inner_any(enode, key);
}

/* Finds the range that holds @key by looking at each. */
static unsigned int plain_search(const struct smr_items *it, unsigned long key)
{
	unsigned int i = 0;

	while (i + 1 < it->n && it->start[i + 1] <= key)
		i++;
	return i;
}

static void compare(const struct smr_items *it, void *enode, unsigned long max, struct rng *rng)
{
	struct smr_items back = { 0 };
	bool leaf = smr_enode_leaf(enode);

	assert_int_equal(smr_count(enode), it->n);
	assert_ptr_equal(smr_node_of(enode), &node);
	for (unsigned int i = 0; i < it->n; i++) {
		if (i > 0)
			assert_int_equal(smr_start(enode, i), it->start[i]);
		assert_ptr_equal(smr_slots(enode)[i], it->slot[i]);
		if (!leaf)
			assert_int_equal(smr_gaps(enode)[i], it->gap[i]);
		assert_int_equal(search(enode, it->start[i]), i);
		if (i > 0)
			assert_int_equal(search(enode, it->start[i] - 1), i - 1);
	}
	assert_int_equal(search(enode, max), it->n - 1);
	for (unsigned int i = 0; i < 20; i++) {
		unsigned long key = it->start[0] + rng_below(rng, max - it->start[0]);

		assert_int_equal(search(enode, key), plain_search(it, key));
	}
	smr_items_add_node(&back, enode, 0, it->n, it->start[0]);
	assert_int_equal(back.n, it->n);
	for (unsigned int i = 0; i < it->n; i++) {
		assert_int_equal(back.start[i], it->start[i]);
		assert_ptr_equal(back.slot[i], it->slot[i]);
	}
}

struct spread {
	unsigned long start, unit, most;
	enum smr_kind kind; /* that a leaf must get; inner nodes are wide only where it is */
};

static const struct spread spreads[] = {
	{ 0, 1, 10, SMR_SLEAF },
	{ 0x80000000fff0UL, 1, 10, SMR_NLEAF }, /* across the end of a block */
	{ 5, NARROW_UNIT, 10, SMR_NLEAF },
	{ 0x7f0000001000UL, PAGE_UNIT, 1000, SMR_SLEAF },
	{ 0x7f000fff0000UL, PAGE_UNIT, 1000, SMR_NLEAF },
	{ 3, WIDE_UNIT, 4, SMR_WLEAF },
	{ 1UL << 63, 3UL << 50, 20, SMR_SLEAF },
	{ ULONG_MAX - 5000, 1, 100, SMR_SLEAF },
	{ 0, 3UL << 30, 3, SMR_SLEAF },
};

#define NR_SPREADS (sizeof(spreads) / sizeof(spreads[0]))

static void there_and_back(void **state)
{
	struct smr_items it = { 0 };
	struct smr_code code;

	(void)state;
	for (uint64_t n = 0; n < 4000; n++) {
		struct rng rng = rng_make(7, n);
		const struct spread *s = &spreads[rng_below(&rng, NR_SPREADS)];
		bool leaf = rng_one_in(&rng, 2);
		unsigned int items = 1 + (unsigned int)rng_below(&rng,
								 leaf ? smr_kind_cap(s->kind) : 25);
		unsigned long max;

		make_items(&it, &rng, items, s->start, s->unit, s->most);
		max = it.start[items - 1] + s->unit - 1;
		assert_true(smr_code_choose(&code, it.start, items, max, leaf, 0));
		assert_int_equal(smr_kind_leaf(code.kind), leaf);
		if (s->kind == SMR_WLEAF ? items > 4 : !leaf)
			assert_int_equal(smr_kind_wide(code.kind), smr_kind_wide(s->kind));
		else if (leaf && (s->kind == SMR_SLEAF || items > 25))
			assert_int_equal(code.kind, s->kind);
		compare(&it, smr_encode(&node, &code, &it, 0, items), max, &rng);
	}
}

/* Whether a leaf written with @code can begin ranges where @it has them. */
static bool can_write(const struct smr_code *code, const struct smr_items *it)
{
	for (unsigned int i = 1; i < it->n; i++)
		if (smr_kind_short(code->kind)
			    ? it->start[i] & ((1UL << code->shift) - 1)
			    : smr_kind_narrow(code->kind) &&
				      !smr_narrow_can_start(code->base, code->shift, it->start[i]))
			return false;
	return true;
}

/*
 * What three starts rule out cannot be written; what they leave, if it can be written, is chosen.
 */
static void guesses(void **state)
{
	unsigned int sure = 0, none = 0;

	(void)state;
	for (uint64_t n = 0; n < 20000; n++) {
		struct rng rng = rng_make(12, n);
		const struct spread *s = &spreads[rng_below(&rng, NR_SPREADS)];
		unsigned int items = 2 + (unsigned int)rng_below(&rng, SMR_SLEAF_CAP);
		struct smr_code code, guess;
		struct smr_items it = { 0 };
		unsigned long max;
		bool is, may;

		make_items(&it, &rng, items, s->start, s->unit, s->most);
		if (s->unit > 64 && rng_one_in(&rng, 2)) /* another alignment */
			it.start[rng_below(&rng, items)] &= ~0UL << rng_below(&rng, 6);
		max = it.start[items - 1] + s->unit - 1;
		is = smr_code_choose(&code, it.start, items, max, true, 4);
		may = smr_code_guess(
			&guess, (unsigned long[]){ it.start[0], it.start[1], it.start[items - 1] },
			items, max, 4);
		assert_true(may || !is);
		none += !may;
		if (!may || !can_write(&guess, &it))
			continue;
		sure++;
		assert_true(is);
		assert_int_equal(guess.kind, code.kind);
		assert_int_equal(guess.base, code.base);
		assert_int_equal(guess.shift, code.shift);
	}
	assert_true(sure > 10000 && none > 1000);
}

/* A part of the items begins at its own first start. */
static void parts(void **state)
{
	struct smr_items it = { 0 }, part = { 0 };
	struct smr_code code;

	(void)state;
	for (uint64_t n = 0; n < 500; n++) {
		struct rng rng = rng_make(8, n);
		unsigned int from = (unsigned int)rng_below(&rng, 40);
		unsigned int count = 1 + (unsigned int)rng_below(&rng, 25);

		make_items(&it, &rng, 70, 100, 8, 50);
		part.n = 0;
		for (unsigned int i = from; i < from + count; i++)
			smr_items_add(&part, it.start[i], it.slot[i], it.gap[i]);
		assert_true(smr_code_choose(&code, &it.start[from], count,
					    it.start[from + count] - 1, true, 0));
		compare(&part, smr_encode(&node, &code, &it, from, count),
			it.start[from + count] - 1, &rng);
	}
}

/* Starts of that spread need @kind, which takes as many items as it has room for, and no more. */
static void check_capacity(enum smr_kind kind, unsigned long start, unsigned long unit)
{
	struct rng rng = rng_make(9, kind);
	unsigned int cap = smr_kind_cap(kind);
	bool leaf = smr_kind_leaf(kind);
	struct smr_items it = { 0 };
	struct smr_code code;
	unsigned long max;

	make_items(&it, &rng, cap + 2, start, unit, 9);
	max = it.start[cap] - 1;
	assert_false(smr_code_choose(&code, it.start, cap, max, leaf, 1));
	assert_false(smr_code_choose(&code, it.start, cap + 1, it.start[cap + 1] - 1, leaf, 0));
	assert_true(smr_code_choose(&code, it.start, cap, max, leaf, 0));
	assert_int_equal(code.kind, kind);
	it.n = cap;
	compare(&it, smr_encode(&node, &code, &it, 0, cap), max, &rng);
}

static void capacities(void **state)
{
	(void)state;
	check_capacity(SMR_SLEAF, 0, 1);
	check_capacity(SMR_NLEAF, 1, NARROW_UNIT);
	check_capacity(SMR_NINNER, 1, NARROW_UNIT);
	check_capacity(SMR_WLEAF, 1, WIDE_UNIT);
	check_capacity(SMR_WINNER, 1, WIDE_UNIT);
}

/*
 * A short leaf's keys lie in one block, none of them in its last unit, where a limit would be the
 * first unit's; and its ranges begin at its alignment.
 */
static void blocks(void **state)
{
	const unsigned long block = 0x7f0000000000UL, size = 4096UL << SMR_SHORT_BITS;
	struct rng rng = rng_make(11, 0);
	struct smr_items it = { 0 };
	struct smr_code code;
	void *leaf;

	(void)state;
	smr_items_add(&it, block, xa_mk_value(1), 0);
	smr_items_add(&it, block + 4096, xa_mk_value(2), 0);
	smr_items_add(&it, block + size - 2 * 4096, xa_mk_value(3), 0);
	assert_true(smr_code_choose(&code, it.start, 3, block + size - 4096 - 1, true, 0));
	assert_int_equal(code.kind, SMR_SLEAF);
	leaf = smr_encode(&node, &code, &it, 0, 3);
	compare(&it, leaf, block + size - 4096 - 1, &rng);
	assert_true(smr_can_start(leaf, block + 8192));
	assert_false(smr_can_start(leaf, block + 8192 + 1));
	assert_true(smr_code_choose(&code, it.start, 3, block + size - 4096, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
	assert_true(smr_code_choose(&code, it.start, 3, block + size, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
	it.start[0]--; /* into the block before */
	assert_true(smr_code_choose(&code, it.start, 3, block + size - 4096 - 1, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
	it.start[0]++;
	it.start[1]++; /* off the alignment that the block's size needs */
	assert_true(smr_code_choose(&code, it.start, 3, block + size - 4096 - 1, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
}

/* Short leaves have the alignment of their starts, in steps of four bits where those reach. */
static void units(void **state)
{
	static const struct {
		unsigned long unit, last; /* units apart, but for the last one */
		unsigned int shift;
	} all[] = {
		{ 1, 3, 0 },
		{ 1UL << 6, 3, 4 },
		{ 1UL << 12, 3, 12 },
		{ 1UL << 12, 0xf000, 12 },
		{ 1UL << 14, 3, 12 },
		{ 1UL << 15, 0x1fe0, 12 },
		{ 1UL << 15, 0x2001, 15 }, /* further than 2^16 units of 1 << 12 */
		{ 1UL << 21, 3, 20 },
		{ 1UL << 52, 3, 44 },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		struct smr_items it = { 0 };
		struct smr_code code;

		for (unsigned long k = 0; k < 15; k++)
			smr_items_add(&it, k * all[i].unit, xa_mk_value(k), 0);
		smr_items_add(&it, (14 + all[i].last) * all[i].unit, xa_mk_value(15), 0);
		assert_true(smr_code_choose(&code, it.start, it.n,
					    it.start[it.n - 1] + all[i].unit - 1, true, 0));
		assert_int_equal(code.kind, SMR_SLEAF);
		assert_int_equal(code.shift, all[i].shift);
	}
}

/* The last key of all: as a start it equals the padding in a wide node. */
static void the_last_key(void **state)
{
	struct rng rng = rng_make(10, 0);
	struct smr_items it = { 0 };
	struct smr_code code;

	(void)state;
	smr_items_add(&it, 1, xa_mk_value(1), 0);
	smr_items_add(&it, (1UL << 41) + 1, xa_mk_value(2), 0);
	smr_items_add(&it, ULONG_MAX, xa_mk_value(3), 0);
	assert_true(smr_code_choose(&code, it.start, 3, ULONG_MAX, true, 0));
	compare(&it, smr_encode(&node, &code, &it, 0, 3), ULONG_MAX, &rng);
}

/* Ranges of a narrow leaf begin where its bounds reach: not before its base, nor too far behind. */
static void reach(void **state)
{
	const unsigned long unit = 1UL << 31, base = -3UL << 60;
	struct smr_items it = { 0 };
	struct smr_code code;
	void *leaf;

	(void)state;
	smr_items_add(&it, 0, xa_mk_value(1), 0);
	smr_items_add(&it, PAGE_UNIT, xa_mk_value(2), 0);
	smr_items_add(&it, 1UL << 40, xa_mk_value(3), 0);
	assert_true(smr_code_choose(&code, it.start, 3, ULONG_MAX, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
	leaf = smr_encode(&node, &code, &it, 0, 3);
	assert_true(smr_can_start(leaf, SMR_NARROW_MAX * PAGE_UNIT));
	assert_false(smr_can_start(leaf, (SMR_NARROW_MAX + 1UL) * PAGE_UNIT));
	/* The first range has no bound. From the base, its start is less than the largest. */
	it.start[1] = base;
	it.start[2] = base + (1UL << 61) + unit;
	assert_true(smr_code_choose(&code, it.start, 3, ULONG_MAX, true, 0));
	assert_int_equal(code.kind, SMR_NLEAF);
	assert_int_equal(code.base, base);
	leaf = smr_encode(&node, &code, &it, 0, 3);
	assert_true((unit - base) >> code.shift <= SMR_NARROW_MAX);
	assert_false(smr_can_start(leaf, unit));
	assert_true(smr_can_start(leaf, base + unit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(guesses),
		cmocka_unit_test(parts),          cmocka_unit_test(capacities),
		cmocka_unit_test(blocks),         cmocka_unit_test(units),
		cmocka_unit_test(the_last_key),   cmocka_unit_test(reach),
	};

	return cmocka_run_group_tests_name("tree_encode", tests, NULL, NULL);
}
