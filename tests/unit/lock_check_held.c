/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules: locks that are taken in sections, or by readers, and elsewhere
 * held over an allocation or a wait are reported with both stacks; the nearest correct case is not.
 */
#include "reported.h"

#include "flavors.h"

void urcu_bp_read_lock(void);
void urcu_bp_read_unlock(void);

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
	/* A try-lock does not wait for an allocating holder. */
	takes(&a, &class_a, LOCKCHECK_TRY);
	lets_go(&a);
	expect_nothing();
	takes(&a2, &class_a, 0);
	lets_go(&a2);
	ends();
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "takes", "allocates");
}

/*
 * A section waits for a lock, whose holder waits for another, whose holder allocates. It does not
 * matter what is seen last.
 */
static void allocate_holding(const void *lock, struct lockcheck_class *lock_class)
{
	takes(lock, lock_class, 0);
	allocates();
	lets_go(lock);
}

static void take_in_a_section(const void *lock, struct lockcheck_class *lock_class,
			      unsigned int flags)
{
	begins();
	takes(lock, lock_class, flags);
	lets_go(lock);
	ends();
}

static void allocation_under_inner_locks_of_sections(void **state)
{
	(void)state;
	take_in_a_section(&a, &class_a, 0);
	nest(&a, &class_a, &b, &class_b);
	nest(&b, &class_b, &c, &class_c);
	nest(&d, &class_d, &a, &class_a);
	allocate_holding(&d, &class_d);
	expect_nothing();
	allocate_holding(&c, &class_c);
	assert_string_equal(
		seen.sentence,
		"the thread allocates or frees a thing holding a lock of class \"c\", for "
		"which sections have to wait elsewhere, because it is taken under those "
		"of class \"a\"");
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "allocates", "takes");
	allocate_holding(&c, &class_c);
	expect_nothing();
	lockcheck_set_handler(note, NULL);
	allocate_holding(&c, &class_c);
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "allocates", "takes");
}

static void section_outside_locks_over_allocations(void **state)
{
	(void)state;
	allocate_holding(&c, &class_c);
	nest(&b, &class_b, &c, &class_c);
	nest(&a, &class_a, &b, &class_b);
	take_in_a_section(&a, &class_a, LOCKCHECK_TRY);
	take_in_a_section(&d, &class_d, 0);
	expect_nothing();
	take_in_a_section(&a, &class_a, 0);
	assert_string_equal(seen.sentence,
			    "the thread takes inside a section a lock of class \"a\", under which "
			    "those of class \"c\" are taken, under which memory is allocated "
			    "elsewhere");
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "takes", "allocates");
}

static void taken_between_a_section_and_an_allocation(void **state)
{
	(void)state;
	allocate_holding(&c, &class_c);
	nest(&b, &class_b, &c, &class_c);
	take_in_a_section(&a, &class_a, 0);
	takes(&a, &class_a, 0);
	takes_again(&b, &class_b, LOCKCHECK_TRY);
	lets_go(&b);
	lets_go(&a);
	expect_nothing();
	nest(&a, &class_a, &b, &class_b);
	assert_string_equal(
		seen.sentence,
		"a lock of class \"b\" is taken while one of class \"a\" is held, for "
		"which sections have to wait elsewhere; so they may have to wait for one of "
		"class \"c\", under which memory is allocated");
	expect(LOCKCHECK_LOCK_OVER_ALLOCATION, "takes_again", "allocates");
}

/* Locks of trees: a store drops the internal one to allocate, preallocation does not. */
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
	/* Nesting them with other trees is no mistake either. */
	locks(&other);
	unlocks(&other);
	mas_unlock(&mas);
	expect_nothing();
}

/* ---- Locks over waits ---- */

static void take_and_let_go(const void *lock, struct lockcheck_class *lock_class,
			    unsigned int flags)
{
	takes(lock, lock_class, flags);
	lets_go(lock);
}

static void wait_holding(const void *lock, struct lockcheck_class *lock_class)
{
	takes(lock, lock_class, 0);
	waits();
	lets_go(lock);
}

static void taken_in_a_section_then_held_over_a_wait(void **state)
{
	(void)state;
	begins();
	take_and_let_go(&a, &class_a, 0);
	ends();
	wait_holding(&b, &class_b);
	expect_nothing();
	wait_holding(&a2, &class_a);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "waits", "takes");
	wait_holding(&a, &class_a);
	expect_nothing();
}

static void held_over_a_wait_then_taken_in_a_section(void **state)
{
	(void)state;
	wait_holding(&a, &class_a);
	begins();
	take_and_let_go(&a, &class_a, LOCKCHECK_TRY);
	take_and_let_go(&b, &class_b, 0);
	expect_nothing();
	take_and_let_go(&a2, &class_a, 0);
	ends();
	expect(LOCKCHECK_LOCK_OVER_WAIT, "takes", "waits");
}

static void wait_under_inner_locks_of_readers(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	reads(&mt);
	take_and_let_go(&a, &class_a, 0);
	reads_no_more(&mt);
	nest(&a, &class_a, &b, &class_b);
	expect_nothing();
	wait_holding(&b, &class_b);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "waits", "takes");
}

/* Each half of the two mistakes is a mistake of its own. */
static void held_over_an_allocation_and_a_wait(void **state)
{
	(void)state;
	takes(&a, &class_a, 0);
	allocates();
	waits();
	lets_go(&a);
	begins();
	take_and_let_go(&a, &class_a, 0);
	ends();
	assert_int_equal(seen.nr, 2);
	seen.nr = 1;
	expect(LOCKCHECK_LOCK_OVER_WAIT, "takes", "waits");
}

/* A look is not a wait. */
static void held_over_a_wait_for_a_fence(void **state)
{
	struct fence *fence = fence_create();

	(void)state;
	assert_non_null(fence);
	begins();
	take_and_let_go(&a, &class_a, 0);
	ends();
	takes(&a, &class_a, 0);
	assert_int_equal(fence_wait(fence, 0), -ETIMEDOUT);
	expect_nothing();
	waits_for_fence(fence);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "waits_for_fence", "takes");
	lets_go(&a);
	fence_put(fence);
}

/* Readers wait for such a lock while its holder may wait for readers. */
static void taken_by_readers_and_held_over_a_wait(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	wait_holding(&a, &class_a);
	takes(&a, &class_a, 0); /* before the section it waits for no reader */
	reads(&mt);
	take_and_let_go(&a2, &class_a, LOCKCHECK_TRY);
	lets_go(&a);
	expect_nothing();
	take_and_let_go(&a, &class_a, 0);
	reads_no_more(&mt);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "takes", "waits");
	urcu_bp_read_lock();
	take_and_let_go(&b, &class_b, 0);
	urcu_bp_read_unlock();
	expect_nothing();
	wait_holding(&b, &class_b);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "waits", "takes");
}

/* A holder that allocates under a lock that readers take only makes them wait. */
static void taken_by_readers_and_held_over_an_allocation(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	reads(&mt);
	take_and_let_go(&a, &class_a, 0);
	reads_no_more(&mt);
	takes(&a, &class_a, 0);
	allocates();
	lets_go(&a);
	expect_nothing();
}

NAMED gets_more_than_there_are(struct ma_state *mas)
{
	assert_int_equal(mas_expected_entries(mas, 1000000), -ENOMEM);
}

/* At the limit of its arena it waits for nodes that readers may still see. */
static void taken_by_readers_and_held_at_the_limit(void **state)
{
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_USE_RCU | MT_FLAGS_LOCK_EXTERN, a);
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	assert_non_null(mem);
	mt_set_mem(&mt, mem);
	mt_set_external_lock_check(&mt, &a, lockcheck_held);
	reads(&mt);
	take_and_let_go(&a, &class_a, 0);
	reads_no_more(&mt);
	takes(&a, &class_a, 0);
	for (unsigned long i = 0; i < 100; i++) {
		mas_set_range(&mas, 10 * i, 10 * i + 4);
		stores(&mas, GFP_KERNEL);
	}
	expect_nothing();
	gets_more_than_there_are(&mas);
	mas_destroy(&mas);
	expect(LOCKCHECK_LOCK_OVER_WAIT, "gets_more_than_there_are", "takes");
	__mt_destroy(&mt);
	lets_go(&a);
	mt_mem_destroy(mem);
}

/*
 * A grace period waits for readers of its own flavour only, whatever those of others and sections
 * wait for.
 */
static void held_over_a_grace_period(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = all_flavors[f], other = all_flavors[(f + 1) % 4];

		begin(NULL);
		register_reader(flavor);
		takes(&a, &class_a, 0);
		waits_for_grace(other);
		lets_go(&a);
		begins();
		take_and_let_go(&a, &class_a, 0);
		ends();
		assert_int_equal(mt_set_rcu_flavor(&mt, flavor), 0);
		reads(&mt);
		take_and_let_go(&a, &class_a, 0);
		reads_no_more(&mt);
		expect_nothing();
		takes(&a2, &class_a, 0);
		waits_for_grace(flavor);
		lets_go(&a2);
		expect(LOCKCHECK_LOCK_OVER_WAIT, "waits_for_grace", "takes");
		unregister_reader(flavor);
	}
}

/* The same in the other order. */
static void taken_by_readers_and_held_over_a_grace_period(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = all_flavors[f];

		begin(NULL);
		register_reader(flavor);
		takes(&a, &class_a, 0);
		waits_for_grace(flavor);
		lets_go(&a);
		expect_nothing();
		assert_int_equal(mt_set_rcu_flavor(&mt, flavor), 0);
		reads(&mt);
		takes(&a2, &class_a, 0);
		lets_go(&a2);
		reads_no_more(&mt);
		expect(LOCKCHECK_LOCK_OVER_WAIT, "takes", "waits_for_grace");
		unregister_reader(flavor);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(taken_in_a_section_then_held_over_an_allocation),
		TEST(held_over_an_allocation_then_taken_in_a_section),
		TEST(allocation_under_inner_locks_of_sections),
		TEST(section_outside_locks_over_allocations),
		TEST(taken_between_a_section_and_an_allocation),
		TEST(tree_locks_over_allocations),
		TEST(trees_with_a_class_of_their_own),
		TEST(taken_in_a_section_then_held_over_a_wait),
		TEST(held_over_a_wait_then_taken_in_a_section),
		TEST(wait_under_inner_locks_of_readers),
		TEST(held_over_an_allocation_and_a_wait),
		TEST(taken_by_readers_and_held_at_the_limit),
		TEST(held_over_a_wait_for_a_fence),
		TEST(taken_by_readers_and_held_over_a_wait),
		TEST(taken_by_readers_and_held_over_an_allocation),
		TEST(held_over_a_grace_period),
		TEST(taken_by_readers_and_held_over_a_grace_period),
	};

	alarm(120);
	return cmocka_run_group_tests_name("lock_check_held", tests, NULL, NULL);
}
