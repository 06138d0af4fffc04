/* SPDX-License-Identifier: MIT */
/*
 * The meter sees what is done in a section, by whatever thread, and nothing of what is done
 * outside.
 */
#include "support/cm.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/samara/meter.h"
#include "tools/samara/sanitizer.h"

static struct meter meter;
static void *volatile kept;

static void measure(void (*what)(void))
{
	/* Each time, because the test framework has a handler for SIGSYS, too. */
	meter_start(NULL);
	meter_enter();
	what();
	meter_leave();
	meter_read(&meter);
}

static void nothing(void)
{
}

static void allocate(void)
{
	kept = malloc(100);
}

static void allocate_aligned(void)
{
	void *at;

	if (!posix_memalign(&at, 64, 64))
		kept = at;
}

static void reallocate(void)
{
	void *at = realloc(kept, 200);

	if (at)
		kept = at;
}

static void release(void)
{
	free(kept);
	kept = NULL;
}

static void unmap_memory(void)
{
	munmap(kept, 4096);
	kept = NULL;
}

static void map_memory(void)
{
	kept = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* As called by code not compiled for large files; code that is calls mmap64(). */
void *mmap_by_name(void *at, size_t length, int prot, int flags, int file,
		   off_t offset) __asm__("mmap");

static void map_memory_by_name(void)
{
	kept = mmap_by_name(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long parent;

static void call_system(void)
{
	parent = syscall(SYS_getppid);
}

static void call_futex(void)
{
	int word = 0;

	syscall(SYS_futex, &word, 1 /* wake */, 1, NULL, NULL, 0);
}

static void test_nothing(void **state)
{
	(void)state;
	measure(nothing);
	assert_int_equal(meter.sections, 1);
	assert_int_equal(meter.allocations, 0);
	assert_int_equal(meter.system_calls, 0);
	assert_int_equal(meter.futexes, 0);
	assert_int_equal(meter.first_call, -1);
}

static void test_allocations(void **state)
{
	(void)state;
	if (!meter_heap_start())
		skip();
	measure(allocate);
	assert_int_equal(meter.allocations, 1);
	measure(release);
	assert_int_equal(meter.allocations, 1);
	measure(release); /* frees NULL */
	assert_int_equal(meter.allocations, 0);
	/* Sanitizers' hooks see only the plain functions. */
#if !TOOL_ASAN && !TOOL_TSAN
	measure(allocate_aligned);
	assert_int_equal(meter.allocations, 1);
	measure(reallocate);
	assert_int_equal(meter.allocations, 1);
	release();
#else
	(void)allocate_aligned;
	(void)reallocate;
#endif
}

static _Thread_local volatile bool elsewhere;

static bool is_elsewhere(void)
{
	return elsewhere;
}

/* Sections that only a predicate recognises. */
static void test_other_sections(void **state)
{
	(void)state;
	meter_start(is_elsewhere);
	allocate();
	elsewhere = true;
	release();
	elsewhere = false;
	meter_read(&meter);
	assert_int_equal(meter.sections, 0);
	if (meter.counts_allocations)
		assert_int_equal(meter.allocations, 1);
}

static void test_mappings(void **state)
{
	(void)state;
#if TOOL_ASAN || TOOL_TSAN
	skip();
#endif
	if (!meter_heap_start())
		skip();
	for (int by_name = 0; by_name < 2; by_name++) {
		measure(by_name ? map_memory_by_name : map_memory);
		assert_true(meter.allocations >= 1);
		assert_ptr_not_equal(kept, MAP_FAILED);
		measure(unmap_memory);
		assert_true(meter.allocations >= 1);
	}
}

static void test_outside(void **state)
{
	(void)state;
	meter_start(NULL);
	allocate();
	release();
	call_system();
	meter_read(&meter);
	assert_int_equal(meter.sections, 0);
	assert_int_equal(meter.allocations, 0);
	assert_int_equal(meter.system_calls, 0);
}

static void test_system_calls(void **state)
{
	(void)state;
	measure(call_system);
	if (!meter.counts_system_calls)
		skip();
	assert_int_equal(meter.system_calls, 1);
	assert_int_equal(meter.first_call, SYS_getppid);
	/* The call was made, too. */
	assert_int_equal(parent, getppid());
	measure(call_futex);
	assert_int_equal(meter.system_calls, 0);
	assert_int_equal(meter.futexes, 1);
}

static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
	(void)signal;
	handled++;
}

static void raise_signal(void)
{
	raise(SIGUSR1);
}

/* A handler that runs in a section returns to it. */
static void test_signals(void **state)
{
	(void)state;
	handled = 0;
	signal(SIGUSR1, on_signal);
	measure(raise_signal);
	assert_int_equal(handled, 1);
	if (meter.counts_system_calls)
		assert_true(meter.system_calls >= 1);
}

static void *other_thread(void *arg)
{
	void *volatile at;

	meter_enter();
	at = malloc(1);
	free(at);
	syscall(SYS_getppid);
	meter_leave();
	return arg;
}

static void test_threads(void **state)
{
	pthread_t thread[2];

	(void)state;
	measure(nothing);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, other_thread, NULL), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	meter_read(&meter);
	assert_int_equal(meter.sections, 3);
	if (meter.counts_allocations)
		assert_int_equal(meter.allocations, 4);
	/* The C library also maps an arena for each thread. */
	if (meter.counts_system_calls)
		assert_true(meter.system_calls >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),        cmocka_unit_test(test_allocations),
		cmocka_unit_test(test_other_sections), cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_outside),        cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_signals),        cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
