/* SPDX-License-Identifier: MIT */
#include "readers.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALK_LENGTH 16
#define WALK_EVERY 16 /* look-ups */

struct reader {
	pthread_t thread;
	struct readers *all;
	unsigned int number;
	uint64_t random; /* state, never 0 */
	struct reader_counts counts;
};

struct readers {
	struct space *space;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int at_work; /* GUARD lock */
	atomic_bool stop;
	unsigned int nr;
	struct reader reader[];
};

static uint64_t next_random(struct reader *reader)
{
	reader->random ^= reader->random << 13;
	reader->random ^= reader->random >> 7;
	reader->random ^= reader->random << 17;
	return reader->random;
}

__attribute__((format(printf, 2, 3))) static void wrong(struct reader *reader, const char *format,
							...)
{
	struct reader_counts *counts = &reader->counts;
	va_list args;
	int used;

	if (counts->wrong++)
		return;
	used = snprintf(counts->example, sizeof(counts->example), "reader %u: ", reader->number);
	va_start(args, format);
	vsnprintf(counts->example + used, sizeof(counts->example) - (size_t)used, format, args);
	va_end(args);
}

/* Keeps what is looked up alive and, without RCU, the writer out. */
static void enter(struct maple_tree *tree)
{
	if (mt_in_rcu(tree))
		mt_rcu_read_lock(tree);
	else
		mtree_lock(tree);
}

static void leave(struct maple_tree *tree)
{
	reclaim_read_done();
	if (mt_in_rcu(tree))
		mt_rcu_read_unlock(tree);
	else
		mtree_unlock(tree);
}

/*
 * Is what @mapping's record says of itself consistent with having been met at [first..last]
 * between steps @s0 and @s1?
 */
static void judge_record(struct reader *reader, const struct mapping *mapping, uint64_t first,
			 uint64_t last, uint64_t s0, uint64_t s1)
{
	const struct as_mapping *what = &mapping->what;
	uint64_t death = atomic_load(&mapping->death);

	if (atomic_load(&mapping->magic) != MAPPING_ALIVE)
		wrong(reader, "the record at %" PRIx64 " was freed under the reader's feet", first);
	else if (first < what->first || last > what->last || first > last)
		wrong(reader, "%" PRIx64 "-%" PRIx64 " has the record of %" PRIx64 "-%" PRIx64,
		      first, last, what->first, what->last);
	else if (mapping->birth > s1)
		wrong(reader, "%" PRIx64 " has a record of step %" PRIu64 " after step %" PRIu64,
		      first, mapping->birth, s1);
	else if (death && death <= s0)
		wrong(reader,
		      "%" PRIx64 " still has a record that died in step %" PRIu64
		      " after step %" PRIu64,
		      first, death, s0);
	else if ((first != what->first || last != what->last) && !atomic_load(&mapping->cut))
		wrong(reader,
		      "%" PRIx64 "-%" PRIx64 " is part of %" PRIx64 "-%" PRIx64
		      ", which nobody cut",
		      first, last, what->first, what->last);
}

/* One look-up of one probe, by mtree_load() or with a cursor. */
static void look_up(struct reader *reader, const struct probe *probe, bool with_cursor)
{
	struct space *space = reader->all->space;
	struct maple_tree *tree = &space->tree;
	MA_STATE(mas, tree, probe->addr, probe->addr);
	const struct mapping *mapping;
	uint64_t s0, s1;

	enter(tree);
	s0 = history_finished(space->history);
	mapping = with_cursor ? mas_walk(&mas) : mtree_load(tree, probe->addr);
	s1 = history_begun(space->history);
	switch (history_judge(probe, mapping, s0, s1)) {
	case VERDICT_TRUE:
		break;
	case VERDICT_FALSE:
		wrong(reader,
		      "%" PRIx64 " had %s, which was never there from step %" PRIu64
		      " to step %" PRIu64,
		      probe->addr, mapping ? "a mapping" : "nothing", s0, s1);
		break;
	case VERDICT_UNKNOWN:
		reader->counts.unjudged++;
		break;
	}
	if (mapping && with_cursor)
		judge_record(reader, mapping, mas.index, mas.last, s0, s1);
	else if (mapping)
		judge_record(reader, mapping, mapping->what.first, mapping->what.last, s0, s1);
	leave(tree);
	reader->counts.lookups++;
}

/* Some mappings in a row, from @addr upwards. */
static void walk(struct reader *reader, uint64_t addr)
{
	struct space *space = reader->all->space;
	struct maple_tree *tree = &space->tree;
	MA_STATE(mas, tree, addr, addr);
	const struct mapping *mapping;
	uint64_t s0, above = addr;

	enter(tree);
	s0 = history_finished(space->history);
	for (unsigned int i = 0; i < WALK_LENGTH; i++) {
		mapping = mas_find(&mas, ULONG_MAX);
		if (!mapping)
			break;
		judge_record(reader, mapping, mas.index, mas.last, s0,
			     history_begun(space->history));
		if (mas.last < above)
			wrong(reader, "a walk upwards from %" PRIx64 " came to %lx-%lx", above,
			      mas.index, mas.last);
		reader->counts.walked++;
		above = mas.last;
		if (above++ == ULONG_MAX)
			break;
	}
	leave(tree);
}

static void *reader_main(void *arg)
{
	struct reader *reader = arg;
	struct readers *all = reader->all;
	const struct history *history = all->space->history;

	pthread_mutex_lock(&all->lock);
	all->at_work++;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
	while (!atomic_load_explicit(&all->stop, memory_order_acquire)) {
		uint64_t random = next_random(reader);
		const struct probe *probe = &history->probes[(random >> 8) % history->nr_probes];

		look_up(reader, probe, random & 1);
		if (reader->counts.lookups % WALK_EVERY == 0)
			walk(reader, probe->addr);
	}
	/* The writer is done: what is there now must stay. */
	for (size_t i = 0; i < history->nr_probes; i++)
		look_up(reader, &history->probes[i], i & 1);
	return NULL;
}

/* Ends the first @nr threads. */
static void end_threads(struct readers *readers, unsigned int nr)
{
	atomic_store_explicit(&readers->stop, true, memory_order_release);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(readers->reader[i].thread, NULL);
	pthread_cond_destroy(&readers->changed);
	pthread_mutex_destroy(&readers->lock);
}

int readers_start(struct readers **out, struct space *space, unsigned int nr, uint64_t seed)
{
	struct readers *readers = calloc(1, sizeof(*readers) + nr * sizeof(readers->reader[0]));

	if (!readers)
		return -ENOMEM;
	readers->space = space;
	readers->nr = nr;
	pthread_mutex_init(&readers->lock, NULL);
	pthread_cond_init(&readers->changed, NULL);
	for (unsigned int i = 0; i < nr; i++) {
		struct reader *reader = &readers->reader[i];
		int err;

		reader->all = readers;
		reader->number = i;
		reader->random = (seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		err = pthread_create(&reader->thread, NULL, reader_main, reader);
		if (err) {
			end_threads(readers, i);
			free(readers);
			return -err;
		}
	}
	pthread_mutex_lock(&readers->lock);
	while (readers->at_work < nr)
		pthread_cond_wait(&readers->changed, &readers->lock);
	pthread_mutex_unlock(&readers->lock);
	*out = readers;
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

void readers_stop(struct readers *readers, struct reader_counts *counts)
{
	end_threads(readers, readers->nr);
	for (unsigned int i = 0; i < readers->nr; i++)
		add_counts(counts, &readers->reader[i].counts);
	free(readers);
}
