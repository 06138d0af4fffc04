/* SPDX-License-Identifier: MIT */
/* The modes of Linux's tree, shared by linux.c and the plugin. */
#ifndef BENCH_LINUX_MODE_H
#define BENCH_LINUX_MODE_H

enum linux_mode {
	LINUX_PLAIN,
	LINUX_RCU,      /* RCU and gap tracking; nodes are freed by hundreds */
	LINUX_CALL_RCU, /* the same, but liburcu frees them one by one */
};

#endif
