/* SPDX-License-Identifier: MIT */
/* smr_rcu_quiet() notices every thread in a section that began before, however it was entered. */
#include "base/rcu.h"
#include "base/atomic.h"
#include "base/park.h"
#include "support/cm.h"
#include <pthread.h>
#include <samara/maple_tree.h>
#include <samara/snapshot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void urcu_bp_read_lock(void);
void urcu_bp_read_unlock(void);

/* ---- A thread that does one step after another when told to ---- */

struct reader {
	pthread_t thread;
	unsigned int told, done; /* steps */
	void (*step[4])(void);
	unsigned int steps;
};

static void reach(unsigned int *word, unsigned int value)
{
	smr_store(word, value, __ATOMIC_RELEASE);
	smr_wake(word, 1);
}

static void await(const unsigned int *word, unsigned int value)
{
	unsigned int seen;

	while ((seen = smr_load(word, __ATOMIC_ACQUIRE)) != value)
		smr_park(word, seen);
}

static void *do_steps(void *arg)
{
	struct reader *r = arg;

	for (unsigned int i = 0; i < r->steps; i++) {
		await(&r->told, i + 1);
		r->step[i]();
		reach(&r->done, i + 1);
	}
	await(&r->told, r->steps + 1);
	return NULL;
}

static void begin(struct reader *r)
{
	while (r->step[r->steps])
		r->steps++;
	assert_int_equal(pthread_create(&r->thread, NULL, do_steps, r), 0);
}

static void next(struct reader *r)
{
	reach(&r->told, r->told + 1);
	if (r->told <= r->steps)
		await(&r->done, r->told);
}

static void end(struct reader *r)
{
	next(r);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
}

static bool quiet(void)
{
	return smr_rcu_quiet(MT_RCU_BP);
}

/* ---- Steps ---- */

static DEFINE_MTREE(tree);

static void enter(void)
{
	smr_rcu_read_lock(MT_RCU_BP);
}

static void leave(void)
{
	smr_rcu_read_unlock(MT_RCU_BP);
}

static void load(void)
{
	mtree_load(&tree, 5);
}

/* With a cursor, in a section entered through liburcu. */
static void walk(void)
{
	MA_STATE(mas, &tree, 5, 5);

	mas_walk(&mas);
}

static void search(void)
{
	MA_STATE(mas, &tree, 0, 0);

	mas_empty_area(&mas, 0, 1000, 10);
}

static void shoot(void)
{
	struct maple_tree then;

	mt_snapshot(&then, &tree);
}

/* ---- Cases ---- */

static void nobody_reads(void **state)
{
	(void)state;
	assert_true(quiet());
	assert_false(smr_rcu_quiet(MT_RCU_MEMB));
	assert_false(smr_rcu_quiet(MT_RCU_MB));
	assert_false(smr_rcu_quiet(MT_RCU_QSBR));
}

static void one_who_asks_reads_himself(void **state)
{
	(void)state;
	enter();
	assert_false(quiet());
	leave();
	assert_true(quiet());
}

static void another_reads(void **state)
{
	struct reader r = { .step = { load, enter, leave } };

	(void)state;
	begin(&r);
	assert_true(quiet());
	next(&r);
	assert_true(quiet());
	next(&r);
	assert_false(quiet());
	assert_false(quiet());
	next(&r);
	assert_true(quiet());
	end(&r);
	assert_true(quiet());
}

static unsigned int called;

static void note_call(struct smr_rcu_head *head)
{
	(void)head;
	reach(&called, 1);
}

/*
 * A reader that has read no root has no node and is not known; callbacks about anything else wait
 * for it all the same.
 */
static void a_section_that_nobody_knows(void **state)
{
	const struct timespec while_it_might_be_called = { 0, 5 * 1000 * 1000 };
	struct reader r = { .step = { urcu_bp_read_lock, urcu_bp_read_unlock } };
	struct smr_rcu_head head;

	(void)state;
	begin(&r);
	next(&r);
	assert_true(quiet());
	smr_rcu_call(MT_RCU_BP, &head, note_call);
	nanosleep(&while_it_might_be_called, NULL);
	assert_int_equal(smr_load(&called, RELAXED), 0);
	next(&r);
	await(&called, 1);
	end(&r);
}

/*
 * A reader that entered through liburcu is known once it has read a root. Each of these has a
 * record that no thread had before.
 */
static void sections_entered_without_us(void **state)
{
	static void (*const first_contact[])(void) = { load, walk, search, shoot };
	struct reader r[ARRAY_SIZE(first_contact)] = { 0 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		r[i].step[0] = urcu_bp_read_lock;
		r[i].step[1] = first_contact[i];
		r[i].step[2] = urcu_bp_read_unlock;
		begin(&r[i]);
	}
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		next(&r[i]);
		next(&r[i]);
		assert_false(quiet());
		next(&r[i]);
		assert_true(quiet());
	}
	for (i = 0; i < ARRAY_SIZE(r); i++)
		end(&r[i]);
}

/* When a thread has ended, its record goes to another thread. */
static void records_are_handed_on(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3 * SMR_QUIET_RECORDS; i++) {
		struct reader r = { .step = { load, enter, leave } };
		bool check = i % 64 == 0;

		if (!check)
			r.step[1] = NULL;
		begin(&r);
		next(&r);
		if (check) {
			next(&r);
			assert_false(quiet());
			next(&r);
		}
		end(&r);
	}
	assert_true(quiet());
}

/* ---- A reader that never stops is seen between two sections ---- */

static bool stop;

static void *read_on(void *unused)
{
	while (!smr_load(&stop, RELAXED))
		load();
	return unused;
}

static void a_busy_reader(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, read_on, NULL), 0);
	while (!quiet())
		;
	smr_store(&stop, true, RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- More records than there is room for ---- */

static int overflow(void)
{
	static const unsigned long counts[SMR_QUIET_RECORDS + 1];

	for (unsigned int i = 0; i < SMR_QUIET_RECORDS - 2; i++)
		smr_quiet_add_record(&counts[i]);
	if (!quiet())
		return 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++)
		smr_quiet_add_record(&counts[i]);
	return quiet() ? 2 : 0;
}

static void a_full_table(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(overflow());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table), /* first: it forks */
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(one_who_asks_reads_himself),
		/* These two run before other threads have records. */
		cmocka_unit_test(a_section_that_nobody_knows),
		cmocka_unit_test(sections_entered_without_us),
		cmocka_unit_test(another_reads),
		cmocka_unit_test(records_are_handed_on),
		cmocka_unit_test(a_busy_reader),
	};

	smr_rcu_join(); /* otherwise it may not look before the worker has begun */
	mt_init_flags(&tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	for (unsigned long i = 0; i < 100; i++)
		if (mtree_store(&tree, 2 * i, &tree, GFP_KERNEL))
			return 99;
	if (!quiet())
		return 77; /* no membarrier() */
	return cmocka_run_group_tests_name("base_quiet", tests, NULL, NULL);
}
