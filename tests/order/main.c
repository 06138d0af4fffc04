/* SPDX-License-Identifier: MIT */
/*
 * Usage: test-order NAME            runs the named order's test: nothing may be reported
 *        test-order NAME weakened   with that order relaxed: a data race must be
 */
#include "two.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ORDER_TEST(name) { #name, SMR_ORDER_##name, order_##name },

static const struct order_test {
	const char *name;
	enum smr_order order;
	void (*run)(void);
} tests[] = { SMR_ORDERS(ORDER_TEST) };

/* From ThreadSanitizer's runtime, which has no header for them. The first gets each report. */
void __tsan_on_report(void *report);
int __tsan_get_report_data(void *report, const char **description, int *count, int *stack_count,
			   int *mop_count, int *loc_count, int *mutex_count, int *thread_count,
			   int *unique_tid_count, void **sleep_trace, unsigned long trace_size);

void __tsan_on_report(void *report)
{
	const char *kind = "";
	void *sleep_trace[1];
	int n[7];

	__tsan_get_report_data(report, &kind, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6],
			       sleep_trace, 1);
	if (smr_hook_weakened && strcmp(kind, "data-race") == 0)
		syscall(SYS_exit_group, 0); /* not exit(): the runtime is still reporting */
}

int main(int argc, char **argv)
{
	bool weakened = argc == 3 && strcmp(argv[2], "weakened") == 0;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]) && argc > 1; i++) {
		if (strcmp(argv[1], tests[i].name) != 0)
			continue;
		smr_hook_weakened = weakened ? tests[i].order : SMR_ORDER_none;
		tests[i].run();
		if (weakened)
			printf("%s: not reported: its test proves nothing\n", argv[1]);
		return weakened;
	}
	fprintf(stderr, "usage: test-order NAME [weakened]\n");
	return 2;
}
