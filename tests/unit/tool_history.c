/* SPDX-License-Identifier: MIT */
/* The readers' judge accepts what was true, and refuses what was not. */
#include "support/cm.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tools/samara/history.h"

static const int a, b, c;

/* A history whose probes are the edges of [1000..1fff]. */
static void set_up(struct history *history)
{
	struct trace trace = { .header = { .va_first = 0 } };
	struct trace_op op = { .verb = TRACE_MAP, .addr = 0x1000, .length = 0x1000 };

	assert_int_equal(trace_append(&trace, &op), 0);
	assert_int_equal(history_init(history, &trace, 64), 0);
	trace_free(&trace);
}

static const struct probe *probe_at(const struct history *history, uint64_t addr)
{
	for (size_t i = 0; i < history->nr_probes; i++) {
		if (history->probes[i].addr == addr)
			return &history->probes[i];
	}
	fail_msg("no probe at %lx", (unsigned long)addr);
	return NULL;
}

static void step(struct history *history, uint64_t number, const void *contents)
{
	history_begin(history, number, 0x1000, 0x1fff, contents);
	history_finish(history, number);
}

static void test_probes(void **state)
{
	struct history history;

	(void)state;
	set_up(&history);
	assert_int_equal(history.nr_probes, 6);
	probe_at(&history, 0);
	probe_at(&history, 0xfff);
	probe_at(&history, 0x1800);
	probe_at(&history, 0x2000);
	for (size_t i = 1; i < history.nr_probes; i++)
		assert_true(history.probes[i - 1].addr < history.probes[i].addr);
	history_destroy(&history);
}

static void test_verdicts(void **state)
{
	struct history history;
	const struct probe *probe;

	(void)state;
	set_up(&history);
	probe = probe_at(&history, 0x1000);
	/* Nothing has happened. */
	assert_int_equal(history_judge(probe, NULL, 0, 0), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &a, 0, 0), VERDICT_FALSE);
	step(&history, 1, &a);
	step(&history, 2, NULL);
	step(&history, 3, &b);
	step(&history, 4, &b);
	/* While step 2 runs: a is true before it, nothing after it; b is not true yet. */
	assert_int_equal(history_judge(probe, &a, 1, 2), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, NULL, 1, 2), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &b, 1, 2), VERDICT_FALSE);
	/* After step 2: a is gone for good. */
	assert_int_equal(history_judge(probe, &a, 2, 4), VERDICT_FALSE);
	assert_int_equal(history_judge(probe, NULL, 2, 4), VERDICT_TRUE);
	/* After step 3 only b. */
	assert_int_equal(history_judge(probe, NULL, 3, 4), VERDICT_FALSE);
	assert_int_equal(history_judge(probe, &b, 3, 4), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &b, 4, 4), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &c, 0, 4), VERDICT_FALSE);
	/* The neighbour outside is not affected. */
	assert_int_equal(history_judge(probe_at(&history, 0x2000), NULL, 4, 4), VERDICT_TRUE);
	assert_int_equal(history_judge(probe_at(&history, 0x2000), &b, 0, 4), VERDICT_FALSE);
	assert_int_equal(history_finished(&history), 4);
	assert_int_equal(history_begun(&history), 4);
	history_destroy(&history);
}

static void test_lapped(void **state)
{
	struct history history;
	const struct probe *probe;

	(void)state;
	set_up(&history);
	probe = probe_at(&history, 0x1000);
	for (uint64_t i = 1; i <= 10 * HISTORY_DEPTH; i++)
		step(&history, i, i % 2 ? &a : &b);
	assert_int_equal(history_judge(probe, &b, 639, 640), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &c, 639, 640), VERDICT_FALSE);
	assert_int_equal(history_judge(probe, &a, 640, 640), VERDICT_FALSE);
	assert_int_equal(history_judge(probe, &b, 640 - HISTORY_DEPTH, 640), VERDICT_UNKNOWN);
	assert_int_equal(history_judge(probe, &b, 1, 640), VERDICT_UNKNOWN);
	history_destroy(&history);
}

static void test_cancel(void **state)
{
	struct history history;
	const struct probe *probe;

	(void)state;
	set_up(&history);
	probe = probe_at(&history, 0x1000);
	step(&history, 1, &a);
	history_begin(&history, 2, 0x1000, 0x1fff, &b);
	history_cancel(&history, 2, 0x1000, 0x1fff);
	step(&history, 3, &a);
	assert_int_equal(history_judge(probe, &a, 2, 2), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &a, 3, 3), VERDICT_TRUE);
	assert_int_equal(history_judge(probe, &b, 3, 3), VERDICT_FALSE);
	history_destroy(&history);
}

/* One word to look up without a lock. Its readers are checked against the history. */
struct shared {
	struct history history;
	_Atomic(const void *) word;
	atomic_bool stop;
	bool stale; /* the reader keeps what it saw for too long */
	_Atomic(unsigned long) wrong;
	_Atomic(unsigned long) right;
};

static void *read_word(void *arg)
{
	struct shared *shared = arg;
	const struct probe *probe = probe_at(&shared->history, 0x1000);
	const void *seen = NULL;
	uint64_t s0;

	while (!atomic_load(&shared->stop)) {
		for (unsigned int age = 0; age < (shared->stale ? 2 : 1); age++) {
			s0 = history_finished(&shared->history);
			if (!age)
				seen = atomic_load_explicit(&shared->word, memory_order_acquire);
			while (shared->stale && !age && !atomic_load(&shared->stop) &&
			       history_finished(&shared->history) < s0 + 2)
				;
		}
		switch (history_judge(probe, seen, s0, history_begun(&shared->history))) {
		case VERDICT_TRUE:
			shared->right++;
			break;
		case VERDICT_FALSE:
			shared->wrong++;
			break;
		case VERDICT_UNKNOWN:
			break;
		}
	}
	return NULL;
}

static void run_shared(struct shared *shared)
{
	static const int things[16];
	pthread_t thread;
	uint64_t number = 0;

	set_up(&shared->history);
	assert_int_equal(pthread_create(&thread, NULL, read_word, shared), 0);
	for (unsigned int i = 0; i < 100000 || shared->right + shared->wrong < 1000; i++) {
		const void *contents = i % 3 ? &things[i % 16] : NULL;

		history_begin(&shared->history, ++number, 0x1000, 0x1fff, contents);
		atomic_store_explicit(&shared->word, contents, memory_order_release);
		history_finish(&shared->history, number);
	}
	atomic_store(&shared->stop, true);
	pthread_join(thread, NULL);
	history_destroy(&shared->history);
}

static void test_threads(void **state)
{
	struct shared shared = { .stale = false };

	(void)state;
	run_shared(&shared);
	assert_int_equal(shared.wrong, 0);
	assert_true(shared.right > 0);
}

/* A result kept over two whole steps is caught. */
static void test_stale_reader(void **state)
{
	struct shared shared = { .stale = true };

	(void)state;
	run_shared(&shared);
	assert_true(shared.wrong > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probes),  cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_lapped),  cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_stale_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
