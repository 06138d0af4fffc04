/* SPDX-License-Identifier: MIT */
/*
 * Sections in which a thread must not call the C allocator, which the linker redirects here
 * (guard_dep in meson.build), nor make any system call but futex, and clock_gettime where it enters
 * the kernel. A seccomp filter catches system calls, on x86-64 and without a sanitizer, whose own
 * calls it would catch, too.
 *
 * A forbidden call is a fault. It is counted and carried out all the same; a test can have a
 * function of its own called instead of the counting.
 */
#ifndef TESTS_SUPPORT_GUARD_H
#define TESTS_SUPPORT_GUARD_H

#include <stdbool.h>

/*
 * Call at the beginning of a test: forgets former faults and installs the handler of SIGSYS, which
 * cmocka replaces for each test. Not in a thread that is already watched.
 */
void guard_begin(void);

/*
 * Watches the system calls in this thread's sections from now on; once is enough. Returns false
 * where that is impossible: then only the allocator is watched.
 */
bool guard_thread(void);

/* Enter and leave a section. Sections do not nest. */
void guard_enter(void);
void guard_leave(void);
/* Whether the thread is in a section. */
bool guard_inside(void);

/*
 * Calls @fn for each fault, where it happens (perhaps in a signal handler), instead of counting it.
 * NULL: counts again.
 */
void guard_set_fault(void (*fn)(const char *what));
/* The number of faults counted, and the first of them. */
unsigned long guard_faults(void);
const char *guard_first_fault(void);
#endif
