/* SPDX-License-Identifier: MIT */
/*
 * Messages on stderr that end nothing: neither a thread that is cancelled, nor a program whose
 * stderr is a pipe that nobody reads any more. They preserve errno, which the calling code may
 * still have to look at. Nothing is allocated.
 */
#ifndef SMR_BASE_SAY_H
#define SMR_BASE_SAY_H

#include <signal.h>
#include <stdbool.h>

struct smr_saying {
	sigset_t old_mask;
	bool pending; /* SIGPIPE was pending before */
	int cancel_state, saved_errno;
};

/* Called before and after all parts of a message. */
void smr_say_begin(struct smr_saying *s);
void smr_say_end(const struct smr_saying *s);
/* Prints a part of a message, in one write, between smr_say_begin() and smr_say_end(). */
void smr_say(const char *text);

#endif
