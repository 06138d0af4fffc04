/* SPDX-License-Identifier: MIT */
/*
 * Memory that is really short: arenas with a limit, and what each gfp may use then. Neither
 * GFP_ATOMIC nor GFP_NOWAIT calls the C allocator, or the system except for futexes.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/guard.h"
#include "support/hoard.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define HOGS 40
#define NEW xa_mk_value(7)

/*
 * ---- An arena of one chunk, a tree in it, and trees of one node each that can be freed one by one
 */

struct small_world {
	struct mt_mem *mem;
	struct maple_tree tree, hogs[HOGS];
	struct smr_nodes hoard;
	struct range_model model;
};

static void tree_in(struct maple_tree *tree, struct mt_mem *mem, unsigned int flags)
{
	mt_init_flags(tree, flags);
	assert_int_equal(mt_set_mem(tree, mem), 0);
}

static void both_store(struct small_world *w, unsigned long first, unsigned long last, void *entry)
{
	assert_int_equal(mtree_store_range(&w->tree, first, last, entry, GFP_KERNEL), 0);
	assert_int_equal(rm_store(&w->model, first, last, entry), 0);
}

/* Maps ten units in twenty, and leaves no node but the emergency reserve. */
static void begin_spread(struct small_world *w, unsigned int flags, unsigned long ranges,
			 unsigned long unit)
{
	memset(w, 0, sizeof(*w));
	rm_init(&w->model);
	w->mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	assert_non_null(w->mem);
	tree_in(&w->tree, w->mem, flags);
	for (unsigned int i = 0; i < HOGS; i++) {
		tree_in(&w->hogs[i], w->mem, 0);
		assert_int_equal(mtree_store_range(&w->hogs[i], 5, 9, NEW, GFP_KERNEL), 0);
	}
	for (unsigned long i = 0; i < ranges; i++)
		both_store(w, 20 * i * unit, (20 * i + 10) * unit - 1, xa_mk_value(i));
	if (flags & MT_FLAGS_USE_RCU)
		mt_mem_barrier(w->mem);
	hoard_all(w->mem, &w->hoard, GFP_KERNEL);
}

static void begin(struct small_world *w, unsigned int flags, unsigned long ranges)
{
	begin_spread(w, flags, ranges, 1);
}

static void end(struct small_world *w)
{
	mtree_destroy(&w->tree);
	hoard_give(w->mem, &w->hoard);
	for (unsigned int i = 0; i < HOGS; i++)
		mtree_destroy(&w->hogs[i]);
	assert_int_equal(nodes_in_use(w->mem), 0);
	mt_mem_destroy(w->mem);
	rm_destroy(&w->model);
}

static void expect_good(struct small_world *w)
{
	char why[WHY_SIZE];

	mtree_lock(&w->tree);
	if (!tree_good(&w->tree, &w->model, why))
		fail_msg("%s", why);
	mtree_unlock(&w->tree);
}

/*
 * A store that needs several nodes, with 0, 1, 2, ... of them available: it is refused, at once and
 * without a trace, until there are enough.
 */
static void some_nodes_are_not_enough(void **state)
{
	(void)state;
	for (unsigned int which = 0; which < 6; which++) {
		bool nowait = which & 1;
		unsigned int rcu = which & 2 ? MT_FLAGS_USE_RCU : 0;
		unsigned long last = which >= 4 ? 20 * 700 : 20 * 100 + 5;
		struct small_world w;
		unsigned int freed;
		int err = -ENOMEM;

		begin(&w, rcu, 800);
		for (freed = 0; err && freed < HOGS; freed++) {
			unsigned long used = nodes_in_use(w.mem);

			err = mtree_store_range(&w.tree, 20 * 100 + 3, last, NEW,
						nowait ? GFP_NOWAIT : GFP_KERNEL);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_int_equal(nodes_in_use(w.mem), used);
				expect_good(&w);
				mtree_destroy(&w.hogs[freed]);
			}
		}
		assert_int_equal(err, 0);
		assert_true(freed > 1);
		assert_int_equal(rm_store(&w.model, 20 * 100 + 3, last, NEW), 0);
		expect_good(&w);
		end(&w);
	}
}

/*
 * Insertions, gap allocations and erasures with next to nothing free: each is done or refused,
 * never half done.
 */
static void on_the_brink(void **state)
{
	struct small_world w;
	unsigned long refused = 0, done = 0;

	(void)state;
	begin(&w, MT_FLAGS_ALLOC_RANGE, 400);
	for (unsigned int i = 0; i < 3; i++)
		mtree_destroy(&w.hogs[i]);
	for (unsigned long n = 0; n < env_scaled(2000) + 1000; n++) {
		struct rng rng = rng_make(1, n);
		unsigned long first = rng_below(&rng, 8200), last = first + rng_below(&rng, 4);
		unsigned long start, want;
		int err;

		switch (rng_below(&rng, 3)) {
		case 0:
			err = mtree_store_range(&w.tree, first, last, NEW, GFP_KERNEL);
			if (!err)
				assert_int_equal(rm_store(&w.model, first, last, NEW), 0);
			break;
		case 1:
			err = mtree_alloc_range(&w.tree, &start, NEW, 5, first, 20000, GFP_KERNEL);
			if (!err) {
				assert_int_equal(rm_gap_first(&w.model, 5, first, 20000, &want), 0);
				assert_int_equal(start, want);
				assert_int_equal(rm_store(&w.model, start, start + 4, NEW), 0);
			}
			break;
		default:
			err = mtree_store_range(&w.tree, first, last, NULL, GFP_KERNEL);
			if (!err)
				assert_int_equal(rm_store(&w.model, first, last, NULL), 0);
		}
		assert_true(err == 0 || err == -ENOMEM);
		refused += err != 0;
		done += err == 0;
		if (n % 50 == 0)
			expect_good(&w);
	}
	expect_good(&w);
	assert_true(done > 100 && refused > 100);
	print_message("%lu done, %lu refused\n", done, refused);
	end(&w);
}

/*
 * An erasure beside gaps takes no node, unless the gap would be in too many pieces. If it needs a
 * node in RCU mode and cannot get it, it returns NULL and leaves the entry.
 */
static void erase_without_memory(void **state)
{
	struct small_world w;

	(void)state;
	begin(&w, MT_FLAGS_USE_RCU, 100);
	assert_ptr_equal(mtree_erase(&w.tree, 185), xa_mk_value(9));
	assert_ptr_equal(rm_erase(&w.model, 185), xa_mk_value(9));
	assert_null(mtree_erase(&w.tree, 205));
	assert_ptr_equal(mtree_load(&w.tree, 205), xa_mk_value(10));
	expect_good(&w);
	mtree_destroy(&w.hogs[0]);
	mtree_destroy(&w.hogs[1]);
	mtree_destroy(&w.hogs[2]);
	assert_ptr_equal(mtree_erase(&w.tree, 205), xa_mk_value(10));
	assert_ptr_equal(rm_erase(&w.model, 205), xa_mk_value(10));
	expect_good(&w);
	end(&w);
}

/*
 * Stores @entry over exactly one existing range. That takes no node, as must be known beforehand:
 * there is none.
 */
static void store_same(struct small_world *w, unsigned long first, unsigned long last, void *entry)
{
	MA_STATE(mas, &w->tree, first, last);

	mtree_lock(&w->tree);
	assert_int_equal(mas_preallocate(&mas, entry, GFP_NOWAIT), 0);
	assert_int_equal(mas_allocated(&mas), 0);
	mas_destroy(&mas);
	mtree_unlock(&w->tree);
	assert_int_equal(mtree_store_range(&w->tree, first, last, entry, GFP_NOWAIT), 0);
	assert_int_equal(rm_store(&w->model, first, last, entry), 0);
}

/*
 * Erases every other entry between its gaps, if that takes no node: then the three are one range.
 */
static void gaps_in_pieces(struct small_world *w, unsigned long ranges, unsigned long unit)
{
	unsigned long made = 0, first, last;

	for (unsigned long i = 1; i + 1 < ranges; i += 2) {
		if (!mtree_erase(&w->tree, 20 * i * unit))
			continue;
		assert_ptr_equal(rm_erase(&w->model, 20 * i * unit), NEW);
		first = (20 * i - 10) * unit;
		last = (20 * i + 20) * unit - 1;
		store_same(w, first, last, NEW);
		store_same(w, first, last, NULL);
		store_same(w, first, last, xa_mk_value(i));
		made++;
	}
	assert_true(made > ranges / 3);
}

static void same_ranges(unsigned int flags, unsigned long unit)
{
	const unsigned long ranges = 800;
	struct small_world w;

	begin_spread(&w, flags, ranges, unit);
	for (unsigned long i = 0; i < ranges; i++)
		store_same(&w, 20 * i * unit, (20 * i + 10) * unit - 1, NEW);
	/* Gaps are ranges, too: each leaf becomes full of entries, ... */
	for (unsigned long i = 0; i + 1 < ranges; i++)
		store_same(&w, (20 * i + 10) * unit, (20 * i + 20) * unit - 1, NEW);
	expect_good(&w);
	/* ... and then as it was. */
	for (unsigned long i = 0; i + 1 < ranges; i++) {
		unsigned long first = (20 * i + 10) * unit;

		if (i % 2) {
			store_same(&w, first, first + 10 * unit - 1, NULL);
			continue;
		}
		assert_ptr_equal(mtree_erase(&w.tree, first), NEW);
		assert_ptr_equal(rm_erase(&w.model, first), NEW);
	}
	expect_good(&w);
	gaps_in_pieces(&w, ranges, unit);
	expect_good(&w);
	end(&w);
}

/*
 * A store over exactly one range, even a gap, in pieces or not, never needs memory; nor does a
 * store of NULL over one between two entries.
 */
static void the_same_range_needs_none(void **state)
{
	const unsigned int flags[] = { 0, MT_FLAGS_USE_RCU, MT_FLAGS_ALLOC_RANGE,
				       MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU };
	const unsigned long units[] = { PAGE_UNIT, NARROW_UNIT, WIDE_UNIT };

	(void)state;
	for (unsigned int i = 0; i < 12; i += env_stride())
		same_ranges(flags[i / 3], units[i % 3]);
}

/*
 * A reservation in many pieces is released as a whole or, without the nodes for that, not at all.
 */
static void release_of_many_pieces(void **state)
{
	static const unsigned int flags[] = { 0, MT_FLAGS_USE_RCU };
	struct small_world w;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int freed;
		int err = -ENOMEM;

		begin(&w, flags[i], 100);
		for (unsigned long k = 10; k < 90; k++)
			store_same(&w, 20 * k, 20 * k + 9, XA_ZERO_ENTRY);
		for (freed = 0; err && freed < HOGS; freed++) {
			err = mtree_release(&w.tree, 0, ULONG_MAX);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				expect_good(&w);
				mtree_destroy(&w.hogs[freed]);
			}
		}
		assert_int_equal(err, 0);
		assert_true(freed > 1);
		assert_int_equal(rm_store(&w.model, 200, 1799, NULL), 0);
		expect_good(&w);
		end(&w);
	}
}

/* Erasing everything gives memory back even if there is none to begin with. */
static void all_can_be_dropped(void **state)
{
	struct small_world w;

	(void)state;
	begin(&w, 0, 800);
	assert_int_equal(mtree_store_range(&w.tree, 0, ULONG_MAX, NULL, GFP_NOWAIT), 0);
	assert_true(mtree_empty(&w.tree));
	rm_destroy(&w.model);
	both_store(&w, 5, 9, NEW);
	expect_good(&w);
	end(&w);
}

/*
 * The emergency reserve serves GFP_ATOMIC alone, down to its last node, and is refilled when
 * possible.
 */
static void emergency_reserve(void **state)
{
	struct mt_mem_stats before, after;
	struct small_world w;
	unsigned long stored = 0;
	int err;

	(void)state;
	begin(&w, 0, 40);
	mt_mem_stats(w.mem, &before);
	assert_true(before.reserve_left > 0);
	assert_int_equal(mtree_store_range(&w.tree, 3, 4, NEW, GFP_NOWAIT), -ENOMEM);
	expect_good(&w);
	for (unsigned long i = 0; i < 10000; i++) {
		unsigned long first = 100000 + 20 * i;

		err = mtree_store_range(&w.tree, first, first + 9, NEW, GFP_ATOMIC);
		if (err)
			break;
		assert_int_equal(rm_store(&w.model, first, first + 9, NEW), 0);
		stored++;
	}
	assert_int_equal(err, -ENOMEM);
	assert_true(stored > 0);
	expect_good(&w);
	mt_mem_stats(w.mem, &after);
	assert_true(after.atomic_taken > before.atomic_taken);
	/* With memory again, a blocking store refills it. */
	hoard_give(w.mem, &w.hoard);
	for (unsigned long i = 0; i < 2000; i++)
		both_store(&w, 40 * i + 1, 40 * i + 2, NEW);
	assert_int_equal(mt_mem_set_reserve(w.mem, before.reserve_size), 0);
	mt_mem_stats(w.mem, &after);
	assert_int_equal(after.reserve_left, before.reserve_size);
	expect_good(&w);
	end(&w);
}

/* ---- What may not block calls nobody */

static void churn(struct maple_tree *tree, gfp_t gfp, unsigned long n)
{
	unsigned long start, next = 0;

	for (unsigned long i = 0; i < n; i++) {
		unsigned long first = i * 37 % 5000;

		(void)mtree_store_range(tree, first, first + i % 9, i % 3 ? NEW : NULL, gfp);
		(void)mtree_insert(tree, 9000 + i, NEW, gfp);
		(void)mtree_store_range(tree, 9000, 9000 + i, NULL, gfp);
		(void)mtree_alloc_range(tree, &start, NEW, 3, 0, 99999, gfp);
		(void)mtree_alloc_cyclic(tree, &start, NEW, 0, 99999, &next, gfp);
		(void)mtree_load(tree, first);
	}
}

/* A tree with plenty of free nodes in its arena. */
static void roomy(struct maple_tree *tree, struct mt_mem *mem, unsigned int flags)
{
	struct maple_tree big;

	tree_in(&big, mem, 0);
	for (unsigned long i = 0; i < 30000; i++)
		assert_int_equal(mtree_store(&big, 2 * i, NEW, GFP_KERNEL), 0);
	tree_in(tree, mem, flags);
	assert_int_equal(mtree_store(tree, 5, NEW, GFP_KERNEL), 0);
	mtree_destroy(&big);
}

struct guarded {
	struct maple_tree tree;
	gfp_t gfp;
	bool watched;
};

static void *churn_guarded(void *arg)
{
	struct guarded *g = arg;

	/* A thread that has used tree and arena before. */
	churn(&g->tree, GFP_KERNEL, 500);
	g->watched = guard_thread();
	guard_enter();
	churn(&g->tree, g->gfp, 1000);
	guard_leave();
	return NULL;
}

static void nobody_is_called(void **state)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct mt_mem *mem = mt_mem_create(0, NULL);
		struct guarded g = { .gfp = gfps[i & 1] };
		pthread_t thread;

		assert_non_null(mem);
		guard_begin();
		roomy(&g.tree, mem, MT_FLAGS_ALLOC_RANGE | (i & 2 ? MT_FLAGS_USE_RCU : 0));
		assert_int_equal(pthread_create(&thread, NULL, churn_guarded, &g), 0);
		pthread_join(thread, NULL);
		if (guard_faults())
			fail_msg("%lu calls, the first: %s", guard_faults(), guard_first_fault());
		if (!g.watched)
			print_message("system calls were not watched\n");
		mtree_destroy(&g.tree);
		mt_mem_destroy(mem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(some_nodes_are_not_enough),
		cmocka_unit_test(on_the_brink),
		cmocka_unit_test(erase_without_memory),
		cmocka_unit_test(the_same_range_needs_none),
		cmocka_unit_test(release_of_many_pieces),
		cmocka_unit_test(all_can_be_dropped),
		cmocka_unit_test(emergency_reserve),
		cmocka_unit_test(nobody_is_called),
	};

	alarm(240);
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
