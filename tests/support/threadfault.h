/* SPDX-License-Identifier: MIT */
/*
 * Threads that cannot be made. For one file of a program that is linked with
 * -Wl,--wrap=pthread_create.
 */
#ifndef TESTS_SUPPORT_THREADFAULT_H
#define TESTS_SUPPORT_THREADFAULT_H

#include <errno.h>
#include <pthread.h>

static long threads_to_come = -1;   /* after so many there are none; -1: as many as one likes */
static unsigned int threads_wanted; /* had or not */

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
