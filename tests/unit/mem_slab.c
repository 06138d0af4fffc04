/* SPDX-License-Identifier: MIT */
/* Chunks come, fill, drain and go. */
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include "mem/take.h"
#include "pages.h"
#include "support/cm.h"
#include <errno.h>
#include <string.h>

static uintptr_t chunk_of(const void *node)
{
	return (uintptr_t)node & ~(MT_CHUNK_SIZE - 1);
}

static void a_chunk_begins_with_its_header(void **state)
{
	struct mt_mem *a = mt_mem_create(0, NULL);
	struct smr_nodes nodes = { NULL, 0 };
	void *node;

	(void)state;
	assert_int_equal(stats_of(a).chunks, 1);
	assert_int_equal(smr_mem_refill(a, &nodes, 1), 0);
	node = smr_nodes_pop(&nodes);
	assert_true((uintptr_t)node - chunk_of(node) >= MT_NODE_SIZE);
	smr_mem_give(a, node);
	mt_mem_destroy(a);
}

/* Fills @chunks chunks and returns the nodes of each in @lists. */
static void fill(struct mt_mem *mem, unsigned int chunks, struct smr_nodes *lists)
{
	struct smr_nodes all = { NULL, 0 };
	uintptr_t chunk[8];
	unsigned int i, nr = 0;
	void *node;

	memset(lists, 0, chunks * sizeof(*lists));
	assert_int_equal(smr_mem_refill(mem, &all, chunks * MT_CHUNK_NODES), 0);
	while ((node = smr_nodes_pop(&all))) {
		for (i = 0; i < nr && chunk[i] != chunk_of(node); i++)
			;
		if (i == nr) {
			assert_true(nr < chunks);
			chunk[nr++] = chunk_of(node);
		}
		smr_nodes_push(&lists[i], node);
	}
	for (i = 0; i < chunks; i++)
		assert_int_equal(lists[i].nr, MT_CHUNK_NODES);
}

static void give(struct mt_mem *mem, struct smr_nodes *list, unsigned long nr)
{
	struct smr_nodes some = { NULL, 0 };

	while (nr--)
		smr_nodes_push(&some, smr_nodes_pop(list));
	smr_mem_give_list(mem, &some);
	smr_mem_flush_local(mem);
}

/* Nodes are taken from the chunk with the fewest free ones, so that the others can empty. */
static void the_fullest_chunk_serves(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes lists[3], out = { NULL, 0 };
	uintptr_t fullest;

	(void)state;
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	fill(mem, 3, lists);
	fullest = chunk_of(lists[1].head);
	give(mem, &lists[0], 3000);
	give(mem, &lists[1], 40);
	give(mem, &lists[2], 300);
	assert_int_equal(smr_mem_take(mem, &out, 40, GFP_NOWAIT), 0);
	while (out.head) {
		assert_int_equal(chunk_of(out.head), fullest);
		smr_nodes_push(&lists[1], smr_nodes_pop(&out));
	}
	for (unsigned int i = 0; i < 3; i++)
		smr_mem_give_list(mem, &lists[i]);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void empty_chunks_go_but_one(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes lists[4];
	unsigned int i;

	(void)state;
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	fill(mem, 4, lists);
	assert_int_equal(pages.mapped, 4);
	give(mem, &lists[0], MT_CHUNK_NODES);
	give(mem, &lists[1], MT_CHUNK_NODES - 1);
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 4);
	give(mem, &lists[1], 1);
	/* Giving never unmaps: it may happen under a lock. */
	assert_int_equal(pages.mapped, 4);
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 3);
	for (i = 2; i < 4; i++)
		smr_mem_give_list(mem, &lists[i]);
	mt_mem_trim(mem);
	assert_int_equal(pages.mapped, 1);
	assert_int_equal(stats_of(mem).chunks, 1);
	/* The chunk that is left is as good as new. */
	fill(mem, 1, lists);
	assert_int_equal(pages.ever, 4);
	smr_mem_give_list(mem, lists);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void a_chunk_survives_any_order(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_nodes in = { NULL, 0 };
	unsigned long round, i;

	(void)state;
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	for (round = 1; round < 4000; round += 211) {
		assert_int_equal(smr_mem_take(mem, &in, MT_CHUNK_NODES - in.nr, GFP_NOWAIT), 0);
		assert_int_equal(smr_mem_take(mem, &in, 1, GFP_NOWAIT), -ENOMEM);
		for (i = 0; i < round; i++)
			smr_mem_give(mem, smr_nodes_pop(&in));
		assert_int_equal(stats_of(mem).nodes_free, round);
	}
	smr_mem_give_list(mem, &in);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void leftover_nodes_are_leaked_not_freed(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes lists[2];
	void *node;

	(void)state;
	fill(mem, 2, lists);
	node = smr_nodes_pop(&lists[1]);
	smr_mem_give_list(mem, &lists[0]);
	smr_mem_give_list(mem, &lists[1]);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 1);
	memset(node, 1, MT_NODE_SIZE); /* still in use */
	pages_unmap(&pages, (void *)chunk_of(node), MT_CHUNK_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chunk_begins_with_its_header),
		cmocka_unit_test(the_fullest_chunk_serves),
		cmocka_unit_test(empty_chunks_go_but_one),
		cmocka_unit_test(a_chunk_survives_any_order),
		cmocka_unit_test(leftover_nodes_are_leaked_not_freed),
	};

	return cmocka_run_group_tests_name("mem_slab", tests, NULL, NULL);
}
