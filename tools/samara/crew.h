/* SPDX-License-Identifier: MIT */
/*
 * Threads that look things up while others make changes, and judge every answer. What they look at,
 * and by what they judge, is defined by readers.c for a tree and by faults.c for a VM.
 */
#ifndef SAMARA_TOOL_CREW_H
#define SAMARA_TOOL_CREW_H

#include "counts.h"

#include <pthread.h>

struct crew;

struct crew_member {
	struct crew *crew;
	void *ctx; /* what crew_start() was given */
	pthread_t thread;
	unsigned int number;
	uint64_t random; /* state, never 0 */
	struct reader_counts counts;
};

struct crew_work {
	/* Looks up one address, chosen by @random, and counts the look-up. Returns the address. */
	uint64_t (*look_up)(struct crew_member *member, uint64_t random);
	/* Called now and then: visits some mappings in a row, from @addr upwards. */
	void (*walk)(struct crew_member *member, uint64_t addr);
	/* Called when all changes are done, and what is there must stay: looks up all addresses. */
	void (*look_at_all)(struct crew_member *member);
};

enum { CREW_WALK = 16 /* mappings in a row, at most */ };

/* Starts @nr threads and waits until each is running. Returns 0 or a negative errno. */
int crew_start(struct crew **crew, const struct crew_work *work, void *ctx, unsigned int nr,
	       uint64_t seed);
/*
 * Lets each thread look at everything once more, ends them, adds up what they counted, frees @crew.
 */
void crew_stop(struct crew *crew, struct reader_counts *counts);

/* Records an answer that was never true. */
__attribute__((format(printf, 2, 3))) void crew_wrong(struct crew_member *member,
						      const char *format, ...);
/* Complains about such answers, in a run of the trace @name. Returns an exit status. */
int crew_judge(const char *name, const struct reader_counts *counts);

#endif
