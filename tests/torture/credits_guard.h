/* SPDX-License-Identifier: MIT */
/*
 * A thread for stores that must not fail, allocate or make system calls (support/guard.h). If it
 * does any of these, or an assertion fails in it, it is stopped where it is, and the test is told
 * why.
 */
#ifndef TESTS_TORTURE_CREDITS_GUARD_H
#define TESTS_TORTURE_CREDITS_GUARD_H

#include <stdbool.h>

/*
 * Starts the thread. Returns false if the system does not allow its filter; it then runs without.
 */
bool credits_guard_start(void);

/*
 * Runs @fn(@arg) in the thread and waits for it. Returns NULL, or what it did that it must not do;
 * the thread is then lost, with all locks it holds.
 */
const char *credits_guard_run(void (*fn)(void *arg), void *arg);

#endif
