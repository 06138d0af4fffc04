/* SPDX-License-Identifier: MIT */
/* fork() while other threads use an arena or run callbacks: the child can go on. */
#include "base/hooks.h"
#include "base/park.h"
#include "base/sanitizer.h"
#include "mem/pool.h"
#include "mem/refill.h"
#include "mem/retire.h"
#include "pages.h"
#include "support/cm.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FORKS 20

/* A child that hangs is killed, and reported. */
#define CHILD_SECONDS 20

/*
 * fork() bracketed with liburcu's handlers, as it requires; the first of them has been called. The
 * child exits with @fn(@mem). Returns how it ended.
 */
static int status_of_child_in_brackets(int (*fn)(struct mt_mem *mem), struct mt_mem *mem)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(CHILD_SECONDS);
		urcu_bp_after_fork_child();
		smr_hook_reset();
		_exit(fn(mem));
	}
	urcu_bp_after_fork_parent();
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int status_of_child(int (*fn)(struct mt_mem *mem), struct mt_mem *mem)
{
	urcu_bp_before_fork();
	return status_of_child_in_brackets(fn, mem);
}

static void expect_child(int (*fn)(struct mt_mem *mem), struct mt_mem *mem)
{
	assert_int_equal(status_of_child(fn, mem), 0);
}

/* ---- A thread that stands still at some point while the test forks ---- */

struct stop {
	enum smr_hook_point at;
	unsigned int stands, go; /* futexes */
};

static void set(unsigned int *word)
{
	smr_store(word, 1, __ATOMIC_RELEASE);
	smr_wake(word, 1);
}

static void await(const unsigned int *word)
{
	while (!smr_load(word, __ATOMIC_ACQUIRE))
		smr_park(word, 0);
}

static void stand(struct stop *s)
{
	set(&s->stands);
	await(&s->go);
}

/* Only the first time. */
static void stand_at(enum smr_hook_point point, void *arg)
{
	struct stop *s = arg;

	if (point == s->at && !smr_load(&s->stands, RELAXED))
		stand(s);
}

/*
 * Expects @fn(@mem) to succeed in the child of a fork while @work(@arg), in another thread, stands
 * at @s.
 */
static void fork_at(struct stop *s, void *(*work)(void *arg), void *arg,
		    int (*fn)(struct mt_mem *mem), struct mt_mem *mem)
{
	pthread_t thread;
	int status;

	smr_hook_set_point(stand_at, s);
	assert_int_equal(pthread_create(&thread, NULL, work, arg), 0);
	await(&s->stands);
	status = status_of_child(fn, mem);
	set(&s->go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	smr_hook_reset();
	assert_int_equal(status, 0);
}

static bool stop;

static void *churn(void *arg)
{
	struct mt_mem *mem = arg;
	struct smr_nodes nodes = { NULL, 0 };

	while (!smr_load(&stop, RELAXED)) {
		(void)smr_mem_refill(mem, &nodes, 20);
		smr_mem_retire(mem, MT_RCU_MB, &nodes);
		(void)smr_mem_take(mem, &nodes, 20, GFP_NOWAIT);
		smr_mem_give_list(mem, &nodes);
	}
	return NULL;
}

/*
 * Nodes can be taken, given and retired, and retired ones come back, also those from before the
 * fork.
 */
static int child(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };
	unsigned int i;

	for (i = 0; i < 10; i++) {
		if (smr_mem_refill(mem, &nodes, 10))
			return 1;
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
	}
	smr_mem_retire(mem, MT_RCU_BP, &nodes);
	mt_mem_barrier(mem);
	return stats_of(mem).nodes_limbo > 0 ? 2 : 0;
}

static void the_child_goes_on(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 4 * MT_CHUNK_SIZE);
	struct smr_nodes nodes = { NULL, 0 };
	pthread_t thread;
	unsigned int i;
	int status;
	pid_t pid;

	(void)state;
	for (i = 0; i < FORKS; i++) {
		assert_int_equal(smr_mem_refill(mem, &nodes, 10), 0);
		smr_mem_retire(mem, MT_RCU_BP, &nodes);
		expect_child(child, mem);
	}
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).nodes_used, 0);

	/* With a thread busy in the arena: no lock is left held. */
	assert_int_equal(pthread_create(&thread, NULL, churn, mem), 0);
	for (i = 0; i < FORKS; i++) {
		pid = fork();
		if (pid == 0)
			_exit(smr_mem_take(mem, &nodes, 1, GFP_ATOMIC));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	smr_store(&stop, true, RELAXED);
	pthread_join(thread, NULL);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* ---- fork() during a look ---- */

#define IN_LIMBO 300

static void retire(struct mt_mem *mem, enum mt_rcu_flavor flavor, unsigned long nr)
{
	struct smr_nodes nodes = { NULL, 0 };

	assert_int_equal(smr_mem_refill(mem, &nodes, nr), 0);
	smr_mem_retire(mem, flavor, &nodes);
}

static void *look(void *arg)
{
	struct mt_mem *mem = arg;

	mt_mem_barrier(mem);
	return NULL;
}

/* All nodes come back, also those that the other thread was about to free, and none is lost. */
static int all_come_back(struct mt_mem *mem)
{
	struct mt_mem_stats stats;

	if (child(mem))
		return 1;
	mt_mem_stats(mem, &stats);
	if (stats.nodes_limbo || stats.nodes_used)
		return 2;
	mt_mem_destroy(mem);
	return 0;
}

static void amid_a_look_at(enum smr_hook_point point)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 4 * MT_CHUNK_SIZE);
	struct smr_limbo *limbo = &mem->limbo[MT_RCU_BP];
	struct stop s = { .at = point };

	if (!urcu_bp_has_sys_membarrier)
		skip();
	limbo->called = true; /* simulated: keeps the worker out */
	retire(mem, MT_RCU_BP, IN_LIMBO);
	fork_at(&s, look, mem, all_come_back, mem);
	limbo->called = false;
	mt_mem_barrier(mem);
	assert_int_equal(stats_of(mem).nodes_used, 0);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

static void while_another_looks(void **state)
{
	(void)state;
	amid_a_look_at(SMR_HOOK_LOOKS);
}

static void while_another_frees(void **state)
{
	(void)state;
	amid_a_look_at(SMR_HOOK_IN_HAND);
}

/* ---- fork() while the worker, which the child lacks, is to free nodes ---- */

/* Retries @fn(@mem) until it succeeds, for as long as the child may take. */
static int in_the_end(bool (*fn)(struct mt_mem *mem), struct mt_mem *mem)
{
	const struct timespec pause = { 0, 1000 * 1000 };

	while (!fn(mem))
		nanosleep(&pause, NULL);
	return 0;
}

static bool nothing_in_limbo(struct mt_mem *mem)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mem, &stats);
	return stats.nodes_limbo == 0;
}

/* A thread that may not block starts no thread in the child; one that gets nodes does. */
static int gets_some(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };

	if (smr_mem_refill(mem, &nodes, 10))
		return 1;
	smr_mem_give_list(mem, &nodes);
	return in_the_end(nothing_in_limbo, mem);
}

static int retires_before_it_gets_some(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };

	if (smr_mem_take(mem, &nodes, 10, GFP_NOWAIT))
		return 1;
	smr_mem_retire(mem, MT_RCU_BP, &nodes);
	return gets_some(mem);
}

static int only_destroys(struct mt_mem *mem)
{
	mt_mem_destroy(mem);
	return 0;
}

/* The worker is slow, so most forks find its work still undone. */
static void while_the_worker_gathers(void **state)
{
	static int (*const fn[])(struct mt_mem * mem) = { retires_before_it_gets_some, gets_some,
							  only_destroys };
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
	struct smr_limbo *limbo = &mem->limbo[MT_RCU_BP];

	(void)state;
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	for (unsigned int i = 0; i < FORKS * ARRAY_SIZE(fn); i++) {
		unsigned int which = i % ARRAY_SIZE(fn);

		limbo->failed_looks = 0; /* as after a look that freed something */
		retire(mem, MT_RCU_BP, MT_CHUNK_NODES - (which ? 0 : 10));
		expect_child(fn[which], mem);
		mt_mem_barrier(mem);
	}
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

struct retiree {
	struct mt_mem *mem;
	enum mt_rcu_flavor flavor;
};

static void *retire_some(void *arg)
{
	struct retiree *r = arg;

	retire(r->mem, r->flavor, IN_LIMBO);
	return NULL;
}

static int only_waits(struct mt_mem *mem)
{
	mt_mem_barrier(mem);
	return nothing_in_limbo(mem) ? 0 : 1;
}

/* A callback is marked as called, but is in no queue. */
static void while_another_calls(void **state)
{
	static const struct {
		enum mt_rcu_flavor flavor;
		int (*fn)(struct mt_mem *mem);
	} cases[] = {
		{ MT_RCU_BP, retires_before_it_gets_some },
		{ MT_RCU_BP, only_waits },
		{ MT_RCU_BP, only_destroys },
		{ MT_RCU_MB, only_waits },
		{ MT_RCU_MB, only_destroys },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pages pages = PAGES;
		struct mt_mem *mem = pages_arena(&pages, MT_CHUNK_SIZE);
		struct retiree r = { mem, cases[i].flavor };
		struct stop s = { .at = SMR_HOOK_CALLS };

		fork_at(&s, retire_some, &r, cases[i].fn, mem);
		mt_mem_destroy(mem);
		assert_int_equal(pages.mapped, 0);
	}
}

/* ---- fork() while a chunk is being got ---- */

/* Where the second chunk's mapping stands still. */
static struct stop mapping;

static void *map_slowly(void *ctx, size_t size, size_t align)
{
	struct pages *pages = ctx;

	if (smr_load(&pages->ever, RELAXED) == 1 && !smr_load(&mapping.stands, RELAXED))
		stand(&mapping);
	return pages_map(ctx, size, align);
}

static void *refill_two_chunks(void *arg)
{
	struct mt_mem *mem = arg;
	struct smr_nodes nodes = { NULL, 0 };

	assert_int_equal(smr_mem_refill(mem, &nodes, MT_CHUNK_NODES), 0);
	smr_mem_give_list(mem, &nodes);
	return NULL;
}

static int take_two_chunks(struct mt_mem *mem)
{
	struct smr_nodes nodes = { NULL, 0 };

	return smr_mem_refill(mem, &nodes, MT_CHUNK_NODES) ? 1 : 0;
}

/* A chunk that the child will never get does not count there. */
static void while_another_gets_a_chunk(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem_ops ops = { map_slowly, pages_unmap, &pages };
	struct mt_mem *mem = mt_mem_create(2 * MT_CHUNK_SIZE, &ops);

	(void)state;
	assert_non_null(mem);
	fork_at(&mapping, refill_two_chunks, mem, take_two_chunks, mem);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* ---- fork() while another thread has a pool locked ---- */

struct pool_user {
	struct smr_pool pool;
	struct stop s;
	unsigned int expired; /* futex */
};

static void note_expired(void *arg)
{
	set(&((struct pool_user *)arg)->expired);
}

/* Stands still with the lock held and something in limbo. */
static void *lock_pool(void *arg)
{
	struct pool_user *user = arg;
	struct smr_pool_list list;

	smr_pool_list_init(&list);
	assert_int_equal(smr_pool_prepare(&user->pool, &list, 1), 0);
	smr_pool_retire(&user->pool, &list);
	mt_lock_acquire(&user->pool.lock);
	stand(&user->s);
	mt_lock_release(&user->pool.lock);
	return NULL;
}

/*
 * The child leaves the pool alone, and so does the thread that it starts for its nodes. (This test
 * runs first, while the parent has no such thread: what is queued stays queued.)
 */
static void while_another_has_a_pool_locked(void **state)
{
	struct pages pages = PAGES;
	struct mt_mem *mem = pages_arena(&pages, 4 * MT_CHUNK_SIZE);
	struct pool_user user = { .s = { .at = SMR_HOOK_AWAITS } };
	struct smr_pool_list list;

	(void)state;
	smr_pool_init(&user.pool, 64, 0, MT_RCU_BP, note_expired, &user);
	fork_at(&user.s, lock_pool, &user, retires_before_it_gets_some, mem);
	assert_true(smr_grace_start(MT_RCU_BP));
	await(&user.expired);
	smr_pool_list_init(&list);
	smr_pool_expired(&user.pool, &list);
	assert_int_equal(list.nr, 1);
	smr_pool_ended(&user.pool, 1);
	smr_pool_put(&user.pool, &list);
	smr_pool_destroy(&user.pool);
	mt_mem_destroy(mem);
	assert_int_equal(pages.mapped, 0);
}

/* ---- fork() while the worker has taken callbacks, and waits for a grace period ---- */

struct queued {
	struct smr_rcu_head head;
	unsigned int called; /* futex */
};

static struct queued queued[3];

static void note_called(struct smr_rcu_head *head)
{
	set(&container_of(head, struct queued, head)->called);
}

static int all_are_called(struct mt_mem *mem)
{
	(void)mem;
	if (!smr_grace_start(MT_RCU_BP))
		return 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(queued); i++)
		await(&queued[i].called);
	return 0;
}

/* A callback that keeps the worker from taking more callbacks. */
static struct busy {
	struct smr_rcu_head head;
	struct stop s;
	int tid; /* the worker's */
	unsigned int over;
} busy;

static void keep_busy(struct smr_rcu_head *head)
{
	(void)head;
	busy.tid = (int)syscall(SYS_gettid);
	stand(&busy.s);
	set(&busy.over);
}

static bool is_asleep(int tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state == 'S';
}

/* All callbacks are run in the child, which took them over from the worker that it lacks. */
static void while_the_worker_waits(void **state)
{
	int status;

	(void)state;
	assert_true(smr_grace_start(MT_RCU_BP));
	smr_rcu_call(MT_RCU_BP, &busy.head, keep_busy);
	await(&busy.s.stands);
	/* No grace period ends until the fork is over. */
	urcu_bp_before_fork();
	for (unsigned int i = 0; i < ARRAY_SIZE(queued); i++)
		smr_rcu_call(MT_RCU_BP, &queued[i].head, note_called);
	set(&busy.s.go);
	await(&busy.over);
	while (!is_asleep(busy.tid))
		sched_yield();
	status = status_of_child_in_brackets(all_are_called, NULL);
	assert_int_equal(all_are_called(NULL), 0);
	assert_int_equal(status, 0);
}

/* ---- fork() while a callback starts the worker of another flavour ---- */

static struct starter {
	struct smr_rcu_head head;
	struct stop s;
	unsigned int over;
	bool started;
} starter;

static void start_another(struct smr_rcu_head *head)
{
	(void)head;
	stand(&starter.s);
	starter.started = smr_grace_start(MT_RCU_MEMB);
	set(&starter.over);
}

struct forker {
	unsigned int tid;
	int status;
};

static int does_nothing(struct mt_mem *mem)
{
	(void)mem;
	return 0;
}

static void *fork_there(void *arg)
{
	struct forker *f = arg;

	smr_store(&f->tid, (unsigned int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	smr_wake(&f->tid, 1);
	f->status = status_of_child(does_nothing, NULL);
	return NULL;
}

/* As a page source may do, by a store into a tree of its own. */
static void while_a_callback_starts_a_worker(void **state)
{
	struct forker f = { .tid = 0 };
	pthread_t thread;

	(void)state;
	alarm(CHILD_SECONDS);
	assert_true(smr_grace_start(MT_RCU_BP));
	assert_false(smr_grace_runs(MT_RCU_MEMB));
	smr_rcu_call(MT_RCU_BP, &starter.head, start_another);
	await(&starter.s.stands);
	assert_int_equal(pthread_create(&thread, NULL, fork_there, &f), 0);
	await(&f.tid);
	while (!is_asleep((int)f.tid)) /* fork() waits for callbacks */
		sched_yield();
	set(&starter.s.go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	await(&starter.over);
	alarm(0);
	assert_true(starter.started);
	assert_int_equal(f.status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_another_has_a_pool_locked), /* first: it says why */
		cmocka_unit_test(the_child_goes_on),
		cmocka_unit_test(while_another_looks),
		cmocka_unit_test(while_another_frees),
		cmocka_unit_test(while_the_worker_gathers),
		cmocka_unit_test(while_another_calls),
		cmocka_unit_test(while_another_gets_a_chunk),
		cmocka_unit_test(while_the_worker_waits),
		cmocka_unit_test(while_a_callback_starts_a_worker),
	};

#if SMR_TSAN || SMR_ASAN
	/*
	 * ThreadSanitizer cannot follow the child of a program with threads. With AddressSanitizer,
	 * another thread may have held a lock of its allocator at the fork, which nothing releases
	 * in the child.
	 */
	return 77;
#endif
	return cmocka_run_group_tests_name("mem_fork", tests, NULL, NULL);
}
