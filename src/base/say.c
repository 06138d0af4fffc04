/* SPDX-License-Identifier: MIT */
#include "base/say.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

void smr_say_begin(struct smr_saying *s)
{
	sigset_t sigpipe, pending;

	s->saved_errno = errno;
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	s->pending = !sigpending(&pending) && sigismember(&pending, SIGPIPE);
	s->cancel_state = smr_cancel_off();
	(void)pthread_sigmask(SIG_BLOCK, &sigpipe, &s->old_mask);
}

void smr_say_end(const struct smr_saying *s)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t sigpipe;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	if (!s->pending)
		(void)sigtimedwait(&sigpipe, NULL, &at_once);
	(void)pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
	smr_cancel_restore(s->cancel_state);
	errno = s->saved_errno;
}

void smr_say(const char *text)
{
	/* If stderr is closed there is nobody to tell. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}
