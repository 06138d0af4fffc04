/* SPDX-License-Identifier: MIT */
/*
 * mas_for_each(), whose steps the public header takes itself where it can: all ends and limits,
 * what the body may do, and a reader beside a writer. Built twice: against the library as programs
 * have it, with LET_INLINES in case that has the checker; and against the internal one, whose
 * checker leaves every step to mas_find().
 */
#include "support/cm.h"
#include "support/env.h"

#include <pthread.h>
#include <samara/maple_tree.h>
#include <stdlib.h>

#ifdef LET_INLINES
#include "support/inlines.h"
#endif

#define KEYS 4000UL

/*
 * What the tree should hold: the value of each unit, 0 for a gap. Units are @step keys, from @base
 * on.
 */
struct world {
	struct maple_tree tree;
	unsigned long base, step;
	unsigned int value[KEYS];
};

static unsigned long key(const struct world *w, unsigned long unit)
{
	return w->base + unit * w->step;
}

static void put(struct world *w, unsigned long from, unsigned long to, unsigned int value)
{
	void *entry = value ? xa_mk_value(value) : NULL;

	assert_int_equal(mtree_store_range(&w->tree, key(w, from), key(w, to) + w->step - 1, entry,
					   GFP_KERNEL),
			 0);
	for (unsigned long i = from; i <= to; i++)
		w->value[i] = value;
}

static void begin(struct world *w, unsigned int flags, unsigned long base, unsigned long step)
{
	mt_init_flags(&w->tree, flags);
	w->base = base;
	w->step = step;
	for (unsigned long i = 0; i < KEYS; i++)
		w->value[i] = 0;
}

/*
 * Stores ranges of 1 to 4 units in random order, which may overlap; @gaps in ten of them are gaps.
 */
static void scatter(struct world *w, unsigned int gaps, unsigned int seed)
{
	for (unsigned int n = 1; n <= KEYS; n++) {
		unsigned long from = (unsigned long)rand_r(&seed) % KEYS;
		unsigned long to = from + (unsigned long)rand_r(&seed) % 4;
		bool gap = (unsigned int)rand_r(&seed) % 10 < gaps;

		put(w, from, to < KEYS ? to : KEYS - 1, gap ? 0 : n);
	}
}

struct span {
	unsigned long from, to;
};

/* Returns the next range with a value at or above @unit; its from is KEYS if there is none. */
static struct span next_range(const struct world *w, unsigned long unit)
{
	struct span r;

	while (unit < KEYS && !w->value[unit])
		unit++;
	r.from = r.to = unit;
	while (r.to + 1 < KEYS && w->value[r.to + 1] == w->value[unit])
		r.to++;
	return r;
}

/*
 * Checks that the loop is on the next range at or above @at, with @entry. Returns the unit behind
 * it.
 */
static unsigned long expect(const struct world *w, const struct ma_state *mas, void *entry,
			    unsigned long at)
{
	struct span r = next_range(w, at);

	assert_true(r.from < KEYS);
	assert_ptr_equal(entry, xa_mk_value(w->value[r.from]));
	assert_true(mas->index == key(w, r.from));
	assert_true(mas->last == key(w, r.to) + w->step - 1);
	assert_int_equal(mas->status, ma_active);
	return r.to + 1;
}

/* Checks a walk from unit @at with the limit @max against the world. */
static void walk(struct world *w, unsigned long at, unsigned long max)
{
	MA_STATE(mas, &w->tree, key(w, at), key(w, at));
	struct span r;
	void *entry;

	/* The range around @at may begin before it. */
	while (at > 0 && w->value[at] && w->value[at - 1] == w->value[at])
		at--;
	mtree_lock(&w->tree);
	mas_for_each(&mas, entry, max) {
		assert_true(mas.index <= max);
		at = expect(w, &mas, entry, at);
	}
	r = next_range(w, at);
	assert_true(r.from == KEYS || key(w, r.from) > max);
	/* With the limit raised the walk continues behind it. */
	if (r.from < KEYS && mas.status == ma_active)
		expect(w, &mas, mas_find(&mas, ULONG_MAX), at);
	mtree_unlock(&w->tree);
}

static void walks(unsigned int flags, unsigned long base, unsigned long step, unsigned int gaps)
{
	static struct world w;

	begin(&w, flags, base, step);
	scatter(&w, gaps, gaps + 1);
	walk(&w, 0, ULONG_MAX);
	for (unsigned long i = 0; i < KEYS; i += env_stride()) {
		unsigned int other = (unsigned int)i;

		walk(&w, i, key(&w, i) + 40 * step);
		walk(&w, i, key(&w, i) + step - 1);
		walk(&w, (unsigned long)rand_r(&other) % (i + 1), key(&w, i));
	}
	mtree_destroy(&w.tree);
}

static void every_limit(void **state)
{
	(void)state;
	for (unsigned int gaps = 0; gaps < 9; gaps += 4) {
		walks(0, 0, 4096, gaps);
		walks(MT_FLAGS_USE_RCU, 4096, 4096, gaps);
		walks(MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 12345, 1, gaps);
		/* Too far apart for 32-bit bounds, and up to the last key. */
		walks(MT_FLAGS_USE_RCU, 7, (1UL << 50) + 1, gaps);
		walks(0, ULONG_MAX - KEYS * 3 + 1, 3, gaps);
	}
}

/*
 * Changes the units from @unit to @unit + 3, the first of which has an entry: it is erased, or some
 * of the others get one.
 */
static void change(struct world *w, struct ma_state *mas, unsigned long unit, unsigned int n)
{
	unsigned long first = n % 3 == 2 ? unit : unit + 1;
	unsigned long last = n % 3 ? first : unit + 3;
	unsigned int value = n % 3 == 2 ? 0 : (unsigned int)KEYS + n;

	mas_set_range(mas, key(w, first), key(w, last) + w->step - 1);
	assert_int_equal(mas_store_gfp(mas, value ? xa_mk_value(value) : NULL, GFP_KERNEL), 0);
	for (unsigned long i = first; i <= last; i++)
		w->value[i] = value;
}

/*
 * Another cursor changes what lies ahead while the loop is in the leaf. Filling a gap exactly swaps
 * one slot; filling it in part, or erasing an entry, replaces the leaf.
 */
static void changes_ahead(unsigned int flags)
{
	static struct world w;
	MA_STATE(mas, &w.tree, 0, 0);
	MA_STATE(other, &w.tree, 0, 0);
	unsigned long at = 0, unit;
	unsigned int n = 0;
	void *entry;

	begin(&w, flags, 4096, 4096);
	for (unsigned long i = 0; i < KEYS; i += 4)
		put(&w, i, i, (unsigned int)i + 1);
	mtree_lock(&w.tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		unit = (mas.index - w.base) / w.step;
		at = expect(&w, &mas, entry, at);
		if (unit % 4 == 0 && unit + 8 <= KEYS)
			change(&w, &other, unit + 4, n++);
	}
	assert_int_equal(next_range(&w, at).from, KEYS);
	assert_true(n > KEYS / 8);
	assert_int_equal(mt_check(&w.tree, NULL, 0), 0);
	mtree_unlock(&w.tree);
	mtree_destroy(&w.tree);
}

static void changes_ahead_plain(void **state)
{
	(void)state;
	changes_ahead(0);
}

static void changes_ahead_rcu(void **state)
{
	(void)state;
	changes_ahead(MT_FLAGS_USE_RCU);
}

/* Returns the whole range, or gap, around @unit. */
static struct span around(const struct world *w, unsigned long unit)
{
	struct span r = { unit, unit };

	while (r.from > 0 && w->value[r.from - 1] == w->value[unit])
		r.from--;
	while (r.to + 1 < KEYS && w->value[r.to + 1] == w->value[unit])
		r.to++;
	return r;
}

/*
 * Changes something between @unit, the first behind the loop's range, and a few ranges further on:
 * a gap is filled exactly, even if it is in pieces, at the end of a leaf or inside it; an entry is
 * erased or replaced; or whatever lies there is cut.
 */
static void change_near(struct world *w, struct ma_state *mas, unsigned long unit,
			unsigned int *seed)
{
	struct span r = around(w, unit + (unsigned long)rand_r(seed) % 12);
	unsigned int how = (unsigned int)rand_r(seed) % 8;
	unsigned int value = how % 4 == 3 ? 0 : (unsigned int)KEYS + (unsigned int)rand_r(seed);

	if (r.from < unit || (how == 0 && r.to == r.from))
		return;
	if (how == 0)
		r.to--;
	mas_set_range(mas, key(w, r.from), key(w, r.to) + w->step - 1);
	assert_int_equal(mas_store_gfp(mas, value ? xa_mk_value(value) : NULL, GFP_KERNEL), 0);
	for (unsigned long i = r.from; i <= r.to; i++)
		w->value[i] = value;
}

static void changes_anywhere_ahead(unsigned int flags, unsigned long step, unsigned int seed)
{
	static struct world w;
	MA_STATE(mas, &w.tree, 0, 0);
	MA_STATE(other, &w.tree, 0, 0);
	unsigned long at = 0;
	void *entry;

	begin(&w, flags, 0, step);
	scatter(&w, 5, seed);
	mtree_lock(&w.tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		at = expect(&w, &mas, entry, at);
		if (rand_r(&seed) % 2 && at + 12 < KEYS)
			change_near(&w, &other, at, &seed);
		/*
		 * The loop's own cursor looks up its place, or steps back, so that this entry comes
		 * again.
		 */
		if (rand_r(&seed) % 4 == 0)
			assert_ptr_equal(mas_walk(&mas), entry);
		if (rand_r(&seed) % 4 == 0 && at > 100 && mas_prev(&mas, 0))
			at = (mas.last + 1) / step;
	}
	assert_int_equal(next_range(&w, at).from, KEYS);
	assert_int_equal(mt_check(&w.tree, NULL, 0), 0);
	mtree_unlock(&w.tree);
	mtree_destroy(&w.tree);
}

static void changes_of_all_sorts_ahead(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 40; seed += env_stride()) {
		changes_anywhere_ahead(0, 4096, seed);
		changes_anywhere_ahead(MT_FLAGS_USE_RCU, 4096, seed);
		changes_anywhere_ahead(MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 1000003, seed);
		changes_anywhere_ahead(MT_FLAGS_USE_RCU, (1UL << 51) - 1, seed);
	}
}

/* The loop's own cursor is moved: set elsewhere, paused, advanced by hand. */
static void moved_inside(void **state)
{
	static struct world w;
	MA_STATE(mas, &w.tree, 0, 0);
	unsigned long n = 0, again = 0;
	void *entry;

	(void)state;
	begin(&w, 0, 0, 4096);
	for (unsigned long i = 0; i < KEYS; i += 2)
		put(&w, i, i, (unsigned int)i + 1);
	mtree_lock(&w.tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		unsigned long unit = mas.index / 4096;

		assert_ptr_equal(entry, xa_mk_value(unit + 1));
		assert_int_equal(unit, 2 * n);
		switch (n % 5) {
		case 0:
			mas_pause(&mas);
			break;
		case 1:
			assert_ptr_equal(mas_next(&mas, ULONG_MAX), xa_mk_value(unit + 3));
			n++;
			break;
		case 2:
			/*
			 * The loop continues behind the range in the leaf, even if last says it is
			 * longer.
			 */
			mas.last = mas.index + 3 * 4096;
			break;
		case 3:
			if (!again++) {
				mas_set(&mas, 4 * 4096);
				n = 1;
			}
			break;
		case 4:
			if (unit + 4 < KEYS) {
				mas.status = ma_start;
				mas.index += 4 * 4096;
				n++;
			}
			break;
		}
		n++;
	}
	assert_int_equal(2 * n, KEYS);
	/* The loop ends if the cursor's last is said to be beyond the limit. */
	mas_set(&mas, 0);
	assert_non_null(mas_find(&mas, ULONG_MAX));
	mas.last = 100 * 4096;
	n = 0;
	mas_for_each(&mas, entry, 50 * 4096)
		n++;
	assert_int_equal(n, 0);
	mtree_unlock(&w.tree);
	mtree_destroy(&w.tree);
}

/* A loop whose cursor alternates between two trees that are copies of the same tree. */
static void two_trees_in_turn(void **state)
{
	static struct world w;
	struct maple_tree copy[2];
	MA_STATE(first, &copy[0], 0, 0);
	MA_STATE(second, &copy[1], 0, 0);
	struct ma_state *mas = &first;
	unsigned long n = 0;
	void *entry;

	(void)state;
	begin(&w, 0, 0, 4096);
	for (unsigned long i = 0; i < KEYS; i += 2)
		put(&w, i, i, (unsigned int)i + 1);
	for (unsigned int k = 0; k < 2; k++) {
		mt_init(&copy[k]);
		assert_int_equal(mtree_dup(&w.tree, &copy[k], GFP_KERNEL), 0);
	}
	for (unsigned long i = 0; i < KEYS; i += 2) /* only slots change */
		assert_int_equal(mtree_store_range(&copy[1], key(&w, i), key(&w, i) + 4095,
						   xa_mk_value(KEYS + i), GFP_KERNEL),
				 0);
	mtree_lock(&copy[0]);
	mtree_lock_nested(&copy[1], 1);
	mas_for_each(mas, entry, ULONG_MAX) {
		unsigned long unit = n++ / 2 * 2;

		assert_int_equal(mas->index, key(&w, unit));
		assert_ptr_equal(entry, xa_mk_value(mas == &first ? unit + 1 : KEYS + unit));
		mas = mas == &first ? &second : &first;
	}
	assert_int_equal(n, KEYS);
	mtree_unlock(&copy[1]);
	mtree_unlock(&copy[0]);
	mtree_destroy(&copy[1]);
	mtree_destroy(&copy[0]);
	mtree_destroy(&w.tree);
}

/* Keys 0 to 2999, in ranges of @length. */
static void lay_out(struct maple_tree *tree, unsigned long length)
{
	for (unsigned long i = 0; i < 3000 / length; i++)
		assert_int_equal(mtree_store_range(tree, length * i, length * i + length - 1,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
}

/*
 * The cursor becomes one in another tree, with as many changes, that ends at the same key: the loop
 * goes on there, also from the end of a leaf into the middle of one.
 */
static void on_in_another_tree(void **state)
{
	DEFINE_MTREE(tens);
	DEFINE_MTREE(fives);
	void *entry;

	(void)state;
	lay_out(&tens, 10);
	lay_out(&fives, 5);
	for (unsigned long i = tens.ma_seq; i < fives.ma_seq; i++)
		assert_int_equal(
			mtree_store_range(&tens, 0, i % 2 ? 9 : 4, xa_mk_value(0), GFP_KERNEL), 0);
	assert_int_equal(tens.ma_seq, fives.ma_seq);
	mtree_lock(&tens);
	mtree_lock_nested(&fives, 1);
	for (unsigned long i = 2; i < 298; i++) {
		MA_STATE(mas, &tens, 10 * i, 10 * i);
		MA_STATE(other, &fives, 10 * i + 9, 10 * i + 9);
		unsigned int steps = 0;

		assert_ptr_equal(mas_walk(&other), xa_mk_value(2 * i + 1));
		mas_for_each(&mas, entry, ULONG_MAX) {
			assert_ptr_equal(entry, xa_mk_value(steps ? 2 * i + 2 : i));
			if (steps++)
				break;
			mas = other;
		}
		assert_int_equal(steps, 2);
		assert_int_equal(mas.last, 10 * i + 14);
	}
	mtree_unlock(&fives);
	mtree_unlock(&tens);
	mtree_destroy(&fives);
	mtree_destroy(&tens);
}

/* The cursor is set back to what it was before its leaf got more ranges. */
static void put_back(unsigned int flags)
{
	static struct world w;
	MA_STATE(mas, &w.tree, 0, 0);
	MA_STATE(other, &w.tree, 0, 0);
	struct ma_state before = mas;
	unsigned long at = 0, n = 0;
	void *entry;

	begin(&w, flags, 0, 4096);
	for (unsigned long i = 0; i < 80; i += 8)
		put(&w, i, i + 3, (unsigned int)i + 1);
	mtree_lock(&w.tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		at = expect(&w, &mas, entry, at);
		if (++n == 4) {
			before = mas;
			change(&w, &other, 72, 1);
			change(&w, &other, 74, 1);
			mas_walk(&mas);
		} else if (n == 5) {
			mas = before; /* and the fifth comes again */
			at = 28;
		} else if (n == 6) { /* the right place, but with outdated knowledge of the leaf */
			mas_set(&mas, mas.index);
			mas_walk(&mas);
			before.index = mas.index;
			before.last = mas.last;
			mas = before;
		}
	}
	assert_int_equal(next_range(&w, at).from, KEYS);
	mtree_unlock(&w.tree);
	mtree_destroy(&w.tree);
}

static void a_cursor_from_before(void **state)
{
	(void)state;
	put_back(0);
	put_back(MT_FLAGS_USE_RCU);
}

/* ---- A reader beside a writer ---- */

static struct world shared;
static bool over;

static void *write_odd(void *arg)
{
	unsigned int seed = 5;

	for (unsigned int i = 0; i < 60000; i++) {
		unsigned long unit = ((unsigned long)rand_r(&seed) % (KEYS / 4)) * 4 + 1;
		unsigned long units = 1 + (unsigned long)rand_r(&seed) % 3;
		void *entry = rand_r(&seed) % 2 ? xa_mk_value(KEYS + i) : NULL;

		if (mtree_store_range(&shared.tree, key(&shared, unit),
				      key(&shared, unit + units) - 1, entry, GFP_KERNEL))
			*(bool *)arg = true;
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * Every fourth key keeps its entry. Whatever happens between them, a walk meets each of them once,
 * in order.
 */
static void beside_a_writer(void **state)
{
	unsigned long walked = 0;
	bool failed = false;
	pthread_t writer;

	(void)state;
	begin(&shared, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE, 4096, 4096);
	for (unsigned long i = 0; i < KEYS; i += 4)
		put(&shared, i, i, (unsigned int)i + 1);
	assert_int_equal(pthread_create(&writer, NULL, write_odd, &failed), 0);
	do {
		unsigned long next = 0, last = 0;
		MA_STATE(mas, &shared.tree, 0, 0);
		void *entry;

		mt_rcu_read_lock(&shared.tree);
		mas_for_each(&mas, entry, ULONG_MAX) {
			unsigned long unit = (mas.index - 4096) / 4096;

			if (mas.index <= last || unit > next)
				break;
			last = mas.last;
			if (unit == next) {
				if (entry != xa_mk_value(unit + 1) || last != mas.index + 4095)
					break;
				next += 4;
			}
		}
		mt_rcu_read_unlock(&shared.tree);
		assert_int_equal(next, KEYS);
		walked++;
	} while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE));
	pthread_join(writer, NULL);
	assert_false(failed);
	assert_true(walked > 0);
	mtree_destroy(&shared.tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_limit),
		cmocka_unit_test(changes_ahead_plain),
		cmocka_unit_test(changes_ahead_rcu),
		cmocka_unit_test(moved_inside),
		cmocka_unit_test(changes_of_all_sorts_ahead),
		cmocka_unit_test(two_trees_in_turn),
		cmocka_unit_test(on_in_another_tree),
		cmocka_unit_test(a_cursor_from_before),
		cmocka_unit_test(beside_a_writer),
	};

	return cmocka_run_group_tests_name("for_each", tests, NULL, NULL);
}
