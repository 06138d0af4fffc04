/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules watches threads as they come and go, and goes on in the child of
 * a thread that forks.
 */
#include "reported.h"

#include "base/sanitizer.h"
#include "lock/check_internal.h"
#include "support/child.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- Children ---- */

static void *takes_too(void *lock)
{
	takes(lock, &class_a, 0);
	lets_go(lock);
	return NULL;
}

/*
 * Runs in the child of a thread that held @a, @mt's lock and @b, nested in this order. Returns what
 * went wrong, 0 if nothing.
 */
static int look_at_holds(void *mt)
{
	DEFINE_MTREE(other);

	if (lockcheck_held(&((struct maple_tree *)mt)->ma_lock))
		return 1;
	if (!lockcheck_held(&a) || !lockcheck_held(&b))
		return 2;
	in_thread(takes_too, &c); /* with a record of its own */
	lets_go(&b);
	locks(&other); /* the only tree's lock, as far as it knows */
	unlocks(&other);
	lets_go(&a);
	return lockcheck_held(&a) || lockcheck_held(&b) || seen.nr ? 3 : 0;
}

/* The library's locks belong to threads, and the thread that held this one is not in the child. */
static void held_over_a_fork(void **state)
{
	DEFINE_MTREE(mt);
	char text[1024];
	int status;

	(void)state;
	takes(&a, &class_a, 0);
	locks(&mt);
	takes(&b, &class_b, 0);
	status = child_status(look_at_holds, &mt, text, sizeof(text));
	lets_go(&b);
	unlocks(&mt);
	lets_go(&a);
	expect_nothing();
	assert_int_equal(status, 0);
}

static int take_of_a_new_class(void *unused)
{
	static struct lockcheck_class class_new = { .name = "new" };

	(void)unused;
	alarm(30); /* in case it waits */
	takes(&a, &class_new, 0);
	lets_go(&a);
	return seen.nr != 0;
}

/* The thread that is in the checker's tables at the fork may also be missing. */
static void the_tables_over_a_fork(void **state)
{
	char text[1024];
	int status;

	(void)state;
	smri_check_lock_tables();
	status = child_status(take_of_a_new_class, NULL, text, sizeof(text));
	smri_check_unlock_tables();
	assert_int_equal(status, 0);
}

/* ---- Threads ---- */

/* More than the checker watches at once. */
enum { THREADS = 1100 };

static sem_t met, parted;
static atomic_uint not_held; /* threads that did not hold what they had taken */

static void *takes_twice(void *arg)
{
	takes(arg, &class_a, 0);
	takes_again(arg, &class_a, 0);
	lets_go(arg);
	lets_go(arg);
	return NULL;
}

static void *takes_once(void *arg)
{
	takes(arg, &class_a, 0);
	if (!lockcheck_held(arg))
		not_held++;
	lets_go(arg);
	return NULL;
}

static void one_thread_after_the_other(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < THREADS; i++)
		in_thread(takes_once, &a);
	expect_nothing();
	in_thread(takes_twice, &a);
	expect(LOCKCHECK_LOCK_RECURSION, "takes_again", "takes");
}

static void *ends_with_a_lock(void *arg)
{
	takes(arg, &class_a, 0);
	return NULL;
}

static void *ends_in_a_section(void *arg)
{
	begins();
	return arg;
}

/* What an ended thread leaves behind takes no room. */
static void threads_end_with_what_they_hold(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < THREADS; i++)
		in_thread(i % 2 ? ends_with_a_lock : ends_in_a_section, &a);
	expect_nothing();
	in_thread(takes_twice, &a);
	expect(LOCKCHECK_LOCK_RECURSION, "takes_again", "takes");
}

static pthread_key_t late;
static __thread int rounds;

/* Runs again in each round of destructors. ThreadSanitizer ends the thread before the last. */
static void takes_late(void *arg)
{
	takes_once(arg);
	if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS - SMR_TSAN)
		pthread_setspecific(late, arg);
}

static void *ends_late(void *arg)
{
	pthread_setspecific(late, arg);
	return NULL;
}

/* Destructors are watched or left alone. */
static void threads_end_late(void **state)
{
	(void)state;
	assert_int_equal(pthread_key_create(&late, takes_late), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		in_thread(ends_late, &a);
	assert_int_equal(pthread_key_delete(late), 0);
	expect_nothing();
	in_thread(takes_twice, &a);
	expect(LOCKCHECK_LOCK_RECURSION, "takes_again", "takes");
}

static void takes_twice_late(void *arg)
{
	takes_twice(arg);
}

static void *takes_and_ends_late(void *arg)
{
	takes_once(arg);
	return ends_late(arg);
}

/* The checker's own destructor runs first, and most others are watched all the same. */
static void mistakes_in_destructors(void **state)
{
	(void)state;
	assert_int_equal(pthread_key_create(&late, takes_twice_late), 0);
	in_thread(takes_and_ends_late, &a);
	assert_int_equal(pthread_key_delete(late), 0);
	expect(LOCKCHECK_LOCK_RECURSION, "takes_again", "takes");
}

/* Releases its lock when other threads' records may be free again: too late to watch that. */
static void *waits_to_part(void *arg)
{
	takes(arg, &class_a, 0);
	sem_post(&met);
	sem_wait(&parted);
	lets_go(arg);
	takes_once(arg);
	return NULL;
}

/* In a child: threads without a record are left alone, and the others are still watched. */
static int too_many_threads(void *arg)
{
	pthread_t thread[THREADS];
	pthread_attr_t attr;
	unsigned int nr;

	(void)arg;
	sem_init(&met, 0, 0);
	sem_init(&parted, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	for (nr = 0; nr < THREADS; nr++)
		if (pthread_create(&thread[nr], &attr, waits_to_part, &a))
			return 77;
	for (unsigned int i = 0; i < nr; i++)
		sem_wait(&met);
	for (unsigned int i = 0; i < nr; i++)
		sem_post(&parted);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
	if (not_held)
		return 1;
	takes_twice(&a);
	return 0;
}

static void threads_beyond_go_unwatched(void **state)
{
	char text[8192];
	int status;

	(void)state;
	/* ThreadSanitizer takes ten seconds for so many threads. */
	if (SMR_TSAN)
		skip();
	lockcheck_set_handler(NULL, NULL);
	status = child_status(too_many_threads, NULL, text, sizeof(text));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(has_aborted(status));
	assert_non_null(strstr(text, "samara: lockcheck does not watch further threads"));
	assert_non_null(strstr(text, "samara: lockcheck: lock-recursion"));
	assert_null(strstr(text, "release-not-held"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(held_over_a_fork), /* these fork, so they come first */
		TEST(the_tables_over_a_fork),     TEST(threads_beyond_go_unwatched),
		TEST(one_thread_after_the_other), TEST(threads_end_with_what_they_hold),
		TEST(threads_end_late),           TEST(mistakes_in_destructors),
	};

	alarm(120);
	return cmocka_run_group_tests_name("lock_check_thread", tests, NULL, NULL);
}
