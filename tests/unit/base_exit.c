/* SPDX-License-Identifier: MIT */
/*
 * At the end of a process liburcu frees its records, unless a thread has one in use, while others
 * may want to look at them.
 */
#include "base/rcu.h"
#include "support/cm.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool ends;  /* this process is the child that ends as the test wants */
static bool early; /* its worker began before exit() */
static int told;   /* a pipe's write end: a byte says that the callback ran */
static struct smr_rcu_head head;

/*
 * All at the same time, so that there are more records than fit into the memory that liburcu gets
 * for the worker's alone.
 */
#define READERS 100

static pthread_barrier_t all_have_read;

static void *read_once(void *unused)
{
	smr_rcu_read_lock(MT_RCU_BP);
	smr_rcu_read_unlock(MT_RCU_BP);
	pthread_barrier_wait(&all_have_read);
	return unused;
}

static bool readers_come_and_go(void)
{
	pthread_t reader[READERS];

	if (pthread_barrier_init(&all_have_read, NULL, READERS))
		return false;
	for (unsigned int i = 0; i < READERS; i++)
		if (pthread_create(&reader[i], NULL, read_once, NULL))
			return false;
	for (unsigned int i = 0; i < READERS; i++)
		if (pthread_join(reader[i], NULL))
			return false;
	return true;
}

static void tell(struct smr_rcu_head *unused)
{
	(void)unused;
	if (write(told, "", 1) != 1)
		_exit(1);
}

/*
 * A program's destructors run before those of its libraries: liburcu gives up its records while the
 * worker gathers. A thread that has none may not look at the others unless the worker has kept
 * them.
 */
__attribute__((destructor)) static void queue_late(void)
{
	if (!ends)
		return;
	if (smr_rcu_quiet(MT_RCU_BP) && !early)
		_exit(3);
	if (!smr_grace_start(MT_RCU_BP))
		_exit(2);
	smr_rcu_call_nodes(MT_RCU_BP, &head, tell, false);
}

/*
 * All readers have ended, and the thread that calls exit() never read. The output flushed last,
 * after the destructors, does not fit into the pipe until the test reads it.
 */
static void end(int last)
{
	static char buffer[1 << 18], text[1 << 17];
	FILE *slow = fdopen(last, "w");

	if (!slow || setvbuf(slow, buffer, _IOFBF, sizeof(buffer)) ||
	    fwrite(text, 1, sizeof(text), slow) != sizeof(text) ||
	    (early && !smr_grace_start(MT_RCU_BP)) || !readers_come_and_go())
		_exit(2);
	ends = true;
	exit(0);
}

static void exit_beside_a_worker(bool began_early)
{
	int callback[2], last[2], status;
	static char text[1 << 12];
	pid_t pid;

	assert_int_equal(pipe(callback), 0);
	assert_int_equal(pipe(last), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(30);
		early = began_early;
		told = callback[1];
		close(last[0]);
		end(last[1]);
	}
	close(callback[1]);
	close(last[1]);
	assert_int_equal(read(callback[0], text, 1), 1);
	while (read(last[0], text, sizeof(text)) > 0)
		;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(callback[0]);
	close(last[0]);
}

static void the_worker_outlives_the_records(void **state)
{
	(void)state;
	exit_beside_a_worker(true);
}

static void a_worker_that_begins_late(void **state)
{
	(void)state;
	exit_beside_a_worker(false);
}

/* Another thread may call exit() while this one looks, so it needs the worker's reference. */
static void without_a_record_of_its_own(void **state)
{
	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	assert_true(smr_rcu_quiet(MT_RCU_BP)); /* there is nothing to look at */
	assert_true(readers_come_and_go());
	assert_false(smr_rcu_quiet(MT_RCU_BP));
	assert_true(smr_grace_start(MT_RCU_BP));
	while (!smr_rcu_quiet(MT_RCU_BP))
		sched_yield();
	assert_false(smr_rcu_joined());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worker_outlives_the_records),
		cmocka_unit_test(a_worker_that_begins_late),
		cmocka_unit_test(without_a_record_of_its_own),
	};

	return cmocka_run_group_tests_name("base_exit", tests, NULL, NULL);
}
