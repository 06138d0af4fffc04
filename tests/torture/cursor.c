/* SPDX-License-Identifier: MIT */
/*
 * Cursors that look up their place without the lock, and then take it. From then on only the change
 * number tells whether the place still belongs to the tree, so the number must not be newer than
 * the nodes: as long as the number is the tree's, so is the way, in whatever order the writer's
 * stores become visible to the reader.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/units.h"
#include "tree/walk.h"

#include <pthread.h>
#include <string.h>

enum { RANGES = 400, LOOKS = 400000 };

struct bed {
	struct maple_tree tree;
	unsigned long unit;
	bool stop;          /* relaxed */
	unsigned long same; /* look-ups after which the number was the same */
};

/* Gives one range in the middle another end each time, and thereby another leaf. */
static void *change(void *arg)
{
	struct bed *b = arg;
	unsigned long key = (RANGES / 2) * b->unit;
	struct rng rng = rng_make(env_seed(), b->unit);

	for (unsigned long i = 0; !__atomic_load_n(&b->stop, __ATOMIC_RELAXED); i++) {
		unsigned long last = key + b->unit / 2 - i % 2;

		assert_int_equal(mtree_store_range(&b->tree, key, last, xa_mk_value(i), GFP_KERNEL),
				 0);
		/* At times, leaves the lock to the other thread for a while. */
		for (unsigned long n = rng_below(&rng, 400); n > 0; n--)
			__asm__ volatile("");
	}
	return NULL;
}

static void check_way(const struct ma_state *mas)
{
	const void *at = mas->tree->ma_root;

	for (unsigned int d = 0; d <= mas->depth; d++) {
		assert_ptr_equal(mas->path[d], at);
		assert_false(smr_node_dead(at));
		if (d < mas->depth)
			at = smr_slots(at)[mas->slot[d]];
	}
}

static void look(struct bed *b)
{
	MA_STATE(mas, &b->tree, (RANGES / 2) * b->unit, 0);

	mt_rcu_read_lock(&b->tree);
	mas_walk(&mas);
	mtree_lock(&b->tree);
	if (mas.seq == b->tree.ma_seq) {
		b->same++;
		check_way(&mas);
	}
	mtree_unlock(&b->tree);
	mt_rcu_read_unlock(&b->tree);
}

static void turn(unsigned long unit)
{
	struct bed b = { .unit = unit };
	pthread_t thread;

	mt_init_flags(&b.tree, MT_FLAGS_USE_RCU);
	for (unsigned long i = 0; i < RANGES; i++)
		assert_int_equal(mtree_store_range(&b.tree, i * unit, i * unit + unit / 2,
						   xa_mk_value(i), GFP_KERNEL),
				 0);
	assert_int_equal(pthread_create(&thread, NULL, change, &b), 0);
	for (uint64_t i = env_scaled(LOOKS); i > 0; i--)
		look(&b);
	__atomic_store_n(&b.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(b.same > 0);
	mtree_destroy(&b.tree);
}

static void numbers_are_never_younger_than_nodes(void **state)
{
	(void)state;
	turn(PAGE_UNIT);
	turn(NARROW_UNIT);
	turn(WIDE_UNIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_never_younger_than_nodes),
	};

	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
