/* SPDX-License-Identifier: MIT */
/* Makes pthread_create() fail. For one file of a program linked with -Wl,--wrap=pthread_create. */
#ifndef TESTS_SUPPORT_THREADFAULT_H
#define TESTS_SUPPORT_THREADFAULT_H

#include <errno.h>
#include <pthread.h>

static long threads_to_come = -1;   /* how many can still be created; -1: no limit */
static unsigned int threads_wanted; /* attempts, failed ones included */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	threads_wanted++;
	if (threads_to_come == 0)
		return EAGAIN;
	threads_to_come -= threads_to_come > 0;
	return __real_pthread_create(thread, attr, fn, arg);
}

#endif
