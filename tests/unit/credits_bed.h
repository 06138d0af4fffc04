/* SPDX-License-Identifier: MIT */
/*
 * The set-up for tests of credits on one thread: a tree with a holder of credits, its model, and an
 * arena of its own whose nodes can all be taken away.
 */
#ifndef TESTS_UNIT_CREDITS_BED_H
#define TESTS_UNIT_CREDITS_BED_H

#include "support/child.h"
#include "support/env.h"

#include "either_lock.h"
#include "mem/mem_internal.h"
#include "support/hoard.h"
#include "support/treecheck.h"
#include "tree/write.h"

#include <errno.h>
#include <samara/credits.h>
#include <samara/txn.h>

#define STEP 20UL

static const unsigned long sizes[] = { 0, 1, 2, 45, 900, 12000 };

#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* A tree, its model and an arena of its own whose nodes can all be taken away. */
struct bed {
	struct maple_tree tree;
	struct mt_mem *mem;
	struct range_model model;
	struct mt_credits c;
	struct smr_nodes hoard;
	bool held; /* the external lock is held */
};

static inline void bed_lock(struct bed *bed)
{
	either_lock(&bed->tree, &bed->held);
}

static inline void bed_unlock(struct bed *bed)
{
	either_unlock(&bed->tree, &bed->held);
}

/* Holds the external lock, if there is one, for calls that take the internal lock themselves. */
static inline void bed_enter(struct bed *bed)
{
	bed->held = true;
}

/* Takes what an emergency could use, too: from here on there are only the pledged nodes. */
static inline void take_all(struct bed *bed)
{
	hoard_all(bed->mem, &bed->hoard, GFP_ATOMIC);
}

static inline void give_all(struct bed *bed)
{
	hoard_give(bed->mem, &bed->hoard);
}

static inline int plain_store(struct bed *bed, unsigned long first, unsigned long last, void *entry,
			      gfp_t gfp)
{
	MA_STATE(mas, &bed->tree, first, last);
	int err;

	bed_lock(bed);
	err = mas_store_gfp(&mas, entry, gfp);
	bed_unlock(bed);
	if (!err)
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
	return err;
}

static inline int credit_store(struct bed *bed, unsigned long first, unsigned long last,
			       void *entry)
{
	MA_STATE(mas, &bed->tree, first, last);
	int err;

	bed_lock(bed);
	err = mas_store_credit(&mas, entry, &bed->c);
	if (!err && mas.status == ma_active && entry) {
		assert_int_equal(mas.index, first);
		assert_int_equal(mas.last, last);
	}
	bed_unlock(bed);
	if (!err)
		assert_int_equal(rm_store(&bed->model, first, last, entry), 0);
	return err;
}

/*
 * Store @i of a series that covers a tree of @n ranges: short and long ones, of entries and of
 * NULL.
 */
struct spot {
	unsigned long first, last;
	void *entry;
};

static inline struct spot spot_of(unsigned long i, unsigned long n)
{
	unsigned long first = STEP * (i * 7919 % (n + 5)) + i % 5;

	return (struct spot){ first, first + (i % 3 ? 2 : STEP * i),
			      i % 4 ? xa_mk_value(i) : NULL };
}

/* Does that store in @txn on a credit; only if it is to @keep, the model does it, too. */
static inline void store_in_txn(struct bed *bed, struct mt_txn *txn, struct spot s, bool keep)
{
	assert_int_equal(mt_txn_store_credit(txn, s.first, s.last, s.entry, &bed->c), 0);
	if (keep)
		assert_int_equal(rm_store(&bed->model, s.first, s.last, s.entry), 0);
}

static inline int reserve(struct bed *bed, struct mt_credits *c, unsigned long nr, gfp_t gfp)
{
	int err;

	bed_enter(bed);
	err = mt_credits_reserve(c, nr, gfp);
	bed->held = false;
	return err;
}

static inline void give_back(struct bed *bed, unsigned long nr)
{
	bed_enter(bed);
	mt_credits_return(&bed->c, nr);
	bed->held = false;
}

static inline void release(struct bed *bed, struct mt_credits *c)
{
	bed_enter(bed);
	mt_credits_release(c);
	bed->held = false;
}

/* Whether there are free nodes for all that is pledged and not lent. */
static inline bool pledge_is_free(struct bed *bed)
{
	bool is;

	mt_lock_acquire(&bed->mem->lock);
	is = bed->mem->free >= smri_mem_pledged(bed->mem);
	mt_lock_release(&bed->mem->lock);
	return is;
}

static inline void expect_good(struct bed *bed)
{
	char why[WHY_SIZE];

	bed_lock(bed);
	if (!tree_good(&bed->tree, &bed->model, why))
		fail_msg("%s", why);
	bed_unlock(bed);
	assert_true(pledge_is_free(bed));
}

static inline unsigned long pledged(struct bed *bed)
{
	struct mt_mem_stats stats;

	mt_mem_stats(bed->mem, &stats);
	return stats.nodes_pledged;
}

static inline void bed_make(struct bed *bed, unsigned int flags, enum mt_rcu_flavor flavor,
			    enum mt_credits_mode mode, unsigned long n)
{
	*bed = (struct bed){ .held = false };
	bed->mem = mt_mem_create(4 * MT_CHUNK_SIZE, NULL);
	assert_non_null(bed->mem);
	mt_init_flags(&bed->tree, flags & ~(unsigned int)MT_FLAGS_USE_RCU);
	assert_int_equal(mt_set_mem(&bed->tree, bed->mem), 0);
	assert_int_equal(mt_set_rcu_flavor(&bed->tree, flavor), 0);
	if (mt_external_lock(&bed->tree))
		mt_set_external_lock_check(&bed->tree, &bed->held, flag_is_set);
	bed_enter(bed);
	if (flags & MT_FLAGS_USE_RCU)
		mt_set_in_rcu(&bed->tree);
	bed->held = false;
	rm_init(&bed->model);
	for (unsigned long i = 0; i < n; i++)
		assert_int_equal(plain_store(bed, STEP * i, n == 1 ? 0 : STEP * i + STEP / 2,
					     xa_mk_value(i), GFP_KERNEL),
				 0);
	mt_credits_init(&bed->c, &bed->tree, mode);
}

static inline void bed_free(struct bed *bed)
{
	expect_good(bed);
	release(bed, &bed->c);
	release(bed, &bed->c);
	assert_int_equal(mt_credits_left(&bed->c), 0);
	assert_int_equal(pledged(bed), 0);
	bed_lock(bed);
	__mt_destroy(&bed->tree);
	bed_unlock(bed);
	give_all(bed);
	mt_mem_barrier(bed->mem);
	assert_int_equal(nodes_in_use(bed->mem), 0);
	mt_mem_destroy(bed->mem);
	rm_destroy(&bed->model);
}

static inline void everywhere(void (*body)(struct bed *bed, unsigned long n))
{
	/* The tallest tree is compared with the model very often: too slow for a slow build. */
	unsigned long nr_sizes = env_scaled(100) < 50 ? NR_SIZES - 1 : NR_SIZES;
	struct bed bed;

	for (unsigned int i = 0; i < 16 * nr_sizes; i += env_stride()) {
		unsigned int flags = (i & 1 ? MT_FLAGS_USE_RCU : 0) |
				     (i & 2 ? MT_FLAGS_LOCK_EXTERN : 0) |
				     (i & 4 ? MT_FLAGS_ALLOC_RANGE : 0);

		bed_make(&bed, flags, MT_RCU_BP, i & 8 ? MT_CREDITS_STRICT : MT_CREDITS_RECYCLING,
			 sizes[i / 16]);
		body(&bed, sizes[i / 16]);
		bed_free(&bed);
	}
}

/*
 * Returns true if @body aborts in a child, on a tree with a few credits, as misuse has to in a
 * debug build.
 */
static inline bool is_caught(unsigned int flags, int (*body)(void *bed))
{
	struct bed bed;
	bool caught;

	bed_make(&bed, flags, MT_RCU_BP, MT_CREDITS_RECYCLING, 50);
	assert_int_equal(reserve(&bed, &bed.c, 2, GFP_KERNEL), 0);
	bed_enter(&bed);
	caught = child_aborts(body, &bed);
	bed.held = false;
	bed_free(&bed);
	return caught;
}

#endif
