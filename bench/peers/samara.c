/* SPDX-License-Identifier: MIT */
/* Samara, as a program outside the library sees it: plain, and in RCU mode with gap tracking. */
#include "../peer.h"
#include "memb.h"
#include <samara/maple_tree.h>
#include <stdlib.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-qsbr.h>

static void *create(unsigned int flags, enum mt_rcu_flavor flavor)
{
	struct maple_tree *mt = malloc(sizeof(*mt));

	if (!mt)
		return NULL;
	mt_init_flags(mt, flags & ~MT_FLAGS_USE_RCU);
	if (flags & MT_FLAGS_USE_RCU) {
		mt_set_rcu_flavor(mt, flavor);
		mt_set_in_rcu(mt);
	}
	return mt;
}

static void *create_plain(void)
{
	return create(0, MT_RCU_BP);
}

static void *create_gaps(void)
{
	return create(MT_FLAGS_ALLOC_RANGE, MT_RCU_BP);
}

static void *create_bp(void)
{
	return create(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, MT_RCU_BP);
}

static __thread unsigned int in_memb, in_mb;

void bench_memb_enter(void)
{
	if (in_memb++ == 0)
		urcu_memb_register_thread();
}

void bench_memb_leave(void)
{
	if (--in_memb == 0)
		urcu_memb_unregister_thread();
}

void bench_memb_stay(void)
{
	if (!in_memb)
		bench_memb_enter();
}

static void enter_mb(void)
{
	if (in_mb++ == 0)
		urcu_mb_register_thread();
}

static void leave_mb(void)
{
	if (--in_mb == 0)
		urcu_mb_unregister_thread();
}

/*
 * With memb and mb a writing thread is registered for good; with qsbr it must not be registered
 * while it writes.
 */
static void *create_memb(void)
{
	bench_memb_stay();
	return create(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, MT_RCU_MEMB);
}

static void *create_mb(void)
{
	if (!in_mb)
		enter_mb();
	return create(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, MT_RCU_MB);
}

static void *create_qsbr(void)
{
	return create(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU, MT_RCU_QSBR);
}

static void settle(void *tree)
{
	(void)tree;
	mt_mem_barrier(mt_mem_default());
}

static void destroy(void *tree)
{
	mtree_destroy(tree);
	settle(tree);
	free(tree);
}

static int store(void *tree, unsigned long first, unsigned long last, void *entry)
{
	return mtree_store_range(tree, first, last, entry, GFP_KERNEL);
}

static void *load(void *tree, unsigned long key)
{
	return mtree_load(tree, key);
}

static void load_batch(void *tree, const unsigned long *key, void **entry, size_t n)
{
	mtree_load_batch(tree, key, entry, n);
}

static void *erase(void *tree, unsigned long key)
{
	return mtree_erase(tree, key);
}

static int clear(void *tree, unsigned long first, unsigned long last)
{
	return mtree_store_range(tree, first, last, NULL, GFP_KERNEL);
}

static struct bench_sum iterate(void *tree)
{
	struct bench_sum sum = { 0, 0 };
	MA_STATE(mas, tree, 0, 0);
	void *entry;

	mt_rcu_read_lock(tree);
	mas_for_each(&mas, entry, ULONG_MAX) {
		sum.sum += (unsigned long)entry ^ mas.index;
		sum.count++;
	}
	mt_rcu_read_unlock(tree);
	return sum;
}

static unsigned long gap(void *tree, unsigned long size, unsigned long min, unsigned long max,
			 bool highest)
{
	MA_STATE(mas, tree, 0, 0);
	int err;

	mas_lock(&mas);
	err = highest ? mas_empty_area_rev(&mas, min, max, size)
		      : mas_empty_area(&mas, min, max, size);
	mas_unlock(&mas);
	return err ? ULONG_MAX : mas.index;
}

static size_t bytes(void *tree)
{
	struct maple_tree *mt = tree;
	struct mt_stats stats;

	mtree_lock(mt);
	mt_stats(mt, &stats);
	mtree_unlock(mt);
	return stats.bytes;
}

#define PEER(name_, what_, can_, create_, enter_, leave_, rest_)                                  \
	{                                                                                         \
		.name = name_, .what = what_, .can = BENCH_CAN_STORE | (can_), .create = create_, \
		.destroy = destroy, .store = store, .load = load, .load_batch = load_batch,       \
		.erase = erase, .clear = clear, .iterate = iterate, .gap = gap, .bytes = bytes,   \
		.settle = settle, .enter = enter_, .leave = leave_, .rest = rest_,                \
	}

#define WITH_READERS (BENCH_CAN_GAP | BENCH_CAN_READERS)

static const struct bench_peer peers[] = {
	PEER("samara", "this library, plain mode", 0, create_plain, NULL, NULL, NULL),
	PEER("samara-rcu", "the same in RCU mode (bp), tracking gaps", WITH_READERS, create_bp,
	     NULL, NULL, NULL),
	PEER("samara-gap", "plain mode, tracking gaps", BENCH_CAN_GAP | BENCH_ON_REQUEST,
	     create_gaps, NULL, NULL, NULL),
	PEER("samara-memb", "RCU mode, flavour memb", WITH_READERS | BENCH_ON_REQUEST, create_memb,
	     bench_memb_enter, bench_memb_leave, NULL),
	PEER("samara-mb", "RCU mode, flavour mb", WITH_READERS | BENCH_ON_REQUEST, create_mb,
	     enter_mb, leave_mb, NULL),
	PEER("samara-qsbr", "RCU mode, flavour qsbr", WITH_READERS | BENCH_ON_REQUEST | BENCH_APART,
	     create_qsbr, urcu_qsbr_register_thread, urcu_qsbr_unregister_thread,
	     urcu_qsbr_quiescent_state),
};

size_t bench_samara_peers(const struct bench_peer **list)
{
	size_t n = sizeof(peers) / sizeof(peers[0]);

	for (size_t i = 0; i < n; i++)
		list[i] = &peers[i];
	return n;
}
