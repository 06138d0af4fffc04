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

#endif
