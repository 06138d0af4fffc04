/* SPDX-License-Identifier: MIT */
/*
 * Makes the allocation of tree nodes fail, and of all else that the library takes from the heap
 * (internal build only). What is counted is requests, each for any number of nodes: failing the
 * 1st, 2nd, ... until the operation passes meets every one of them.
 */
#ifndef TESTS_SUPPORT_MEMFAULT_H
#define TESTS_SUPPORT_MEMFAULT_H

#include <stdbool.h>

/* All allocations work again, and the callback is gone. */
void memfault_ok(void);
void memfault_none(void);
/* Only those that may not block fail. */
void memfault_nowait(void);
/* The n-th from now fails (from 1), those before and after it do not. */
void memfault_nth(unsigned long n);
/* Requests since memfault_ok() or memfault_nth(). */
unsigned long memfault_count(void);
/* "ok", "none", "nowait" */
bool memfault_named(const char *name);

/* Calls @fn once, the next time that a tree's lock has been dropped in order to get memory. */
void memfault_on_unlock(void (*fn)(void *), void *arg);

#endif
