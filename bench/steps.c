/* SPDX-License-Identifier: MIT */
/* Turns recorded traces into operations of a range map: see steps.h. */
#include "steps.h"
#include "model/range_model.h"
#include "trace/trace.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* The address space after the steps so far. Entries number the stores. */
struct space {
	struct range_model ranges;
	struct bench_steps *steps;
	unsigned char *flags; /* of each entry's mapping, by number */
	size_t nr_entries;
	size_t room;
};

#define ENTRY_BASE (1UL << 44)
#define ENTRY_STEP 16

static unsigned char *flags_of(const struct space *s, const void *entry)
{
	return &s->flags[((unsigned long)entry - ENTRY_BASE) / ENTRY_STEP];
}

/* Returns a new entry for a mapping with @flags, or NULL: no memory. */
static void *new_entry(struct space *s, unsigned char flags)
{
	if (s->nr_entries == s->room) {
		size_t room = s->room ? 2 * s->room : 1024;
		unsigned char *all = realloc(s->flags, room);

		if (!all)
			return NULL;
		s->flags = all;
		s->room = room;
	}
	s->flags[s->nr_entries] = flags;
	return (void *)(ENTRY_BASE + ENTRY_STEP * s->nr_entries++);
}

static int add(struct space *s, enum bench_verb verb, unsigned long first, unsigned long last,
	       void *entry)
{
	struct bench_steps *steps = s->steps;

	if (steps->count == steps->room) {
		size_t room = steps->room ? 2 * steps->room : 1024;
		struct bench_step *list = realloc(steps->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		steps->list = list;
		steps->room = room;
	}
	steps->list[steps->count++] = (struct bench_step){ verb, first, last, entry };
	return verb == BENCH_LOAD ? 0 : rm_store(&s->ranges, first, last, entry);
}

static int store(struct space *s, unsigned long first, unsigned long last, unsigned char flags)
{
	void *entry = new_entry(s, flags);

	return entry ? add(s, BENCH_STORE, first, last, entry) : -ENOMEM;
}

/*
 * Returns the lowest mapping, or the part of it, in [*@first..@last]; sets *@first and *@end to its
 * bounds.
 */
static void *part(const struct space *s, unsigned long *first, unsigned long last,
		  unsigned long *end)
{
	unsigned long from, to;
	void *entry;

	rm_range(&s->ranges, *first, &from, &to, &entry);
	if (!entry) {
		if (to >= last)
			return NULL;
		*first = to + 1;
		rm_range(&s->ranges, *first, &from, &to, &entry);
	}
	*end = to < last ? to : last;
	return entry;
}

static int protect(struct space *s, const struct trace_op *op)
{
	unsigned long at = op->addr, last = trace_op_last(op), end;
	void *entry;
	int err = 0;

	while (!err && at <= last && (entry = part(s, &at, last, &end))) {
		if (*flags_of(s, entry) != op->flags)
			err = store(s, at, end, op->flags);
		at = end + 1;
	}
	return err;
}

/* Extends the mapping that ends at @last to @new_last. */
static int grow(struct space *s, unsigned long last, unsigned long new_last)
{
	unsigned long first, end;
	void *entry;

	rm_range(&s->ranges, last, &first, &end, &entry);
	return entry ? add(s, BENCH_STORE, first, new_last, entry) : -EINVAL;
}

/*
 * A move to another place: clears the new place, stores mapping after mapping there, and clears the
 * old place.
 */
static int move_away(struct space *s, const struct trace_op *op)
{
	unsigned long last = trace_op_last(op), delta = op->new_addr - op->addr, at = op->addr, end;
	unsigned long new_last = op->new_addr + op->new_length - 1, moved_last = 0;
	void *entry;
	int err = add(s, BENCH_CLEAR, op->new_addr, new_last, NULL);

	if (op->new_length < op->length)
		last = op->addr + op->new_length - 1;
	while (!err && at <= last && (entry = part(s, &at, last, &end))) {
		err = store(s, at + delta, end + delta, *flags_of(s, entry));
		moved_last = end + delta;
		at = end + 1;
	}
	if (!err && moved_last && moved_last < new_last)
		err = grow(s, moved_last, new_last);
	return err ? err : add(s, BENCH_CLEAR, op->addr, trace_op_last(op), NULL);
}

static int move(struct space *s, const struct trace_op *op)
{
	unsigned long last = trace_op_last(op);

	if (op->new_addr != op->addr)
		return move_away(s, op);
	if (op->new_length < op->length)
		return add(s, BENCH_CLEAR, op->addr + op->new_length, last, NULL);
	if (op->new_length > op->length)
		return grow(s, last, op->addr + op->new_length - 1);
	return 0;
}

static int add_op(struct space *s, const struct trace_op *op)
{
	switch ((enum trace_verb)op->verb) {
	case TRACE_MAP:
		return store(s, op->addr, trace_op_last(op), op->flags);
	case TRACE_UNMAP:
		return add(s, BENCH_CLEAR, op->addr, trace_op_last(op), NULL);
	case TRACE_PROTECT:
		return protect(s, op);
	case TRACE_MOVE:
		return move(s, op);
	case TRACE_LOAD:
		return add(s, BENCH_LOAD, op->addr, op->addr, rm_load(&s->ranges, op->addr));
	}
	return -EINVAL;
}

static void add_end(struct space *s, unsigned long key)
{
	s->steps->ends[s->steps->nr_ends++] = (struct bench_step){ BENCH_LOAD, key, key,
								   rm_load(&s->ranges, key) };
}

static int add_ends(struct space *s)
{
	const struct range_model *m = &s->ranges;

	s->steps->ends = malloc((4 * m->count + 1) * sizeof(*s->steps->ends));
	if (!s->steps->ends)
		return -ENOMEM;
	add_end(s, 0);
	for (size_t i = 0; i < m->count; i++) {
		add_end(s, m->ranges[i].first - (m->ranges[i].first > 0));
		add_end(s, m->ranges[i].first);
		add_end(s, m->ranges[i].last);
		add_end(s, m->ranges[i].last + (m->ranges[i].last < ULONG_MAX));
	}
	return 0;
}

int bench_steps_load(struct bench_steps *steps, const char *path, char *why, size_t size)
{
	struct space s = { .steps = steps };
	struct trace trace;
	int err;

	*steps = (struct bench_steps){ 0 };
	err = trace_load(&trace, path, why, size);
	if (err)
		return err;
	rm_init(&s.ranges);
	for (size_t i = 0; i < trace.count && !err; i++) {
		err = add_op(&s, &trace.ops[i]);
		if (err)
			snprintf(why, size, "%s:%u: %s", path, trace.ops[i].line,
				 err == -ENOMEM ? "out of memory" : "moves nothing");
	}
	if (!err && (err = add_ends(&s)))
		snprintf(why, size, "%s: out of memory", path);
	if (err)
		bench_steps_free(steps);
	rm_destroy(&s.ranges);
	free(s.flags);
	trace_free(&trace);
	return err;
}

void bench_steps_free(struct bench_steps *steps)
{
	free(steps->list);
	free(steps->ends);
	*steps = (struct bench_steps){ 0 };
}
