/* SPDX-License-Identifier: MIT */
/*
 * Counts what must not happen in the run sections of bind queues: memory being allocated or freed,
 * and system calls. Sections are marked by meter_enter() and meter_leave() on the thread that runs
 * them.
 *
 * Allocations: the tool defines malloc() and its kin, mmap() and its kin itself (meter_heap.c) and
 * passes on every call; one made inside a section is counted. With a sanitizer, which does the
 * same, its hooks are used instead.
 *
 * System calls: the kernel is told, by prctl(PR_SET_SYSCALL_USER_DISPATCH), to send a signal in
 * place of each system call of the thread while a byte of the thread's says so, and that byte is
 * set in sections alone. The handler counts the call, and makes it. So nothing goes uncounted,
 * whoever makes it; outside sections the calls are as ever. That works on x86-64, Linux 5.11 or
 * later, without a sanitizer (which makes calls of its own).
 *
 * Two calls are allowed: futex, by which sleepers on a fence are woken and mutexes passed on, which
 * is counted apart, and clock_gettime, where the clock cannot be read without the kernel.
 */
#ifndef SAMARA_TOOL_METER_H
#define SAMARA_TOOL_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
	uint64_t sections;
	uint64_t allocations;  /* and what frees */
	uint64_t system_calls; /* but the two allowed ones */
	uint64_t futexes;
	long first_call; /* number of the first system call that was not allowed; -1: none */
	bool counts_allocations;  /* false: nobody counted */
	bool counts_system_calls; /* in every section */
};

typedef bool meter_predicate(void);

/*
 * All counts to 0; SIGSYS becomes the meter's. Allocations, not system calls, are also counted
 * where @other says so of the calling thread (NULL: nowhere else), until meter_read(). CONTEXT:
 * before the first section, or between sections.
 */
void meter_start(meter_predicate *other);
void meter_read(struct meter *meter);

/*
 * Around a section; they do not nest. A thread's first one prepares it, which may enter the kernel,
 * before counting begins.
 */
void meter_enter(void);
void meter_leave(void);

/* For meter_heap.c: memory is being allocated or freed. */
void meter_heap_used(void);
/* Of meter_heap.c: starts counting, if that takes doing. Can it? */
bool meter_heap_start(void);

#endif
