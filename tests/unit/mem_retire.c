/* SPDX-License-Identifier: MIT */
/* Retired nodes: untouched while a reader may be on them, free afterwards, none lost. */
#include "mem/retire.h"
#include "base/park.h"
#include "flavors.h"
#include "mem/refill.h"
#include "pages.h"
#include "support/cm.h"
#include "support/env.h"
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static void take(struct mt_mem *mem, struct smr_nodes *nodes, unsigned long nr)
{
	unsigned long i;
	void *node;

	assert_int_equal(smr_mem_refill(mem, nodes, nr), 0);
	for (node = nodes->head, i = 0; i < nr; node = *smr_node_link(node), i++)
		memset(node, 0x5a, SMR_NODE_LINK);
}

static void nothing_to_wait_for(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	mt_mem_barrier(mem);
	smr_mem_retire(mem, MT_RCU_BP, &nodes);
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).grace_periods, 0);
	mt_mem_destroy(mem);
}

static void nodes_stay_while_a_reader_is_in(enum mt_rcu_flavor flavor)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };
	unsigned char *node;
	struct mt_mem_stats stats;
	unsigned int i;

	take(mem, &nodes, 5);
	node = nodes.head;
	register_reader(flavor);
	smr_rcu_read_lock(flavor);
	smr_mem_retire(mem, flavor, &nodes);
	assert_int_equal(nodes.nr, 0);
	assert_null(nodes.head);
	assert_int_equal(stats_of(mem).nodes_limbo, 5);
	assert_int_equal(stats_of(mem).retired, 5);
	for (i = 0; i < SMR_NODE_LINK; i++)
		assert_int_equal(node[i], 0x5a);
	smr_rcu_read_unlock(flavor);
	/* A QSBR thread may call this while it is online, and stays online. */
	mt_mem_barrier(mem);
	assert_int_equal(smr_rcu_read_ongoing(flavor), flavor == MT_RCU_QSBR);
	unregister_reader(flavor);
	stats = stats_of(mem);
	assert_int_equal(stats.nodes_limbo, 0);
	assert_int_equal(stats.nodes_used, 0);
	assert_int_equal(stats.grace_periods, 1);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void every_flavour_waits(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all_flavors); i++)
		nodes_stay_while_a_reader_is_in(all_flavors[i]);
}

/*
 * While one batch waits, all further retired nodes gather: two batches, however many calls; or one,
 * if the wait begins with a look and the first batch has not come back by then.
 */
static void batches_of(enum mt_rcu_flavor flavor, unsigned int least)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int i;

	register_reader(flavor);
	smr_rcu_read_lock(flavor);
	for (i = 0; i < 1000; i++) {
		take(mem, &nodes, 1 + i % 4);
		smr_mem_retire(mem, flavor, &nodes);
	}
	assert_int_equal(stats_of(mem).nodes_limbo, 2500);
	smr_rcu_read_unlock(flavor);
	mt_mem_barrier(mem);
	unregister_reader(flavor);
	assert_uint_in_range(stats_of(mem).grace_periods, least, 2);
	assert_int_equal(stats_of(mem).retired, 2500);
	assert_int_equal(stats_of(mem).nodes_used, 0);
	mt_mem_destroy(mem);
}

static void batches_form(void **state)
{
	(void)state;
	batches_of(MT_RCU_MB, 2);
	batches_of(MT_RCU_BP, urcu_bp_has_sys_membarrier ? 1 : 2);
}

/* Retires @nr nodes one by one. */
static void retire_singly(struct mt_mem *mem, unsigned int nr)
{
	struct smr_nodes nodes = { NULL, 0 };

	while (nr--) {
		take(mem, &nodes, 1);
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
	}
}

static unsigned int failed_looks(struct mt_mem *mem)
{
	unsigned int failed;

	mt_lock_acquire(&mem->lock);
	failed = mem->limbo[MT_RCU_BP].failed_looks;
	mt_lock_release(&mem->lock);
	return failed;
}

/* A thread that may block and needs nodes looks itself whether it is quiet. */
static void a_writer_that_looks(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	/* Until a look has freed something, no flavour's callback is delayed. */
	for (unsigned int i = 0; i < ARRAY_SIZE(all_flavors); i++)
		assert_int_equal(mem->limbo[all_flavors[i]].failed_looks, SMR_FAILED_LOOKS);
	smr_rcu_read_lock(MT_RCU_BP);
	retire_singly(mem, 2 * SMR_STRIDE_MIN);
	assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_NOWAIT), 0);
	assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_KERNEL), 0);
	assert_int_equal(stats_of(mem).nodes_limbo, 2 * SMR_STRIDE_MIN);
	smr_rcu_read_unlock(MT_RCU_BP);
	/* If the callback has come first, nothing is left to look for. */
	do {
		smr_mem_give_list(mem, &nodes);
		retire_singly(mem, 4 * SMR_STRIDE_MIN); /* the last look was in vain */
		assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_KERNEL), 0);
	} while (failed_looks(mem) > 0);
	/* If the callback has just begun to free, nobody looks before it is done. */
	while (stats_of(mem).nodes_limbo > 0) {
		smr_mem_give_list(mem, &nodes);
		usleep(100);
		assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_KERNEL), 0);
	}
	assert_int_equal(stats_of(mem).nodes_used, nodes.nr);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* Makes giving back a batch slow. */
static void free_slowly(enum smr_hook_point point, void *unused)
{
	(void)unused;
	if (point == SMR_HOOK_IN_HAND)
		usleep(2000);
}

/*
 * The cost of giving nodes back grows with their number, so looking less often would not reduce it;
 * only the cost of the looks themselves counts.
 */
static void slow_freeing_keeps_no_look_away(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	const struct smr_limbo *limbo = &mem->limbo[MT_RCU_BP];

	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	smr_hook_set_point(free_slowly, NULL);
	for (unsigned int round = 0; round < 16; round++) {
		struct smr_nodes nodes = { NULL, 0 };

		retire_singly(mem, (unsigned int)limbo->stride + 1);
		assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_KERNEL), 0);
		smr_mem_give_list(mem, &nodes);
	}
	smr_hook_reset();
	assert_uint_in_range(limbo->stride, SMR_STRIDE_MIN, 4 * SMR_STRIDE_MIN);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* Whenever limbo has been empty, nodes are noted from the first note on. */
static void notes_begin_anew(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	void **note = mem->limbo[MT_RCU_BP].notes->node;

	(void)state;
	for (unsigned int round = 0; round < 3; round++) {
		struct smr_nodes nodes = { NULL, 0 };
		void *node[5];

		take(mem, &nodes, ARRAY_SIZE(node));
		node[0] = nodes.head;
		for (unsigned int i = 1; i < ARRAY_SIZE(node); i++)
			node[i] = *smr_node_link(node[i - 1]);
		memset(note, 0, sizeof(node));
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
		assert_memory_equal(note, node, sizeof(node));
		mt_mem_barrier(mem);
	}
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/*
 * If a writer frees the nodes that a pending callback is about, the callback finds later ones, or
 * none, and frees none twice.
 */
static void lookers_and_callbacks(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);

	(void)state;
	for (unsigned int round = 0; round < 200; round++) {
		struct smr_nodes nodes = { NULL, 0 };

		retire_singly(mem, SMR_STRIDE_MIN + round % 7);
		assert_int_equal(smr_mem_take(mem, &nodes, SMR_MAG_NODES, GFP_KERNEL), 0);
		smr_mem_give_list(mem, &nodes);
		retire_singly(mem, round % 5);
		if (round % 3 == 0)
			mt_mem_barrier(mem);
	}
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).nodes_limbo, 0);
	assert_int_equal(stats_of(mem).nodes_used, 0);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* ---- One thread sleeps while another frees ---- */

struct sleeper {
	struct mt_mem *mem;
	pthread_t self, thread;
	bool sleeps;        /* it has been started */
	unsigned int event; /* what it sleeps on */
};

static void *sleep_on_limbo(void *arg)
{
	struct sleeper *s = arg;

	smr_mem_grace_wait(s->mem, MT_RCU_BP);
	return NULL;
}

/*
 * Whether the sleeper sleeps, and the callback has come, found another thread busy, and nothing
 * more in limbo.
 */
static bool only_the_look_is_left(struct sleeper *s)
{
	const struct smr_limbo *limbo = &s->mem->limbo[MT_RCU_BP];
	bool is;

	mt_lock_acquire(&s->mem->lock);
	is = limbo->sleepers > 0 && !limbo->called;
	s->event = limbo->event;
	mt_lock_release(&s->mem->lock);
	return is;
}

static void let_one_sleep(enum smr_hook_point point, void *arg)
{
	struct sleeper *s = arg;

	if (point != SMR_HOOK_IN_HAND || !pthread_equal(s->self, pthread_self()) || s->sleeps)
		return;
	assert_int_equal(pthread_create(&s->thread, NULL, sleep_on_limbo, s), 0);
	s->sleeps = true;
	while (!only_the_look_is_left(s))
		usleep(100);
}

/* Whether the sleeper has been woken; if not, wakes it. */
static bool has_been_told(struct sleeper *s)
{
	struct smr_limbo *limbo = &s->mem->limbo[MT_RCU_BP];
	bool told;

	mt_lock_acquire(&s->mem->lock);
	told = limbo->event != s->event;
	smr_store(&limbo->event, limbo->event + !told, RELAXED);
	mt_lock_release(&s->mem->lock);
	if (!told)
		smr_wake(&limbo->event, INT_MAX);
	return told;
}

/*
 * The callback comes while a look has the last nodes in hand: only the look can wake the sleeper.
 */
static void a_look_tells_who_sleeps(void **state)
{
	struct pages pages = PAGES;
	struct sleeper s = { .mem = pages_arena(&pages, 0), .self = pthread_self() };
	bool told;

	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	smr_hook_set_point(let_one_sleep, &s);
	while (!s.sleeps) { /* the callback may have been first */
		retire_singly(s.mem, 1);
		mt_mem_barrier(s.mem);
	}
	smr_hook_reset();
	told = has_been_told(&s);
	pthread_join(s.thread, NULL);
	assert_true(told);
	mt_mem_destroy(s.mem);
	assert_int_equal(pages.mapped, 0);
}

struct stopped_look {
	struct sleeper sleeper;
	unsigned int callbacks; /* while the look stood still */
};

static void stop_the_look(enum smr_hook_point point, void *arg)
{
	struct stopped_look *l = arg;
	struct sleeper *s = &l->sleeper;

	if (!pthread_equal(s->self, pthread_self())) {
		if (point == SMR_HOOK_CALLS)
			smr_add(&l->callbacks, 1, RELAXED);
		return;
	}
	if (point != SMR_HOOK_LOOKS || s->sleeps)
		return;
	assert_int_equal(pthread_create(&s->thread, NULL, sleep_on_limbo, s), 0);
	s->sleeps = true;
	usleep(100 * 1000);
}

/*
 * While a look does not get on, for want of a CPU say, and a thread waits, the worker does not take
 * its CPU with one callback after another; and it does not forget the last one.
 */
static void a_look_that_stands_still(void **state)
{
	struct pages pages = PAGES;
	struct stopped_look l = { .sleeper = { .mem = pages_arena(&pages, 0),
					       .self = pthread_self() } };

	(void)state;
	if (!urcu_bp_has_sys_membarrier)
		skip();
	smr_hook_set_point(stop_the_look, &l);
	while (!l.sleeper.sleeps) {
		retire_singly(l.sleeper.mem, 1);
		mt_mem_barrier(l.sleeper.mem);
	}
	assert_in_range(smr_load(&l.callbacks, RELAXED), 0, 10);
	pthread_join(l.sleeper.thread, NULL);
	smr_hook_reset();
	mt_mem_destroy(l.sleeper.mem);
	assert_int_equal(pages.mapped, 0);
}

/* The callback of a grace period gives back the chunks that it emptied. */
static void empty_chunks_are_given_back(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	take(mem, &nodes, 4 * MT_CHUNK_NODES);
	assert_int_equal(pages.mapped, 5);
	smr_mem_retire(mem, MT_RCU_MEMB, &nodes);
	mt_mem_barrier(mem);
	assert_int_equal(pages.mapped, 1);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* The chunks go back by themselves, also those just got; one is kept for the next store. */
static void a_tree_that_is_gone_leaves_one_chunk(void **state)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct maple_tree tree = MTREE_INIT(tree, MT_FLAGS_USE_RCU);
	struct mt_mem_stats stats;

	(void)state;
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	for (unsigned long i = 0; i < 100000; i++)
		assert_int_equal(
			mtree_store_range(&tree, 8 * i, 8 * i + 3, xa_mk_value(i), GFP_KERNEL), 0);
	mt_mem_stats(mem, &stats);
	assert_true(stats.chunks > 1);
	mtree_destroy(&tree);
	do {
		usleep(1000);
		mt_mem_stats(mem, &stats);
	} while (stats.chunks > 1);
	mt_mem_destroy(mem);
}

/* While @nr nodes stay in use, at most @limit chunks stay. */
static void give_back_beside(unsigned long nr, unsigned long limit)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct smr_nodes kept = { NULL, 0 }, nodes = { NULL, 0 };

	take(mem, &kept, nr);
	take(mem, &nodes, 15UL * MT_CHUNK_NODES);
	smr_mem_retire(mem, MT_RCU_MEMB, &nodes);
	while (stats_of(mem).nodes_limbo > 0 || stats_of(mem).chunks > limit)
		usleep(1000);
	/* Fewer once more batches have come back and no chunk has been got since. */
	while (nr == 1 && stats_of(mem).chunks > 2) {
		take(mem, &nodes, 1);
		smr_mem_retire(mem, MT_RCU_MEMB, &nodes);
		usleep(1000);
	}
	smr_mem_give_list(mem, &kept);
	mt_mem_destroy(mem);
}

/* The batch may be the last one to come back, so not all of it is kept. */
static void most_chunks_are_given_back_beside_others(void **state)
{
	(void)state;
	give_back_beside(1, 10);
	give_back_beside(MT_CHUNK_NODES, 11);
}

/* Retires all but one in @apart of @nodes; the others stay there. */
static void thin_out(struct mt_mem *mem, struct smr_nodes *nodes, unsigned long apart)
{
	struct smr_nodes kept = { NULL, 0 }, others = { NULL, 0 };

	while (nodes->head) {
		bool keep = nodes->nr % apart == 0;

		smr_nodes_push(keep ? &kept : &others, smr_nodes_pop(nodes));
	}
	smr_mem_retire(mem, MT_RCU_MEMB, &others);
	*nodes = kept;
}

/* Replaces @nr of @nodes by others, as stores do, and pauses. */
static void replace_some(struct mt_mem *mem, struct smr_nodes *nodes, unsigned long nr)
{
	struct smr_nodes old = { NULL, 0 }, fresh = { NULL, 0 };
	void *node;

	while (old.nr < nr)
		smr_nodes_push(&old, smr_nodes_pop(nodes));
	while ((node = smr_nodes_pop(nodes)))
		smr_nodes_push(&fresh, node);
	take(mem, &fresh, nr);
	smr_mem_retire(mem, MT_RCU_MEMB, &old);
	while ((node = smr_nodes_pop(&fresh)))
		smr_nodes_push(nodes, node);
	while (stats_of(mem).nodes_limbo > 0)
		usleep(200);
}

/* The remains of many nodes pin all chunks, but not once they have been replaced a few times. */
static void scattered_nodes_gather(void **state)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	take(mem, &nodes, 15UL * MT_CHUNK_NODES);
	thin_out(mem, &nodes, 16);
	while (stats_of(mem).nodes_limbo > 0)
		usleep(1000);
	assert_true(stats_of(mem).chunks > 14);
	for (unsigned int round = 0; round < 3000 && stats_of(mem).chunks > 5; round++)
		replace_some(mem, &nodes, 256);
	assert_true(stats_of(mem).chunks <= 5);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
}

/* Destroying an arena waits for what is in limbo, under every flavour. */
static void destroy_waits(void **state)
{
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 20; round++) {
		struct pages pages = PAGES;
		struct mt_mem *mem = pages_arena(&pages, 0);
		struct smr_nodes nodes = { NULL, 0 };

		for (i = 0; i < 3; i++) {
			take(mem, &nodes, 7);
			smr_mem_retire(mem, all_flavors[round % 4], &nodes);
		}
		mt_mem_destroy(mem);
		assert_int_equal(pages.mapped, 0);
	}
}

/* ---- One slot, readers that follow it, writers that replace its node ---- */

#define READERS 2
#define WRITERS 2

struct stress {
	struct mt_mem *mem;
	unsigned long *slot;
	bool stop;
	unsigned long rounds, bad;
};

static void fill_node(unsigned long *node, unsigned long value)
{
	unsigned int i;

	for (i = 0; i < SMR_NODE_LINK / sizeof(*node); i++)
		node[i] = value;
}

static void *read_on(void *arg)
{
	struct stress *s = arg;

	while (!smr_load(&s->stop, RELAXED)) {
		unsigned long *node, first;
		unsigned int i;

		smr_rcu_read_lock(MT_RCU_BP);
		node = smr_load(&s->slot, __ATOMIC_ACQUIRE);
		first = node[0];
		for (i = 1; i < SMR_NODE_LINK / sizeof(*node); i++)
			if (node[i] != first)
				smr_add(&s->bad, 1, RELAXED);
		smr_rcu_read_unlock(MT_RCU_BP);
	}
	return NULL;
}

static void *replace(void *arg)
{
	struct stress *s = arg;
	unsigned long i;

	for (i = 0; i < s->rounds; i++) {
		struct smr_nodes nodes = { NULL, 0 };
		unsigned long *node = smr_mem_take_one(s->mem, GFP_KERNEL);

		if (!node && smr_mem_refill(s->mem, &nodes, 1) == 0)
			node = smr_nodes_pop(&nodes);
		if (!node)
			continue; /* at the limit; readers keep nodes in limbo */
		fill_node(node, i);
		node = smr_xchg(&s->slot, node, __ATOMIC_ACQ_REL);
		smr_nodes_push(&nodes, node);
		smr_mem_retire(s->mem, MT_RCU_BP, &nodes);
		if (i % 1000 == 999)
			mt_mem_barrier(s->mem);
	}
	return NULL;
}

static void readers_never_see_a_reused_node(void **state)
{
	struct pages pages = PAGES;
	struct stress s = { .mem = pages_arena(&pages, MT_CHUNK_SIZE) };
	pthread_t readers[READERS], writers[WRITERS];
	unsigned int i;

	(void)state;
	s.rounds = env_scaled(50000);
	s.slot = smr_mem_take_one(s.mem, GFP_KERNEL);
	fill_node(s.slot, 0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &s), 0);
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, replace, &s), 0);
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	smr_store(&s.stop, true, RELAXED);
	for (i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(s.bad, 0);
	mt_mem_barrier(s.mem);
	assert_int_equal(stats_of(s.mem).nodes_used, 1);
	assert_int_equal(stats_of(s.mem).nodes_limbo, 0);
	smr_mem_give(s.mem, s.slot);
	mt_mem_destroy(s.mem);
	assert_int_equal(pages.mapped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_wait_for),
		cmocka_unit_test(every_flavour_waits),
		cmocka_unit_test(batches_form),
		cmocka_unit_test(a_writer_that_looks),
		cmocka_unit_test(slow_freeing_keeps_no_look_away),
		cmocka_unit_test(notes_begin_anew),
		cmocka_unit_test(lookers_and_callbacks),
		cmocka_unit_test(a_look_tells_who_sleeps),
		cmocka_unit_test(a_look_that_stands_still),
		cmocka_unit_test(empty_chunks_are_given_back),
		cmocka_unit_test(a_tree_that_is_gone_leaves_one_chunk),
		cmocka_unit_test(most_chunks_are_given_back_beside_others),
		cmocka_unit_test(scattered_nodes_gather),
		cmocka_unit_test(destroy_waits),
		cmocka_unit_test(readers_never_see_a_reused_node),
	};

	return cmocka_run_group_tests_name("mem_retire", tests, NULL, NULL);
}
