/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samara.h"

#define WALK_EVERY 16 /* look-ups */

struct crew {
	const struct crew_work *work;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int at_work; /* GUARD lock */
	atomic_bool stop;
	unsigned int nr;
	struct crew_member member[];
};

void crew_wrong(struct crew_member *member, const char *format, ...)
{
	struct reader_counts *counts = &member->counts;
	va_list args;
	int used;

	if (counts->wrong++)
		return;
	used = snprintf(counts->example, sizeof(counts->example), "reader %u: ", member->number);
	va_start(args, format);
	vsnprintf(counts->example + used, sizeof(counts->example) - (size_t)used, format, args);
	va_end(args);
}

int crew_judge(const char *name, const struct reader_counts *counts)
{
	if (!counts->wrong)
		return EXIT_OK;
	return complain("%s: %" PRIu64 " answers to readers were never true; the first: %s", name,
			counts->wrong, counts->example);
}

/* ---- The threads ---- */

static uint64_t next_random(struct crew_member *member)
{
	member->random ^= member->random << 13;
	member->random ^= member->random >> 7;
	member->random ^= member->random << 17;
	return member->random;
}

static void *member_main(void *arg)
{
	struct crew_member *member = arg;
	struct crew *crew = member->crew;

	pthread_mutex_lock(&crew->lock);
	crew->at_work++;
	pthread_cond_signal(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
	while (!atomic_load_explicit(&crew->stop, memory_order_acquire)) {
		uint64_t addr = crew->work->look_up(member, next_random(member));

		if (member->counts.lookups % WALK_EVERY == 0)
			crew->work->walk(member, addr);
	}
	crew->work->look_at_all(member);
	return NULL;
}

/* Ends the first @nr threads. */
static void end_threads(struct crew *crew, unsigned int nr)
{
	atomic_store_explicit(&crew->stop, true, memory_order_release);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(crew->member[i].thread, NULL);
	pthread_cond_destroy(&crew->changed);
	pthread_mutex_destroy(&crew->lock);
}

int crew_start(struct crew **out, const struct crew_work *work, void *ctx, unsigned int nr,
	       uint64_t seed)
{
	struct crew *crew = calloc(1, sizeof(*crew) + nr * sizeof(crew->member[0]));

	if (!crew)
		return -ENOMEM;
	crew->work = work;
	crew->nr = nr;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->changed, NULL);
	for (unsigned int i = 0; i < nr; i++) {
		struct crew_member *member = &crew->member[i];
		int err;

		member->crew = crew;
		member->ctx = ctx;
		member->number = i;
		member->random = (seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		err = pthread_create(&member->thread, NULL, member_main, member);
		if (err) {
			end_threads(crew, i);
			free(crew);
			return -err;
		}
	}
	pthread_mutex_lock(&crew->lock);
	while (crew->at_work < nr)
		pthread_cond_wait(&crew->changed, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
	*out = crew;
	return 0;
}

static void add_counts(struct reader_counts *sum, const struct reader_counts *counts)
{
	if (!sum->wrong && counts->wrong)
		memcpy(sum->example, counts->example, sizeof(sum->example));
	sum->lookups += counts->lookups;
	sum->walked += counts->walked;
	sum->unjudged += counts->unjudged;
	sum->wrong += counts->wrong;
}

void crew_stop(struct crew *crew, struct reader_counts *counts)
{
	end_threads(crew, crew->nr);
	for (unsigned int i = 0; i < crew->nr; i++)
		add_counts(counts, &crew->member[i].counts);
	free(crew);
}
