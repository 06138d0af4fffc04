/* SPDX-License-Identifier: MIT */
/* What ends a child, and which of these ends count as the library's doing. */
#include "support/child.h"

#include "base/base.h"
#include "base/sanitizer.h"

#include <stdio.h>
#include <stdlib.h>

static int fails_an_assertion(void *arg)
{
	(void)arg;
	smr_assert_fail("this", "child.c", 1);
}

/* As sanitizers and malloc() do, whatever the library has printed before. */
static int aborts(void *arg)
{
	(void)arg;
	fprintf(stderr, "samara: warning: none of it\n==1==ERROR: some mistake\n");
	abort();
}

static int does_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static void only_assertions_count(void **state)
{
	(void)state;
	assert_true(child_aborts(fails_an_assertion, NULL));
	assert_false(child_aborts(aborts, NULL));
	assert_false(child_aborts(does_nothing, NULL));
}

/* Writes more than a pipe holds. */
static int says_much(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 10000; i++)
		fputs("much, and more\n", stderr);
	return 5;
}

static void all_that_it_says_is_read(void **state)
{
	char said[5];
	int status = child_status(says_much, NULL, said, sizeof(said));

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 5);
	assert_string_equal(said, "much");
}

static int gets_a_signal(void *arg)
{
	raise(*(int *)arg);
	return 0;
}

static void signals_end_the_child(void **state)
{
	int signals[] = { SIGABRT, SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGSYS };
	char said[256];

	(void)state;
	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		int status;

		/* AddressSanitizer may be told to handle that one itself, and aborts. */
		if (SMR_ASAN && signals[i] == SIGILL)
			continue;
		status = child_status(gets_a_signal, &signals[i], said, sizeof(said));
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), signals[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_assertions_count),
		cmocka_unit_test(all_that_it_says_is_read),
		cmocka_unit_test(signals_end_the_child),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
