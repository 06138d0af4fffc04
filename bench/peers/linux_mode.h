/* SPDX-License-Identifier: MIT */
/* How Linux's tree is made: between linux.c and the plugin. */
#ifndef BENCH_LINUX_MODE_H
#define BENCH_LINUX_MODE_H

enum linux_mode {
	LINUX_PLAIN,
	LINUX_RCU,      /* tracking gaps, too; nodes are freed by hundreds */
	LINUX_CALL_RCU, /* likewise, but one by one, by liburcu */
};

#endif
