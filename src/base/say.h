/* SPDX-License-Identifier: MIT */
/*
 * What the library has to say on stderr, so that it ends nothing: no thread that is cancelled, and
 * no program whose stderr is a pipe that nobody reads any more. Nor does it leave its mark in
 * errno: whoever is amid a call may have that still to look at. Nothing is allocated.
 */
#ifndef SMR_BASE_SAY_H
#define SMR_BASE_SAY_H

#include <signal.h>
#include <stdbool.h>

struct smr_saying {
	sigset_t mask;
	bool pending; /* SIGPIPE was, before */
	int cancel, saved;
};

/* Around all of a message. */
void smr_say_begin(struct smr_saying *s);
void smr_say_end(const struct smr_saying *s);
/* Between the two: a part of it, in one write. */
void smr_say(const char *text);

#endif
