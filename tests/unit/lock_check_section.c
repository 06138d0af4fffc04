/* SPDX-License-Identifier: MIT */
/*
 * The checker of the locking rules: each broken rule about sections is reported with both stacks;
 * the nearest correct case is not.
 */
#include "reported.h"

#include "flavors.h"
#include "support/gpuvm_toy.h"
#include "lock/section.h"
#include "mem/heap.h"

#include <pthread.h>

void urcu_bp_read_lock(void);
void urcu_bp_read_unlock(void);

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

/*
 * A store over exactly one range needs no memory, whatever its gfp; other stores may use free
 * nodes.
 */
static void stores_that_a_section_allows(void **state)
{
	DEFINE_MTREE(mt);
	DEFINE_MTREE(copy);

	(void)state;
	fill(&mt);
	begins();
	assert_int_equal(mtree_dup(&mt, &copy, GFP_NOWAIT), 0);
	assert_int_equal(mtree_store_range(&mt, 10, 14, xa_mk_value(1), GFP_KERNEL), 0);
	assert_int_equal(mtree_store_range(&mt, 17, 18, xa_mk_value(1), GFP_NOWAIT), 0);
	assert_int_equal(mtree_store_range(&mt, 0, ULONG_MAX, NULL, GFP_NOWAIT), 0);
	assert_true(mtree_empty(&mt));
	ends();
	expect_nothing();
	mtree_destroy(&copy);
}

static void no_op(struct gpuvm *vm)
{
	(void)vm;
}

/* Dropping a last reference may free and sleep, so it is reported; dropping others is not. */
static void last_references_in_a_section(void **state)
{
	static const struct gpuvm_ops ops = { .vm_free = no_op };
	struct gpuvm_object resv, obj;
	struct gpuva va = { .vm_bo = NULL };
	struct gpuvm_bo *pair;
	struct gpuvm vm;

	(void)state;
	gpuvm_object_init(&resv, 0, NULL, NULL);
	gpuvm_object_init(&obj, 0, NULL, NULL);
	assert_int_equal(gpuvm_init(&vm, "vm", 0, NULL, &resv, 0, 0x1000, 0, 0, &ops), 0);
	pair = gpuvm_bo_create(&vm, gpuvm_object_get(&obj));
	assert_non_null(pair);
	gpuvm_bo_get(pair);
	gpuvm_get(&vm);
	gpuva_init(&va, 0, 1, &obj, 0);
	begins();
	gpuvm_object_put(&obj);
	assert_false(gpuvm_bo_put(pair));
	gpuvm_put(&vm);
	gpuvm_object_lock(&obj);
	gpuva_link(&va, pair);
	assert_ptr_equal(gpuva_unlink_defer(&va), pair);
	gpuvm_object_unlock(&obj);
	expect_nothing();
	puts_pair(gpuvm_bo_get(pair));
	expect_nothing();
	assert_false(gpuvm_bo_put(pair));
	expect_nothing();
	puts_pair(pair);
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "puts_pair", "begins");
	ends();
	pair = gpuvm_bo_create(&vm, &obj);
	assert_non_null(pair);
	gpuvm_object_lock(&obj);
	gpuva_link(&va, pair);
	gpuvm_object_unlock(&obj);
	gpuvm_bo_put(pair);
	begins();
	unlinks(&va);
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "unlinks", "begins");
	puts_object(&obj);
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "puts_object", "begins");
	puts_vm(&vm);
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "puts_vm", "begins");
	ends();
	gpuvm_object_put(&resv);
	expect_nothing();
}

static void wait_in_a_section(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	begins();
	begins();
	waits();
	expect(LOCKCHECK_WAIT_IN_SECTION, "waits", "begins");
	synchronizes(&mt);
	expect(LOCKCHECK_WAIT_IN_SECTION, "synchronizes", "begins");
	ends();
	waits_for_readers();
	assert_int_equal(seen.nr, 1);
	ends();
	memset(&seen, 0, sizeof(seen));
	waits();
	waits_for_readers();
	expect_nothing();
}

/* This wait does not block, and is reported all the same. */
static void wait_for_a_signalled_fence_in_a_section(void **state)
{
	struct fence *fence = fence_create();

	(void)state;
	assert_non_null(fence);
	fence_signal(fence);
	begins();
	waits_forever(fence);
	expect(LOCKCHECK_WAIT_IN_SECTION, "waits_forever", "begins");
	ends();
	waits_forever(fence);
	expect_nothing();
	fence_put(fence);
}

static void wait_for_readers_of_a_vm_in_a_section(void **state)
{
	struct toy_config config = { .range = 0x1000 };
	struct toy toy;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	begins();
	synchronizes_vm(&toy.vm);
	ends();
	expect(LOCKCHECK_WAIT_IN_SECTION, "synchronizes_vm", "begins");
	assert_true(toy_destroy(&toy));
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
	reads(&mt);
	urcu_bp_read_unlock();
	reads_no_more(&mt);
	expect(LOCKCHECK_SECTION_NOT_ENTERED, "reads_no_more", "reads_no_more");
	reads(&mt);
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads");
	reads_no_more(&mt);
	waits();
	expect_nothing();
}

/* Deeper than the checker has room for stacks: the stacks it has stay as they are. */
static void sections_in_sections(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	reads(&mt);
	for (unsigned int i = 0; i < 20; i++)
		begins();
	allocates();
	expect(LOCKCHECK_ALLOCATION_IN_SECTION, "allocates", "begins");
	for (unsigned int i = 0; i < 20; i++)
		ends();
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads");
	reads_no_more(&mt);
	allocates();
	expect_nothing();
}

static void sections_of_every_flavour_end_once(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = all_flavors[f];
		DEFINE_MTREE(mt);

		begin(NULL);
		assert_int_equal(mt_set_rcu_flavor(&mt, flavor), 0);
		register_reader(flavor);
		reads(&mt);
		reads(&mt);
		reads_no_more(&mt);
		reads_no_more(&mt);
		expect_nothing();
		reads_no_more(&mt);
		expect(LOCKCHECK_SECTION_NOT_ENTERED, "reads_no_more", "reads_no_more");
		reads(&mt);
		reads_no_more(&mt);
		expect_nothing();
		unregister_reader(flavor);
	}
}

/* With QSBR, where a waiting thread is no reader, such a wait ends. */
static void a_wait_for_oneself_is_reported_and_left_out(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		enum mt_rcu_flavor flavor = all_flavors[f];
		DEFINE_MTREE(mt);

		begin(NULL);
		assert_int_equal(mt_set_rcu_flavor(&mt, flavor), 0);
		register_reader(flavor);
		reads(&mt);
		synchronizes(&mt);
		expect(LOCKCHECK_WAIT_IN_READ_SECTION, "synchronizes", "reads");
		assert_int_equal(smr_check_synchronize(flavor), flavor == MT_RCU_QSBR);
		memset(&seen, 0, sizeof(seen));
		reads_no_more(&mt);
		assert_true(smr_check_synchronize(flavor));
		synchronizes(&mt);
		expect_nothing();
		unregister_reader(flavor);
	}
}

static void begin_tree(struct maple_tree *mt, enum mt_rcu_flavor flavor, struct mt_mem *mem)
{
	mt_init(mt);
	mt_set_mem(mt, mem);
	assert_int_equal(mt_set_rcu_flavor(mt, flavor), 0);
	mt_set_in_rcu(mt);
}

/* Nodes that the thread's own section keeps in limbo. */
static void other_waits_for_oneself(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < 4; f++) {
		struct mt_mem *mem = mt_mem_create(0, NULL);
		enum mt_rcu_flavor flavor = all_flavors[f];
		struct maple_tree mt;

		begin(NULL);
		assert_non_null(mem);
		register_reader(flavor);
		begin_tree(&mt, flavor, mt_mem_default());
		reads(&mt);
		fill(&mt);
		mtree_destroy(&mt);
		waits_for_readers();
		expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits_for_readers", "reads");
		begin_tree(&mt, flavor, mem);
		fill(&mt);
		mtree_destroy(&mt);
		destroys(mem);
		expect(LOCKCHECK_WAIT_IN_READ_SECTION, "destroys", "reads");
		reads_no_more(&mt);
		if (flavor != MT_RCU_QSBR) /* what was left alone */
			mt_mem_destroy(mem);
		mt_mem_barrier(mt_mem_default());
		expect_nothing();
		unregister_reader(flavor);
	}
}

static pthread_key_t late;

static void reads_no_more_late(void *mt)
{
	reads_no_more(mt);
	urcu_qsbr_unregister_thread();
}

static void *ends_reading(void *mt)
{
	urcu_qsbr_register_thread();
	assert_int_equal(pthread_setspecific(late, mt), 0);
	reads(mt);
	return NULL;
}

/* The checker's own destructor runs before those of the program. */
static void sections_end_in_destructors(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	assert_int_equal(mt_set_rcu_flavor(&mt, MT_RCU_QSBR), 0);
	assert_int_equal(pthread_key_create(&late, reads_no_more_late), 0);
	in_thread(ends_reading, &mt);
	assert_int_equal(pthread_key_delete(late), 0);
	expect_nothing();
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

/* A section that the program enters itself counts the same, but where it began is unknown. */
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

/* A section left without the checker's knowledge is not where the thread waits later. */
static void wait_in_the_next_read_section(void **state)
{
	DEFINE_MTREE(mt);

	(void)state;
	reads(&mt);
	urcu_bp_read_unlock();
	waits();
	expect_nothing();
	reads_again(&mt);
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads_again");
	urcu_bp_read_unlock();
	reads_no_more(&mt);
	assert_int_equal(seen.rule, LOCKCHECK_SECTION_NOT_ENTERED);
	memset(&seen, 0, sizeof(seen));
	reads(&mt);
	waits();
	expect(LOCKCHECK_WAIT_IN_READ_SECTION, "waits", "reads");
	reads_no_more(&mt);
	expect_nothing();
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

/*
 * Holders of credits may wait for a grace period in must-not-allocate sections, but not in
 * read-side ones.
 */
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
		TEST(allocation_in_a_section),
		TEST(stores_that_a_section_allows),
		TEST(last_references_in_a_section),
		TEST(wait_in_a_section),
		TEST(wait_for_a_signalled_fence_in_a_section),
		TEST(wait_for_readers_of_a_vm_in_a_section),
		TEST(sections_end_once),
		TEST(sections_in_sections),
		TEST(sections_of_every_flavour_end_once),
		TEST(a_wait_for_oneself_is_reported_and_left_out),
		TEST(other_waits_for_oneself),
		TEST(sections_end_in_destructors),
		TEST(taken_in_a_section_then_held_over_an_allocation),
		TEST(held_over_an_allocation_then_taken_in_a_section),
		TEST(allocation_under_inner_locks_of_sections),
		TEST(section_outside_locks_over_allocations),
		TEST(taken_between_a_section_and_an_allocation),
		TEST(tree_locks_over_allocations),
		TEST(trees_with_a_class_of_their_own),
		TEST(wait_in_a_read_section),
		TEST(wait_in_a_read_section_of_liburcus),
		TEST(wait_in_the_next_read_section),
		TEST(wait_in_every_flavour),
		TEST(credits_wait_for_grace_periods),
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
	return cmocka_run_group_tests_name("lock_check_section", tests, NULL, NULL);
}
