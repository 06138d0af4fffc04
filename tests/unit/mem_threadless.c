/* SPDX-License-Identifier: MIT */
/* A process that cannot create threads: nothing runs callbacks, and looks have to do. */
#include "base/rcu.h"
#include "support/cm.h"

#include <errno.h>
#include <pthread.h>
#include <samara/maple_tree.h>
#include <samara/mem.h>

static unsigned int refused;

/* Replaces the C library's. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)thread;
	(void)attr;
	(void)fn;
	(void)arg;
	refused++;
	return EAGAIN;
}

/* There are no readers, so retired nodes are known to be free. */
static void a_barrier_needs_no_thread(void **state)
{
	struct mt_mem_stats stats;
	struct maple_tree mt;

	(void)state;
	if (!urcu_bp_has_sys_membarrier) /* without it nobody looks */
		skip();
	mt_init_flags(&mt, MT_FLAGS_USE_RCU);
	for (unsigned long round = 0; round < 3; round++)
		for (unsigned long i = 0; i < 2000; i++)
			assert_int_equal(mtree_store_range(&mt, 10 * i, 10 * i + 4 + round,
							   xa_mk_value(i), GFP_KERNEL),
					 0);
	mtree_destroy(&mt);
	mt_mem_barrier(mt_mem_default());
	mt_mem_stats(mt_mem_default(), &stats);
	assert_int_equal(stats.nodes_used, 0);
	assert_int_equal(stats.nodes_limbo, 0);
	assert_true(refused > 0);
}

/* A store at the limit looks, too, however many looks were in vain before. */
static void a_full_arena_needs_no_thread(void **state)
{
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	unsigned int failed = 0;
	struct maple_tree mt;

	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	assert_non_null(mem);
	mt_init_flags(&mt, MT_FLAGS_USE_RCU);
	assert_int_equal(mt_set_mem(&mt, mem), 0);
	mt_rcu_read_lock(&mt);
	for (unsigned long i = 0; failed < 100; i++)
		failed += mtree_store_range(&mt, 100 * (i % 50), 100 * (i % 50) + 1 + i % 97,
					    xa_mk_value(i), GFP_KERNEL) == -ENOMEM;
	mt_rcu_read_unlock(&mt);
	for (unsigned long i = 0; i < 2000; i++)
		assert_int_equal(mtree_store_range(&mt, 100 * (i % 50), 100 * (i % 50) + 1 + i % 97,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
	mtree_destroy(&mt);
	mt_mem_barrier(mem); /* destroying an arena needs a thread */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_barrier_needs_no_thread),
		cmocka_unit_test(a_full_arena_needs_no_thread),
	};

	return cmocka_run_group_tests_name("mem_threadless", tests, NULL, NULL);
}
