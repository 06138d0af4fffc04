/* SPDX-License-Identifier: MIT */
/*
 * Classes of locks, and what has been seen of each.
 *
 * `seen_pairs` has a bit for each pair of classes, which is set once the second has been taken
 * under the first, whatever came of it; `facts` has bits for each class in the same way. Both are
 * looked at without the tables' lock, and only a clear bit leads further: so everything below
 * happens once, and for mistakes again after a new handler has been set. The graph itself is the
 * list of edges, with the stack of the first time. An edge is added only if it closes no cycle, so
 * that one mistake is not found again in every cycle through it.
 *
 * A section that waits for a lock also waits for all that the lock's holders wait for. So what is
 * known of how a class is taken inside sections is spread along the edges.
 */
#include "lock/check_internal.h"

#ifdef SMR_LOCKCHECK

#include "base/atomic.h"
#include "base/base.h"

#include <stdio.h>

enum { BITS = 8 * sizeof(unsigned long) };

struct edge {
	unsigned int from, to;
	struct smri_stack stack; /* where @to was taken */
};

static struct class
{
	const char *name;                   /* GUARD tables */
	unsigned int facts;                 /* GUARD relaxed reads; writes: tables. Bits */
	struct smri_stack seen[SMRI_FACTS]; /* GUARD tables: of each fact, the first time */
	/* GUARD tables: the class that was taken in a section; another one if that was spread */
	unsigned int taken[SMRI_FACTS];
} classes[SMRI_CLASSES] = {
#define NAME(rank, text) [SMR_RANK_##rank] = { .name = text },
	SMR_RANKS(NAME)
};

static unsigned int nr_classes = SMR_RANKS_NR; /* GUARD tables */
static unsigned long seen_pairs[SMRI_CLASSES]
			       [SMRI_CLASSES / BITS]; /* GUARD relaxed; clearing bits: tables */
static struct edge edges[SMRI_EDGES];                 /* GUARD tables */
static unsigned int nr_edges;                         /* GUARD tables */

static unsigned int register_class(struct lockcheck_class *lock_class)
{
	unsigned int id;

	smri_check_lock_tables();
	id = lock_class->id;
	if (!id && nr_classes < SMRI_CLASSES) {
		id = nr_classes++;
		classes[id].name = lock_class->name;
		smr_store(&lock_class->id, id, RELAXED);
	}
	smri_check_unlock_tables();
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

	smri_check_lock_tables();
	name = classes[id].name;
	smri_check_unlock_tables();
	return name;
}

/* ---- Order ---- */

static bool is_pair_seen(unsigned int from, unsigned int to)
{
	return smr_load(&seen_pairs[from][to / BITS], RELAXED) >> to % BITS & 1;
}

static void set_pair_seen(unsigned int from, unsigned int to)
{
	smr_or(&seen_pairs[from][to / BITS], 1UL << to % BITS, RELAXED);
}

/*
 * Searches breadth first for a path along edges from @from to @to, and returns whether there is
 * one. step[] gets, for each class reached, the edge to take next towards @to. CONTEXT: HOLDS
 * tables.
 */
static bool find_path(unsigned int from, unsigned int to, const struct edge **step)
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

/* Writes the path as "a", "b", "c", cut off where it gets too long. CONTEXT: HOLDS tables. */
static void describe_path(char *text, size_t size, unsigned int from, unsigned int to,
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

static bool is_tree(unsigned int lock_class)
{
	return lock_class >= SMR_RANK_TREE && lock_class <= SMR_RANK_TREE_NESTED3;
}

/*
 * Returns true if the ranks forbid taking @to under @held. A program chooses the order of locks
 * that it takes itself, those of its trees, its VMs and its objects' reservations: for these the
 * order is learned, as for other classes, except among the ranks of tree locks.
 */
static bool violates_ranks(unsigned int held, unsigned int to)
{
	if (held >= SMR_RANKS_NR || held <= to)
		return false;
	return held >= SMR_RANK_OBJECT || (is_tree(held) && is_tree(to));
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

/* ---- What locks are taken inside, and what is done under them ---- */

struct wording {
	const char *does, *holding; /* the thread does ... holding a lock */
	const char *here, *before;  /* captions of where it does so, or did */
	const char *elsewhere;      /* what has been seen of such locks */
};

static const struct wording in_section = {
	.does = "takes",
	.holding = "",
	.here = "taken inside a section here",
	.before = "one was taken inside a section here",
	.elsewhere = "for which sections have to wait",
};

static const struct wording in_read = {
	.does = "takes",
	.holding = "",
	.here = "taken inside a read-side section here",
	.before = "one was taken inside a read-side section here",
	.elsewhere = "for which readers have to wait",
};

static const struct wording over_alloc = {
	.does = "allocates or frees",
	.holding = " holding",
	.here = "memory is allocated or freed, under the lock, here",
	.before = "memory was allocated or freed under such a lock here",
	.elsewhere = "under which memory is allocated",
};

static const struct wording over_wait = {
	.does = "waits for",
	.holding = " holding",
	.here = "waits, holding the lock, here",
	.before = "a thread waited, holding such a lock, here",
	.elsewhere = "under which threads wait",
};

static const struct wording *wording_of(unsigned int fact)
{
	if (fact >= SMRI_OVER_WAIT)
		return &over_wait;
	if (fact >= SMRI_IN_READ)
		return &in_read;
	return fact == SMRI_IN_SECTION ? &in_section : &over_alloc;
}

/* Returns the facts that contradict @fact, a bit for each. */
static unsigned int conflicting_facts(unsigned int fact)
{
	const unsigned int reads = ((1U << SMR_RCU_FLAVORS) - 1) << SMRI_IN_READ;

	if (fact > SMRI_OVER_WAIT) /* for a grace period of one flavour */
		return 1U << (fact - SMRI_OVER_GRACE + SMRI_IN_READ);
	if (fact == SMRI_OVER_WAIT)
		return reads | 1U << SMRI_IN_SECTION;
	if (fact >= SMRI_IN_READ)
		return 1U << SMRI_OVER_WAIT | 1U << (fact - SMRI_IN_READ + SMRI_OVER_GRACE);
	if (fact == SMRI_OVER_ALLOC)
		return 1U << SMRI_IN_SECTION;
	return 1U << SMRI_OVER_ALLOC | 1U << SMRI_OVER_WAIT;
}

static bool has_fact(unsigned int id, unsigned int fact)
{
	return smr_load(&classes[id].facts, RELAXED) >> fact & 1;
}

static bool is_inside(unsigned int fact)
{
	return fact == SMRI_IN_SECTION || (fact >= SMRI_IN_READ && fact < SMRI_OVER_WAIT);
}

/* Facts of class @id that contradict @fact, a bit for each. */
struct conflict {
	unsigned int id, fact, against;
};

struct conflicts {
	unsigned int nr;
	struct conflict of[SMRI_CLASSES];
};

/* Puts the classes that are taken under @id, and do not have @fact, at the end of the queue. */
static unsigned int queue_inner(unsigned int id, unsigned int fact, unsigned int *queue,
				unsigned int tail, bool *queued)
{
	for (unsigned int i = 0; i < nr_edges; i++) {
		unsigned int to = edges[i].to;

		if (edges[i].from != id || queued[to] || has_fact(to, fact))
			continue;
		queued[to] = true;
		queue[tail++] = to;
	}
	return tail;
}

/*
 * Notes a fact of class @id that is news, and of all that are taken under it if it is about
 * sections: at @stack a section took @taken. Adds what contradicts it. CONTEXT: HOLDS tables.
 */
static void spread_fact(unsigned int id, unsigned int fact, unsigned int taken,
			const struct smri_stack *stack, struct conflicts *conflicts)
{
	unsigned int queue[SMRI_CLASSES] = { id }, tail = 1;
	bool queued[SMRI_CLASSES] = { false };

	queued[id] = true;
	for (unsigned int head = 0; head < tail; head++) {
		struct class *c = &classes[queue[head]];
		unsigned int against = c->facts & conflicting_facts(fact);

		c->seen[fact] = *stack;
		c->taken[fact] = taken;
		smr_or(&c->facts, 1U << fact, RELAXED);
		if (against && conflicts->nr < SMRI_CLASSES)
			conflicts->of[conflicts->nr++] = (struct conflict){ queue[head], fact,
									    against };
		if (is_inside(fact))
			tail = queue_inner(queue[head], fact, queue, tail, queued);
	}
}

/* Notes a fact, seen at @stack. Sets @conflicts to what contradicts it; none if it is no news. */
static void note_fact(unsigned int id, unsigned int fact, const struct smri_stack *stack,
		      struct conflicts *conflicts)
{
	conflicts->nr = 0;
	smri_check_lock_tables();
	if (!has_fact(id, fact))
		spread_fact(id, fact, id, stack, conflicts);
	smri_check_unlock_tables();
}

/* A new edge: what is known of how @from is taken in sections holds for @to. HOLDS tables. */
static void spread_along(unsigned int from, unsigned int to, struct conflicts *conflicts)
{
	for (unsigned int fact = 0; fact < SMRI_FACTS; fact++) {
		struct smri_stack stack = classes[from].seen[fact];

		if (is_inside(fact) && has_fact(from, fact) && !has_fact(to, fact))
			spread_fact(to, fact, classes[from].taken[fact], &stack, conflicts);
	}
}

/* Returns what was seen first of a fact, and in @taken what class a section took. */
static struct smri_stack recall_fact(unsigned int id, unsigned int fact, unsigned int *taken)
{
	struct smri_stack stack;

	smri_check_lock_tables();
	stack = classes[id].seen[fact];
	*taken = classes[id].taken[fact];
	smri_check_unlock_tables();
	return stack;
}

static enum lockcheck_rule rule_of(unsigned int fact, unsigned int other)
{
	return fact == SMRI_OVER_ALLOC || other == SMRI_OVER_ALLOC ? LOCKCHECK_LOCK_OVER_ALLOCATION
								   : LOCKCHECK_LOCK_OVER_WAIT;
}

/*
 * The thread does something that contradicts a fact of class @id; or it takes a lock of class
 * @lock, and those of @id are taken under such.
 */
static void report_facts(unsigned int id, unsigned int fact, unsigned int other, unsigned int lock,
			 const char *what, void *frame)
{
	const struct wording *now = wording_of(fact), *then = wording_of(other);
	unsigned int taken;
	struct smri_stack stack = recall_fact(id, other, &taken);
	struct smri_found found = { .rule = rule_of(fact, other),
				    .a = id + 1,
				    .here = now->here,
				    .other_caption = then->before,
				    .other = &stack };
	bool spread = is_inside(other) && taken != id;

	if (lock != id)
		smri_report(&found, frame,
			    "the thread %s %s%s a lock of class \"%s\", under which those of class "
			    "\"%s\" are taken, %s elsewhere",
			    now->does, what, now->holding, smri_class_name(lock),
			    smri_class_name(id), then->elsewhere);
	else if (spread)
		smri_report(
			&found, frame,
			"the thread %s %s%s a lock of class \"%s\", %s elsewhere, because it is "
			"taken under those of class \"%s\"",
			now->does, what, now->holding, smri_class_name(id), then->elsewhere,
			smri_class_name(taken));
	else
		smri_report(&found, frame,
			    "the thread %s %s%s a lock of class \"%s\", %s elsewhere", now->does,
			    what, now->holding, smri_class_name(id), then->elsewhere);
}

static smr_noinline void check_new_fact(unsigned int id, unsigned int fact, const char *what,
					void *frame)
{
	struct conflicts conflicts;
	struct smri_stack stack;

	smri_stack_unwind(&stack, frame);
	note_fact(id, fact, &stack, &conflicts);
	for (unsigned int i = 0; i < conflicts.nr; i++)
		for (unsigned int other = 0; other < SMRI_FACTS; other++)
			if (conflicts.of[i].against >> other & 1)
				report_facts(conflicts.of[i].id, fact, other, id, what, frame);
}

void smri_graph_fact(unsigned int id, unsigned int fact, const char *what, void *frame)
{
	if (smr_unlikely(!has_fact(id, fact)))
		check_new_fact(id, fact, what, frame);
}

/* ---- New pairs ---- */

/*
 * Notes a pair seen for the first time. Returns true if it contradicts the graph, and then *@stack
 * and @path say what; otherwise adds it to the graph, and what that contradicts to @conflicts.
 */
static bool note_pair(unsigned int held, unsigned int to, const struct smri_stack *now,
		      struct smri_stack *stack, char *path, size_t size,
		      struct conflicts *conflicts)
{
	const struct edge *step[SMRI_CLASSES];
	bool found;

	smri_check_lock_tables();
	if (is_pair_seen(held, to)) {
		smri_check_unlock_tables();
		return false;
	}
	set_pair_seen(held, to);
	found = find_path(to, held, step);
	if (found) {
		*stack = step[to]->stack;
		describe_path(path, size, to, held, step);
	} else {
		add_edge(held, to, now);
		spread_along(held, to, conflicts);
	}
	smri_check_unlock_tables();
	return found;
}

/* Sections that take a lock of class @held now also wait for @to, and so for @id. */
static void report_spread(unsigned int held, unsigned int to, unsigned int id, unsigned int fact,
			  unsigned int other, void *frame)
{
	unsigned int taken;
	struct smri_stack stack = recall_fact(id, other, &taken);
	struct smri_found found = { .rule = rule_of(fact, other),
				    .a = id + 1,
				    .here = "taken here",
				    .other_caption = wording_of(other)->before,
				    .other = &stack };

	smri_report(&found, frame,
		    "a lock of class \"%s\" is taken while one of class \"%s\" is held, %s "
		    "elsewhere; so they may have to wait for one of class \"%s\", %s",
		    smri_class_name(to), smri_class_name(held), wording_of(fact)->elsewhere,
		    smri_class_name(id), wording_of(other)->elsewhere);
}

static smr_noinline void check_new_pair(const struct smri_hold *held, unsigned int to, void *frame)
{
	struct conflicts conflicts = { .nr = 0 };
	struct smri_stack now, before;
	char path[200];
	struct smri_found found = { .rule = LOCKCHECK_LOCK_ORDER,
				    .a = held->lock_class + 1,
				    .b = to + 1,
				    .here = "taken here",
				    .other_caption = "seen before in the other order here",
				    .other = &before };

	if (violates_ranks(held->lock_class, to)) {
		set_pair_seen(held->lock_class, to);
		report_ranks(held, to, frame);
		return;
	}
	smri_stack_unwind(&now, frame);
	if (note_pair(held->lock_class, to, &now, &before, path, sizeof(path), &conflicts))
		smri_report(&found, frame,
			    "a lock of class \"%s\" is taken while one of class \"%s\" is held, "
			    "but elsewhere they are taken in the order %s",
			    smri_class_name(to), smri_class_name(held->lock_class), path);
	for (unsigned int i = 0; i < conflicts.nr; i++)
		for (unsigned int other = 0; other < SMRI_FACTS; other++)
			if (conflicts.of[i].against >> other & 1)
				report_spread(held->lock_class, to, conflicts.of[i].id,
					      conflicts.of[i].fact, other, frame);
}

void smri_graph_order(const struct smri_hold *held, unsigned int to, void *frame)
{
	if (smr_unlikely(!is_pair_seen(held->lock_class, to)))
		check_new_pair(held, to, frame);
}

/* ---- Reporting mistakes again ---- */

/*
 * Returns true if two facts of @c contradict each other. Nothing tells which was seen last, so both
 * have to be seen again.
 */
static bool has_conflict(const struct class *c)
{
	for (unsigned int fact = 0; fact < SMRI_FACTS; fact++)
		if (c->facts >> fact & 1 && c->facts & conflicting_facts(fact))
			return true;
	return false;
}

/* Spreads what is known of sections to classes whose facts have been forgotten. */
static void spread_again(void)
{
	struct conflicts none;

	for (unsigned int i = 0; i < nr_edges; i++) {
		none.nr = 0;
		spread_along(edges[i].from, edges[i].to, &none);
	}
}

void smri_graph_forget_mistakes(void)
{
	for (unsigned int i = 0; i < nr_classes; i++) {
		for (unsigned int j = 0; j < SMRI_CLASSES / BITS; j++)
			smr_store(&seen_pairs[i][j], 0, RELAXED);
		if (has_conflict(&classes[i]))
			smr_store(&classes[i].facts, 0, RELAXED);
	}
	spread_again();
	/* A pair that is not an edge was a mistake. */
	for (unsigned int i = 0; i < nr_edges; i++)
		set_pair_seen(edges[i].from, edges[i].to);
}

/* ---- For tests ---- */

void smr_check_forget(void)
{
	smri_check_lock_tables();
	nr_edges = 0;
	for (unsigned int i = 0; i < nr_classes; i++)
		smr_store(&classes[i].facts, 0, RELAXED);
	smri_graph_forget_mistakes();
	smri_check_unlock_tables();
}

#endif
