/* SPDX-License-Identifier: MIT */
/*
 * The software GPU's memory, page tables and TLBs, each against a plain model: an array of pages.
 * Page tables may lack any entry, so what is found must be right, and what was just entered must be
 * found.
 */
#include "softgpu.h"
#include "support/cm.h"
#include "support/rng.h"
#include <errno.h>
#include <string.h>

#define MIB2 ((uint64_t)1 << 21)
#define GIB ((uint64_t)1 << 30)
#define PAGES 4096u
#define OPS 4000

static struct sg_pool tables, frames;
static struct sg_pagetable pt;

/* Page i lies at base + i * SG_PAGE: across the border between two entries of every level. */
static const uint64_t base = SG_VA_END / 2 - PAGES / 2 * SG_PAGE;
static struct page {
	struct sg_object *obj;
	uint64_t offset;
	bool mapped;
} model[PAGES];

static struct sg_object *some_object(uint64_t n)
{
	static struct sg_object objects[4];

	return n % 5 == 4 ? NULL : &objects[n % 5]; /* only addresses matter; NULL is sparse */
}

static int begin(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	sg_pool_init(&tables, sizeof(struct sg_table));
	sg_pool_init(&frames, SG_PAGE);
	sg_pt_init(&pt, &tables);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sg_pt_fini(&pt);
	assert_int_equal(tables.held, 0);
	assert_int_equal(frames.held, 0);
	sg_pool_fini(&tables);
	sg_pool_fini(&frames);
	return 0;
}

static void map(uint64_t addr, uint64_t range, struct sg_object *obj, uint64_t offset)
{
	struct sg_reserve r = { 0 };

	assert_int_equal(sg_pool_reserve(&tables, &r, sg_pt_tables(addr, range)), 0);
	sg_pt_map(&pt, addr, range, obj, offset, &r);
	sg_pool_release(&tables, &r);
}

static void expect_page(unsigned int i, bool must_be_there)
{
	struct sg_translation tr;
	bool found = sg_pt_walk(&pt, base + i * SG_PAGE + i % SG_PAGE, &tr);

	if (found) {
		assert_true(model[i].mapped);
		assert_ptr_equal(tr.obj, model[i].obj);
		assert_int_equal(tr.offset, model[i].offset);
	} else {
		assert_false(must_be_there && model[i].mapped);
	}
}

static void map_some(unsigned int from, unsigned int nr, struct rng *rng)
{
	struct sg_object *obj = some_object(rng_next(rng));
	uint64_t offset = rng_below(rng, 1 << 20) * SG_PAGE;

	for (unsigned int i = 0; i < nr; i++)
		model[from + i] = (struct page){ obj, offset + i * SG_PAGE, true };
	map(base + from * SG_PAGE, nr * SG_PAGE, obj, offset);
	for (unsigned int i = 0; i < nr; i++)
		expect_page(from + i, true);
}

static void clear_some(unsigned int from, unsigned int nr)
{
	memset(&model[from], 0, nr * sizeof(model[0]));
	sg_pt_clear(&pt, base + from * SG_PAGE, nr * SG_PAGE);
}

/*
 * A fault: enters the largest stretch of one mapping around the page, as gpuvm_find() would give.
 */
static void fault(unsigned int i, struct sg_reserve *r)
{
	unsigned int from = i, to = i;
	struct gpuva va = { 0 };
	struct sg_translation tr;

	if (!model[i].mapped || sg_pt_walk(&pt, base + i * SG_PAGE, &tr))
		return;
	while (from > 0 && model[from - 1].mapped && model[from - 1].obj == model[i].obj &&
	       model[from - 1].offset + SG_PAGE == model[from].offset)
		from--;
	while (to < PAGES - 1 && model[to + 1].mapped && model[to + 1].obj == model[i].obj &&
	       model[to].offset + SG_PAGE == model[to + 1].offset)
		to++;
	va.va.addr = base + from * SG_PAGE;
	va.va.range = (to - from + 1) * SG_PAGE;
	va.gem.obj = model[i].obj ? &model[i].obj->base : NULL;
	va.gem.offset = model[from].offset;
	assert_true(sg_pt_fill(&pt, &va, base + i * SG_PAGE, sg_pt_generation(&pt), r));
	expect_page(i, r->nr >= SG_LEVELS);
	assert_false(sg_pt_fill(&pt, &va, base + i * SG_PAGE, sg_pt_generation(&pt) + 1, r));
}

static void tables_are_right(void **state)
{
	struct sg_reserve spare = { 0 };

	(void)state;
	for (uint64_t n = 0; n < OPS; n++) {
		struct rng rng = rng_make(7, n);
		unsigned int from = (unsigned int)rng_below(&rng, PAGES);
		unsigned int most = rng_one_in(&rng, 3) ? PAGES - from : 20;
		unsigned int nr;

		if (most > PAGES - from)
			most = PAGES - from;
		nr = 1 + (unsigned int)rng_below(&rng, most);
		switch (rng_below(&rng, 4)) {
		case 0:
			map_some(from, nr, &rng);
			break;
		case 1:
			clear_some(from, nr);
			break;
		default:
			if (spare.nr < SG_LEVELS && rng_one_in(&rng, 2))
				assert_int_equal(sg_pool_reserve(&tables, &spare, SG_LEVELS), 0);
			fault(from, &spare);
		}
		sg_pt_trim(&pt);
		for (unsigned int i = 0; i < 50; i++)
			expect_page((unsigned int)rng_below(&rng, PAGES), false);
		assert_int_equal(tables.held, pt.tables + spare.nr);
	}
	clear_some(0, PAGES);
	sg_pt_trim(&pt);
	assert_int_equal(pt.tables, 0);
	sg_pool_release(&tables, &spare);
}

/* What a range can need at most is known beforehand, and is little however large the range is. */
static void tables_for_a_range(void **state)
{
	static const struct {
		uint64_t addr, range;
		unsigned int tables;
	} ranges[] = {
		{ 0, SG_VA_END, 0 },
		{ 0, GIB, 1 },
		{ SG_PAGE, SG_PAGE, 3 },
		{ 0, SG_PAGE, 3 },
		{ MIB2, MIB2, 2 },
		{ MIB2 - SG_PAGE, 2 * SG_PAGE, 4 },
		{ GIB - SG_PAGE, 2 * SG_PAGE, 5 },
		{ 512 * GIB - SG_PAGE, 2 * SG_PAGE, 6 },
		{ SG_PAGE, SG_VA_END - 2 * SG_PAGE, 6 },
		{ SG_PAGE, SG_VA_END - SG_PAGE, 3 },
		{ 512 * GIB, 1024 * GIB, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct sg_translation tr;
		uint64_t last = ranges[i].addr + ranges[i].range - 1;

		assert_int_equal(sg_pt_tables(ranges[i].addr, ranges[i].range), ranges[i].tables);
		map(ranges[i].addr, ranges[i].range, some_object(1), 0);
		assert_int_equal(pt.tables, ranges[i].tables);
		assert_true(sg_pt_walk(&pt, last, &tr));
		assert_int_equal(tr.offset, ranges[i].range - SG_PAGE);
		assert_true(sg_pt_walk(&pt, ranges[i].addr, &tr));
		assert_true(ranges[i].addr == 0 || !sg_pt_walk(&pt, ranges[i].addr - 1, &tr));
		assert_false(sg_pt_walk(&pt, last + 1, &tr));
		sg_pt_clear(&pt, ranges[i].addr, ranges[i].range);
		sg_pt_trim(&pt);
		assert_int_equal(pt.tables, 0);
	}
}

/*
 * What an engine does: refresh, find, or walk and enter. What it finds must be what the model has.
 */
static void the_tlb_is_right(void **state)
{
	static struct sg_tlb tlb;

	(void)state;
	memset(&tlb, 0, sizeof(tlb));
	for (uint64_t n = 0; n < OPS; n++) {
		struct rng rng = rng_make(8, n);
		unsigned int from = (unsigned int)rng_below(&rng, PAGES - 64);

		if (rng_one_in(&rng, 40)) { /* more than the log holds */
			for (int i = 0; i < SG_LOG + 8; i++)
				clear_some((unsigned int)rng_below(&rng, PAGES - 64), 3);
		} else if (rng_one_in(&rng, 4)) {
			unsigned int nr = 1 + (unsigned int)rng_below(&rng, rng_one_in(&rng, 9)
										    ? PAGES - from
										    : 30);

			clear_some(from, nr);
			map_some(from, 1 + (nr - 1) / 2, &rng);
		}
		sg_tlb_refresh(&tlb, &pt);
		for (unsigned int i = 0; i < 60; i++) {
			unsigned int page = (unsigned int)(n / 50 * 50 + rng_below(&rng, 100)) %
					    PAGES;
			uint64_t addr = base + page * SG_PAGE;
			struct sg_translation tr;

			if (sg_tlb_find(&tlb, addr, &tr)) {
				assert_true(model[page].mapped);
				assert_ptr_equal(tr.obj, model[page].obj);
				assert_int_equal(tr.offset, model[page].offset);
			} else if (sg_pt_walk(&pt, addr, &tr)) {
				sg_tlb_enter(&tlb, addr, &tr);
			}
		}
	}
	assert_true(tlb.hits > OPS && tlb.misses > 0 && tlb.invalidations > 0);
}

static void objects_are_sparse(void **state)
{
	static const uint64_t sizes[] = { 1, SG_PAGE, SG_PAGE + 1, MIB2, MIB2 + 1, GIB, SG_VA_END };
	struct sg_reserve r = { 0 };

	(void)state;
	assert_null(sg_object_create(&frames, 0));
	assert_null(sg_object_create(&frames, SG_VA_END + 1));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sg_object *obj = sg_object_create(&frames, sizes[i]);
		uint64_t last;
		char *frame;

		assert_non_null(obj);
		assert_int_equal(obj->base.size % SG_PAGE, 0);
		last = obj->base.size / SG_PAGE - 1;
		assert_null(sg_object_frame(obj, last, NULL));
		assert_null(sg_object_frame(obj, last, &r)); /* nothing reserved */
		assert_int_equal(sg_pool_reserve(&frames, &r, SG_BLOCKS_PER_PAGE), 0);
		frame = sg_object_frame(obj, last, &r);
		assert_non_null(frame);
		for (unsigned int byte = 0; byte < SG_PAGE; byte++)
			assert_int_equal(frame[byte], 0);
		memset(frame, 0x55, SG_PAGE); /* so a reused block is not zero by chance */
		assert_ptr_equal(sg_object_frame(obj, last, &r), frame);
		assert_ptr_equal(sg_object_frame(obj, last, NULL), frame);
		assert_true(last == 0 || !sg_object_frame(obj, 0, NULL));
		assert_int_equal(r.nr, SG_BLOCKS_PER_PAGE - 1 - obj->levels);
		sg_pool_release(&frames, &r);
		gpuvm_object_put(&obj->base);
		assert_int_equal(frames.held, 0);
	}
}

#define test_tables(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_tables(tables_are_right),
		test_tables(tables_for_a_range),
		test_tables(the_tlb_is_right),
		test_tables(objects_are_sparse),
	};

	return cmocka_run_group_tests_name("softgpu_tables", tests, NULL, NULL);
}
