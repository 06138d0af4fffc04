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
		TEST(wait_in_a_read_section),
		TEST(wait_in_a_read_section_of_liburcus),
		TEST(wait_in_the_next_read_section),
		TEST(wait_in_every_flavour),
		TEST(credits_wait_for_grace_periods),
	};

	alarm(120);
	return cmocka_run_group_tests_name("lock_check_section", tests, NULL, NULL);
}
