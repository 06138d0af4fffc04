/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include "base/base.h"

#include <signal.h>

int smr_thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t all, before;
	int err;

	sigfillset(&all);
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&all, own[i]);
	/* What the caller has blocked stays blocked, in the new thread and here meanwhile. */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}
