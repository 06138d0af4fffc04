/* SPDX-License-Identifier: MIT */
/* Magazines: who owns them, and that no node is lost when threads and arenas come and go. */
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include "pages.h"
#include "support/cm.h"
#include "support/env.h"
#include <pthread.h>

#define ARENAS (SMR_MAG_SLOTS + 3)
#define CROWD (SMR_MAGS + 8)

static void *take_some(struct mt_mem *mem, struct smr_nodes *nodes)
{
	assert_int_equal(smr_mem_refill(mem, nodes, 10), 0);
	smr_mem_give_list(mem, nodes);
	return smri_mag_mine(mem);
}

static void *visit(void *arg)
{
	struct smr_nodes nodes = { NULL, 0 };

	return take_some(arg, &nodes);
}

static void a_thread_leaves_nothing_behind(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	pthread_t thread;
	void *mag;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, visit, mem), 0);
	pthread_join(thread, &mag);
	assert_non_null(mag);
	assert_int_equal(((struct smr_mag *)mag)->nr, 0);
	assert_int_equal(mem->mags_used, 0);
	assert_int_equal(mem->free, MT_CHUNK_NODES);
	assert_int_equal(stats_of(mem).taken, 10);
	mt_mem_destroy(mem);
}

static pthread_key_t late_key;

static void visit_both(void *arg)
{
	struct mt_mem **mem = arg;

	visit(mem[0]);
	visit(mem[1]);
}

static void *visit_and_end(void *arg)
{
	struct mt_mem **mem = arg;

	assert_int_equal(pthread_setspecific(late_key, mem), 0);
	return visit(mem[0]);
}

/*
 * Destructors that run after the thread's magazines have been given back leave nothing behind.
 * (Their key is a later one.)
 */
static void destructors_leave_nothing_behind(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem[2] = { pages_arena(&pages, MT_CHUNK_SIZE),
				  pages_arena(&pages, MT_CHUNK_SIZE) };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_key_create(&late_key, visit_both), 0);
	assert_int_equal(pthread_create(&thread, NULL, visit_and_end, mem), 0);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(mem[i]->mags_used, 0);
		assert_int_equal(mem[i]->free, MT_CHUNK_NODES);
		assert_int_equal(stats_of(mem[i]).taken, i ? 10 : 20);
		mt_mem_destroy(mem[i]);
	}
	pthread_key_delete(late_key);
}

static pthread_key_t again_key;

static void visit_again(void *arg)
{
	visit(arg);
	assert_int_equal(pthread_setspecific(again_key, arg), 0);
}

static void *visit_and_end_late(void *arg)
{
	assert_int_equal(pthread_setspecific(again_key, arg), 0);
	return visit(arg);
}

/*
 * Destructors of the last round leave nothing, though nothing is given back after it.
 * ThreadSanitizer ends the thread before that round.
 */
static void the_last_destructors_leave_nothing_behind(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem;
	pthread_t thread;

	(void)state;
	if (SMR_TSAN)
		skip();
	mem = pages_arena(&pages, MT_CHUNK_SIZE);
	assert_int_equal(pthread_key_create(&again_key, visit_again), 0);
	assert_int_equal(pthread_create(&thread, NULL, visit_and_end_late, mem), 0);
	pthread_join(thread, NULL);
	assert_int_equal(mem->mags_used, 0);
	assert_int_equal(mem->free, MT_CHUNK_NODES);
	assert_true(stats_of(mem).taken > 20);
	mt_mem_destroy(mem);
	pthread_key_delete(again_key);
}

/*
 * A large tree that is destroyed leaves nothing, even outside RCU mode, where its nodes are free at
 * once: a node in a magazine would pin a chunk.
 */
static void large_tree_ends(unsigned int flags)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct maple_tree tree;

	mt_init_flags(&tree, flags);
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	for (unsigned long i = 0; i < 200000; i++)
		assert_int_equal(mtree_store(&tree, 2 * i, xa_mk_value(i), GFP_KERNEL), 0);
	assert_true(stats_of(mem).chunks > 2);
	mtree_destroy(&tree);
	assert_int_equal(smri_mag_mine(mem)->nr, 0);
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).nodes_used, 0);
	assert_int_equal(stats_of(mem).chunks, 1);
	mt_mem_destroy(mem);
}

static void a_large_tree_leaves_nothing_behind(void **state)
{
	(void)state;
	large_tree_ends(0);
	large_tree_ends(MT_FLAGS_USE_RCU);
}

/*
 * A tree that comes and goes within one chunk, which stays anyway, leaves the magazine as it was.
 */
static void small_tree_comes_and_goes(unsigned int flags)
{
	const unsigned long turns = 100;
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct maple_tree tree;

	mt_init_flags(&tree, flags);
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	for (unsigned long i = 0; i < turns; i++) {
		assert_int_equal(mtree_store(&tree, 5, xa_mk_value(i), GFP_KERNEL), 0);
		assert_ptr_equal(mtree_erase(&tree, 5), xa_mk_value(i));
	}
	assert_int_equal(stats_of(mem).taken, turns);
	/* In RCU mode the nodes return to the chunks, and the magazine is refilled from them. */
	assert_uint_in_range(mem->taken, 1, 2 + turns / (SMR_MAG_NODES / 2));
	mt_mem_destroy(mem);
}

static void a_small_tree_keeps_the_magazine(void **state)
{
	(void)state;
	small_tree_comes_and_goes(0);
	small_tree_comes_and_goes(MT_FLAGS_USE_RCU);
}

/* More arenas than ways: a thread that cycles through them gives up one magazine for another. */
static void more_arenas_than_ways(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem[ARENAS];
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int i, round;

	(void)state;
	for (i = 0; i < ARENAS; i++)
		mem[i] = pages_arena(&pages, MT_CHUNK_SIZE);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARENAS; i++) {
			assert_non_null(take_some(mem[i], &nodes));
			assert_int_equal(stats_of(mem[i]).nodes_used, 0);
		}
	}
	for (i = 0; i < ARENAS; i++)
		assert_int_equal(mem[i]->mags_used, smri_mag_mine(mem[i]) ? 1 : 0);
	for (i = 0; i < ARENAS; i++)
		mt_mem_destroy(mem[i]);
	assert_int_equal(pages.mapped, 0);
}

/* Whichever magazine is left is found, and its nodes are free ones. */
static void one_magazine_is_left(void **state)
{
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	for (unsigned int i = 0; i < SMR_MAGS; i++) {
		struct pages pages = PAGES;
		struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);

		mem->mags_used = ~(1UL << i);
		assert_ptr_equal(take_some(mem, &nodes), &mem->mag[i]);
		assert_int_equal(mem->mag[i].nr, 10);
		assert_int_equal(stats_of(mem).nodes_used, 0);
		mt_mem_destroy(mem);
	}
}

/* This thread's ways still name arenas that are gone; new arenas are not mistaken for them. */
static void arenas_come_and_go(void **state)
{
	struct pages pages = PAGES;
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);

		assert_null(smri_mag_mine(mem));
		take_some(mem, &nodes);
		assert_non_null(smri_mag_mine(mem));
		mt_mem_destroy(mem);
		assert_int_equal(pages.mapped, 0);
	}
}

struct crowd {
	struct mt_mem *mem;
	pthread_barrier_t all_in, all_out;
	unsigned int without; /* threads that got no magazine */
};

static void *join_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct smr_nodes nodes = { NULL, 0 };

	if (!take_some(crowd->mem, &nodes))
		smr_add(&crowd->without, 1, RELAXED);
	pthread_barrier_wait(&crowd->all_in);
	/* With or without a magazine, taking and giving works. */
	assert_int_equal(smr_mem_take(crowd->mem, &nodes, 3, GFP_NOWAIT), 0);
	smr_mem_give(crowd->mem, smr_nodes_pop(&nodes));
	smr_mem_give_list(crowd->mem, &nodes);
	pthread_barrier_wait(&crowd->all_out);
	return NULL;
}

static void more_threads_than_magazines(void **state)
{
	struct pages pages = PAGES;
	struct crowd crowd = { .mem = pages_arena(&pages, 2 * MT_CHUNK_SIZE) };
	pthread_t threads[CROWD];
	unsigned int i;

	(void)state;
	pthread_barrier_init(&crowd.all_in, NULL, CROWD);
	pthread_barrier_init(&crowd.all_out, NULL, CROWD);
	for (i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, join_crowd, &crowd), 0);
	for (i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.without, CROWD - SMR_MAGS);
	assert_int_equal(crowd.mem->mags_used, 0);
	assert_int_equal(stats_of(crowd.mem).nodes_used, 0);
	assert_int_equal(stats_of(crowd.mem).taken, CROWD * 13);
	mt_mem_trim(crowd.mem);
	assert_int_equal(pages.mapped, 1);
	mt_mem_destroy(crowd.mem);
	pthread_barrier_destroy(&crowd.all_in);
	pthread_barrier_destroy(&crowd.all_out);
}

struct visitor {
	struct mt_mem *mem;
	pthread_barrier_t visited, destroyed;
};

static void *stay(void *arg)
{
	struct visitor *visitor = arg;
	struct smr_nodes nodes = { NULL, 0 };

	take_some(visitor->mem, &nodes);
	pthread_barrier_wait(&visitor->visited);
	pthread_barrier_wait(&visitor->destroyed);
	return NULL;
}

/* An arena is destroyed while another thread still has a magazine of it. */
static void destroy_empties_all_magazines(void **state)
{
	struct pages pages = PAGES;
	struct visitor visitor = { .mem = pages_arena(&pages, 0) };
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&visitor.visited, NULL, 2);
	pthread_barrier_init(&visitor.destroyed, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, stay, &visitor), 0);
	pthread_barrier_wait(&visitor.visited);
	mt_mem_destroy(visitor.mem);
	assert_int_equal(pages.mapped, 0);
	pthread_barrier_wait(&visitor.destroyed);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&visitor.visited);
	pthread_barrier_destroy(&visitor.destroyed);
}

static void *churn(void *arg)
{
	struct mt_mem *mem = arg;
	struct smr_nodes nodes = { NULL, 0 };
	unsigned long i, rounds = env_scaled(20000), state = (unsigned long)&nodes;

	for (i = 0; i < rounds; i++) {
		state = state * 6364136223846793005UL + 1442695040888963407UL;
		if ((state >> 60) < 8 || nodes.nr == 0)
			(void)smr_mem_take(mem, &nodes, 1 + (state >> 50) % 40, GFP_ATOMIC);
		else
			smr_mem_give(mem, smr_nodes_pop(&nodes));
		if (nodes.nr > 300)
			smr_mem_give_list(mem, &nodes);
	}
	smr_mem_give_list(mem, &nodes);
	return NULL;
}

static void threads_share_an_arena(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	pthread_t threads[4];
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, mem), 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(mem->free, MT_CHUNK_NODES);
	assert_int_equal(stats_of(mem).nodes_used, 0);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_leaves_nothing_behind),
		cmocka_unit_test(destructors_leave_nothing_behind),
		cmocka_unit_test(the_last_destructors_leave_nothing_behind),
		cmocka_unit_test(a_large_tree_leaves_nothing_behind),
		cmocka_unit_test(a_small_tree_keeps_the_magazine),
		cmocka_unit_test(more_arenas_than_ways),
		cmocka_unit_test(one_magazine_is_left),
		cmocka_unit_test(arenas_come_and_go),
		cmocka_unit_test(more_threads_than_magazines),
		cmocka_unit_test(destroy_empties_all_magazines),
		cmocka_unit_test(threads_share_an_arena),
	};

	return cmocka_run_group_tests_name("mem_magazine", tests, NULL, NULL);
}
