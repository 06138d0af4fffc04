/* SPDX-License-Identifier: MIT */
/*
 * Ranges in pieces under readers that take no lock. One writer erases ranges and stores them again,
 * the same ones or others over a whole gap, so that most of its stores only change slots of a leaf,
 * and pieces are joined all the time; some stores put them together again. Each entry says over
 * which keys it was stored, and no store cuts one, so a reader can tell that
 *
 *   - an entry is found over its own keys, all of them, and never before an older one;
 *   - the keys of an entry all change at one moment: a reader that finds it at one key, both before
 *     and after a look at another, finds it there, too;
 *   - at keys that the writer leaves alone meanwhile, what it has stored there before is found, by
 *     look-ups and by each pass over the tree, upwards and downwards, once, and nothing else; some
 *     entries it leaves alone for good.
 */
#include "support/cm.h"

#include "blame.h"
#include "support/env.h"
#include "support/inlines.h"
#include "support/rng.h"
#include "support/treecheck.h"
#include "support/units.h"
#include "tree/walk.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * A cell is four units; of five cells the first keeps its entry. That makes two or three leaves,
 * whose ends are where they happen to be.
 */
enum { READERS = 2, CELL = 4, GROUP = 5 * CELL, GROUPS = 13, UNITS = GROUPS * GROUP + CELL };

/* The writer stays with a group for some time, so that its stores follow one another there. */
enum { WRITES = 500000, STAY = 40, BATCH = 48, TRIES = 100 };

struct object {
	unsigned long first, last;
};

struct ground {
	struct maple_tree tree;
	unsigned long unit;
	uint64_t seed, writes;
	/* Those in the tree and those that were: a younger one comes behind an older one. */
	struct object *objects;
	unsigned long room;
	unsigned long made; /* only for the writer */
	unsigned long joined;
	/*
	 * For each unit: counts the beginnings and the ends of stores, so it is odd during one; and
	 * what has been there since the last one.
	 */
	unsigned long stores[UNITS]; /* atomic */
	struct object *now[UNITS];   /* atomic */
	unsigned long aim; /* relaxed: where the next store is, so that readers look there, too */
	unsigned int over; /* atomic */
	struct blame blame;
};

struct worker {
	struct ground *g;
	unsigned long id, rounds;
	struct object *seen[UNITS]; /* the youngest at each unit */
	pthread_t thread;
};

static unsigned long first_key(const struct ground *g, unsigned long unit)
{
	return unit * g->unit;
}

static unsigned long last_key(const struct ground *g, unsigned long unit)
{
	return (unit + 1) * g->unit - 1;
}

static bool is_fixed(unsigned long unit)
{
	return unit % GROUP < CELL;
}

static struct object *now_at(struct ground *g, unsigned long unit)
{
	return __atomic_load_n(&g->now[unit], __ATOMIC_ACQUIRE);
}

/* ---- Being held up ---- */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/*
 * It matters between which two instructions a thread is held up: a window of a few instructions is
 * seldom hit by chance. Lasts for less than a store sometimes, for many stores at other times.
 */
static void hold_up(int signal)
{
	static unsigned int times;
	unsigned int n = __atomic_fetch_add(&times, 1, __ATOMIC_RELAXED);

	(void)signal;
	if (n % 16 == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL);
	for (n = 500u << n % 5; n > 0; n--)
		__asm__ volatile("");
}

/* Has the calling thread held up every now and then, anywhere. */
static timer_t be_held_up(struct worker *w)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec often = { { .tv_nsec = 100000 + 1000 * (long)w->id }, { .tv_nsec = 1 } };
	timer_t timer;

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
		blame(&w->g->blame, "no timer");
	return timer;
}

/* ---- Writing ---- */

static struct object *make(struct ground *g, unsigned long from, unsigned long to)
{
	struct object *object = &g->objects[g->made++];

	object->first = first_key(g, from);
	object->last = last_key(g, to);
	return object;
}

static void begin(struct ground *g, unsigned long from, unsigned long to)
{
	__atomic_store_n(&g->aim, from << 16 | to, __ATOMIC_RELAXED);
	for (unsigned long u = from; u <= to; u++)
		__atomic_store_n(&g->stores[u], g->stores[u] + 1, __ATOMIC_RELEASE);
}

static void end(struct ground *g, unsigned long from, unsigned long to, struct object *object)
{
	for (unsigned long u = from; u <= to; u++) {
		__atomic_store_n(&g->now[u], object, __ATOMIC_RELEASE);
		__atomic_store_n(&g->stores[u], g->stores[u] + 1, __ATOMIC_RELEASE);
	}
}

/* CONTEXT: the cursor is on the last piece of the store. */
static void count_joined(struct ground *g, const struct ma_state *mas)
{
	g->joined += smr_is_joined(smr_slots(mas->node)[mas->offset]);
}

static void store(struct ground *g, unsigned long from, unsigned long to, bool null)
{
	struct object *object = null ? NULL : make(g, from, to);
	MA_STATE(mas, &g->tree, first_key(g, from), last_key(g, to));

	begin(g, from, to);
	mas_lock(&mas);
	if (mas_store_gfp(&mas, object, GFP_KERNEL))
		blame(&g->blame, "a store over units %lu to %lu failed", from, to);
	else if (object)
		count_joined(g, &mas);
	mas_unlock(&mas);
	end(g, from, to, object);
}

/* Return the first and the last unit of the entry or gap around @unit. */
static unsigned long low_end(struct ground *g, unsigned long unit)
{
	while (now_at(g, unit - 1) == now_at(g, unit))
		unit--;
	return unit;
}

static unsigned long high_end(struct ground *g, unsigned long unit)
{
	while (now_at(g, unit + 1) == now_at(g, unit))
		unit++;
	return unit;
}

static void erase(struct ground *g, unsigned long unit)
{
	struct object *object = now_at(g, unit);
	unsigned long from = low_end(g, unit), to = high_end(g, unit);

	if (!object)
		return;
	begin(g, from, to);
	if (mtree_erase(&g->tree, first_key(g, unit)) != object)
		blame(&g->blame, "mtree_erase() of unit %lu: not what was stored there", unit);
	end(g, from, to, NULL);
}

/* Stores an entry over one cell, or two adjacent ones, unless there is one. */
static void refill(struct ground *g, unsigned long unit, unsigned long cells)
{
	unsigned long from = unit - unit % CELL, to = from + cells * CELL - 1;

	for (unsigned long u = from; u <= to; u++)
		if (u >= UNITS || now_at(g, u))
			return;
	store(g, from, to, false);
}

/* Stores between two units, extended so that no entry is cut. */
static void store_part(struct ground *g, struct rng *rng, unsigned long unit)
{
	unsigned long group = unit - unit % GROUP;
	unsigned long other = group + CELL + rng_below(rng, GROUP - CELL);
	unsigned long from = unit < other ? unit : other, to = unit < other ? other : unit;

	if (now_at(g, from))
		from = low_end(g, from);
	if (now_at(g, to))
		to = high_end(g, to);
	store(g, from, to, rng_one_in(rng, 3));
}

/* Waits a while, so that readers get to where the next store will be. */
static void wait_a_little(struct ground *g, struct rng *rng, unsigned long unit)
{
	__atomic_store_n(&g->aim, low_end(g, unit) << 16 | high_end(g, unit), __ATOMIC_RELAXED);
	for (unsigned long n = rng_below(rng, 200); n > 0; n--)
		__asm__ volatile("");
}

static void write_once(struct ground *g, struct rng *rng, unsigned long group)
{
	unsigned long unit = group * GROUP + CELL + rng_below(rng, GROUP - CELL);
	struct object *object = now_at(g, unit);
	bool again = rng_one_in(rng, 4);

	wait_a_little(g, rng, unit);
	if (rng_one_in(rng, 24))
		store_part(g, rng, unit);
	else if (object && !again)
		erase(g, unit);
	else if (object || rng_one_in(rng, 2))
		store(g, low_end(g, unit), high_end(g, unit), false);
	else
		refill(g, unit, 1 + again);
}

/* Stores a range on each cell of a group, to make pieces of. */
static void plough(struct ground *g, unsigned long group)
{
	unsigned long from = group * GROUP + CELL, to = (group + 1) * GROUP - 1;

	store(g, from, to, true);
	for (unsigned long u = from; u < to; u += CELL)
		store(g, u, u + CELL - 1, false);
}

/*
 * Joins two cells and, once they are a gap again, joins both to the one before: then the first of
 * them, to which another was joined, is itself joined to one.
 */
static void join_twice(struct ground *g, struct rng *rng, unsigned long group)
{
	unsigned long two = group * GROUP + (2 + rng_below(rng, 2)) * CELL;

	plough(g, group);
	erase(g, two);
	erase(g, two + CELL);
	store(g, two, two + 2 * CELL - 1, false);
	erase(g, two);
	erase(g, two - CELL);
	wait_a_little(g, rng, two);
	store(g, two - CELL, two + 2 * CELL - 1, false);
}

static void *writer(void *arg)
{
	struct worker *w = arg;
	struct ground *g = w->g;
	timer_t timer = be_held_up(w);

	for (; w->rounds < g->writes && g->made + GROUP < g->room && !blamed(&g->blame);
	     w->rounds++) {
		struct rng rng = rng_make(g->seed, w->rounds / STAY);
		unsigned long group = rng_below(&rng, GROUPS);

		rng = rng_make(g->seed + 1, w->rounds);
		if (rng_one_in(&rng, 32))
			join_twice(g, &rng, group);
		else
			write_once(g, &rng, group);
	}
	__atomic_store_n(&g->over, 1, __ATOMIC_RELEASE);
	timer_delete(timer);
	return NULL;
}

/* ---- Reading ---- */

/* What the writer says of a unit, before a look at it. */
struct note {
	unsigned long stores;
	struct object *now;
};

static struct note note(struct ground *g, unsigned long unit)
{
	struct note n = { __atomic_load_n(&g->stores[unit], __ATOMIC_ACQUIRE), now_at(g, unit) };

	return n;
}

/* Compares a note with what a look has found since; the look must have been an acquiring one. */
static void check_note(struct ground *g, const char *what, unsigned long unit, const struct note *n,
		       const struct object *found)
{
	if (n->stores % 2 || __atomic_load_n(&g->stores[unit], __ATOMIC_ACQUIRE) != n->stores)
		return;
	if (found != n->now)
		blame(&g->blame, "%s: unit %lu holds entry %ld, and %ld is found", what, unit,
		      n->now ? (long)(n->now - g->objects) : -1,
		      found ? (long)(found - g->objects) : -1);
}

/* Checks that @entry is an entry at all. Then its keys, and its age, can be checked. */
static bool is_object(struct worker *w, const char *what, void *entry)
{
	struct ground *g = w->g;
	size_t at = (size_t)((char *)entry - (char *)g->objects);

	if (at % sizeof(struct object) == 0 && at / sizeof(struct object) < g->room)
		return true;
	blame(&g->blame, "%s: %p is nobody's entry", what, entry);
	return false;
}

static void met(struct worker *w, const char *what, unsigned long unit, struct object *object)
{
	if (object < w->seen[unit])
		blame(&w->g->blame, "%s: at unit %lu entry %ld comes after %ld", what, unit,
		      (long)(object - w->g->objects), (long)(w->seen[unit] - w->g->objects));
	w->seen[unit] = object;
}

/* Checks what a look-up has found at @key. */
static void judge(struct worker *w, const char *what, unsigned long key, void *entry)
{
	struct object *object = entry;

	if (!entry || !is_object(w, what, entry))
		return;
	if (key < object->first || key > object->last)
		blame(&w->g->blame, "%s: %#lx has the entry of [%#lx..%#lx]", what, key,
		      object->first, object->last);
	else
		met(w, what, key / w->g->unit, object);
}

/* Checks what a cursor has reached. */
static bool judge_range(struct worker *w, const char *what, const struct ma_state *mas, void *entry)
{
	struct object *object = entry;

	if (!is_object(w, what, entry))
		return false;
	if (mas->index == object->first && mas->last == object->last)
		return true;
	blame(&w->g->blame, "%s: [%#lx..%#lx] has the entry of [%#lx..%#lx]", what, mas->index,
	      mas->last, object->first, object->last);
	return false;
}

/* Returns any unit, but more often one where the writer is. */
static unsigned long choose_unit(struct ground *g, struct rng *rng)
{
	unsigned long aim = __atomic_load_n(&g->aim, __ATOMIC_RELAXED), from = aim >> 16;

	if (rng_one_in(rng, 3))
		return rng_below(rng, UNITS);
	return from + rng_below(rng, (aim & 0xffff) - from + 1);
}

static unsigned long choose_key(struct ground *g, struct rng *rng, unsigned long unit)
{
	return rng_one_in(rng, 2) ? first_key(g, unit) : last_key(g, unit);
}

static void load_one(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	unsigned long unit = choose_unit(g, rng), key = choose_key(g, rng, unit);
	struct note n = note(g, unit);
	void *entry = mtree_load(&g->tree, key);

	judge(w, "load", key, entry);
	check_note(g, "load", unit, &n, entry);
}

static void load_many(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	unsigned long unit[BATCH], key[BATCH];
	struct note n[BATCH];
	void *entry[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		unit[i] = choose_unit(g, rng);
		key[i] = choose_key(g, rng, unit[i]);
		n[i] = note(g, unit[i]);
	}
	mtree_load_batch(&g->tree, key, entry, BATCH);
	for (unsigned int i = 0; i < BATCH; i++) {
		judge(w, "batch", key[i], entry[i]);
		check_note(g, "batch", unit[i], &n[i], entry[i]);
	}
}

static void walk_one(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	unsigned long unit = choose_unit(g, rng), key = choose_key(g, rng, unit);
	struct note n = note(g, unit);
	MA_STATE(mas, &g->tree, key, key);
	void *entry;

	mt_rcu_read_lock(&g->tree);
	entry = mas_walk(&mas);
	mt_rcu_read_unlock(&g->tree);
	judge(w, "walk", key, entry);
	check_note(g, "walk", unit, &n, entry);
	if (entry)
		judge_range(w, "walk", &mas, entry);
	else if (mas.index > key || mas.last < key)
		blame(&g->blame, "walk: %#lx is not in [%#lx..%#lx]", key, mas.index, mas.last);
}

/* Checks that steps to the next and previous entry do not miss one that is always there. */
static void find_one(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	unsigned long unit = choose_unit(g, rng), key = choose_key(g, rng, unit), index = key;
	unsigned long group = unit - unit % GROUP;
	struct object *object = mt_find(&g->tree, &index, ULONG_MAX);

	if (!object || !is_object(w, "find", object) || object->last < key ||
	    object->first > (is_fixed(unit) ? key : first_key(g, group + GROUP)) ||
	    index != object->last + 1)
		blame(&g->blame, "find: not what is at, or behind, %#lx", key);
	object = mt_prev(&g->tree, key, 0);
	if (is_fixed(unit) || blamed(&g->blame))
		return;
	if (!object || !is_object(w, "prev", object) || object->first >= key ||
	    object->last < last_key(g, group + CELL - 1))
		blame(&g->blame, "prev: not what is before %#lx", key);
}

/*
 * Waits for an entry at one end of where the writer is, and looks for it at the other end: a reader
 * that finds it at the one finds it at the other, unless it has gone.
 */
static void load_both(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	unsigned long aim = __atomic_load_n(&g->aim, __ATOMIC_RELAXED);
	unsigned long one = first_key(g, aim >> 16), other = last_key(g, aim & 0xffff);
	struct object *object = NULL;
	void *found, *again;

	if (rng_one_in(rng, 2)) {
		other = one;
		one = last_key(g, aim & 0xffff);
	}
	for (unsigned int i = 0; i < TRIES && !object; i++)
		object = mtree_load(&g->tree, one);
	if (!object || !is_object(w, "both", object))
		return;
	found = mtree_load(&g->tree, other);
	again = mtree_load(&g->tree, one);
	if (again == object && other >= object->first && other <= object->last && found != object)
		blame(&g->blame, "both: %#lx has entry %ld of [%#lx..%#lx], and %#lx has %p", one,
		      (long)(object - g->objects), object->first, object->last, other, found);
}

/* ---- Passes over all there is ---- */

typedef void *step_fn(struct ma_state *mas, unsigned long limit);

struct pass {
	const char *what;
	step_fn *step;
	bool down, gaps;
};

/* Checks the entry that a step has reached, and notes it as seen at all of its units. */
static bool visit(struct worker *w, const struct pass *p, const struct ma_state *mas, void *entry,
		  struct object **seen)
{
	struct object *object = entry;

	if (!judge_range(w, p->what, mas, entry))
		return false;
	for (unsigned long u = object->first / w->g->unit; u <= object->last / w->g->unit; u++) {
		met(w, p->what, u, object);
		seen[u] = object;
	}
	return true;
}

/* Starts with the range around @start and makes at most @steps steps. */
static void go(struct worker *w, const struct pass *p, unsigned long start, unsigned long steps,
	       struct object **seen)
{
	MA_STATE(mas, &w->g->tree, start, start);
	unsigned long from, to;
	void *entry = mas_walk(&mas);

	for (;; steps--) {
		if (entry && !visit(w, p, &mas, entry, seen))
			return;
		from = mas.index;
		to = mas.last;
		if (steps == 0 || (p->down ? from == 0 : to == ULONG_MAX))
			return;
		if (steps % 4)
			let_inlines(&mas);
		entry = p->step(&mas, p->down ? 0 : ULONG_MAX);
		if (!entry && (!p->gaps || mas.status != ma_active))
			return;
		if (p->down ? mas.last >= from : mas.index <= to) {
			blame(&w->g->blame, "%s: from [%#lx..%#lx] to [%#lx..%#lx]", p->what, from,
			      to, mas.index, mas.last);
			return;
		}
	}
}

static const struct pass *choose_pass(struct rng *rng)
{
	static const struct pass kinds[] = {
		{ .what = "mas_for_each", .step = find_inline },
		{ .what = "mas_for_each", .step = find_inline },
		{ .what = "mas_find", .step = mas_find },
		{ .what = "mas_next", .step = mas_next },
		{ .what = "mas_next_range", .step = mas_next_range, .gaps = true },
		{ .what = "mas_prev", .step = mas_prev, .down = true },
		{ .what = "mas_find_rev", .step = mas_find_rev, .down = true },
		{ .what = "mas_prev_range", .step = mas_prev_range, .down = true, .gaps = true },
	};

	return &kinds[rng_below(rng, sizeof(kinds) / sizeof(kinds[0]))];
}

static void pass(struct worker *w, struct rng *rng)
{
	const struct pass *p = choose_pass(rng);
	struct object *seen[UNITS] = { NULL };
	struct ground *g = w->g;
	struct note n[UNITS];

	for (unsigned long u = 0; u < UNITS; u++)
		n[u] = note(g, u);
	mt_rcu_read_lock(&g->tree);
	go(w, p, p->down ? ULONG_MAX : 0, ULONG_MAX, seen);
	mt_rcu_read_unlock(&g->tree);
	for (unsigned long u = 0; u < UNITS && !blamed(&g->blame); u++)
		check_note(g, p->what, u, &n[u], seen[u]);
}

/* Makes a few steps of a pass, where the writer is. */
static void go_near(struct worker *w, struct rng *rng)
{
	struct ground *g = w->g;
	struct object *seen[UNITS];

	mt_rcu_read_lock(&g->tree);
	go(w, choose_pass(rng), choose_key(g, rng, choose_unit(g, rng)), 4, seen);
	mt_rcu_read_unlock(&g->tree);
}

static void *reader(void *arg)
{
	static void (*const read[])(struct worker * w, struct rng * rng) = {
		load_one,  load_many, walk_one, walk_one, find_one,
		load_both, load_both, go_near,  go_near,  pass,
	};
	struct worker *w = arg;
	struct ground *g = w->g;
	timer_t timer = be_held_up(w);

	for (; !__atomic_load_n(&g->over, __ATOMIC_ACQUIRE) && !blamed(&g->blame); w->rounds++) {
		struct rng rng = rng_make(g->seed + 77 * w->id, w->rounds);

		read[rng_below(&rng, sizeof(read) / sizeof(read[0]))](w, &rng);
	}
	timer_delete(timer);
	return NULL;
}

/* ---- A run ---- */

static void start(struct worker *w, struct ground *g, unsigned long id, void *(*body)(void *))
{
	*w = (struct worker){ .g = g, .id = id };
	assert_int_equal(pthread_create(&w->thread, NULL, body, w), 0);
}

static void check_end(struct ground *g, const struct worker *workers)
{
	char why[WHY_SIZE];

	if (blamed(&g->blame))
		fail_msg("seed %llu: %s", (unsigned long long)g->seed, g->blame.why);
	mtree_lock(&g->tree);
	if (!tree_sound(&g->tree, why))
		fail_msg("seed %llu: %s", (unsigned long long)g->seed, why);
	mtree_unlock(&g->tree);
	print_message("unit %#lx: %lu of %lu stores joined pieces; %lu and %lu reads\n", g->unit,
		      g->joined, g->made, workers[1].rounds, workers[2].rounds);
	assert_true(g->joined > g->writes / 100);
}

static void run(unsigned long unit)
{
	static struct worker workers[1 + READERS];
	static struct ground g;

	g = (struct ground){ .unit = unit, .seed = env_seed(), .writes = env_ops(WRITES) };
	g.room = g.writes + g.writes / 4 + UNITS;
	g.objects = calloc(g.room, sizeof(*g.objects));
	assert_non_null(g.objects);
	mt_init_flags(&g.tree, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	for (unsigned long u = 0; u < UNITS; u += CELL)
		store(&g, u, u + CELL - 1, false);
	for (unsigned long i = 0; i < READERS; i++)
		start(&workers[1 + i], &g, 1 + i, reader);
	start(&workers[0], &g, 0, writer);
	for (unsigned long i = 0; i <= READERS; i++)
		pthread_join(workers[i].thread, NULL);
	check_end(&g, workers);
	mtree_destroy(&g.tree);
	free(g.objects);
}

static void short_leaves(void **state)
{
	(void)state;
	run(PAGE_UNIT);
}

static void narrow_leaves(void **state)
{
	(void)state;
	run(NARROW_UNIT);
}

static void wide_leaves(void **state)
{
	(void)state;
	run(WIDE_UNIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_leaves),
		cmocka_unit_test(narrow_leaves),
		cmocka_unit_test(wide_leaves),
	};

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = hold_up, .sa_flags = SA_RESTART },
		  NULL);
	alarm(500);
	print_message("seed %llu\n", (unsigned long long)env_seed());
	return cmocka_run_group_tests_name("pieces", tests, NULL, NULL);
}
