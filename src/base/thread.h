/* SPDX-License-Identifier: MIT */
/* The library's own threads. */
#ifndef SMR_BASE_THREAD_H
#define SMR_BASE_THREAD_H

#include <pthread.h>

/*
 * Like pthread_create(), for a thread that takes only signals that it causes itself, except those
 * of them that the caller has blocked; all others are left to the program's threads. Returns 0 or
 * an error number.
 */
int smr_thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg);

/*
 * Used around functions that are cancellation points of the C library: cancellation there would
 * leave the caller's work half done. The library's own waits are not cancellation points.
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
