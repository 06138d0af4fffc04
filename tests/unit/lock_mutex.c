/* SPDX-License-Identifier: MIT */
#include "base/atomic.h"
#include "lock/mutex.h"
#include "lock/tid.h"
#include "support/child.h"
#include "support/cm.h"
#include "support/env.h"
#include <errno.h>
#include <pthread.h>
#include <samara/lock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

static struct mt_lock lock = MT_LOCK_INIT;
static unsigned long counter; /* GUARD lock */
static unsigned long rounds;

static void held_by_me_or_not(void **state)
{
	struct mt_lock mine;

	(void)state;
	mt_lock_init(&mine);
	assert_false(mt_lock_held(&mine));
	mt_lock_acquire(&mine);
	assert_true(mt_lock_held(&mine));
	assert_false(mt_lock_try(&mine));
	mt_lock_release(&mine);
	assert_false(mt_lock_held(&mine));
	assert_true(mt_lock_try(&mine));
	assert_true(mt_lock_held(&mine));
	mt_lock_release(&mine);
	assert_int_equal(mine.word, 0);
}

static void *try_from_elsewhere(void *arg)
{
	struct mt_lock *theirs = arg;

	return mt_lock_try(theirs) || mt_lock_held(theirs) ? theirs : NULL;
}

static void another_thread_does_not_hold_it(void **state)
{
	pthread_t thread;
	void *got;

	(void)state;
	mt_lock_acquire(&lock);
	assert_int_equal(pthread_create(&thread, NULL, try_from_elsewhere, &lock), 0);
	pthread_join(thread, &got);
	assert_null(got);
	assert_true(mt_lock_held(&lock));
	mt_lock_release(&lock);
}

static void *try_first_of_all(void *arg)
{
	struct mt_lock *theirs = arg;

	if (!mt_lock_try(theirs))
		return NULL;
	mt_lock_release(theirs);
	return theirs;
}

/* A thread that has not asked for its id before may try. */
static void a_new_thread_may_try(void **state)
{
	pthread_t thread;
	void *got;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, try_first_of_all, &lock), 0);
	pthread_join(thread, &got);
	assert_ptr_equal(got, &lock);
}

static void *count_up(void *unused)
{
	unsigned long i;

	(void)unused;
	for (i = 0; i < rounds; i++) {
		if (i % 8 == 0 && mt_lock_try(&lock)) {
			counter++;
			mt_lock_release(&lock);
			continue;
		}
		mt_lock_acquire(&lock);
		counter++;
		mt_lock_release(&lock);
	}
	return NULL;
}

static void one_at_a_time(void **state)
{
	pthread_t threads[THREADS];
	unsigned int i;

	(void)state;
	rounds = env_scaled(200000);
	counter = 0;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, THREADS * rounds);
	assert_int_equal(lock.word, 0);
}

static void *lock_once(void *unused)
{
	(void)unused;
	mt_lock_acquire(&lock);
	counter++;
	mt_lock_release(&lock);
	return NULL;
}

/* Threads asleep on the lock are woken, each in its turn, and errno survives. */
static void sleepers_get_the_lock(void **state)
{
	pthread_t threads[THREADS];
	unsigned int i;

	(void)state;
	counter = 0;
	mt_lock_acquire(&lock);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, lock_once, NULL), 0);
	while (!(smr_load(&lock.word, RELAXED) & 0x80000000u))
		usleep(100);
	assert_true(mt_lock_held(&lock));
	assert_int_equal(counter, 0);
	errno = ENOTTY;
	mt_lock_release(&lock);
	assert_int_equal(errno, ENOTTY);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, THREADS);
}

static void nothing(int number)
{
	(void)number;
}

static int interrupted; /* the wait's result; 1: none yet */

static void *lock_interruptibly(void *unused)
{
	int err = smr_lock_acquire_intr(&lock);

	(void)unused;
	if (!err)
		mt_lock_release(&lock);
	else if (mt_lock_held(&lock))
		err = 1 << 30;
	smr_store(&interrupted, err, RELAXED);
	return lock_once(NULL);
}

/* A signal ends the wait: the thread does not hold the lock, and may try again. */
static void a_wait_is_interrupted(void **state)
{
	struct sigaction action = { .sa_handler = nothing }, before;
	pthread_t thread;

	(void)state;
	sigaction(SIGUSR1, &action, &before);
	counter = 0;
	interrupted = 1;
	mt_lock_acquire(&lock);
	assert_int_equal(pthread_create(&thread, NULL, lock_interruptibly, NULL), 0);
	/* Until a signal arrives while it sleeps. */
	while (smr_load(&interrupted, RELAXED) == 1) {
		usleep(500);
		pthread_kill(thread, SIGUSR1);
	}
	assert_int_equal(smr_load(&interrupted, RELAXED), -EINTR);
	assert_true(mt_lock_held(&lock));
	mt_lock_release(&lock);
	pthread_join(thread, NULL);
	assert_int_equal(counter, 1);
	assert_int_equal(smr_lock_acquire_intr(&lock), 0);
	assert_true(mt_lock_held(&lock));
	mt_lock_release(&lock);
	assert_int_equal(lock.word, 0);
	sigaction(SIGUSR1, &before, NULL);
}

static void a_child_is_somebody_else(void **state)
{
	struct mt_lock mine = MT_LOCK_INIT;
	unsigned int tid = smr_lock_tid();
	int status;
	pid_t child;

	(void)state;
	mt_lock_acquire(&mine);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(smr_lock_tid() == tid || mt_lock_held(&mine));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	mt_lock_release(&mine);
}

static int takes_it_twice(void *lock)
{
	alarm(30); /* in case it waits */
	smr_lock_acquire_unseen(lock);
	smr_lock_acquire_unseen(lock);
	return 0;
}

static int frees_it(void *lock)
{
	smr_lock_release_unseen(lock);
	return 0;
}

/* Through calls that the checker does not see. */
static void misuse_is_caught(void **state)
{
	(void)state;
	assert_true(child_aborts(takes_it_twice, &lock));
	assert_true(child_aborts(frees_it, &lock));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_by_me_or_not),
		cmocka_unit_test(another_thread_does_not_hold_it),
		cmocka_unit_test(a_new_thread_may_try),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(sleepers_get_the_lock),
		cmocka_unit_test(a_wait_is_interrupted),
		cmocka_unit_test(a_child_is_somebody_else),
		cmocka_unit_test(misuse_is_caught),
	};

	return cmocka_run_group_tests_name("lock_mutex", tests, NULL, NULL);
}
