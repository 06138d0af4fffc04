/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules: each broken rule about locks is reported with both stacks; the
 * nearest correct case is not.
 */
#include "reported.h"

#include "lock/check_internal.h"
#include "support/child.h"
#include "support/memfault.h"

#include <errno.h>

NAMED nest_b_in_a(void);

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

/* There are more paths from the first to the last than classes. */
static void order_of_many(void **state)
{
	static struct lockcheck_class class[] = {
		LOCKCHECK_CLASS("0"), LOCKCHECK_CLASS("1"),  LOCKCHECK_CLASS("2"),
		LOCKCHECK_CLASS("3"), LOCKCHECK_CLASS("4"),  LOCKCHECK_CLASS("5"),
		LOCKCHECK_CLASS("6"), LOCKCHECK_CLASS("7"),  LOCKCHECK_CLASS("8"),
		LOCKCHECK_CLASS("9"), LOCKCHECK_CLASS("10"), LOCKCHECK_CLASS("11"),
	};
	const unsigned int nr = ARRAY_SIZE(class);

	(void)state;
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int j = i + 1; j < nr; j++)
			nest(&a, &class[i], &b, &class[j]);
	expect_nothing();
	nest(&b, &class[nr - 1], &a, &class[0]);
	expect(LOCKCHECK_LOCK_ORDER, "takes_again", "takes_again");
}

/*
 * A try-lock blocks nothing; but a lock waited for afterwards is waited for under the lock it got.
 */
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

/* The same with the library's own locks. */
static void two_trees_of_which_one_is_tried(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(other);

	(void)state;
	locks(&mt);
	assert_true(mt_lock_try(&other.ma_lock));
	unlocks(&other);
	unlocks(&mt);
	expect_nothing();
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
	lets_go(&a);
	expect(LOCKCHECK_LOCK_ORDER, "locks", "takes_rank");
}

/* But those that the program takes itself follow its own order, whichever that is. */
static void order_of_the_programs(void **state)
{
	static const enum smr_lock_rank ranks[] = { SMR_RANK_VM, SMR_RANK_TREE, SMR_RANK_RESV };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		enum smr_lock_rank outer = ranks[i], inner = ranks[(i + 1) % 3];

		for (unsigned int turn = 0; turn < 2; turn++) {
			begin(NULL);
			takes_rank(&a, turn ? outer : inner);
			takes_rank(&b, turn ? inner : outer);
			lets_go(&b);
			lets_go(&a);
			expect_nothing();
			takes_rank(&a, turn ? inner : outer);
			takes_rank(&b, turn ? outer : inner);
			lets_go(&b);
			lets_go(&a);
			expect(LOCKCHECK_LOCK_ORDER, "takes_rank", "takes_rank");
		}
	}
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

NAMED nest_as(void);
NAMED nest_as_too(void);

NAMED nest_as(void)
{
	nest(&a, &class_a, &a2, &class_a);
}

NAMED nest_as_too(void)
{
	nest(&a, &class_a, &a2, &class_a);
}

/* The report is about the class, not the place. */
static void two_of_a_class_in_two_places(void **state)
{
	(void)state;
	nest_as();
	nest_as_too();
	expect(LOCKCHECK_LOCK_NESTING, "nest_as", "nest_as");
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

static void six_trees(void **state)
{
	struct maple_tree mt[6];

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		mt_init(&mt[i]);
		mtree_lock_nested(&mt[i], i);
	}
	for (unsigned int i = 6; i-- > 3;)
		mtree_unlock(&mt[i]);
	expect_nothing();
	mtree_lock_nested(&mt[3], 2);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(seen.rule, LOCKCHECK_LOCK_NESTING);
	for (unsigned int i = 4; i-- > 0;)
		mtree_unlock(&mt[i]);
}

/* ---- Acquiring and releasing ---- */

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

static void count(void *nr)
{
	++*(unsigned int *)nr;
}

/* A store that drops the lock for memory restores it as it was, mistakes included. */
static void taken_twice_and_dropped_for_memory(void **state)
{
	unsigned int drops = 0;
	DEFINE_MTREE(mt);
	MA_STATE(mas, &mt, 1, 5);

	(void)state;
	locks(&mt);
	locks_again(&mt);
	expect(LOCKCHECK_LOCK_RECURSION, "locks_again", "locks");
	memfault_nth(1);
	memfault_on_unlock(count, &drops);
	assert_int_equal(mas_store_gfp(&mas, &mt, GFP_KERNEL), 0);
	memfault_ok();
	assert_int_equal(drops, 1);
	mtree_unlock(&mt);
	assert_true(mt_lock_is_held(&mt));
	mtree_unlock(&mt);
	assert_false(mt_lock_is_held(&mt));
	expect_nothing();
	mtree_destroy(&mt);
}

/* Locks for which a thread's table has no room are released like others. */
static void a_hundred_locks(void **state)
{
	static char lock[99];
	DEFINE_MTREE(mt);

	(void)state;
	for (unsigned int i = 0; i < 99; i++)
		takes(&lock[i], &class_a, LOCKCHECK_NESTED);
	mtree_lock(&mt);
	assert_true(mt_lock_is_held(&mt));
	mtree_unlock(&mt);
	assert_false(mt_lock_is_held(&mt));
	for (unsigned int i = 0; i < 99; i++) {
		assert_true(lockcheck_held(&lock[i]));
		lets_go(&lock[i]);
	}
	assert_true(lockcheck_enabled());
	assert_false(lockcheck_held(&lock[0]));
	expect_nothing();
	lets_go(&lock[0]);
	assert_int_equal(seen.nr, 1);
	assert_int_equal(seen.rule, LOCKCHECK_RELEASE_NOT_HELD);
}

/* Locks need no destruction: the memory of one may be used for another, whatever state it is in. */
static void initialised_anew(void **state)
{
	struct maple_tree mt;

	(void)state;
	mt_init(&mt);
	locks(&mt);
	mt_init(&mt);
	locks(&mt);
	expect_nothing();
	assert_true(mt_lock_is_held(&mt));
	unlocks(&mt);
	mt_init(&mt);
	unlocks(&mt);
	expect(LOCKCHECK_RELEASE_NOT_HELD, "unlocks", NULL);
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

/* ---- Reports ---- */

static void ask_in_handler(const struct lockcheck_report *report, void *held)
{
	(void)report;
	takes(&a, &class_a, 0);
	*(bool *)held = lockcheck_held(&a);
	lets_go(&a);
}

/* Locks taken in a handler are not checked, and so not known either. */
static void held_in_a_handler(void **state)
{
	bool held = false;

	(void)state;
	lockcheck_set_handler(ask_in_handler, &held);
	lets_go(&b);
	assert_true(held);
	assert_false(lockcheck_held(&a));
}

static void err_in_handler(const struct lockcheck_report *report, void *arg)
{
	note(report, arg);
	if (seen.nr == 1)
		lets_go(&b);
}

static void mistakes_of_a_handler(void **state)
{
	(void)state;
	lockcheck_set_handler(err_in_handler, NULL);
	begins();
	allocates();
	ends();
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "allocates", "begins");
	lets_go(&b);
	assert_int_equal(seen.nr, 1);
}

static void told_once_for_each_place(void **state)
{
	volatile unsigned int three = 3; /* an unrolled loop would be three places */

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

/* Mistakes between classes are reported again, too. */
static void told_again_after_a_new_handler(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	nest(&a, &class_a, &b, &class_b);
	for (unsigned int i = 0; i < 3; i++) {
		lockcheck_set_handler(note, NULL);
		nest(&b, &class_b, &a, &class_a);
		nest(&b, &class_b, &a, &class_a);
		expect(LOCKCHECK_LOCK_ORDER, "takes_again", "takes_again");
		takes_rank(&c, SMR_RANK_ARENA);
		locks(&mt);
		unlocks(&mt);
		lets_go(&c);
		expect(LOCKCHECK_LOCK_ORDER, "locks", "takes_rank");
		begins();
		takes(&d, &class_d, 0);
		lets_go(&d);
		ends();
		takes(&d, &class_d, 0);
		allocates();
		lets_go(&d);
		expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "allocates", "takes");
		begins();
		takes(&e, &class_e, 0);
		lets_go(&e);
		ends();
		takes(&e, &class_e, 0);
		waits();
		lets_go(&e);
		expect(LOCKCHECK_LOCK_OVER_WAIT, "waits", "takes");
	}
	/* What has been seen and was no mistake is remembered. */
	nest(&b, &class_b, &c, &class_c);
	begins();
	takes(&c, &class_c, 0);
	lets_go(&c);
	ends();
	lockcheck_set_handler(note, NULL);
	nest(&c, &class_c, &b, &class_b);
	expect(LOCKCHECK_LOCK_ORDER, "takes_again", "takes_again");
	takes(&c, &class_c, 0);
	allocates();
	lets_go(&c);
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "allocates", "takes");
}

/* However often: known edges take no more room. */
static void a_handler_many_times(void **state)
{
	(void)state;
	for (unsigned int i = 0; i <= SMRI_EDGES; i++) {
		nest(&a, &class_a, &b, &class_b);
		lockcheck_set_handler(note, NULL);
	}
	assert_true(lockcheck_enabled());
	expect_nothing();
}

/* Returns child_status() of @body with the default handler. */
static int run_child(int (*body)(void *arg), char *text, size_t size)
{
	lockcheck_set_handler(NULL, NULL);
	return child_status(body, NULL, text, size);
}

static int nest_both_ways(void *arg)
{
	(void)arg;
	nest(&a, &class_a, &b, &class_b);
	nest(&b, &class_b, &a, &class_a);
	return 0;
}

static void prints_and_aborts(void **state)
{
	char text[8192];
	int status = run_child(nest_both_ways, text, sizeof(text));

	(void)state;
	assert_true(has_aborted(status));
	assert_non_null(strstr(text,
			       "samara: lockcheck: lock-order: a lock of class \"a\" is taken "
			       "while one of class \"b\" is held"));
	assert_non_null(strstr(text, "takes_again+"));
	assert_non_null(strstr(text, "taken here:"));
	assert_non_null(strstr(text, "seen before in the other order here:"));
}

static int take_of_many_classes(void *arg)
{
	static struct lockcheck_class class[200];

	(void)arg;
	for (unsigned int i = 0; i < 200; i++) {
		class[i].name = "one of many";
		takes(&a, &class[i], 0);
		lets_go(&a);
	}
	allocates();
	return lockcheck_enabled() || !lockcheck_held(&a);
}

static void gives_up_when_a_table_is_full(void **state)
{
	char text[1024];
	int status = run_child(take_of_many_classes, text, sizeof(text));

	(void)state;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_string_equal(text, "samara: lockcheck stops checking: too many classes of locks\n");
	assert_true(lockcheck_enabled());
}

static void print_it(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	lockcheck_print(report);
}

/*
 * A program that goes on after reports does so even if nothing reads them: it gets no SIGPIPE, and
 * its errno stays.
 */
static void prints_where_nobody_reads(void **state)
{
	static char never_held, nor_this;
	int saved = dup(STDERR_FILENO), ends[2];

	(void)state;
	assert_true(saved >= 0);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	lockcheck_set_handler(print_it, NULL);
	errno = EDOM;
	lets_go(&never_held);
	assert_int_equal(errno, EDOM);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	begin(NULL);
	lets_go(&nor_this);
	expect(LOCKCHECK_RELEASE_NOT_HELD, "lets_go", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(prints_and_aborts), /* these fork, so they come first */
		TEST(gives_up_when_a_table_is_full),
		TEST(order_of_two),
		TEST(order_of_four),
		TEST(order_of_many),
		TEST(order_of_tries),
		TEST(two_trees_of_which_one_is_tried),
		TEST(order_with_a_tree),
		TEST(order_of_ranks),
		TEST(order_of_the_programs),
		TEST(two_of_a_class),
		TEST(two_of_a_class_in_two_places),
		TEST(two_trees),
		TEST(six_trees),
		TEST(taken_twice),
		TEST(taken_twice_and_dropped_for_memory),
		TEST(a_hundred_locks),
		TEST(initialised_anew),
		TEST(let_go_by_another),
		TEST(held_in_a_handler),
		TEST(mistakes_of_a_handler),
		TEST(told_once_for_each_place),
		TEST(told_again_after_a_new_handler),
		TEST(a_handler_many_times),
		TEST(prints_where_nobody_reads),
	};

	alarm(120);
	return cmocka_run_group_tests_name("lock_check", tests, NULL, NULL);
}
