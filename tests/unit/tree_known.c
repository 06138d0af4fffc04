/* SPDX-License-Identifier: MIT */
/*
 * Stores of which much is known beforehand: what is promised of nodes holds for whatever the store
 * turns out to be, and drafts and swaps come to what plain stores would. Beside a model, in dense
 * and in holey trees of pages and of bytes.
 */
#include "support/arena.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/known.h"
#include "tree/write.h"

#include <string.h>

#define FLAGS (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)

enum { RANGES = 600, UNITS = 8 * RANGES };

static struct mt_mem *arena;

struct bed {
	struct maple_tree tree;
	struct range_model model;
	unsigned long unit; /* of keys */
	unsigned long one;  /* stores that were promised to take one node */
	unsigned long drafts;
	struct rng rng;
};

static void *entry_of(struct bed *b)
{
	return xa_mk_value(rng_below(&b->rng, 1UL << 40));
}

static void plain_store(struct bed *b, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &b->tree, first, last);

	assert_int_equal(mas_store_gfp(&mas, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/* One in @holes ranges is none; 0: all are. The lock is held from here on. */
static void bed_make(struct bed *b, unsigned long unit, unsigned int holes, uint64_t n)
{
	memset(b, 0, sizeof(*b));
	b->unit = unit;
	b->rng = rng_make(env_seed(), n);
	mt_init_flags(&b->tree, FLAGS);
	mt_set_mem(&b->tree, arena);
	rm_init(&b->model);
	mtree_lock(&b->tree);
	for (unsigned long i = 0; i < RANGES; i++)
		if (holes == 0 || !rng_one_in(&b->rng, holes))
			plain_store(b, 8 * i * unit, 8 * (i + 1) * unit - 1, entry_of(b));
}

static void bed_check(struct bed *b)
{
	char why[WHY_SIZE];

	if (!tree_good(&b->tree, &b->model, why))
		fail_msg("%s", why);
}

static void bed_free(struct bed *b)
{
	bed_check(b);
	mtree_unlock(&b->tree);
	mtree_destroy(&b->tree);
	rm_destroy(&b->model);
	mt_mem_barrier(arena);
	assert_int_equal(nodes_in_use(arena), 0);
}

/* Off the units, now and then: what no leaf of them can take as it is. */
static unsigned long random_off(struct bed *b)
{
	return rng_one_in(&b->rng, 16) ? rng_below(&b->rng, b->unit) : 0;
}

static void random_range(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long from = rng_below(&b->rng, UNITS), nr = 1 + rng_below(&b->rng, 24);

	*first = from * b->unit + random_off(b);
	*last = (from + (nr < UNITS - from ? nr : UNITS - from)) * b->unit + random_off(b) - 1;
}

/* ---- How many nodes ---- */

/* [*first..*last] with one or both ends moved in to the nearest end of a range, or none. */
static void random_part(struct bed *b, unsigned long *first, unsigned long *last)
{
	unsigned long begin, end;

	rm_range(&b->model, *first, NULL, &end, NULL);
	rm_range(&b->model, *last, &begin, NULL, NULL);
	if (rng_one_in(&b->rng, 2) && end < *last)
		*first = end + 1;
	if (rng_one_in(&b->rng, 2) && begin > *first)
		*last = begin - 1;
}

static void store_as_promised(struct bed *b)
{
	unsigned long first, last, before = b->tree.ma_nodes_built, nr;
	struct ma_state mas;

	random_range(b, &first, &last);
	mas_init(&mas, &b->tree, first);
	mas_walk(&mas);
	nr = smr_nodes_within(&mas, first, last);
	random_part(b, &first, &last);
	plain_store(b, first, last, rng_one_in(&b->rng, 2) ? NULL : entry_of(b));
	assert_true(b->tree.ma_nodes_built - before <= nr);
	b->one += nr == 1;
}

/* ---- Drafts ---- */

/* What a draft says of its ends becomes the model's: all of what is left of a range. */
static void model_edge(struct bed *b, unsigned long key, void *entry)
{
	unsigned long first, last;

	rm_range(&b->model, key, &first, &last, NULL);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
}

/*
 * Entries for the rests of what [first..last] cuts; NULL where there is none, and sometimes
 * otherwise.
 */
static void pick_edges(struct bed *b, unsigned long first, unsigned long last, void **left,
		       void **right)
{
	unsigned long begin, end;
	void *entry;

	rm_range(&b->model, first, &begin, NULL, &entry);
	*left = entry && begin < first && !rng_one_in(&b->rng, 4) ? entry_of(b) : NULL;
	rm_range(&b->model, last, NULL, &end, &entry);
	*right = entry && end > last && !rng_one_in(&b->rng, 4) ? entry_of(b) : NULL;
}

static void store_draft(struct bed *b, struct smr_draft *d, struct ma_state *mas,
			unsigned long first, unsigned long last)
{
	unsigned long before = b->tree.ma_nodes_built;
	void *left, *right, *entry = entry_of(b);

	pick_edges(b, first, last, &left, &right);
	smr_draft_store(d, mas, first, last, left, entry, right);
	assert_null(d->leaf);
	assert_int_equal(b->tree.ma_nodes_built, before + 1);
	assert_int_equal(b->tree.ma_newest, first);
	assert_int_equal(mas->index, first);
	assert_int_equal(mas->last, last);
	assert_ptr_equal(smr_slots(mas->node)[mas->offset], entry);
	assert_int_equal(rm_store(&b->model, first, last, entry), 0);
	if (left)
		model_edge(b, first - 1, left);
	if (right)
		model_edge(b, last + 1, right);
}

static void draft_or_not(struct bed *b)
{
	unsigned long first, last;
	struct smr_draft d;
	struct ma_state mas;

	random_range(b, &first, &last);
	mas_init(&mas, &b->tree, first);
	mas_find(&mas, last); /* where a walk over the request stands */
	smr_draft_begin(&d, &mas, first, last);
	if (!d.leaf) {
		plain_store(b, first, last, entry_of(b));
		return;
	}
	assert_int_equal(smr_nodes_within(&mas, first, last), 1);
	/* The walk goes on meanwhile. */
	while (rng_one_in(&b->rng, 2) && mas_find(&mas, last))
		;
	if (rng_one_in(&b->rng, 8)) {
		smr_draft_drop(&d, &mas);
		assert_int_equal(mas.alloc_nr, 1);
		mas_destroy(&mas);
	} else {
		store_draft(b, &d, &mas, first, last);
		b->drafts++;
	}
}

/* ---- Swaps ---- */

static void swap_beside(struct bed *b)
{
	unsigned long first, last, other, end;
	void *entry, *stored = entry_of(b);
	int by = rng_one_in(&b->rng, 2) ? 1 : -1;
	struct ma_state mas;

	random_range(b, &first, &last);
	mas_init(&mas, &b->tree, first);
	mas.last = last;
	assert_int_equal(mas_store_gfp(&mas, stored, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&b->model, first, last, stored), 0);
	if (by < 0 && first == 0)
		return;
	rm_range(&b->model, by < 0 ? first - 1 : last + 1, &other, &end, &entry);
	/* Not what is there to the end, and not a gap. */
	assert_false(smr_swap_beside(&mas, by, other, end - 1, stored));
	if (smr_swap_beside(&mas, by, other, end, stored)) {
		assert_non_null(entry);
		assert_int_equal(rm_store(&b->model, other, end, stored), 0);
	}
}

/* ---- */

static void each_bed(void (*step)(struct bed *b), struct bed *sum)
{
	static const unsigned long units[] = { 1, PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++)
		for (unsigned int holes = 0; holes < 6; holes += holes ? 3 : 2) {
			struct bed b;

			bed_make(&b, units[i], holes, 10 * i + holes);
			for (uint64_t n = 0; n < env_ops(3000); n++) {
				step(&b);
				if (n % 64 == 0)
					bed_check(&b);
			}
			sum->one += b.one;
			sum->drafts += b.drafts;
			bed_free(&b);
		}
}

static void stores_take_what_was_promised(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(store_as_promised, &sum);
	assert_true(sum.one > 0);
}

static void drafts_come_to_stores(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(draft_or_not, &sum);
	assert_true(sum.drafts > 0);
}

static void swaps_come_to_stores(void **state)
{
	struct bed sum = { .one = 0 };

	(void)state;
	each_bed(swap_beside, &sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_take_what_was_promised),
		cmocka_unit_test(drafts_come_to_stores),
		cmocka_unit_test(swaps_come_to_stores),
	};

	return arena_run(&arena, "tree_known", tests, sizeof(tests) / sizeof(tests[0]));
}
