/* SPDX-License-Identifier: MIT */
/*
 * Makes allocations of tree nodes fail, and all others that the library makes from the heap
 * (internal build only). Requests are counted, each for any number of nodes: failing the 1st, 2nd,
 * ... until the operation succeeds covers every one of them.
 */
#ifndef TESTS_SUPPORT_MEMFAULT_H
#define TESTS_SUPPORT_MEMFAULT_H

#include <stdbool.h>

/* Lets all allocations succeed again and removes the callback. */
void memfault_ok(void);
void memfault_none(void);
/* Fails only allocations that may not block. */
void memfault_nowait(void);
/* Fails only the n-th from now (from 1). */
void memfault_nth(unsigned long n);
/* Returns the number of requests since the last call of one of the functions above. */
unsigned long memfault_count(void);
/* Sets the mode by its name: "ok", "none" or "nowait". Returns false for any other. */
bool memfault_named(const char *name);

/* Calls @fn once, the next time a tree's lock has been dropped to get memory. */
void memfault_on_unlock(void (*fn)(void *), void *arg);

#endif
