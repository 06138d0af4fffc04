/* SPDX-License-Identifier: MIT */
/*
 * Sections of a thread in which it must ask nobody for anything: no call of the C allocator, which
 * the linker sends here (guard_dep in meson.build), and no system call but futex, and clock_gettime
 * where that enters the kernel. System calls are caught by a seccomp filter, on x86-64 and without
 * a sanitizer, whose own calls would be caught, too.
 *
 * What a thread does against it is a fault. It is noted, and done all the same; a test can have its
 * own function called instead.
 */
#ifndef TESTS_SUPPORT_GUARD_H
#define TESTS_SUPPORT_GUARD_H

#include <stdbool.h>

/*
 * At the beginning of a test: forgets former faults, and takes SIGSYS, which cmocka takes for each
 * test. Not in a thread that is watched.
 */
void guard_begin(void);

/*
 * Has the system calls of this thread's sections watched, from now on; once is enough. False where
 * that cannot be: then the allocator alone is watched.
 */
bool guard_thread(void);

/* Around a section; they do not nest. */
void guard_enter(void);
void guard_leave(void);
/* Is the thread within one? */
bool guard_inside(void);

/*
 * In place of noting it, calls @fn for each fault, where it happens; perhaps in a signal handler.
 * NULL: no longer.
 */
void guard_set_fault(void (*fn)(const char *what));
/* How many have been noted, and the first of them. */
unsigned long guard_faults(void);
const char *guard_first_fault(void);
#endif
