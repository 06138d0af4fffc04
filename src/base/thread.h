/* SPDX-License-Identifier: MIT */
/* Threads of the library's own. */
#ifndef SMR_BASE_THREAD_H
#define SMR_BASE_THREAD_H

#include <pthread.h>

/*
 * pthread_create(), of a thread that takes no signals but those that it causes itself, and of these
 * none that the caller has blocked: the others are for the program's. 0 or an error number.
 */
int smr_thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg);

/*
 * Around what the C library takes for a place to cancel the thread, which would leave undone what
 * it is amid. The library's own waits are no such places.
 */
static inline int smr_cancel_off(void)
{
	int state = PTHREAD_CANCEL_ENABLE;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

static inline void smr_cancel_restore(int state)
{
	(void)pthread_setcancelstate(state, NULL);
}

#endif
