/* SPDX-License-Identifier: MIT */
/*
 * Classes of locks, and what has been seen of each.
 *
 * `dealt` has a bit for each pair of classes of which the second has been taken under the first,
 * whatever came of it; so has `facts` for each class. Both are looked at without the tables' lock,
 * and only a clear bit leads further: so everything below happens once, and mistakes again after a
 * new handler has been set. The graph itself is the list of edges, with the stack of the first
 * time. An edge is added only if it closes no circle, so that one mistake is not found again in
 * every circle through it.
 */
#include "lock/check_internal.h"

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { OVER_ALLOC = 1, IN_SECTION = 2 };

enum { BITS = 8 * sizeof(unsigned long) };

struct edge {
	unsigned int from, to;
	struct smri_stack stack; /* @to is taken */
};

static struct class
{
	const char *name;                         /* GUARD tables */
	unsigned int facts;                       /* GUARD relaxed reads; writes: tables */
	const char *allocates;                    /* GUARD tables */
	struct smri_stack over_alloc, in_section; /* GUARD tables */
} classes[SMRI_CLASSES] = {
#define NAME(rank, text) [SMR_RANK_##rank] = { .name = text },
	SMR_RANKS(NAME)
};

static unsigned int nr_classes = SMR_RANKS_NR; /* GUARD tables */
static unsigned long dealt[SMRI_CLASSES]
			  [SMRI_CLASSES / BITS]; /* GUARD relaxed reads; writes: tables */
static struct edge edges[SMRI_EDGES];            /* GUARD tables */
static unsigned int nr_edges;                    /* GUARD tables */

static unsigned int register_class(struct lockcheck_class *lock_class)
{
	unsigned int id;

	smri_check_enter();
	id = lock_class->id;
	if (!id && nr_classes < SMRI_CLASSES) {
		id = nr_classes++;
		classes[id].name = lock_class->name;
		smr_store(&lock_class->id, id, RELAXED);
	}
	smri_check_leave();
	if (!id)
		smri_check_give_up("classes of locks");
	return id;
}

unsigned int smri_class_id(struct lockcheck_class *lock_class)
{
	unsigned int id = smr_load(&lock_class->id, RELAXED);

	return smr_likely(id) ? id : register_class(lock_class);
}

const char *smri_class_name(unsigned int id)
{
	const char *name;

	smri_check_enter();
	name = classes[id].name;
	smri_check_leave();
	return name;
}

/* ---- Order ---- */

static bool is_dealt(unsigned int from, unsigned int to)
{
	return smr_load(&dealt[from][to / BITS], RELAXED) >> to % BITS & 1;
}

static void set_dealt(unsigned int from, unsigned int to)
{
	smr_or(&dealt[from][to / BITS], 1UL << to % BITS, RELAXED);
}

/*
 * Looks for a way along edges from @from to @to, in breadth. step[] gets, for each class reached,
 * the edge to take next towards @to. CONTEXT: HOLDS tables.
 */
static bool find_way(unsigned int from, unsigned int to, const struct edge **step)
{
	unsigned int queue[SMRI_CLASSES], head = 0, tail = 0;
	bool reached[SMRI_CLASSES] = { false };

	/* Backwards, so that the steps lead forwards. */
	queue[tail++] = to;
	reached[to] = true;
	while (head < tail && !reached[from]) {
		unsigned int at = queue[head++];

		for (unsigned int i = 0; i < nr_edges; i++) {
			const struct edge *e = &edges[i];

			if (e->to != at || reached[e->from])
				continue;
			reached[e->from] = true;
			step[e->from] = e;
			queue[tail++] = e->from;
		}
	}
	return reached[from];
}

/* "a -> b -> c", cut off where it gets too long. CONTEXT: HOLDS tables. */
static void describe_way(char *text, size_t size, unsigned int from, unsigned int to,
			 const struct edge *const *step)
{
	size_t len = (size_t)snprintf(text, size, "\"%s\"", classes[from].name);

	while (from != to && len < size) {
		from = step[from]->to;
		len += (size_t)snprintf(text + len, size - len, ", \"%s\"", classes[from].name);
	}
}

static void add_edge(unsigned int from, unsigned int to, const struct smri_stack *stack)
{
	if (nr_edges == SMRI_EDGES) {
		smri_check_give_up("pairs of classes of locks");
		return;
	}
	edges[nr_edges++] = (struct edge){ from, to, *stack };
}

static bool against_ranks(unsigned int held, unsigned int to)
{
	return held < SMR_RANKS_NR && to < SMR_RANKS_NR && held > to;
}

static void report_ranks(const struct smri_hold *held, unsigned int to, void *frame)
{
	struct smri_found found = { .rule = LOCKCHECK_LOCK_ORDER,
				    .a = held->lock_class + 1,
				    .b = to + 1,
				    .here = "taken here",
				    .other_caption = "the lock held was taken here",
				    .other = &held->taken };

	smri_report(
		&found, frame,
		"a lock of class \"%s\" is taken while one of class \"%s\" is held, which belongs inside",
		smri_class_name(to), smri_class_name(held->lock_class));
}

/*
 * Sees the pair for the first time: true, and *@stack and @way say what it contradicts, or adds it
 * to the graph.
 */
static bool contradicts(unsigned int held, unsigned int to, const struct smri_stack *now,
			struct smri_stack *stack, char *way, size_t size)
{
	const struct edge *step[SMRI_CLASSES];
	bool found;

	smri_check_enter();
	if (is_dealt(held, to)) {
		smri_check_leave();
		return false;
	}
	set_dealt(held, to);
	found = find_way(to, held, step);
	if (found) {
		*stack = step[to]->stack;
		describe_way(way, size, to, held, step);
	} else {
		add_edge(held, to, now);
	}
	smri_check_leave();
	return found;
}

static smr_noinline void see_pair(const struct smri_hold *held, unsigned int to, void *frame)
{
	struct smri_stack now, before;
	char way[200];
	struct smri_found found = { .rule = LOCKCHECK_LOCK_ORDER,
				    .a = held->lock_class + 1,
				    .b = to + 1,
				    .here = "taken here",
				    .other_caption = "seen before in the other order here",
				    .other = &before };

	if (against_ranks(held->lock_class, to)) {
		set_dealt(held->lock_class, to);
		report_ranks(held, to, frame);
		return;
	}
	smri_stack_unwind(&now, frame);
	if (contradicts(held->lock_class, to, &now, &before, way, sizeof(way)))
		smri_report(&found, frame,
			    "a lock of class \"%s\" is taken while one of class \"%s\" is held, "
			    "but elsewhere they are taken in the order %s",
			    smri_class_name(to), smri_class_name(held->lock_class), way);
}

void smri_graph_order(const struct smri_hold *held, unsigned int to, void *frame)
{
	if (smr_unlikely(!is_dealt(held->lock_class, to)))
		see_pair(held, to, frame);
}

/* ---- Allocations and sections ---- */

/*
 * Notes @fact of a class, seen at *@stack: true when it is news and the other fact is known too,
 * which was seen at what is *@stack then.
 */
static bool note_fact(struct class *c, unsigned int fact, struct smri_stack *stack)
{
	bool both = false;

	smri_check_enter();
	if (!(c->facts & fact)) {
		*(fact == OVER_ALLOC ? &c->over_alloc : &c->in_section) = *stack;
		smr_or(&c->facts, fact, RELAXED);
		both = c->facts == (OVER_ALLOC | IN_SECTION);
		if (both)
			*stack = fact == OVER_ALLOC ? c->in_section : c->over_alloc;
	}
	smri_check_leave();
	return both;
}

static smr_noinline void see_over_alloc(const struct smri_hold *held, const char *what, void *frame)
{
	struct smri_stack stack;
	struct smri_found found = { .rule = LOCKCHECK_LOCK_OVER_ALLOCATION,
				    .a = held->lock_class + 1,
				    .here = "memory is allocated or freed, under the lock, here",
				    .other_caption = "one was taken inside a section here",
				    .other = &stack };

	smri_stack_unwind(&stack, frame);
	if (note_fact(&classes[held->lock_class], OVER_ALLOC, &stack))
		smri_report(&found, frame,
			    "the thread allocates or frees %s holding a lock of class \"%s\", "
			    "for which sections have to wait",
			    what, smri_class_name(held->lock_class));
}

void smri_graph_over_alloc(const struct smri_hold *held, const char *what, void *frame)
{
	if (smr_unlikely(!(smr_load(&classes[held->lock_class].facts, RELAXED) & OVER_ALLOC)))
		see_over_alloc(held, what, frame);
}

static smr_noinline void see_in_section(unsigned int id, void *frame)
{
	struct smri_stack stack;
	struct smri_found found = { .rule = LOCKCHECK_LOCK_OVER_ALLOCATION,
				    .a = id + 1,
				    .here = "taken inside a section here",
				    .other_caption =
					    "memory was allocated or freed under such a lock here",
				    .other = &stack };

	smri_stack_unwind(&stack, frame);
	if (note_fact(&classes[id], IN_SECTION, &stack))
		smri_report(&found, frame,
			    "inside a section the thread takes a lock of class \"%s\", "
			    "under which memory is allocated elsewhere",
			    smri_class_name(id));
}

void smri_graph_in_section(unsigned int id, void *frame)
{
	if (smr_unlikely(!(smr_load(&classes[id].facts, RELAXED) & IN_SECTION)))
		see_in_section(id, frame);
}

/* ---- Mistakes that are to be reported anew ---- */

/*
 * A pair that is no edge was one. Of locks over allocations nothing tells which half came second:
 * both have to be seen again.
 */
void smri_graph_renew(void)
{
	for (unsigned int i = 0; i < nr_classes; i++) {
		for (unsigned int j = 0; j < SMRI_CLASSES / BITS; j++)
			smr_store(&dealt[i][j], 0, RELAXED);
		if (classes[i].facts == (OVER_ALLOC | IN_SECTION))
			smr_store(&classes[i].facts, 0, RELAXED);
	}
	for (unsigned int i = 0; i < nr_edges; i++)
		set_dealt(edges[i].from, edges[i].to);
}

/* ---- For tests ---- */

void smr_check_forget(void)
{
	smri_check_enter();
	memset(dealt, 0, sizeof(dealt));
	nr_edges = 0;
	for (unsigned int i = 0; i < nr_classes; i++)
		smr_store(&classes[i].facts, 0, RELAXED);
	smri_check_leave();
}

#endif
