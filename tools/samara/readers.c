/* SPDX-License-Identifier: MIT */
#include "readers.h"

#include <inttypes.h>

static struct space *space_of(const struct crew_member *reader)
{
	return reader->ctx;
}

/* Keeps what is looked up alive and, without RCU, locks out the writer. */
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
 * Checks that the record @mapping, met at [first..last] between steps @s0 and @s1, can have been
 * there.
 */
static void judge_record(struct crew_member *reader, const struct mapping *mapping, uint64_t first,
			 uint64_t last, uint64_t s0, uint64_t s1)
{
	const struct as_mapping *what = &mapping->what;
	uint64_t death = atomic_load(&mapping->death);

	if (atomic_load(&mapping->magic) != MAPPING_ALIVE)
		crew_wrong(reader, "the record at %" PRIx64 " was freed under the reader's feet",
			   first);
	else if (first < what->first || last > what->last || first > last)
		crew_wrong(reader, "%" PRIx64 "-%" PRIx64 " has the record of %" PRIx64 "-%" PRIx64,
			   first, last, what->first, what->last);
	else if (mapping->birth > s1)
		crew_wrong(reader,
			   "%" PRIx64 " has a record of step %" PRIu64 " after step %" PRIu64,
			   first, mapping->birth, s1);
	else if (death && death <= s0)
		crew_wrong(reader,
			   "%" PRIx64 " still has a record that died in step %" PRIu64
			   " after step %" PRIu64,
			   first, death, s0);
	else if ((first != what->first || last != what->last) && !atomic_load(&mapping->cut))
		crew_wrong(reader,
			   "%" PRIx64 "-%" PRIx64 " is part of %" PRIx64 "-%" PRIx64
			   ", which nobody cut",
			   first, last, what->first, what->last);
}

/* One look-up of one probe, by mtree_load() or with a cursor. */
static void look_up(struct crew_member *reader, const struct probe *probe, bool with_cursor)
{
	struct space *space = space_of(reader);
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
		crew_wrong(reader,
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

/* Visits some mappings in a row, from @addr upwards. */
static void walk(struct crew_member *reader, uint64_t addr)
{
	struct space *space = space_of(reader);
	struct maple_tree *tree = &space->tree;
	MA_STATE(mas, tree, addr, addr);
	const struct mapping *mapping;
	uint64_t s0, above = addr;

	enter(tree);
	s0 = history_finished(space->history);
	for (int i = 0; i < CREW_WALK; i++) {
		mapping = mas_find(&mas, ULONG_MAX);
		if (!mapping)
			break;
		judge_record(reader, mapping, mas.index, mas.last, s0,
			     history_begun(space->history));
		if (mas.last < above)
			crew_wrong(reader, "a walk upwards from %" PRIx64 " came to %lx-%lx", above,
				   mas.index, mas.last);
		reader->counts.walked++;
		above = mas.last;
		if (above++ == ULONG_MAX)
			break;
	}
	leave(tree);
}

static uint64_t look_up_any(struct crew_member *reader, uint64_t random)
{
	const struct history *history = space_of(reader)->history;
	const struct probe *probe = &history->probes[(random >> 8) % history->nr_probes];

	look_up(reader, probe, random & 1);
	return probe->addr;
}

static void look_at_all(struct crew_member *reader)
{
	const struct history *history = space_of(reader)->history;

	for (size_t i = 0; i < history->nr_probes; i++)
		look_up(reader, &history->probes[i], i & 1);
}

int readers_start(struct crew **readers, struct space *space, unsigned int nr, uint64_t seed)
{
	static const struct crew_work work = { look_up_any, walk, look_at_all };

	return crew_start(readers, &work, space, nr, seed);
}
