/* SPDX-License-Identifier: MIT */
/* fork() while other threads use an arena: the child can go on. */
#include "base/sanitizer.h"
#include "mem/refill.h"
#include "mem/retire.h"
#include "pages.h"
#include "support/cm.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKS 20

static bool stop;

static void *churn(void *arg)
{
	struct mt_mem *mem = arg;
	struct smr_nodes nodes = { NULL, 0 };

	while (!smr_load(&stop, RELAXED)) {
		(void)smr_mem_refill(mem, &nodes, 20);
		smr_mem_retire(mem, MT_RCU_MB, &nodes);
		(void)smr_mem_take(mem, &nodes, 20, GFP_NOWAIT);
		smr_mem_give_list(mem, &nodes);
	}
	return NULL;
}

/*
 * Nodes can be taken, given and retired, and what is retired comes back, be it from before the
 * fork. As liburcu wants it, the fork is bracketed with its own handlers.
 */
static int child(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int i;

	for (i = 0; i < 10; i++) {
		if (smr_mem_refill(mem, &nodes, 10))
			return 1;
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
	}
	smr_mem_retire(mem, MT_RCU_BP, &nodes);
	mt_mem_barrier(mem);
	return stats_of(mem).nodes_limbo > 0 ? 2 : 0;
}

static void the_child_goes_on(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 4 * MT_CHUNK_SIZE);
	struct smr_nodes nodes = { NULL, 0 };
	pthread_t thread;
	unsigned int i;
	int status;
	pid_t pid;

	(void)state;
	for (i = 0; i < FORKS; i++) {
		assert_int_equal(smr_mem_refill(mem, &nodes, 10), 0);
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
		urcu_bp_before_fork();
		pid = fork();
		if (pid == 0) {
			urcu_bp_after_fork_child();
			_exit(child(mem));
		}
		urcu_bp_after_fork_parent();
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).nodes_used, 0);

	/* With a thread that is busy in the arena: no lock is left held. */
	assert_int_equal(pthread_create(&thread, NULL, churn, mem), 0);
	for (i = 0; i < FORKS; i++) {
		pid = fork();
		if (pid == 0)
			_exit(smr_mem_take(mem, &nodes, 1, GFP_ATOMIC));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	smr_store(&stop, true, RELAXED);
	pthread_join(thread, NULL);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_child_goes_on),
	};

#if SMR_TSAN || SMR_ASAN
	/*
	 * ThreadSanitizer cannot follow a child of a program with threads; and of
	 * AddressSanitizer's allocator another thread may have held a lock at the fork, which
	 * nobody releases in the child.
	 */
	return 77;
#endif
	return cmocka_run_group_tests_name("mem_fork", tests, NULL, NULL);
}
