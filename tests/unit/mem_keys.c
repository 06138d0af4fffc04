/* SPDX-License-Identifier: MIT */
/* A process with so many thread-specific keys that the library's own needs memory. */
#include "mem/mem_internal.h"
#include "mem/refill.h"
#include "pages.h"
#include "support/cm.h"

#include <pthread.h>

#define OTHERS 32

/* Takes a node, which is available, without blocking, and gives it back. */
static void visit(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };

	assert_int_equal(smr_mem_take(mem, &nodes, 1, GFP_NOWAIT), 0);
	smr_mem_give_list(mem, &nodes);
}

/* Unless the thread has a magazine of another arena: then that memory is there. */
static void who_may_not_block_gets_no_magazine(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem[2] = { pages_arena(&pages, MT_CHUNK_SIZE),
				  pages_arena(&pages, MT_CHUNK_SIZE) };
	struct smr_nodes nodes = { NULL, 0 };
	pthread_key_t key;

	(void)state;
	do
		assert_int_equal(pthread_key_create(&key, NULL), 0);
	while (key + 1 < OTHERS);
	visit(mem[0]);
	assert_null(smri_mag_mine(mem[0]));
	assert_int_equal(smr_mem_refill(mem[0], &nodes, 1), 0);
	assert_non_null(smri_mag_mine(mem[0]));
	smr_mem_give_list(mem[0], &nodes);
	visit(mem[1]);
	assert_non_null(smri_mag_mine(mem[1]));
	mt_mem_destroy(mem[0]);
	mt_mem_destroy(mem[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_not_block_gets_no_magazine),
	};

	return cmocka_run_group_tests_name("mem_keys", tests, NULL, NULL);
}
