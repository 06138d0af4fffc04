/* SPDX-License-Identifier: MIT */
/*
 * Transactions short of memory: each store with its 1st, 2nd, ... allocation refused, and with all
 * of them. After a failure the transaction is as before the call, to the byte, and so is the tree;
 * it can go on, be committed, or be aborted, and then nothing is left of it. Neither end of a
 * transaction allocates at all.
 */
#include "support/arena.h"

#include "support/env.h"
#include "support/memfault.h"
#include "support/treecheck.h"
#include "unit/txn_image.h"

#include <errno.h>
#include <samara/txn.h>

#define NEW ((void *)0x7770UL)
#define ATTEMPTS 20

static struct mt_mem *arena; /* one tree at a time, so that nodes can be counted */

struct fixture {
	struct maple_tree tree;
	struct range_model outside, inside;
	struct mt_txn txn;
	struct tree_image before;
};

enum end { COMMIT, ABORT, NR_ENDS };

/* GFP_NOWAIT can only get what is free already. */
static void have_free_nodes(void)
{
	assert_int_equal(mt_mem_set_reserve(arena, 1000), 0);
	assert_int_equal(mt_mem_set_reserve(arena, 64), 0);
}

/* Makes a tree of @n ranges, with a transaction that has made @stores stores. Holds the lock. */
static void begin(struct fixture *f, unsigned int flags, unsigned long n, unsigned long stores)
{
	memset(f, 0, sizeof(*f));
	memfault_ok();
	have_free_nodes();
	mt_init_flags(&f->tree, flags);
	mt_set_mem(&f->tree, arena);
	rm_init(&f->outside);
	rm_init(&f->inside);
	for (unsigned long i = 0; i < n; i++) {
		unsigned long first = 20 * i, last = n == 1 ? 0 : 20 * i + 9;
		void *entry = i % 5 == 4 ? XA_ZERO_ENTRY : xa_mk_value(i);

		assert_int_equal(mtree_store_range(&f->tree, first, last, entry, GFP_KERNEL), 0);
		assert_int_equal(rm_store(&f->outside, first, last, entry), 0);
	}
	assert_int_equal(rm_copy(&f->inside, &f->outside), 0);
	mt_mem_barrier(arena); /* nothing comes back by itself while nodes are counted */
	mtree_lock(&f->tree);
	f->before = tree_image_of(&f->tree);
	mt_txn_begin(&f->txn, &f->tree);
	for (unsigned long i = 0; i < stores; i++) {
		unsigned long first = 20 * (i * 7919 % (n + 2)) + 5;

		assert_int_equal(
			mt_txn_store_range(&f->txn, first, first + 8, xa_mk_value(i), GFP_KERNEL),
			0);
		assert_int_equal(rm_store(&f->inside, first, first + 8, xa_mk_value(i)), 0);
	}
}

static void expect_good(struct maple_tree *tree, const struct range_model *model, const char *when)
{
	char why[WHY_SIZE];

	if (!tree_good(tree, model, why))
		fail_msg("%s: %s", when, why);
}

static void expect_outside_unchanged(struct fixture *f)
{
	struct tree_image image = tree_image_of(&f->tree);

	assert_true(tree_image_equal(&image, &f->before));
}

/* Ends the transaction while every allocation is refused. */
static void end(struct fixture *f, enum end how)
{
	struct tree_image image;

	expect_outside_unchanged(f);
	expect_good(&f->txn.view, &f->inside, "before the end");
	memfault_none();
	if (how == COMMIT)
		mt_txn_commit(&f->txn);
	else
		mt_txn_abort(&f->txn);
	assert_int_equal(memfault_count(), 0);
	if (how == ABORT)
		expect_outside_unchanged(f);
	expect_good(&f->tree, how == COMMIT ? &f->inside : &f->outside, "after the end");
	image = tree_image_of(&f->tree);
	assert_int_equal(image.marked, 0);
	assert_int_equal(nodes_in_use(arena), image.nodes);
	mtree_unlock(&f->tree);
	mtree_destroy(&f->tree);
	assert_int_equal(nodes_in_use(arena), 0);
	memfault_ok();
	rm_destroy(&f->outside);
	rm_destroy(&f->inside);
}

/* Makes one attempt. Returns true if it succeeded. */
static bool attempt(struct fixture *f, unsigned long first, unsigned long last, void *entry,
		    gfp_t gfp)
{
	struct tree_image image, view = tree_image_of(&f->txn.view);
	unsigned long nodes = nodes_in_use(arena), stores = mt_txn_stores(&f->txn);
	int err = mt_txn_store_range(&f->txn, first, last, entry, gfp);

	if (err == 0) {
		assert_int_equal(rm_store(&f->inside, first, last, entry), 0);
		assert_int_equal(mt_txn_stores(&f->txn), stores + 1);
		return true;
	}
	assert_int_equal(err, -ENOMEM);
	image = tree_image_of(&f->txn.view);
	assert_true(tree_image_equal(&image, &view));
	assert_int_equal(nodes_in_use(arena), nodes);
	assert_int_equal(mt_txn_stores(&f->txn), stores);
	expect_good(&f->txn.view, &f->inside, "after a failure");
	expect_outside_unchanged(f);
	return false;
}

/*
 * Refuses the n-th request, for n = 1, 2, ... until the store succeeds. A store may try a second
 * way.
 */
static void refuse_each(struct fixture *f, unsigned long first, unsigned long last, void *entry,
			gfp_t gfp)
{
	for (unsigned long nth = 1; nth < ATTEMPTS; nth++) {
		memfault_nth(nth);
		if (attempt(f, first, last, entry, gfp))
			return;
	}
	fail_msg("%d refusals", ATTEMPTS);
}

/*
 * Refuses all requests: the store fails, or succeeds without memory; with memory it succeeds.
 * Returns whether it failed.
 */
static bool refuse_all(struct fixture *f, unsigned long first, unsigned long last, void *entry,
		       gfp_t gfp)
{
	bool passed;

	memfault_none();
	passed = attempt(f, first, last, entry, gfp);
	memfault_ok();
	if (!passed)
		assert_true(attempt(f, first, last, entry, GFP_KERNEL));
	return !passed;
}

/* Inside one range, over some, over many, over all, over nothing, to the end of the key space. */
static unsigned long at_every_place(unsigned int flags, unsigned long n, unsigned long stores,
				    gfp_t gfp, void *entry, enum end how)
{
	unsigned long mid = 20 * (n / 2), refused = 0;
	const unsigned long places[][2] = {
		{ mid + 2, mid + 5 },
		{ mid, mid + 9 },
		{ mid + 5, mid + 20 * (n / 8) + 7 },
		{ 0, 0 },
		{ mid + 3, ULONG_MAX - (1UL << 41) },
		{ 0, 20 * n + 5 },
		{ 0, ULONG_MAX },
	};
	struct fixture f;

	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		begin(&f, flags, n, stores);
		refuse_each(&f, places[p][0], places[p][1], entry, gfp);
		end(&f, how);
		begin(&f, flags, n, stores);
		refused += refuse_all(&f, places[p][0], places[p][1], entry, gfp);
		end(&f, how);
	}
	return refused;
}

static void every_refusal_leaves_it_as_it_was(void **state)
{
	static const unsigned long sizes[] = { 0, 1, 2, 20, 43, 300, 2000 };
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC, GFP_KERNEL };
	unsigned long refused = 0;

	(void)state;
	for (unsigned int mode = 0; mode < 4 * NR_ENDS * 6; mode++) {
		unsigned int flags = (mode & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (mode & 2 ? MT_FLAGS_ALLOC_RANGE : 0);
		enum end how = mode / 4 % NR_ENDS;
		gfp_t gfp = gfps[mode / (4 * NR_ENDS) % 3];
		void *entry = mode / (4 * NR_ENDS) / 3 ? NULL : NEW;

		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			if (sizes[s] > 100 && (mode % 4 == 1 || mode % 4 == 2))
				continue;
			/* The largest trees not where everything takes ten times as long. */
			if (sizes[s] > 1000 && (mode % 4 != 3 || env_scaled(100) < 100))
				continue;
			refused += at_every_place(flags, sizes[s], 0, gfp, entry, how);
			refused += at_every_place(flags, sizes[s], 30, gfp, entry, how);
		}
	}
	print_message("%lu refusals\n", refused);
	assert_true(refused > 100);
}

/* A blocking store survives it when allocations that may not block are refused. */
static void blocking_stores_go_on(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, MT_FLAGS_USE_RCU, 300, 0);
	memfault_nowait();
	for (unsigned long i = 0; i < 300; i++)
		assert_true(attempt(&f, 20 * i + 3, 20 * i + 5, NEW, GFP_KERNEL));
	end(&f, COMMIT);
}

/* Erasing is a store: it may also fail, and reports it. */
static void erasing_without_memory(void **state)
{
	struct fixture f;
	void *entry = NEW;

	(void)state;
	begin(&f, 0, 300, 0);
	memfault_none();
	assert_int_equal(mt_txn_erase(&f.txn, 41, &entry, GFP_KERNEL), -ENOMEM);
	assert_ptr_equal(entry, NEW);
	assert_int_equal(mt_txn_erase(&f.txn, 55, &entry, GFP_KERNEL), 0); /* nothing is there */
	assert_null(entry);
	memfault_ok();
	assert_int_equal(mt_txn_erase(&f.txn, 41, &entry, GFP_NOWAIT), 0);
	assert_ptr_equal(entry, rm_erase(&f.inside, 41));
	end(&f, ABORT);
}

/*
 * Memory that has really run out, in an arena with a limit, in the middle of a large transaction.
 */
static void a_full_arena(void **state)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT };
	struct mt_mem *all = arena;

	(void)state;
	for (unsigned int round = 0; round < 3 * NR_ENDS; round++) {
		struct mt_mem_stats stats;
		struct fixture f;
		unsigned long i = 0;

		arena = mt_mem_create(MT_CHUNK_SIZE, NULL);
		assert_non_null(arena);
		begin(&f, round % 2 ? MT_FLAGS_USE_RCU : 0, 1000, 0);
		while (!mt_txn_store_range(&f.txn, 10 * i, 10 * i + 4, NEW,
					   gfps[round / NR_ENDS])) {
			rm_store(&f.inside, 10 * i, 10 * i + 4, NEW);
			i++;
		}
		assert_true(i > 2000);
		mt_mem_stats(arena, &stats);
		assert_true(stats.failed > 0);
		assert_int_equal(stats.reserve_left, gfps[round / NR_ENDS] == GFP_ATOMIC ? 0 : 64);
		/* Stores that need no node still succeed. */
		assert_true(attempt(&f, 0, 4, NULL, GFP_NOWAIT));
		end(&f, round % NR_ENDS);
		mt_mem_destroy(arena);
	}
	arena = all;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_leaves_it_as_it_was),
		cmocka_unit_test(blocking_stores_go_on),
		cmocka_unit_test(erasing_without_memory),
		cmocka_unit_test(a_full_arena),
	};

	return arena_run(&arena, "txn", tests, sizeof(tests) / sizeof(tests[0]));
}
