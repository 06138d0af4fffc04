/* SPDX-License-Identifier: MIT */
/* The guard that tests rely on sees what it should and changes nothing. */
#include "support/cm.h"
#include "support/guard.h"

#include "base/park.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Keeps the compiler from removing the calls. */
static void *volatile got;

static void ask_for_memory(void)
{
	void *map;

	got = malloc(10);
	got = realloc(got, 1000);
	free(got);
	got = calloc(3, 5);
	free(got);
	got = aligned_alloc(64, 128);
	free(got);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(map, 4096, MADV_NORMAL);
	munmap(map, 4096);
}

static void sees_the_allocator(void **state)
{
	(void)state;
	guard_begin();
	ask_for_memory();
	assert_int_equal(guard_faults(), 0);
	guard_enter();
	assert_true(guard_inside());
	ask_for_memory();
	guard_leave();
	assert_false(guard_inside());
	assert_int_equal(guard_faults(), 10);
	assert_string_equal(guard_first_fault(), "malloc()");
	guard_begin();
	assert_int_equal(guard_faults(), 0);
	assert_string_equal(guard_first_fault(), "");
}

struct watched {
	bool watched;
	pid_t outside, within;
	unsigned long before, futexes, after;
	sigset_t mask;
};

static void *make_calls(void *arg)
{
	struct watched *w = arg;
	unsigned int word = 0;
	sigset_t set;

	w->watched = guard_thread() && guard_thread();
	w->outside = (pid_t)syscall(SYS_getppid);
	w->before = guard_faults();
	guard_enter();
	smr_wake(&word, 1);
	smr_park(&word, 1);
	guard_leave();
	w->futexes = guard_faults();
	guard_enter();
	w->within = (pid_t)syscall(SYS_getppid);
	guard_leave();
	w->after = guard_faults();
	sigfillset(&set);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &w->mask);
	return NULL;
}

static void sees_system_calls(void **state)
{
	struct watched w;
	pthread_t thread;

	(void)state;
	guard_begin();
	assert_int_equal(pthread_create(&thread, NULL, make_calls, &w), 0);
	pthread_join(thread, NULL);
	if (!w.watched)
		skip();
	assert_int_equal(w.before, 0);
	assert_int_equal(w.futexes, 0);
	assert_int_equal(w.after, 1);
	assert_string_equal(guard_first_fault(), "system call 110");
	assert_int_equal(w.outside, getppid());
	assert_int_equal(w.within, getppid());
	/* The thread's mask of other signals is kept. */
	assert_true(sigismember(&w.mask, SIGUSR1));
	assert_false(sigismember(&w.mask, SIGSYS));
}

static char told[64];

static void tell(const char *what)
{
	strncpy(told, what, sizeof(told) - 1);
}

static void tells_the_test(void **state)
{
	(void)state;
	guard_begin();
	guard_set_fault(tell);
	guard_enter();
	free(got = malloc(1));
	guard_leave();
	guard_set_fault(NULL);
	assert_string_equal(told, "free()"); /* the last */
	assert_int_equal(guard_faults(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_the_allocator),
		cmocka_unit_test(sees_system_calls),
		cmocka_unit_test(tells_the_test),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
