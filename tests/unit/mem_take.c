/* SPDX-License-Identifier: MIT */
/* What each gfp may take, and that a request is met in full or not at all. */
#include "mem/take.h"
#include "mem/refill.h"
#include "pages.h"
#include "support/cm.h"
#include <errno.h>
#include <string.h>

#define RESERVE 64

struct fixture {
	struct pages pages;
	struct mt_mem *mem;
	struct smr_nodes nodes;
};

/* One chunk, and no way to get another. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->pages = (struct pages)PAGES;
	f->mem = pages_arena(&f->pages, MT_CHUNK_SIZE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	smr_hook_reset();
	smr_mem_give_list(f->mem, &f->nodes);
	assert_int_equal(stats_of(f->mem).nodes_used, 0);
	mt_mem_destroy(f->mem);
	assert_int_equal(f->pages.mapped, 0);
	free(f);
	return 0;
}

static void a_fresh_arena(void **state)
{
	struct fixture *f = *state;
	struct mt_mem_stats stats = stats_of(f->mem);

	assert_int_equal(stats.chunks, 1);
	assert_int_equal(stats.bytes_limit, MT_CHUNK_SIZE);
	assert_int_equal(stats.reserve_size, RESERVE);
	assert_int_equal(stats.reserve_left, RESERVE);
	assert_int_equal(stats.nodes_free, MT_CHUNK_NODES - RESERVE);
	assert_int_equal(stats.taken, 0);
}

/* Takes single nodes until there are none. */
static unsigned long take_all(struct fixture *f, gfp_t gfp)
{
	unsigned long nr = 0;
	void *node;

	while ((node = smr_mem_take_one(f->mem, gfp))) {
		assert_int_equal((uintptr_t)node % MT_NODE_SIZE, 0);
		memset(node, 0xa5, SMR_NODE_LINK);
		smr_nodes_push(&f->nodes, node);
		nr++;
	}
	return nr;
}

static void nowait_leaves_the_reserve(void **state)
{
	struct fixture *f = *state;
	struct mt_mem_stats stats;

	assert_int_equal(take_all(f, GFP_NOWAIT), MT_CHUNK_NODES - RESERVE);
	stats = stats_of(f->mem);
	assert_int_equal(stats.nodes_free, 0);
	assert_int_equal(stats.reserve_left, RESERVE);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(stats.taken, MT_CHUNK_NODES - RESERVE);
	/* For a request that may block this is no failure yet. */
	assert_null(smr_mem_take_one(f->mem, GFP_KERNEL));
	assert_int_equal(stats_of(f->mem).failed, 1);
	/* But this is. */
	assert_int_equal(smr_mem_refill(f->mem, &f->nodes, 1), -ENOMEM);
	assert_int_equal(stats_of(f->mem).failed, 2);

	assert_int_equal(take_all(f, GFP_ATOMIC), RESERVE);
	stats = stats_of(f->mem);
	assert_int_equal(stats.reserve_left, 0);
	assert_int_equal(stats.atomic_taken, RESERVE);
	assert_int_equal(stats.nodes_used, MT_CHUNK_NODES);
	assert_int_equal(f->pages.ever, 1);
}

static void atomic_takes_free_nodes_first(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 100, GFP_ATOMIC), 0);
	assert_int_equal(stats_of(f->mem).atomic_taken, 0);
	assert_int_equal(take_all(f, GFP_ATOMIC), MT_CHUNK_NODES - 100);
	assert_int_equal(stats_of(f->mem).atomic_taken, RESERVE);
}

/* Part of a request may come from spare nodes: only the rest is taken from the reserve. */
static void atomic_takes_the_rest_from_the_reserve(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(smr_mem_take(f->mem, &f->nodes, MT_CHUNK_NODES - RESERVE - 2, GFP_NOWAIT),
			 0);
	assert_int_equal(stats_of(f->mem).nodes_free, 2);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 3, GFP_ATOMIC), 0);
	assert_int_equal(stats_of(f->mem).atomic_taken, 1);
	assert_int_equal(stats_of(f->mem).reserve_left, RESERVE - 1);
}

static void all_or_nothing(void **state)
{
	struct fixture *f = *state;
	const unsigned long spare = MT_CHUNK_NODES - RESERVE;
	struct smr_nodes before;

	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 0, GFP_NOWAIT), 0);
	assert_int_equal(f->nodes.nr, 0);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, spare - 5, GFP_NOWAIT), 0);
	assert_int_equal(f->nodes.nr, spare - 5);
	before = f->nodes;
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 6, GFP_NOWAIT), -ENOMEM);
	assert_memory_equal(&f->nodes, &before, sizeof(before));
	assert_int_equal(stats_of(f->mem).nodes_free, 5);
	/* The magazine's nodes count, too. */
	smr_mem_give(f->mem, smr_nodes_pop(&f->nodes));
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 6, GFP_NOWAIT), 0);
	assert_int_equal(stats_of(f->mem).nodes_free, 0);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, RESERVE + 1, GFP_ATOMIC), -ENOMEM);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, RESERVE, GFP_ATOMIC), 0);
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

static void nodes_are_distinct(void **state)
{
	static uintptr_t at[MT_CHUNK_NODES];
	struct fixture *f = *state;
	unsigned long i, nr = take_all(f, GFP_ATOMIC);

	assert_int_equal(nr, MT_CHUNK_NODES);
	for (i = 0; i < nr; i++)
		at[i] = (uintptr_t)smr_nodes_pop(&f->nodes);
	qsort(at, nr, sizeof(at[0]), by_address);
	for (i = 1; i < nr; i++)
		assert_true(at[i] - at[i - 1] >= MT_NODE_SIZE);
	for (i = 0; i < nr; i++)
		smr_nodes_push(&f->nodes, (void *)at[i]);
}

static void given_nodes_fill_the_reserve_again(void **state)
{
	struct fixture *f = *state;
	unsigned long i;

	take_all(f, GFP_ATOMIC);
	for (i = 0; i < RESERVE + 100; i++)
		smr_mem_give(f->mem, smr_nodes_pop(&f->nodes));
	smr_mem_flush_local(f->mem);
	assert_int_equal(stats_of(f->mem).reserve_left, RESERVE);
	assert_int_equal(stats_of(f->mem).nodes_free, 100);
	assert_int_equal(take_all(f, GFP_NOWAIT), 100);
}

static void the_reserve_can_be_set(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mt_mem_set_reserve(f->mem, MT_CHUNK_NODES), 0);
	assert_null(smr_mem_take_one(f->mem, GFP_NOWAIT));
	assert_int_equal(mt_mem_set_reserve(f->mem, MT_CHUNK_NODES + 1), -ENOMEM);
	assert_int_equal(mt_mem_set_reserve(f->mem, ~0UL), -ENOMEM);
	assert_int_equal(stats_of(f->mem).reserve_size, MT_CHUNK_NODES + 1);
	mt_mem_set_limit(f->mem, 2 * MT_CHUNK_SIZE);
	assert_int_equal(mt_mem_set_reserve(f->mem, MT_CHUNK_NODES + 1), 0);
	assert_int_equal(stats_of(f->mem).reserve_left, MT_CHUNK_NODES + 1);
	assert_int_equal(mt_mem_set_reserve(f->mem, 0), 0);
	assert_int_equal(take_all(f, GFP_NOWAIT), 2 * MT_CHUNK_NODES);
}

static void hooks_make_it_fail(void **state)
{
	struct fixture *f = *state;

	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	assert_null(smr_mem_take_one(f->mem, GFP_ATOMIC));
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 3, GFP_KERNEL), -ENOMEM);
	assert_int_equal(smr_mem_refill(f->mem, &f->nodes, 3), 0);
	smr_hook_set_mem(SMR_HOOK_MEM_NONE);
	assert_int_equal(smr_mem_refill(f->mem, &f->nodes, 3), -ENOMEM);
	assert_int_equal(f->nodes.nr, 3);
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	smr_hook_set_fail_at(2);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 3, GFP_NOWAIT), 0);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 3, GFP_NOWAIT), -ENOMEM);
	assert_int_equal(smr_mem_take(f->mem, &f->nodes, 3, GFP_NOWAIT), 0);
	assert_int_equal(f->nodes.nr, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fresh_arena, setup, teardown),
		cmocka_unit_test_setup_teardown(nowait_leaves_the_reserve, setup, teardown),
		cmocka_unit_test_setup_teardown(atomic_takes_free_nodes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(atomic_takes_the_rest_from_the_reserve, setup,
						teardown),
		cmocka_unit_test_setup_teardown(all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_are_distinct, setup, teardown),
		cmocka_unit_test_setup_teardown(given_nodes_fill_the_reserve_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_reserve_can_be_set, setup, teardown),
		cmocka_unit_test_setup_teardown(hooks_make_it_fail, setup, teardown),
	};

	return cmocka_run_group_tests_name("mem_take", tests, NULL, NULL);
}
