/* SPDX-License-Identifier: MIT */
/*
 * Counts what must not happen in the run sections of bind queues: allocating or freeing memory, and
 * system calls. Sections are marked by meter_enter() and meter_leave() on the thread that runs
 * them.
 *
 * Allocations: the tool itself defines malloc(), mmap() and their kin (meter_heap.c), and passes on
 * every call; those made inside a section are counted. With a sanitizer, which does the same, its
 * hooks are used instead.
 *
 * System calls: prctl(PR_SET_SYSCALL_USER_DISPATCH) tells the kernel to send a signal in place of
 * each system call of the thread while a byte of the thread says so, and that byte is only set in
 * sections. The handler counts the call, and makes it. So every call is counted, wherever it comes
 * from, and outside sections calls are as usual. That works on x86-64, Linux 5.11 or later, without
 * a sanitizer (which makes calls of its own).
 *
 * Two calls are allowed: futex, which wakes sleepers on a fence and passes mutexes on, and is
 * counted separately; and clock_gettime, where the clock cannot be read without the kernel.
 */
#ifndef SAMARA_TOOL_METER_H
#define SAMARA_TOOL_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
	uint64_t sections;
	uint64_t allocations;  /* and frees */
	uint64_t system_calls; /* except the two allowed ones */
	uint64_t futexes;
	long first_call; /* number of the first system call that was not allowed; -1: none */
	bool counts_allocations;  /* false: they were not counted */
	bool counts_system_calls; /* in every section */
};

typedef bool meter_predicate(void);

/*
 * Sets all counts to 0; SIGSYS becomes the meter's. Until meter_read(), allocations, but not system
 * calls, are also counted where @other says so for the calling thread (NULL: nowhere else).
 * CONTEXT: before the first section, or between sections.
 */
void meter_start(meter_predicate *other);
void meter_read(struct meter *meter);

/*
 * Mark the beginning and the end of a section; they do not nest. A thread's first meter_enter()
 * prepares it, which may enter the kernel, before counting begins.
 */
void meter_enter(void);
void meter_leave(void);

/* For meter_heap.c: called when memory is allocated or freed. */
void meter_heap_used(void);
/*
 * In meter_heap.c: starts counting, if anything is needed for that. Returns whether it can count.
 */
bool meter_heap_start(void);

#endif
