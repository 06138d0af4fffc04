/* SPDX-License-Identifier: MIT */
#include "base/park.h"
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u
/* The kernel cuts longer times down to this, some 292 years. */
#define FAR_OFF ((uint64_t)INT64_MAX)

/*
 * Returns 0 or a negative errno. Preserves errno, which locking must not disturb: a caller may look
 * at it after an operation of its own.
 */
static int futex(const unsigned int *word, int op, unsigned int value, const struct timespec *until)
{
	int saved = errno, err = 0;

	if (syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, until, NULL,
		    FUTEX_BITSET_MATCH_ANY) < 0)
		err = -errno;
	errno = saved;
	return err;
}

void smr_park(const unsigned int *word, unsigned int value)
{
	(void)futex(word, FUTEX_WAIT, value, NULL);
}

int smr_park_until(const unsigned int *word, unsigned int value, uint64_t deadline)
{
	/*
	 * Always with a time: without one the kernel goes on sleeping after a handler installed
	 * with SA_RESTART.
	 */
	uint64_t at = deadline < FAR_OFF ? deadline : FAR_OFF;
	const struct timespec until = { .tv_sec = (time_t)(at / NS_PER_S),
					.tv_nsec = (long)(at % NS_PER_S) };
	int err = futex(word, FUTEX_WAIT_BITSET, value, &until);

	return err == -ETIMEDOUT || err == -EINTR ? err : 0;
}

void smr_wake(const unsigned int *word, int count)
{
	(void)futex(word, FUTEX_WAKE, (unsigned int)count, NULL);
}

uint64_t smr_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
