/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules: each rule is broken, and reported with both stacks; and its nearest correct
 * neighbour is not. The functions that the stacks must name are visible to dladdr(), and so not static.
 */
#include "support/cm.h"

#include "base/hooks.h"
#include "flavors.h"
#include "lock/check.h"
#include "lock/section.h"
#include "mem/heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <samara/credits.h>
#include <samara/lockcheck.h>
#include <samara/maple_tree.h>
#include <samara/txn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void urcu_bp_read_lock(void);
void urcu_bp_read_unlock(void);

enum { FRAMES = 40, ENTRY = 7 };

static struct {
	unsigned int nr; /* reports so far */
	enum lockcheck_rule rule;
	char name[40];
	char sentence[400];
	unsigned int frames[2];
	void *frame[2][FRAMES];
} seen;

static void note(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	seen.nr++;
	seen.rule = report->rule;
	snprintf(seen.name, sizeof(seen.name), "%s", report->name);
	snprintf(seen.sentence, sizeof(seen.sentence), "%s", report->sentence);
	for (unsigned int s = 0; s < 2; s++) {
		assert_non_null(report->stack[s].caption);
		assert_true(report->stack[s].nr <= FRAMES);
		seen.frames[s] = report->stack[s].nr;
		if (seen.frames[s])
			memcpy(seen.frame[s], report->stack[s].frames,
			       seen.frames[s] * sizeof(void *));
	}
}

static int begin(void **state)
{
	(void)state;
	smr_check_forget();
	lockcheck_set_handler(note, NULL);
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static bool stack_names(unsigned int s, const char *function)
{
	Dl_info info;

	for (unsigned int i = 0; i < seen.frames[s]; i++)
		if (dladdr((char *)seen.frame[s][i] - 1, &info) && info.dli_sname &&
		    strcmp(info.dli_sname, function) == 0)
			return true;
	return false;
}

/* One report, of @rule, with a stack through @here and one through @other (NULL: not known). Forgets it. */
static void expect(enum lockcheck_rule rule, const char *here, const char *other)
{
	if (seen.nr != 1 || seen.rule != rule)
		fail_msg("%u reports, the last: %s: %s", seen.nr, seen.name, seen.sentence);
	if (!stack_names(0, here))
		fail_msg("%s does not name %s", seen.name, here);
	if (other ? !stack_names(1, other) : seen.frames[1] != 0)
		fail_msg("%s: the other stack does not name %s", seen.name,
			 other ? other : "nothing");
	memset(&seen, 0, sizeof(seen));
}

static void expect_nothing(void)
{
	if (seen.nr)
		fail_msg("%s: %s", seen.name, seen.sentence);
}

static void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- What the stacks have to name ---- */

#define NAMED __attribute__((noinline, noclone)) void

static struct lockcheck_class class_a = LOCKCHECK_CLASS("a"), class_b = LOCKCHECK_CLASS("b"),
			      class_c = LOCKCHECK_CLASS("c"), class_d = LOCKCHECK_CLASS("d");
static char a, a2, b, c, d, e; /* locks: all that counts is where they are */

NAMED takes(const void *lock, struct lockcheck_class *lock_class, unsigned int flags);
NAMED takes_again(const void *lock, struct lockcheck_class *lock_class, unsigned int flags);
NAMED lets_go(const void *lock);
NAMED locks(struct maple_tree *mt);
NAMED unlocks(struct maple_tree *mt);
NAMED begins(void);
NAMED allocates(void);
NAMED waits(void);
NAMED stores(struct ma_state *mas, gfp_t gfp);
NAMED steps(struct ma_state *mas);
NAMED reads(struct maple_tree *mt);
NAMED reads_no_more(struct maple_tree *mt);
NAMED ends(void);
NAMED preallocates(struct ma_state *mas);
NAMED takes_rank(const void *lock, enum smr_lock_rank rank);
NAMED locks_again(struct maple_tree *mt);
NAMED locks_nested(struct maple_tree *mt);
NAMED waits_for_readers(void);
NAMED stores_on_credit(struct mt_credits *credits, unsigned long key);
NAMED finds(struct ma_state *mas);
NAMED nest_b_in_a(void);

NAMED takes(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	lockcheck_acquire(lock, lock_class, flags);
}

NAMED takes_again(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	lockcheck_acquire(lock, lock_class, flags);
}

NAMED lets_go(const void *lock)
{
	lockcheck_release(lock);
}

NAMED locks(struct maple_tree *mt)
{
	mtree_lock(mt);
}

NAMED unlocks(struct maple_tree *mt)
{
	mtree_unlock(mt);
}

NAMED begins(void)
{
	lockcheck_section_begin("test");
}

NAMED allocates(void)
{
	lockcheck_alloc("a thing");
}

NAMED waits(void)
{
	lockcheck_wait("a fence");
}

NAMED stores(struct ma_state *mas, gfp_t gfp)
{
	assert_int_equal(mas_store_gfp(mas, xa_mk_value(ENTRY), gfp), 0);
}

NAMED steps(struct ma_state *mas)
{
	assert_ptr_equal(mas_next(mas, ULONG_MAX), xa_mk_value(ENTRY));
}

NAMED reads(struct maple_tree *mt)
{
	mt_rcu_read_lock(mt);
}

NAMED reads_no_more(struct maple_tree *mt)
{
	mt_rcu_read_unlock(mt);
}

NAMED ends(void)
{
	lockcheck_section_end();
}

NAMED preallocates(struct ma_state *mas)
{
	assert_int_equal(mas_preallocate(mas, xa_mk_value(1), GFP_KERNEL), 0);
	mas_destroy(mas);
}

NAMED takes_rank(const void *lock, enum smr_lock_rank rank)
{
	smr_check_acquire(lock, rank);
}

NAMED locks_again(struct maple_tree *mt)
{
	mtree_lock(mt);
}

NAMED locks_nested(struct maple_tree *mt)
{
	mtree_lock_nested(mt, 1);
}

NAMED waits_for_readers(void)
{
	mt_mem_barrier(mt_mem_default());
}

NAMED stores_on_credit(struct mt_credits *credits, unsigned long key)
{
	assert_int_equal(mtree_store_range_credit(credits, key, key, xa_mk_value(1)), 0);
}

NAMED finds(struct ma_state *mas)
{
	assert_non_null(mas_find(mas, ULONG_MAX));
}

/* Takes @outer, then @inner, and lets go of both. */
static void nest(const void *outer, struct lockcheck_class *outer_class, const void *inner,
		 struct lockcheck_class *inner_class)
{
	takes(outer, outer_class, 0);
	takes_again(inner, inner_class, 0);
	lets_go(inner);
	lets_go(outer);
}

static void fill(struct maple_tree *mt)
{
	for (unsigned long i = 0; i < 200; i++)
		assert_int_equal(
			mtree_store_range(mt, 10 * i, 10 * i + 4, xa_mk_value(ENTRY), GFP_KERNEL),
			0);
}

/* ---- Writes ---- */

static void write_without_the_lock(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 5, 6);

	(void)state;
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", NULL);
	locks(&mt);
	stores(&mas, GFP_KERNEL);
	unlocks(&mt);
	expect_nothing();
	mas_set(&mas, 7);
	stores(&mas, GFP_KERNEL);
	assert_non_null(strstr(seen.sentence, "does not hold"));
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "unlocks");
	mtree_destroy(&mt);
}

static void *store_unlocked(void *arg)
{
	MA_STATE(mas, (struct maple_tree *)arg, 5, 6);

	stores(&mas, GFP_KERNEL);
	return NULL;
}

/* The lock is held, but by somebody else. */
static void write_under_another_threads_lock(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	locks(&mt);
	unlocks(&mt);
	locks(&mt);
	in_thread(store_unlocked, &mt);
	assert_non_null(strstr(seen.sentence, "which thread"));
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "unlocks");
	unlocks(&mt);
	mtree_destroy(&mt);
}

static void write_without_the_external_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 5, 6);

	(void)state;
	mt_set_external_lock_check(&mt, &a, lockcheck_held);
	takes(&a, &class_a, 0);
	stores(&mas, GFP_KERNEL);
	lets_go(&a);
	expect_nothing();
	mas_set(&mas, 7);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "lets_go");
	takes(&a, &class_a, LOCKCHECK_SHARED);
	mas_set(&mas, 8);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_WRITE_WITHOUT_LOCK, "stores", "takes");
	lets_go(&a);
	takes(&a, &class_a, 0);
	__mt_destroy(&mt);
	lets_go(&a);
	expect_nothing();
}

static void other_writes_without_the_lock(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(copy);
	struct mt_txn txn;

	(void)state;
	fill(&mt);
	mt_txn_begin(&txn, &mt);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(mt_txn_store_range(&txn, 1, 2, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(seen.nr, 2);
	mt_txn_commit(&txn);
	assert_int_equal(seen.nr, 3);
	assert_int_equal(__mt_dup(&mt, &copy, GFP_KERNEL), 0);
	assert_int_equal(seen.nr, 4);
	__mt_destroy(&copy);
	assert_int_equal(seen.nr, 5);
	assert_int_equal(seen.rule, LOCKCHECK_WRITE_WITHOUT_LOCK);
	mtree_destroy(&mt);
}

/* ---- Sections ---- */

static void allocation_in_a_section(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 5, 6);
	void *p;

	(void)state;
	fill(&mt);
	begins();
	allocates();
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "allocates", "begins");
	mas_lock(&mas);
	stores(&mas, GFP_KERNEL);
	mas_unlock(&mas);
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "stores", "begins");
	p = smr_heap_alloc(8);
	assert_int_equal(seen.nr, 1);
	smr_heap_free(p);
	assert_int_equal(seen.nr, 2);
	assert_int_equal(seen.rule, LOCKCHECK_ALLOCATION_IN_SECTION);
	ends();
	memset(&seen, 0, sizeof(seen));
	allocates();
	smr_heap_free(smr_heap_alloc(8));
	expect_nothing();
	mtree_destroy(&mt);
}

/* A store over exactly one range needs no memory whatever its gfp; others may do with what is free. */
static void stores_that_a_section_allows(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	fill(&mt);
	begins();
	assert_int_equal(mtree_store_range(&mt, 10, 14, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&mt, 17, 18, xa_mk_value(1), GFP_NOWAIT), 0);
	assert_int_equal(mtree_store_range(&mt, 0, ULONG_MAX, NULL, GFP_NOWAIT), 0);
	assert_true(mtree_empty(&mt));
	ends();
	expect_nothing();
}

static void wait_in_a_section(void **state)
{
	(void)state;
	begins();
	begins();
	waits();
	expect(LOCKCHECK_WAIT_IN_SECTION, "waits", "begins");
	ends();
	waits_for_readers();
	assert_int_equal(seen.nr, 1);
	ends();
	memset(&seen, 0, sizeof(seen));
	waits();
	waits_for_readers();
	expect_nothing();
}

static void sections_end_once(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	begins();
	ends();
	expect_nothing();
	ends();
	expect(LOCKCHECK_SECTION_NOT_ENTERED, "ends", NULL);
	assert_false(smr_in_section());
	reads(&mt);
	reads_no_more(&mt);
	expect_nothing();
	reads_no_more(&mt);
	expect(LOCKCHECK_SECTION_NOT_ENTERED, "reads_no_more", "reads_no_more");
}

/* ---- Locks over allocations ---- */

static void taken_in_a_section_then_held_over_an_allocation(void **state)
{
	(void)state;
	begins();
	takes(&a, &class_a, 0);
	lets_go(&a);
	ends();
	expect_nothing();
	takes(&b, &class_b, 0);
	allocates();
	lets_go(&b);
	expect_nothing();
	takes(&a2, &class_a, 0);
	allocates();
	lets_go(&a2);
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "allocates", "takes");
}

static void held_over_an_allocation_then_taken_in_a_section(void **state)
{
	(void)state;
	takes(&a, &class_a, 0);
	allocates();
	lets_go(&a);
	expect_nothing();
	begins();
	/* Trying does not wait for whoever allocates. */
	takes(&a, &class_a, LOCKCHECK_TRY);
	lets_go(&a);
	expect_nothing();
	takes(&a2, &class_a, 0);
	lets_go(&a2);
	ends();
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "takes", "allocates");
}

/* Of trees: a store drops the internal lock to allocate, but preallocation does not. */
static void tree_locks_over_allocations(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(other);
	MA_STATE(mas, &mt, 7, 8);

	(void)state;
	fill(&mt);
	begins();
	locks(&other);
	unlocks(&other);
	ends();
	fill(&other);
	expect_nothing();
	mas_lock(&mas);
	preallocates(&mas);
	mas_unlock(&mas);
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "preallocates", "locks");
	mtree_destroy(&mt);
	mtree_destroy(&other);
}

static void trees_with_a_class_of_their_own(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(other);
	MA_STATE(mas, &mt, 7, 8);

	(void)state;
	lockcheck_set_class(&other.ma_lock, &class_d);
	begins();
	locks(&other);
	unlocks(&other);
	ends();
	mas_lock(&mas);
	preallocates(&mas);
	/* Neither do they nest with other trees by mistake. */
	locks(&other);
	unlocks(&other);
	mas_unlock(&mas);
	expect_nothing();
}

/* ---- Order ---- */

NAMED nest_b_in_a(void)
{
	nest(&a, &class_a, &b, &class_b);
}

static void *nest_there(void *arg)
{
	(void)arg;
	nest_b_in_a();
	return NULL;
}

static void order_of_two(void **state)
{
	(void)state;
	in_thread(nest_there, NULL);
	nest(&a2, &class_a, &b, &class_b);
	expect_nothing();
	nest(&b, &class_b, &a, &class_a);
	expect(LOCKCHECK_LOCK_ORDER, "takes_again", "nest_b_in_a");
	nest(&b, &class_b, &a2, &class_a);
	expect_nothing(); /* once is enough */
}

static void order_of_four(void **state)
{
	(void)state;
	nest(&a, &class_a, &b, &class_b);
	nest(&c, &class_c, &d, &class_d);
	nest(&b, &class_b, &c, &class_c);
	expect_nothing();
	nest(&d, &class_d, &a, &class_a);
	assert_non_null(strstr(seen.sentence, "\"a\", \"b\", \"c\", \"d\""));
	expect(LOCKCHECK_LOCK_ORDER, "takes_again", "takes_again");
}

/* Who only tries holds nobody up; but what it then waits for is waited for under the lock it got. */
static void order_of_tries(void **state)
{
	(void)state;
	nest(&a, &class_a, &b, &class_b);
	takes(&b, &class_b, 0);
	takes(&a, &class_a, LOCKCHECK_TRY);
	lets_go(&a);
	lets_go(&b);
	expect_nothing();
	takes(&b, &class_b, LOCKCHECK_TRY);
	takes_again(&a, &class_a, 0);
	lets_go(&b);
	lets_go(&a);
	expect(LOCKCHECK_LOCK_ORDER, "takes_again", "takes_again");
}

static void order_with_a_tree(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	locks(&mt);
	takes(&a, &class_a, 0);
	lets_go(&a);
	unlocks(&mt);
	takes(&a, &class_a, 0);
	locks(&mt);
	unlocks(&mt);
	lets_go(&a);
	expect(LOCKCHECK_LOCK_ORDER, "locks", "takes");
}

/* The library's own locks have a rank from the beginning. */
static void order_of_ranks(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	takes_rank(&a, SMR_RANK_ARENA);
	locks(&mt);
	unlocks(&mt);
	smr_check_release(&a);
	expect(LOCKCHECK_LOCK_ORDER, "locks", "takes_rank");
}

static void two_of_a_class(void **state)
{
	(void)state;
	takes(&a, &class_a, 0);
	takes_again(&a2, &class_a, LOCKCHECK_NESTED);
	lets_go(&a2);
	expect_nothing();
	takes_again(&a2, &class_a, 0);
	lets_go(&a2);
	lets_go(&a);
	expect(LOCKCHECK_LOCK_NESTING, "takes_again", "takes");
}

static void two_trees(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(copy);

	(void)state;
	fill(&mt);
	assert_int_equal(mtree_dup(&mt, &copy, GFP_KERNEL), 0);
	locks(&mt);
	locks_nested(&copy);
	mtree_unlock(&copy);
	expect_nothing();
	locks(&copy);
	unlocks(&copy);
	unlocks(&mt);
	expect(LOCKCHECK_LOCK_NESTING, "locks", "locks");
	locks_nested(&copy);
	locks(&mt);
	unlocks(&mt);
	mtree_unlock(&copy);
	expect(LOCKCHECK_LOCK_ORDER, "locks", "locks_nested");
	mtree_destroy(&mt);
	mtree_destroy(&copy);
}

/* ---- Taking and letting go ---- */

static void taken_twice(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	locks(&mt);
	locks_again(&mt); /* would wait for itself */
	expect(LOCKCHECK_LOCK_RECURSION, "locks_again", "locks");
	mtree_unlock(&mt);
	assert_true(mt_lock_is_held(&mt));
	mtree_unlock(&mt);
	assert_false(mt_lock_is_held(&mt));
	assert_true(mt_lock_try(&mt.ma_lock));
	assert_false(mt_lock_try(&mt.ma_lock));
	unlocks(&mt);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	takes(&a, &class_a, LOCKCHECK_SHARED);
	lets_go(&a);
	assert_true(lockcheck_held(&a));
	lets_go(&a);
	assert_false(lockcheck_held(&a));
	expect_nothing();
	takes(&a, &class_a, LOCKCHECK_SHARED);
	takes_again(&a, &class_a, 0);
	expect(LOCKCHECK_LOCK_RECURSION, "takes_again", "takes");
	lets_go(&a);
	lets_go(&a);
	expect_nothing();
}

static void *let_go(void *lock)
{
	lets_go(lock);
	return NULL;
}

static void let_go_by_another(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	takes(&e, &class_a, 0);
	in_thread(let_go, &e);
	expect(LOCKCHECK_RELEASE_NOT_HELD, "lets_go", NULL);
	lets_go(&e);
	expect_nothing();
	lets_go(&e);
	expect(LOCKCHECK_RELEASE_NOT_HELD, "lets_go", "lets_go");
	unlocks(&mt);
	assert_int_equal(seen.rule, LOCKCHECK_RELEASE_NOT_HELD);
	assert_true(mt_lock_try(&mt.ma_lock));
	unlocks(&mt);
	assert_int_equal(seen.nr, 1);
}

/* ---- Waiting in read-side sections ---- */

static void wait_in_a_read_section(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	reads(&mt);
	reads(&mt);
	mt_rcu_read_unlock(&mt);
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads");
	waits_for_readers();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits_for_readers", "reads");
	reads_no_more(&mt);
	waits();
	expect_nothing();
}

/* A section that the program enters by itself is the same section; where it began nobody knows. */
static void wait_in_a_read_section_of_liburcus(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	urcu_bp_read_lock();
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", NULL);
	reads_no_more(&mt);
	reads(&mt);
	urcu_bp_read_unlock();
	waits();
	expect_nothing();
	assert_int_equal(mt_set_rcu_flavor(&mt, MT_RCU_BP), 0);
}

static void wait_in_every_flavour(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = (enum mt_rcu_flavor)f;
		DEFINE_MTREE(mt);

		begin(NULL);
		assert_int_equal(mt_set_rcu_flavor(&mt, flavor), 0);
		register_reader(flavor);
		waits();
		expect_nothing();
		reads(&mt);
		waits();
		expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads");
		reads_no_more(&mt);
		waits();
		expect_nothing();
		unregister_reader(flavor);
	}
}

/* Holders of credits may wait for a grace period in must-not-allocate sections, but not in read-side ones. */
static void credits_wait_for_grace_periods(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	struct mt_credits credits;

	(void)state;
	fill(&mt);
	mt_credits_init(&credits, &mt, MT_CREDITS_RECYCLING);
	assert_int_equal(mt_credits_reserve(&credits, 4, GFP_KERNEL), 0);
	begins();
	stores_on_credit(&credits, 1);
	ends();
	expect_nothing();
	reads(&mt);
	stores_on_credit(&credits, 6);
	reads_no_more(&mt);
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "stores_on_credit", "reads");
	mt_credits_release(&credits);
	mtree_destroy(&mt);
}

/* ---- Cursors ---- */

static void cursor_after_its_lock(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	steps(&mas);
	mas_pause(&mas);
	unlocks(&mt);
	locks(&mt);
	steps(&mas);
	expect_nothing();
	unlocks(&mt);
	locks(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "unlocks");
	mas_set(&mas, 50);
	finds(&mas);
	unlocks(&mt);
	mtree_lock(&mt);
	finds(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "finds", "unlocks");
	__mas_set_range(&mas, mas.index + 1, mas.last - 1);
	stores(&mas, GFP_KERNEL);
	expect(LOCKCHECK_STALE_CURSOR, "stores", "unlocks");
	mtree_unlock(&mt);
	mtree_destroy(&mt);
}

/* The lock that a blocking store drops for a while was never left by the user. */
static void cursor_across_a_blocking_store(void **state)
{
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 0, 0);
	MA_STATE(writer, &mt, 0, 0);

	(void)state;
	fill(&mt);
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	locks(&mt);
	assert_non_null(mas_walk(&mas));
	for (unsigned long i = 0; i < 100; i++) {
		mas_set_range(&writer, 10 * i + 6, 10 * i + 7);
		stores(&writer, GFP_KERNEL);
	}
	steps(&mas);
	unlocks(&mt);
	smr_hook_reset();
	expect_nothing();
	mtree_destroy(&mt);
}

static void cursor_after_its_external_lock(void **state)
{
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	mt_set_external_lock_check(&mt, &a, lockcheck_held);
	takes(&a, &class_a, 0);
	for (unsigned long i = 0; i < 9; i++) {
		mas_set_range(&mas, 10 * i, 10 * i + 4);
		stores(&mas, GFP_KERNEL);
	}
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	steps(&mas);
	lets_go(&a);
	takes(&a, &class_a, 0);
	expect_nothing();
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "lets_go");
	__mt_destroy(&mt);
	lets_go(&a);
}

static void cursor_after_its_read_section(void **state)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_USE_RCU);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	fill(&mt);
	reads(&mt);
	assert_non_null(mas_walk(&mas));
	reads(&mt);
	reads_no_more(&mt);
	steps(&mas);
	mas_pause(&mas);
	reads_no_more(&mt);
	reads(&mt);
	steps(&mas);
	expect_nothing();
	reads_no_more(&mt);
	reads(&mt);
	steps(&mas);
	expect(LOCKCHECK_STALE_CURSOR, "steps", "reads_no_more");
	reads_no_more(&mt);
	/* A section of the program's own around it goes on. */
	urcu_bp_read_lock();
	reads(&mt);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	reads_no_more(&mt);
	steps(&mas);
	urcu_bp_read_unlock();
	/* Lock and section: one of them is enough. */
	reads(&mt);
	locks(&mt);
	mas_set(&mas, 0);
	assert_non_null(mas_walk(&mas));
	unlocks(&mt);
	steps(&mas);
	reads_no_more(&mt);
	expect_nothing();
	mtree_destroy(&mt);
}

/* ---- Reports ---- */

static void told_once_for_each_place(void **state)
{
	volatile unsigned int three =
		3; /* lest the loops be unrolled: that would be three places */

	(void)state;
	begins();
	for (unsigned int i = 0; i < three; i++)
		allocates();
	assert_int_equal(seen.nr, 1);
	allocates();
	assert_int_equal(seen.nr, 2);
	lockcheck_set_handler(note, NULL);
	for (unsigned int i = 0; i < three; i++)
		allocates();
	assert_int_equal(seen.nr, 3);
	ends();
}

/* Runs @body in a child with its stderr in @text: the child's status. */
static int run_child(void (*body)(void), char *text, size_t size)
{
	int fd[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		lockcheck_set_handler(NULL, NULL);
		body();
		_exit(0);
	}
	close(fd[1]);
	while (len + 1 < size && (n = read(fd[0], text + len, size - len - 1)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void nest_both_ways(void)
{
	nest(&a, &class_a, &b, &class_b);
	nest(&b, &class_b, &a, &class_a);
}

static void prints_and_aborts(void **state)
{
	char text[8192];
	int status = run_child(nest_both_ways, text, sizeof(text));

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text,
			       "samara: lockcheck: lock-order: a lock of class \"a\" is taken "
			       "while one of class \"b\" is held"));
	assert_non_null(strstr(text, "takes_again+"));
	assert_non_null(strstr(text, "taken here:"));
	assert_non_null(strstr(text, "seen before in the other order here:"));
}

static void take_a_hundred(void)
{
	static char lock[100];

	for (unsigned int i = 0; i < 100; i++)
		takes(&lock[i], &class_a, LOCKCHECK_NESTED);
	for (unsigned int i = 0; i < 100; i++)
		lets_go(&lock[i]);
	allocates();
	if (lockcheck_enabled() || !lockcheck_held(&a))
		_exit(1);
}

static void gives_up_when_a_table_is_full(void **state)
{
	char text[1024];
	int status = run_child(take_a_hundred, text, sizeof(text));

	(void)state;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_string_equal(
		text, "samara: lockcheck stops checking: too many locks held by one thread\n");
	assert_true(lockcheck_enabled());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		TEST(prints_and_aborts), /* these fork, which is best done first */
		TEST(gives_up_when_a_table_is_full),
		TEST(write_without_the_lock),
		TEST(write_under_another_threads_lock),
		TEST(write_without_the_external_lock),
		TEST(other_writes_without_the_lock),
		TEST(allocation_in_a_section),
		TEST(stores_that_a_section_allows),
		TEST(wait_in_a_section),
		TEST(sections_end_once),
		TEST(taken_in_a_section_then_held_over_an_allocation),
		TEST(held_over_an_allocation_then_taken_in_a_section),
		TEST(tree_locks_over_allocations),
		TEST(trees_with_a_class_of_their_own),
		TEST(order_of_two),
		TEST(order_of_four),
		TEST(order_of_tries),
		TEST(order_with_a_tree),
		TEST(order_of_ranks),
		TEST(two_of_a_class),
		TEST(two_trees),
		TEST(taken_twice),
		TEST(let_go_by_another),
		TEST(wait_in_a_read_section),
		TEST(wait_in_a_read_section_of_liburcus),
		TEST(wait_in_every_flavour),
		TEST(credits_wait_for_grace_periods),
		TEST(cursor_after_its_lock),
		TEST(cursor_across_a_blocking_store),
		TEST(cursor_after_its_external_lock),
		TEST(cursor_after_its_read_section),
		TEST(told_once_for_each_place),
	};

	alarm(120);
	return cmocka_run_group_tests_name("lock_check", tests, NULL, NULL);
}
