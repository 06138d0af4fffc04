/* SPDX-License-Identifier: MIT */
/*
 * Readers and writers at once, in every RCU flavour and in the other ways in which a tree may be
 * shared.
 */
#include "support/cm.h"

#include "field.h"
#include "support/env.h"
#include "support/memfault.h"
#include "support/treecheck.h"
#include "unit/flavors.h"

#include <sched.h>
#include <unistd.h>

void urcu_qsbr_quiescent_state(void);

enum { READERS_MAX = 4, WRITERS_MAX = 4 };

struct scenario {
	enum mt_rcu_flavor flavor;
	unsigned int flags;
	unsigned int readers, locked_readers, writers;
	unsigned long stripes;
	uint64_t writes;     /* of each writer */
	bool raze;           /* the writer destroys the tree now and then */
	bool short_of_nodes; /* every allocation under the lock fails: each store drops it */
	bool dups;           /* another thread duplicates the tree meanwhile */
};

struct run {
	const struct scenario *s;
	struct field field;
	uint64_t seed;
	unsigned int writing; /* atomic: writers that have not finished */
};

struct worker {
	struct run *run;
	unsigned long id;
	uint64_t rounds;
	pthread_t thread;
};

static void quiet(enum mt_rcu_flavor flavor)
{
	if (flavor == MT_RCU_QSBR)
		urcu_qsbr_quiescent_state();
}

static bool going_on(const struct run *run)
{
	return __atomic_load_n(&run->writing, __ATOMIC_ACQUIRE) > 0 && !blamed(&run->field.blame);
}

static void *writer(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;
	unsigned long version = 0;

	/* Writers register too: some of the functions they call read. */
	register_reader(run->s->flavor);
	for (uint64_t n = 0; n < run->s->writes && !blamed(&run->field.blame); n++) {
		struct rng rng = rng_make(run->seed + 1000 * w->id, n);

		/*
		 * Waiting for a free object may take a grace period, which this thread must not
		 * hold up.
		 */
		if (run->s->flavor == MT_RCU_QSBR)
			urcu_qsbr_thread_offline();
		if (run->s->raze && n % 3000 == 2999)
			field_raze(&run->field, &version);
		field_write(&run->field, w->id, &version, &rng);
		if (run->s->flavor == MT_RCU_QSBR)
			urcu_qsbr_thread_online();
	}
	unregister_reader(run->s->flavor);
	__atomic_fetch_sub(&run->writing, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *reader(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;

	register_reader(run->s->flavor);
	for (; going_on(run); w->rounds++) {
		struct rng rng = rng_make(run->seed + 77 * w->id, w->rounds);

		if (w->id < run->s->locked_readers)
			field_read_locked(&run->field, &rng);
		else
			field_read(&run->field, &rng);
		quiet(run->s->flavor);
	}
	unregister_reader(run->s->flavor);
	return NULL;
}

static void *duplicator(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;
	char why[WHY_SIZE];

	register_reader(run->s->flavor);
	for (; going_on(run); w->rounds++) {
		struct maple_tree copy;

		mt_init_flags(&copy, run->s->flags & ~(unsigned int)MT_FLAGS_USE_RCU);
		if (mt_set_rcu_flavor(&copy, run->s->flavor))
			blame(&run->field.blame, "flavour of the copy");
		if (mt_in_rcu(&run->field.tree))
			mt_set_in_rcu(&copy);
		if (mtree_dup(&run->field.tree, &copy, GFP_KERNEL))
			blame(&run->field.blame, "mtree_dup failed");
		mtree_lock(&copy);
		if (!tree_sound(&copy, why))
			blame(&run->field.blame, "copy: %s", why);
		mtree_unlock(&copy);
		mtree_destroy(&copy);
		quiet(run->s->flavor);
	}
	unregister_reader(run->s->flavor);
	return NULL;
}

static void start(struct worker *w, struct run *run, unsigned long id, void *(*body)(void *))
{
	*w = (struct worker){ .run = run, .id = id };
	assert_int_equal(pthread_create(&w->thread, NULL, body, w), 0);
}

static void torture(const struct scenario *s)
{
	struct worker readers[READERS_MAX + 1], writers[WRITERS_MAX];
	struct run run = { .s = s, .seed = env_seed(), .writing = s->writers };
	unsigned int nr_readers = s->readers + s->locked_readers;

	memfault_ok();
	assert_true(field_start(&run.field, s->flags, s->flavor, s->stripes, s->writers));
	run.field.fixed_stay = !s->raze;
	if (s->short_of_nodes)
		memfault_nowait();
	for (unsigned int i = 0; i < nr_readers; i++)
		start(&readers[i], &run, i, reader);
	if (s->dups)
		start(&readers[nr_readers], &run, 0, duplicator);
	for (unsigned int i = 0; i < s->writers; i++)
		start(&writers[i], &run, i, writer);
	for (unsigned int i = 0; i < s->writers; i++)
		pthread_join(writers[i].thread, NULL);
	for (unsigned int i = 0; i < nr_readers + s->dups; i++)
		pthread_join(readers[i].thread, NULL);
	memfault_ok();
	if (!field_stop(&run.field))
		fail_msg("seed %llu: %s", (unsigned long long)run.seed, run.field.blame.why);
	assert_int_equal(nodes_in_use(mt_mem_default()), 0);
}

static void flavour(void **state)
{
	const enum mt_rcu_flavor *flavor = *state;
	struct scenario s = { .flavor = *flavor,
			      .flags = MT_FLAGS_USE_RCU,
			      .readers = 2,
			      .writers = 1,
			      .stripes = 500,
			      .writes = env_ops(180000) };

	torture(&s);
}

static void many_writers(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE,
			      .readers = 2,
			      .writers = 3,
			      .stripes = 300,
			      .writes = env_ops(90000) };

	(void)state;
	torture(&s);
}

/* Each store gets its memory with the lock dropped, so that other writers come in between. */
static void dropped_locks(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU,
			      .readers = 1,
			      .writers = 3,
			      .stripes = 60,
			      .writes = env_ops(45000),
			      .short_of_nodes = true };

	(void)state;
	torture(&s);
}

/* No RCU mode: all threads take the lock, and pause their cursors to drop it. */
static void paused_cursors(void **state)
{
	struct scenario s = {
		.locked_readers = 2, .writers = 1, .stripes = 200, .writes = env_ops(120000)
	};

	(void)state;
	torture(&s);
}

static void paused_cursors_in_rcu_mode(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU,
			      .readers = 1,
			      .locked_readers = 1,
			      .writers = 1,
			      .stripes = 200,
			      .writes = env_ops(120000) };

	(void)state;
	torture(&s);
}

static void destroyed_under_readers(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU,
			      .readers = 2,
			      .writers = 1,
			      .stripes = 60,
			      .writes = env_ops(180000),
			      .raze = true };

	(void)state;
	torture(&s);
}

static void tiny_tree(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU,
			      .readers = 2,
			      .writers = 1,
			      .stripes = 1,
			      .writes = env_ops(180000),
			      .raze = true };

	(void)state;
	torture(&s);
}

static void duplicated_under_readers(void **state)
{
	struct scenario s = { .flags = MT_FLAGS_USE_RCU,
			      .readers = 1,
			      .writers = 1,
			      .stripes = 300,
			      .writes = env_ops(90000),
			      .dups = true };

	(void)state;
	torture(&s);
}

/*
 * RCU mode on and off, with lock-free readers only while it is on, over one tree that lives through
 * all of it.
 */
static void switched_on_and_off(void **state)
{
	struct scenario on = {
		.readers = 2, .writers = 1, .stripes = 100, .writes = env_ops(18000)
	};
	struct scenario off = {
		.locked_readers = 2, .writers = 1, .stripes = 100, .writes = env_ops(18000)
	};
	struct run run = { .seed = env_seed() };
	struct worker readers[2], w;

	(void)state;
	memfault_ok();
	assert_true(field_start(&run.field, 0, MT_RCU_BP, 100, 1));
	for (unsigned int phase = 0; phase < 8; phase++) {
		run.s = phase % 2 ? &on : &off;
		run.writing = 1;
		if (phase % 2)
			mt_set_in_rcu(&run.field.tree);
		else
			mt_clear_in_rcu(&run.field.tree);
		/* Restart the versions, so that the next writer may count from 0. */
		for (unsigned long k = 0; k < 100 * STRIPE; k++) {
			run.field.keys[k].begun = 0;
			run.field.keys[k].done = run.field.keys[k].object ? 0 : 1;
			if (run.field.keys[k].object)
				run.field.keys[k].object->version = 0;
		}
		for (unsigned int i = 0; i < 2; i++)
			start(&readers[i], &run, i, reader);
		start(&w, &run, 0, writer);
		pthread_join(w.thread, NULL);
		for (unsigned int i = 0; i < 2; i++)
			pthread_join(readers[i].thread, NULL);
	}
	if (!field_stop(&run.field))
		fail_msg("seed %llu: %s", (unsigned long long)run.seed, run.field.blame.why);
}

/* ---- A store is seen all at once: over thousands of ranges in many nodes, too */

enum { WHOLE_FIRST = 1000, WHOLE_LAST = 40000 };

struct curtain {
	struct maple_tree tree;
	uint64_t seed, turns;
	unsigned int down;   /* atomic: the writer has finished */
	unsigned int failed; /* atomic */
};

/* Stores odd versions on many small ranges, then the next even one over all of them. */
static void *draw_curtain(void *arg)
{
	struct curtain *c = arg;

	for (uint64_t n = 0; n < c->turns; n++) {
		struct rng rng = rng_make(c->seed, n);
		void *odd = xa_mk_value(2 * n + 1), *even = xa_mk_value(2 * n + 2);

		for (unsigned int i = 0; i < 200; i++) {
			unsigned long first = WHOLE_FIRST + 1 +
					      rng_below(&rng, WHOLE_LAST - WHOLE_FIRST - 20);

			if (mtree_store_range(&c->tree, first, first + rng_below(&rng, 15), odd,
					      GFP_KERNEL))
				__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
		}
		if (mtree_store_range(&c->tree, WHOLE_FIRST, WHOLE_LAST, even, GFP_KERNEL))
			__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&c->down, 1, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * A reader that has seen an even version at one key must see at least that one at every other key
 * afterwards.
 */
static void *watch_curtain(void *arg)
{
	struct curtain *c = arg;
	unsigned long before = 0;

	for (uint64_t n = 0; !__atomic_load_n(&c->down, __ATOMIC_ACQUIRE); n++) {
		struct rng rng = rng_make(c->seed + 1, n);
		unsigned long key = WHOLE_FIRST + rng_below(&rng, WHOLE_LAST - WHOLE_FIRST + 1),
			      version;
		void *entry = mtree_load(&c->tree, key);

		version = entry ? xa_to_value(entry) : 0;
		if (version < before)
			__atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
		if (version % 2 == 0)
			before = version;
	}
	return NULL;
}

static void seen_all_at_once(void **state)
{
	struct curtain c = { .tree = MTREE_INIT(c.tree, MT_FLAGS_USE_RCU),
			     .seed = env_seed(),
			     .turns = env_ops(600) };
	pthread_t writer_thread, readers[2];

	(void)state;
	assert_int_equal(pthread_create(&writer_thread, NULL, draw_curtain, &c), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, watch_curtain, &c), 0);
	pthread_join(writer_thread, NULL);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(c.failed, 0);
	mtree_destroy(&c.tree);
}

/* ---- Two who look for room at once, while the tree grows and shrinks */

enum { TENANTS = 2, KEYS = 150 };

struct house {
	struct maple_tree tree;
	uint64_t turns;      /* of each tenant */
	unsigned int failed; /* atomic */
};

struct tenant {
	struct house *house;
	unsigned long id;
	pthread_t thread;
};

static int move_in(struct house *house, unsigned long *at, void *entry, unsigned long n)
{
	unsigned long next = 0;

	if (n % 3 == 0)
		return mtree_alloc_range(&house->tree, at, entry, 1, 1, 10000, GFP_KERNEL);
	if (n % 3 == 1)
		return mtree_alloc_rrange(&house->tree, at, entry, 1, 1, 10000, GFP_KERNEL);
	return mtree_alloc_cyclic(&house->tree, at, entry, 1, 10000, &next, GFP_KERNEL);
}

/* A place that one tenant has been given must not be given to the other. */
static void *dwell(void *arg)
{
	struct tenant *t = arg;
	void *entry = xa_mk_value(t->id + 1);

	for (uint64_t turn = 0; turn < t->house->turns; turn++) {
		unsigned long at[KEYS];

		for (unsigned long n = 0; n < KEYS; n++)
			if (move_in(t->house, &at[n], entry, n))
				__atomic_store_n(&t->house->failed, 1, __ATOMIC_RELAXED);
		for (unsigned long n = 0; n < KEYS; n++)
			if (mtree_erase(&t->house->tree, at[n]) != entry)
				__atomic_store_n(&t->house->failed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void room_for_both(void **state)
{
	struct house house = { .tree = MTREE_INIT(house.tree, MT_FLAGS_ALLOC_RANGE),
			       .turns = env_ops(300) };
	struct tenant tenants[TENANTS];

	(void)state;
	for (unsigned long i = 0; i < TENANTS; i++) {
		tenants[i] = (struct tenant){ .house = &house, .id = i };
		assert_int_equal(pthread_create(&tenants[i].thread, NULL, dwell, &tenants[i]), 0);
	}
	for (unsigned long i = 0; i < TENANTS; i++)
		pthread_join(tenants[i].thread, NULL);
	assert_int_equal(house.failed, 0);
	mtree_destroy(&house.tree);
}

int main(void)
{
	static enum mt_rcu_flavor flavors[] = { MT_RCU_BP, MT_RCU_MEMB, MT_RCU_MB, MT_RCU_QSBR };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(flavour, &flavors[0]),
		{ "flavour memb", flavour, NULL, NULL, &flavors[1] },
		{ "flavour mb", flavour, NULL, NULL, &flavors[2] },
		{ "flavour qsbr", flavour, NULL, NULL, &flavors[3] },
		cmocka_unit_test(many_writers),
		cmocka_unit_test(dropped_locks),
		cmocka_unit_test(paused_cursors),
		cmocka_unit_test(paused_cursors_in_rcu_mode),
		cmocka_unit_test(destroyed_under_readers),
		cmocka_unit_test(tiny_tree),
		cmocka_unit_test(duplicated_under_readers),
		cmocka_unit_test(switched_on_and_off),
		cmocka_unit_test(seen_all_at_once),
		cmocka_unit_test(room_for_both),
	};

	alarm(500);
	print_message("seed %llu\n", (unsigned long long)env_seed());
	return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
