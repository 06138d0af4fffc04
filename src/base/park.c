/* SPDX-License-Identifier: MIT */
#include "base/park.h"
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Locking must not disturb errno: a caller may look at it after an operation of its own. */
static void futex(const unsigned int *word, int op, unsigned int value)
{
	int saved = errno;

	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
	errno = saved;
}

void smr_park(const unsigned int *word, unsigned int value)
{
	futex(word, FUTEX_WAIT, value);
}

void smr_wake(const unsigned int *word, int count)
{
	futex(word, FUTEX_WAKE, (unsigned int)count);
}
