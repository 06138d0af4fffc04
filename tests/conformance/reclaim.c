/* SPDX-License-Identifier: MIT */
/*
 * What one thread can show of RCU mode: readers keep the nodes that they may be in, all nodes come
 * back after a grace period, plain mode frees at once, and a completed write is visible to all.
 */
#include "support/cm.h"

#include "support/treecheck.h"

#include <errno.h>
#include <pthread.h>
#include <samara/fence.h>
#include <stdlib.h>

static struct mt_mem *mem;

static int make_arena(void **state)
{
	(void)state;
	mem = mt_mem_create(0, NULL);
	return mem ? 0 : -1;
}

static int drop_arena(void **state)
{
	(void)state;
	mt_mem_destroy(mem);
	return 0;
}

static struct mt_mem_stats stats(void)
{
	struct mt_mem_stats s;

	mt_mem_stats(mem, &s);
	return s;
}

static void grow(struct maple_tree *tree, unsigned int flags, unsigned long n)
{
	mt_init_flags(tree, flags);
	assert_int_equal(mt_set_mem(tree, mem), 0);
	for (unsigned long i = 0; i < n; i++)
		assert_int_equal(
			mtree_store_range(tree, 20 * i, 20 * i + 9, xa_mk_value(i), GFP_KERNEL), 0);
}

/*
 * Without RCU mode nothing is deferred: nodes that a store or a destroy removes are free when it
 * returns.
 */
static void plain_frees_at_once(void **state)
{
	struct maple_tree tree;

	(void)state;
	grow(&tree, 0, 2000);
	assert_int_equal(stats().nodes_limbo, 0);
	for (unsigned long i = 0; i < 2000; i += 2)
		mtree_erase(&tree, 20 * i);
	assert_int_equal(stats().nodes_limbo, 0);
	assert_true(stats().nodes_used > 0);
	mtree_destroy(&tree);
	assert_int_equal(stats().nodes_used, 0);
	assert_int_equal(stats().nodes_limbo, 0);
}

static void grace_period_gives_all_back(void **state)
{
	struct maple_tree tree;

	(void)state;
	grow(&tree, MT_FLAGS_USE_RCU, 2000);
	assert_true(stats().nodes_limbo > 0 || stats().retired > 0);
	mtree_destroy(&tree);
	assert_true(mtree_empty(&tree));
	assert_int_equal(stats().nodes_used, 0);
	mt_mem_barrier(mem);
	assert_int_equal(stats().nodes_limbo, 0);
}

struct visit {
	struct maple_tree *tree;
	pthread_barrier_t in, out;
	bool good;
};

/* A reader that enters, walks, and leaves only after the writer has replaced everything. */
static void *reader(void *arg)
{
	struct visit *visit = arg;
	MA_STATE(mas, visit->tree, 0, 0);
	unsigned long seen = 0;
	void *entry;

	mt_rcu_read_lock(visit->tree);
	entry = mas_find(&mas, ULONG_MAX);
	visit->good = entry == xa_mk_value(0);
	pthread_barrier_wait(&visit->in);
	pthread_barrier_wait(&visit->out);
	/*
	 * The old nodes are still there to walk on, or the cursor finds the new ones; it never
	 * finds junk.
	 */
	while ((entry = mas_find(&mas, ULONG_MAX)) != NULL) {
		visit->good &= xa_is_value(entry);
		seen++;
	}
	visit->good &= seen <= 2000;
	mt_rcu_read_unlock(visit->tree);
	return NULL;
}

static void reader_keeps_nodes(void **state)
{
	struct maple_tree tree;
	struct visit visit = { .tree = &tree };
	unsigned long used;
	pthread_t thread;

	(void)state;
	grow(&tree, MT_FLAGS_USE_RCU, 2000);
	mt_mem_barrier(mem);
	used = stats().nodes_used;
	pthread_barrier_init(&visit.in, NULL, 2);
	pthread_barrier_init(&visit.out, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, reader, &visit), 0);
	pthread_barrier_wait(&visit.in);
	mtree_destroy(&tree);
	/* All nodes of the tree wait for the reader. */
	assert_int_equal(stats().nodes_used, 0);
	assert_true(stats().nodes_limbo >= used);
	pthread_barrier_wait(&visit.out);
	pthread_join(thread, NULL);
	assert_true(visit.good);
	mt_mem_barrier(mem);
	assert_int_equal(stats().nodes_limbo, 0);
	pthread_barrier_destroy(&visit.in);
	pthread_barrier_destroy(&visit.out);
}

/*
 * Contents, height and soundness survive a switch; memory is given back as the current mode does.
 */
static void switching_modes(void **state)
{
	struct maple_tree tree;

	(void)state;
	grow(&tree, 0, 1000);
	for (unsigned long turn = 0; turn < 6; turn++) {
		unsigned int height = mt_height(&tree);

		if (turn % 2)
			mt_clear_in_rcu(&tree);
		else
			mt_set_in_rcu(&tree);
		assert_int_equal(mt_height(&tree), height);
		for (unsigned long i = 0; i < 1000; i++)
			assert_ptr_equal(mtree_load(&tree, 20 * i + 9), xa_mk_value(i));
		for (unsigned long i = turn; i < 1000; i += 7) {
			assert_int_equal(mtree_store_range(&tree, 20 * i + 3, 20 * i + 5,
							   xa_mk_value(5000), GFP_KERNEL),
					 0);
			assert_int_equal(mtree_store_range(&tree, 20 * i, 20 * i + 9,
							   xa_mk_value(i), GFP_KERNEL),
					 0);
		}
	}
	mtree_lock(&tree);
	assert_int_equal(mt_check(&tree, NULL, 0), 0);
	mtree_unlock(&tree);
	mtree_destroy(&tree);
	assert_int_equal(stats().nodes_used, 0);
	mt_mem_barrier(mem);
	assert_int_equal(stats().nodes_limbo, 0);
}

/* Erasing entries one by one ends in the same state as destroying the tree. */
static void erase_to_nothing(void **state)
{
	struct maple_tree tree;

	(void)state;
	grow(&tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 3000);
	for (unsigned long i = 0; i < 3000; i++)
		assert_ptr_equal(mtree_erase(&tree, 20 * i + 4), xa_mk_value(i));
	assert_true(mtree_empty(&tree));
	assert_int_equal(mt_height(&tree), 0);
	assert_int_equal(stats().nodes_used, 0);
	mt_mem_barrier(mem);
	assert_int_equal(stats().nodes_limbo, 0);
	mt_mem_trim(mem);
	assert_true(stats().chunks <= 1);
	mtree_destroy(&tree);
}

/* The default arena: mt_cache_shrink() frees the chunks that a section has left for later. */
static void the_cache_shrinks(void **state)
{
	DEFINE_MTREE(tree);
	struct mt_mem_stats s;

	(void)state;
	for (unsigned long i = 0; i < 100000; i++)
		assert_int_equal(
			mtree_store_range(&tree, 20 * i, 20 * i + 9, xa_mk_value(i), GFP_KERNEL),
			0);
	fence_begin_signalling();
	mtree_destroy(&tree);
	fence_end_signalling();
	mt_mem_stats(mt_mem_default(), &s);
	assert_true(s.chunks > 1);
	mt_cache_shrink();
	mt_mem_stats(mt_mem_default(), &s);
	assert_int_equal(s.nodes_used, 0);
	assert_int_equal(s.chunks, 1);
}

static void store_nothing(struct maple_tree *tree)
{
	assert_int_equal(mtree_store_range(tree, 0, ULONG_MAX, NULL, GFP_KERNEL), 0);
}

static void erase_all(struct maple_tree *tree)
{
	for (unsigned long i = 0; i < 100; i++)
		assert_ptr_equal(mtree_erase(tree, 20 * i + 5), xa_mk_value(i));
}

static void release_all(struct maple_tree *tree)
{
	assert_int_equal(mtree_store_range(tree, 0, ULONG_MAX, NULL, GFP_NOWAIT), 0);
	assert_int_equal(mtree_reserve(tree, 0, 9, GFP_KERNEL), 0);
	assert_int_equal(mtree_release(tree, 0, 9), 0);
}

/*
 * Without RCU mode, whatever removes the last entry, the nodes are free at once, and if it may
 * block, so are their chunks.
 */
static void a_tree_that_is_gone_leaves_one_chunk(void **state)
{
	static void (*const empty[])(struct maple_tree * tree) = { mtree_destroy, store_nothing,
								   erase_all, release_all };
	struct maple_tree tree;

	(void)state;
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		grow(&tree, 0, 100);
		assert_int_equal(mt_mem_set_reserve(mem, 2 * MT_CHUNK_NODES), 0);
		assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
		assert_true(stats().chunks >= 3);
		empty[i](&tree);
		assert_true(mtree_empty(&tree));
		assert_true(stats().chunks <= 1);
	}
}

/* The same for a tree of several chunks: nodes that the thread has kept for itself go as well. */
static void a_large_tree_that_is_gone_leaves_one_chunk(void **state)
{
	struct maple_tree tree;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		grow(&tree, 0, 100000);
		assert_true(stats().chunks >= 2);
		if (i == 0)
			mtree_destroy(&tree);
		else
			store_nothing(&tree);
		assert_int_equal(stats().nodes_used, 0);
		assert_true(stats().chunks <= 1);
	}
}

/* ---- Where nothing may block ---- */

static __thread unsigned long calls; /* of the page source, by this thread */

static void *count_map(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	calls++;
	return aligned_alloc(align, size);
}

static void count_unmap(void *ctx, void *chunk, size_t size)
{
	(void)ctx;
	(void)size;
	calls++;
	free(chunk);
}

static int make_counting_arena(void **state)
{
	static const struct mt_mem_ops ops = { count_map, count_unmap, NULL };

	(void)state;
	mem = mt_mem_create(0, &ops);
	return mem ? 0 : -1;
}

/* Emptying a tree there does not call the page source; its chunks go back later. */
static void emptied_where_nothing_may_block(void **state)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC };
	struct maple_tree tree;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		grow(&tree, i < 2 ? 0 : MT_FLAGS_USE_RCU, 100);
		assert_int_equal(mt_mem_set_reserve(mem, 2 * MT_CHUNK_NODES), 0);
		assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
		calls = 0;
		assert_int_equal(mtree_store_range(&tree, 0, ULONG_MAX, NULL, gfps[i % 2]), 0);
		assert_int_equal(calls, 0);
		assert_true(mtree_empty(&tree));
		mt_mem_barrier(mem);
		assert_int_equal(stats().chunks, 1);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(plain_frees_at_once),
		test(grace_period_gives_all_back),
		test(reader_keeps_nodes),
		test(switching_modes),
		test(erase_to_nothing),
		test(a_tree_that_is_gone_leaves_one_chunk),
		test(a_large_tree_that_is_gone_leaves_one_chunk),
		cmocka_unit_test(the_cache_shrinks),
		cmocka_unit_test_setup_teardown(emptied_where_nothing_may_block,
						make_counting_arena, drop_arena),
	};

	return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}
