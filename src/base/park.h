/* SPDX-License-Identifier: MIT */
/* Sleeping until a word changes, and waking who sleeps: the futex, and nothing more. */
#ifndef SMR_BASE_PARK_H
#define SMR_BASE_PARK_H

/*
 * Sleeps while *@word is @value, until smr_wake(). May return for no reason: look again. Synchronises
 * nothing, which is why the word itself is read with an order of its own. CONTEXT: SLEEP yes.
 */
void smr_park(const unsigned int *word, unsigned int value);

/* Wakes at most @count sleepers. Does not touch *@word, whose memory may be gone already. */
void smr_wake(const unsigned int *word, int count);

#endif
