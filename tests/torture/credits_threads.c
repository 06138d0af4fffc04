/* SPDX-License-Identifier: MIT */
/*
 * Holders on threads of their own, in one tree, with writers without credits, readers without
 * locks, and a second tree that shares the arena. Readers also look at how many credits holders
 * have left, and add some. Each thread owns a slice of the keys, so that it knows what it must find
 * there.
 */
#include "support/cm.h"

#include "support/env.h"
#include "support/rng.h"
#include "support/treecheck.h"

#include <errno.h>
#include <pthread.h>
#include <samara/credits.h>

enum { HOLDING = 3, WRITING = 2, READING = 2, THREADS = HOLDING + WRITING + READING, SLOTS = 512 };

#define SLICE (1UL << 32)
#define SLOT (SLICE / SLOTS)

static struct {
	struct maple_tree tree[2];
	struct mt_mem *mem;
	uint64_t rounds;
	bool stop;
	unsigned long stores, refused, found;
} field;

struct hand {
	unsigned int number;
	struct mt_credits c; /* of a holder */
	void *want[SLOTS];
};

static struct hand hands[THREADS];

static void *value_of(unsigned int number, uint64_t n)
{
	return xa_mk_value((unsigned long)number << 32 | (n & 0xffffffff));
}

static unsigned long slot_first(unsigned int number, unsigned long slot)
{
	return number * SLICE + slot * SLOT;
}

static bool hold_store(struct hand *h, struct mt_credits *c, struct rng *rng, void *entry)
{
	unsigned long slot = rng_below(rng, SLOTS), first = slot_first(h->number, slot);
	MA_STATE(mas, c->mt, first, first + SLOT - 1);

	if (mas_store_credit(&mas, entry, c))
		return false;
	h->want[slot] = entry;
	return true;
}

/* Makes one store, which begins and locks by itself. */
static void hold_one(struct hand *h, struct mt_credits *c, struct rng *rng)
{
	unsigned long slot = rng_below(rng, SLOTS), first = slot_first(h->number, slot);
	void *entry = value_of(h->number, rng_next(rng));

	assert_int_equal(mtree_store_range_credit(c, first, first + SLOT - 1, entry), 0);
	h->want[slot] = entry;
}

static void hold_txn(struct hand *h, struct mt_credits *c, struct rng *rng, unsigned long nr)
{
	bool keep = rng_one_in(rng, 2);
	struct mt_txn txn;

	mt_txn_begin(&txn, c->mt);
	while (nr--) {
		unsigned long slot = rng_below(rng, SLOTS), first = slot_first(h->number, slot);
		void *entry = value_of(h->number, rng_next(rng));

		assert_int_equal(mt_txn_store_credit(&txn, first, first + SLOT - 1, entry, c), 0);
		if (keep)
			h->want[slot] = entry;
	}
	if (keep)
		mt_txn_commit(&txn);
	else
		mt_txn_abort(&txn);
}

static void hold_batch(struct hand *h, struct mt_credits *c, struct rng *rng, unsigned long nr)
{
	struct maple_tree *mt = c->mt;

	mt_credits_begin(c, nr);
	mtree_lock(mt);
	if (rng_one_in(rng, 3)) {
		hold_txn(h, c, rng, nr);
	} else {
		for (unsigned long i = 0; i < nr; i++)
			assert_true(hold_store(
				h, c, rng,
				rng_one_in(rng, 4) ? NULL : value_of(h->number, rng_next(rng))));
	}
	mtree_unlock(mt);
}

static void *hold(void *arg)
{
	struct hand *h = arg;
	struct mt_credits *c = &h->c;

	for (uint64_t r = 0; r < field.rounds; r++) {
		struct rng rng = rng_make(env_seed() + h->number, r);
		unsigned long nr = 1 + rng_below(&rng, 16);

		while (mt_credits_left(c) < nr)
			if (mt_credits_reserve(c, 1 + rng_below(&rng, 64), GFP_KERNEL))
				mt_mem_barrier(field.mem);
		if (nr == 1)
			hold_one(h, c, &rng);
		else
			hold_batch(h, c, &rng, nr);
		__atomic_fetch_add(&field.stores, nr, __ATOMIC_RELAXED);
		if (rng_one_in(&rng, 50))
			mt_credits_release(c);
	}
	mt_credits_release(c);
	return NULL;
}

static void *write_on(void *arg)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT };
	struct hand *h = arg;

	for (uint64_t r = 0; r < 8 * field.rounds; r++) {
		struct rng rng = rng_make(env_seed() + h->number, r);
		unsigned long slot = rng_below(&rng, SLOTS), first = slot_first(h->number, slot);
		void *entry = rng_one_in(&rng, 3) ? NULL : value_of(h->number, r);
		int err = mtree_store_range(&field.tree[h->number % 2], first, first + SLOT - 1,
					    entry, gfps[rng_below(&rng, 3)]);

		assert_true(err == 0 || err == -ENOMEM);
		if (err)
			__atomic_fetch_add(&field.refused, 1, __ATOMIC_RELAXED);
		else
			h->want[slot] = entry;
	}
	return NULL;
}

/* Looks at a holder's credits, which the holder uses meanwhile. */
static void look_at(struct mt_credits *c)
{
	if (mt_credits_left(c) < 64)
		(void)mt_credits_reserve(c, 1, GFP_NOWAIT | __GFP_NOWARN);
}

/* What is found in a slice must have been stored by its owner. Reads until something was found. */
static void *read_on(void *arg)
{
	struct hand *h = arg;
	bool found = false;

	for (uint64_t r = 0; !found || !__atomic_load_n(&field.stop, __ATOMIC_RELAXED); r++) {
		struct rng rng = rng_make(env_seed() + h->number, r);
		unsigned long key = rng_below(&rng, THREADS * SLICE);
		struct maple_tree *mt = &field.tree[r % 2];
		void *entry = mtree_load(mt, key);

		if (entry) {
			assert_int_equal(xa_to_value(entry) >> 32, key / SLICE);
			__atomic_fetch_add(&field.found, 1, __ATOMIC_RELAXED);
			found = true;
		}
		look_at(&hands[r % HOLDING].c);
	}
	return NULL;
}

static void start(struct hand *h, unsigned int number, pthread_t *thread)
{
	struct maple_tree *mt = &field.tree[number % 2];

	h->number = number;
	mt_credits_init(&h->c, mt, number == 0 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_set_batch(&h->c, 16), 0);
	assert_int_equal(pthread_create(thread, NULL,
					number < HOLDING             ? hold
					: number < HOLDING + WRITING ? write_on
								     : read_on,
					h),
			 0);
}

static void expect_all(const struct hand *h)
{
	for (unsigned long slot = 0; slot < SLOTS; slot++)
		assert_ptr_equal(
			mtree_load(&field.tree[h->number % 2], slot_first(h->number, slot)),
			h->want[slot]);
}

static void many_holders(void **state)
{
	pthread_t thread[THREADS];
	char why[WHY_SIZE];

	(void)state;
	field.rounds = env_ops(4000);
	field.mem = mt_mem_create(2 * MT_CHUNK_SIZE, NULL);
	assert_non_null(field.mem);
	for (unsigned int t = 0; t < 2; t++) {
		mt_init_flags(&field.tree[t], MT_FLAGS_USE_RCU);
		assert_int_equal(mt_set_mem(&field.tree[t], field.mem), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		start(&hands[i], i, &thread[i]);
	for (unsigned int i = 0; i < HOLDING + WRITING; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&field.stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = HOLDING + WRITING; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < HOLDING; i++)
		mt_credits_release(&hands[i].c); /* those added since */
	for (unsigned int i = 0; i < HOLDING + WRITING; i++)
		expect_all(&hands[i]);
	print_message("%lu guaranteed stores; %lu others refused; %lu entries read\n", field.stores,
		      field.refused, field.found);
	assert_true(field.found > 0);
	for (unsigned int t = 0; t < 2; t++) {
		mtree_lock(&field.tree[t]);
		if (!tree_sound(&field.tree[t], why))
			fail_msg("%s", why);
		mtree_unlock(&field.tree[t]);
		assert_int_equal(field.tree[t].ma_pledge.pledged, 0);
		mtree_destroy(&field.tree[t]);
	}
	mt_mem_barrier(field.mem);
	assert_int_equal(nodes_in_use(field.mem), 0);
	mt_mem_destroy(field.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_holders),
	};

	return cmocka_run_group_tests_name("credits_threads", tests, NULL, NULL);
}
