/* SPDX-License-Identifier: MIT */
/* Getting chunks, and what happens when no more are left. */
#include "base/hooks.h"
#include "flavors.h"
#include "lock/section.h"
#include "mem/pledge.h"
#include "mem/refill.h"
#include "mem/retire.h"
#include "pages.h"
#include "support/cm.h"
#include "support/threads.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define RESERVE 64

/* With nothing in limbo there is nothing to wait for. (This test runs first.) */
static void no_threads_for_what_is_not_used(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int before = count_threads();

	(void)state;
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), -ENOMEM);
	mt_mem_barrier(mem);
	assert_int_equal(count_threads(), before);
	mt_mem_destroy(mem);
	assert_int_equal(count_threads(), before);
}

static void chunks_come_as_needed(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	/*
	 * The first chunk is there from the start, so that even a thread that may not block gets
	 * nodes.
	 */
	assert_int_equal(pages.ever, 1);
	assert_int_equal(stats_of(mem).reserve_left, RESERVE);
	assert_int_equal(smr_mem_take(mem, &nodes, 1, GFP_NOWAIT), 0);
	/* As many as the chunk has left, with the reserve still to be full. */
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES - 1), 0);
	assert_int_equal(pages.ever, 2);
	assert_int_equal(smr_mem_refill(mem, &nodes, 3 * MT_CHUNK_NODES), 0);
	assert_int_equal(pages.ever, 5);
	assert_int_equal(nodes.nr, 4 * MT_CHUNK_NODES);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void limits(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem;
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	assert_null(mt_mem_create(1, NULL));
	assert_null(mt_mem_create(MT_CHUNK_SIZE - 1, NULL));
	mem = pages_arena(&pages, 3 * MT_CHUNK_SIZE - 1);
	assert_int_equal(stats_of(mem).bytes_limit, 2 * MT_CHUNK_SIZE);
	assert_int_equal(smr_mem_refill(mem, &nodes, 2 * MT_CHUNK_NODES), -ENOMEM);
	assert_int_equal(smr_mem_refill(mem, &nodes, 2 * MT_CHUNK_NODES - RESERVE), 0);
	assert_int_equal(smr_mem_refill(mem, &nodes, 1), -ENOMEM);
	mt_mem_set_limit(mem, 0);
	assert_int_equal(stats_of(mem).bytes_limit, SIZE_MAX);
	assert_int_equal(smr_mem_refill(mem, &nodes, 1), 0);
	assert_int_equal(pages.mapped, 3);
	/* Above the new limit already: nothing is taken away, nothing more is got. */
	mt_mem_set_limit(mem, MT_CHUNK_SIZE);
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), -ENOMEM);
	assert_int_equal(pages.mapped, 3);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* The nodes in the thread's magazine count as free for it. */
static void the_magazine_counts(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES - RESERVE - 10), 0);
	assert_int_equal(smr_mem_take(mem, &nodes, 1, GFP_NOWAIT), 0);
	assert_int_equal(smr_mem_refill(mem, &nodes, 9), 0);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
}

static void a_failure_leaves_no_trace(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	pages.dry_after = 5;
	assert_int_equal(smr_mem_refill(mem, &nodes, 5 * MT_CHUNK_NODES), -ENOMEM);
	assert_int_equal(nodes.nr, 0);
	assert_null(nodes.head);
	/* The chunks got before the failure are given back, but for the one that an arena keeps. */
	assert_int_equal(pages.mapped, 1);
	assert_int_equal(stats_of(mem).failed, 1);
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES - RESERVE), 0);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void what_no_memory_holds(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	DEFINE_MTREE(tree);
	MA_STATE(mas, &tree, 0, 0);

	(void)state;
	pages.dry_after = 4;
	assert_int_equal(mt_set_mem(&tree, mem), 0);
	mtree_lock(&tree);
	assert_int_equal(mas_expected_entries(&mas, ULONG_MAX), -ENOMEM);
	mtree_unlock(&tree);
	assert_int_equal(mas_allocated(&mas), 0);
	/* No chunk was tried for. */
	assert_int_equal(pages.ever, 1);
	mt_mem_destroy(mem);
}

/* Idle chunks stay if not all their nodes may be taken, be it for the reserve or for a pledge. */
static void what_is_kept_keeps_its_chunks(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);

	(void)state;
	assert_int_equal(mt_mem_set_reserve(mem, MT_CHUNK_NODES + 1), 0);
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 2);
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	assert_true(smr_pledge_grow(mem, MT_CHUNK_NODES + 1));
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 2);
	smr_unpledge(mem, MT_CHUNK_NODES + 1);
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 1);
	mt_mem_destroy(mem);
}

/* Giving a chunk back may block. */
static void no_chunk_goes_within_a_section(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 0);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	assert_int_equal(smr_mem_refill(mem, &nodes, 2 * MT_CHUNK_NODES), 0);
	smr_mem_give_list(mem, &nodes);
	smr_section_enter("test");
	smr_mem_release_idle(mem);
	smr_section_leave();
	assert_int_equal(pages.mapped, 3);
	smr_mem_release_idle(mem);
	assert_int_equal(pages.mapped, 1);
	mt_mem_destroy(mem);
}

static void an_arena_without_its_first_chunk(void **state)
{
	struct pages pages = { 0, 0, 0, false };
	struct mt_mem_ops ops = { pages_map, pages_unmap, &pages };

	(void)state;
	assert_null(mt_mem_create(MT_CHUNK_SIZE, &ops));
	pages = (struct pages){ 0, 0, ~0UL, true };
	/* Unaligned memory is useless, and is given back. */
	assert_null(mt_mem_create(MT_CHUNK_SIZE, &ops));
	assert_int_equal(pages.ever, 1);
	assert_int_equal(pages.mapped, 0);
}

/* Allocations of the arena itself, and of its notes. */
static void an_arena_without_memory_for_itself(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 2; n++) {
		smr_hook_set_fail_at(n);
		assert_null(mt_mem_create(0, NULL));
		assert_int_equal(smr_hook_failures(), 1);
	}
	smr_hook_reset();
}

static void all_of_a_chunk(struct mt_mem *mem, struct smr_nodes *nodes)
{
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	assert_int_equal(smr_mem_refill(mem, nodes, MT_CHUNK_NODES), 0);
}

static void it_waits_for_nodes_in_limbo(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	all_of_a_chunk(mem, &nodes);
	smr_mem_retire(mem, MT_RCU_BP, &nodes);
	assert_int_equal(smr_mem_take(mem, &nodes, MT_CHUNK_NODES, GFP_NOWAIT) == 0, nodes.nr != 0);
	smr_mem_give_list(mem, &nodes);
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), 0);
	assert_int_equal(pages.ever, 1);
	assert_int_equal(stats_of(mem).failed <= 1, 1);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
}

/* Once, lets what is in limbo come back before the refill looks what there is to wait for. */
static void let_come_back(enum smr_hook_point point, void *arg)
{
	struct mt_mem *mem = arg;

	if (point != SMR_HOOK_SHORT)
		return;
	smr_hook_reset();
	mt_mem_barrier(mem);
}

static void nodes_come_back_before_it_waits(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_limbo *limbo = &mem->limbo[MT_RCU_MB];
	struct smr_nodes nodes = { NULL, 0 };

	(void)state;
	all_of_a_chunk(mem, &nodes);
	limbo->failed_looks = 0; /* the worker is slow */
	smr_hook_set_point(let_come_back, mem);
	smr_mem_retire(mem, MT_RCU_MB, &nodes);
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), 0);
	assert_int_equal(stats_of(mem).failed, 0);
	smr_hook_reset();
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
}

/* A reader that keeps retired nodes in limbo until a thread waits for them. */
struct keeper {
	struct mt_mem *mem;
	pthread_t thread;
	sem_t turn, inside;
	bool over;
};

static bool is_waited_for(struct mt_mem *mem)
{
	bool waits;

	mt_lock_acquire(&mem->lock);
	waits = mem->limbo[MT_RCU_BP].sleepers > 0;
	mt_lock_release(&mem->lock);
	return waits;
}

static void *keep(void *arg)
{
	struct keeper *keeper = arg;

	for (;;) {
		sem_wait(&keeper->turn);
		if (keeper->over)
			return NULL;
		smr_rcu_read_lock(MT_RCU_BP);
		sem_post(&keeper->inside);
		while (!is_waited_for(keeper->mem))
			usleep(50);
		smr_rcu_read_unlock(MT_RCU_BP);
	}
}

static void keeper_begin(struct keeper *keeper, struct mt_mem *mem)
{
	*keeper = (struct keeper){ .mem = mem };
	sem_init(&keeper->turn, 0, 0);
	sem_init(&keeper->inside, 0, 0);
	assert_int_equal(pthread_create(&keeper->thread, NULL, keep, keeper), 0);
}

static void keeper_end(struct keeper *keeper)
{
	mt_mem_barrier(keeper->mem);
	keeper->over = true;
	sem_post(&keeper->turn);
	pthread_join(keeper->thread, NULL);
}

static void retire_kept(struct keeper *keeper, struct smr_nodes *nodes)
{
	sem_post(&keeper->turn);
	sem_wait(&keeper->inside);
	smr_mem_retire(keeper->mem, MT_RCU_BP, nodes);
}

/* Another waiting writer, which takes all that has come back and retires as much. */
struct rival {
	struct keeper keeper;
	unsigned int rounds, first; /* how many times it is first */
};

static void take_first(enum smr_hook_point point, void *arg)
{
	struct rival *rival = arg;
	struct smr_nodes nodes = { NULL, 0 };

	if (point != SMR_HOOK_WAITED || rival->rounds++ >= rival->first)
		return;
	assert_int_equal(smr_mem_take(rival->keeper.mem, &nodes, MT_CHUNK_NODES, GFP_NOWAIT), 0);
	retire_kept(&rival->keeper, &nodes);
}

static void refill_beside(unsigned int first, unsigned int rounds, int expected)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct rival rival = { .first = first };
	struct smr_nodes nodes = { NULL, 0 };

	keeper_begin(&rival.keeper, mem);
	all_of_a_chunk(mem, &nodes);
	retire_kept(&rival.keeper, &nodes);
	smr_hook_set_point(take_first, &rival);
	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), expected);
	smr_hook_reset();
	assert_int_equal(rival.rounds, rounds);
	assert_int_equal(stats_of(mem).failed, expected ? 1 : 0);
	smr_mem_give_list(mem, &nodes);
	keeper_end(&rival.keeper);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void others_take_what_comes_back(void **state)
{
	(void)state;
	refill_beside(1, 2, 0);
	refill_beside(SMR_REFILL_ROUNDS - 1, SMR_REFILL_ROUNDS, 0);
	refill_beside(SMR_REFILL_ROUNDS, SMR_REFILL_ROUNDS, -ENOMEM);
}

/* A thread that stays inside a section of a flavour. */
struct reader {
	enum mt_rcu_flavor flavor;
	pthread_t thread;
	sem_t inside, leave;
};

static void *stay_inside(void *arg)
{
	struct reader *reader = arg;

	register_reader(reader->flavor);
	smr_rcu_read_lock(reader->flavor);
	sem_post(&reader->inside);
	sem_wait(&reader->leave);
	smr_rcu_read_unlock(reader->flavor);
	unregister_reader(reader->flavor);
	return NULL;
}

/* Refills in a section of @own, while another reader's section keeps what is in @others' limbo. */
static void refill_inside(enum mt_rcu_flavor own, enum mt_rcu_flavor others)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct reader reader = { .flavor = others };
	struct smr_nodes nodes = { NULL, 0 };

	sem_init(&reader.inside, 0, 0);
	sem_init(&reader.leave, 0, 0);
	assert_int_equal(pthread_create(&reader.thread, NULL, stay_inside, &reader), 0);
	sem_wait(&reader.inside);
	register_reader(own);
	all_of_a_chunk(mem, &nodes);
	smr_rcu_read_lock(own);
	smr_mem_retire(mem, others, &nodes);
	assert_int_equal(smr_mem_refill(mem, &nodes, 1), -ENOMEM);
	assert_int_equal(stats_of(mem).nodes_limbo, MT_CHUNK_NODES);
	smr_rcu_read_unlock(own);
	unregister_reader(own);
	sem_post(&reader.leave);
	assert_int_equal(smr_mem_refill(mem, &nodes, 1), 0);
	pthread_join(reader.thread, NULL);
	smr_mem_give_list(mem, &nodes);
	mt_mem_destroy(mem);
}

/* Inside a section a wait would never end or, for another flavour, might not. */
static void it_does_not_wait_inside_a_section(void **state)
{
	(void)state;
	for (size_t section = 0; section < 4; section++)
		for (size_t limbo = 0; limbo < 4; limbo++)
			refill_inside(all_flavors[section], all_flavors[limbo]);
}

struct racer {
	struct mt_mem *mem;
	struct smr_nodes nodes;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	while (smr_mem_refill(racer->mem, &racer->nodes, 500) == 0)
		;
	return NULL;
}

static void threads_together_keep_the_limit(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 4 * MT_CHUNK_SIZE);
	struct racer racers[4];
	pthread_t threads[4];
	unsigned long sum = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		racers[i] = (struct racer){ mem, { NULL, 0 } };
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		sum += racers[i].nodes.nr;
	}
	assert_int_equal(pages.ever, 4);
	assert_true(sum <= 4 * MT_CHUNK_NODES - RESERVE);
	assert_true(sum > 4 * MT_CHUNK_NODES - RESERVE - 4 * 500);
	assert_int_equal(stats_of(mem).nodes_used, sum);
	for (i = 0; i < 4; i++)
		smr_mem_give_list(mem, &racers[i].nodes);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* ---- Chunks in transit ---- */

/* A page source for two chunks that makes one thread wait: while it maps or unmaps the second. */
struct slow {
	struct pages pages;
	struct mt_mem *mem;
	pthread_t thread;
	bool mapping;       /* mapping is slow, else unmapping */
	bool once;          /* a thread has been kept waiting */
	unsigned long most; /* chunks at a time */
	sem_t entered, go;
	struct smr_nodes nodes;
	int err;
};

static void keep_waiting(struct slow *slow)
{
	if (slow->once)
		return;
	slow->once = true;
	sem_post(&slow->entered);
	sem_wait(&slow->go);
}

static void *slow_map(void *ctx, size_t size, size_t align)
{
	struct slow *slow = ctx;
	void *chunk;

	if (slow->mapping && smr_load(&slow->pages.ever, RELAXED) > 0)
		keep_waiting(slow);
	chunk = pages_map(&slow->pages, size, align);
	if (smr_load(&slow->pages.mapped, RELAXED) > slow->most)
		slow->most = slow->pages.mapped;
	return chunk;
}

static void slow_unmap(void *ctx, void *chunk, size_t size)
{
	struct slow *slow = ctx;

	if (!slow->mapping)
		keep_waiting(slow);
	pages_unmap(&slow->pages, chunk, size);
}

#define NEARLY_A_CHUNK (MT_CHUNK_NODES - RESERVE + 9)

static void *get_or_give(void *arg)
{
	struct slow *slow = arg;

	if (slow->mapping)
		slow->err = smr_mem_refill(slow->mem, &slow->nodes, NEARLY_A_CHUNK);
	else
		mt_mem_trim(slow->mem);
	return NULL;
}

static void let_go(enum smr_hook_point point, void *arg)
{
	struct slow *slow = arg;

	if (point == SMR_HOOK_AWAITS)
		sem_post(&slow->go);
}

static void slow_begin(struct slow *slow, bool mapping)
{
	struct mt_mem_ops ops = { slow_map, slow_unmap, slow };

	*slow = (struct slow){ .pages = PAGES, .mapping = mapping };
	sem_init(&slow->entered, 0, 0);
	sem_init(&slow->go, 0, 0);
	slow->mem = mt_mem_create(2 * MT_CHUNK_SIZE, &ops);
	assert_non_null(slow->mem);
}

/* The other thread is held in the page source; meanwhile this one wants @nr nodes. */
static void refill_meanwhile(struct slow *slow, unsigned long nr)
{
	struct smr_nodes nodes = { NULL, 0 };
	int err;

	assert_int_equal(pthread_create(&slow->thread, NULL, get_or_give, slow), 0);
	sem_wait(&slow->entered);
	smr_hook_set_point(let_go, slow);
	err = smr_mem_refill(slow->mem, &nodes, nr);
	smr_hook_reset();
	sem_post(&slow->go);
	assert_int_equal(pthread_join(slow->thread, NULL), 0);
	assert_int_equal(err, 0);
	assert_int_equal(slow->err, 0);
	assert_int_equal(stats_of(slow->mem).failed, 0);
	assert_true(slow->most <= 2);
	smr_mem_give_list(slow->mem, &nodes);
	smr_mem_give_list(slow->mem, &slow->nodes);
	mt_mem_destroy(slow->mem);
	assert_int_equal(slow->pages.mapped, 0);
	sem_destroy(&slow->entered);
	sem_destroy(&slow->go);
}

/* The last possible chunk is enough for both. */
static void another_gets_the_last_chunk(void **state)
{
	struct slow slow;

	(void)state;
	slow_begin(&slow, true);
	refill_meanwhile(&slow, NEARLY_A_CHUNK);
}

/* Until it is given back it counts. */
static void another_gives_a_chunk_back(void **state)
{
	struct smr_nodes nodes = { NULL, 0 };
	struct slow slow;

	(void)state;
	slow_begin(&slow, false);
	assert_int_equal(smr_mem_refill(slow.mem, &nodes, 2 * NEARLY_A_CHUNK), 0);
	smr_mem_give_list(slow.mem, &nodes);
	refill_meanwhile(&slow, 2 * NEARLY_A_CHUNK);
	assert_int_equal(slow.pages.ever, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_threads_for_what_is_not_used),
		cmocka_unit_test(chunks_come_as_needed),
		cmocka_unit_test(limits),
		cmocka_unit_test(the_magazine_counts),
		cmocka_unit_test(a_failure_leaves_no_trace),
		cmocka_unit_test(what_no_memory_holds),
		cmocka_unit_test(what_is_kept_keeps_its_chunks),
		cmocka_unit_test(no_chunk_goes_within_a_section),
		cmocka_unit_test(an_arena_without_its_first_chunk),
		cmocka_unit_test(an_arena_without_memory_for_itself),
		cmocka_unit_test(it_waits_for_nodes_in_limbo),
		cmocka_unit_test(nodes_come_back_before_it_waits),
		cmocka_unit_test(others_take_what_comes_back),
		cmocka_unit_test(it_does_not_wait_inside_a_section),
		cmocka_unit_test(threads_together_keep_the_limit),
		cmocka_unit_test(another_gets_the_last_chunk),
		cmocka_unit_test(another_gives_a_chunk_back),
	};

	return cmocka_run_group_tests_name("mem_refill", tests, NULL, NULL);
}
