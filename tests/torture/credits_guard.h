/* SPDX-License-Identifier: MIT */
/*
 * A thread for stores that must not fail, nor ask anybody for anything (support/guard.h). What it
 * does against that, or an assertion that fails in it, stops it where it is, and the test learns
 * what it was.
 */
#ifndef TESTS_TORTURE_CREDITS_GUARD_H
#define TESTS_TORTURE_CREDITS_GUARD_H

#include <stdbool.h>

/*
 * Starts the thread. False where the system does not let it have its filter: it then runs without.
 */
bool credits_guard_start(void);

/*
 * Runs @fn(@arg) in the thread and waits for it. NULL, or what it did that it must not do; it is
 * lost then, with all locks it holds.
 */
const char *credits_guard_run(void (*fn)(void *arg), void *arg);

#endif
