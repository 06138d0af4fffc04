/* SPDX-License-Identifier: MIT */
/* Sleeping until a word changes, and waking those that sleep: futexes, and nothing more. */
#ifndef SMR_BASE_PARK_H
#define SMR_BASE_PARK_H

#include <stdint.h>

/* A deadline that never comes. */
#define SMR_NEVER UINT64_MAX

/*
 * Sleeps while *@word is @value, until smr_wake(). May return for no reason: look again. Orders no
 * memory accesses, which is why the word itself is read with an order of its own. CONTEXT: SLEEP
 * yes.
 */
void smr_park(const unsigned int *word, unsigned int value);

/*
 * The same, but not past @deadline, a time of smr_now(). Returns 0 if woken, if the word had
 * another value, or for no reason; -ETIMEDOUT; or -EINTR if a signal handler ran, whether or not it
 * was installed with SA_RESTART. CONTEXT: SLEEP yes.
 */
int smr_park_until(const unsigned int *word, unsigned int value, uint64_t deadline);

/* Wakes at most @count sleepers. Does not touch *@word, whose memory may be gone already. */
void smr_wake(const unsigned int *word, int count);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t smr_now(void);

#endif
