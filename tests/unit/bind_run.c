/* SPDX-License-Identifier: MIT */
/*
 * What one job does: operations see the effects of those before them, attributes are carried over.
 */
#include "support/bind_bed.h"

#include "gpuvm/vm.h"
#include <sched.h>

static void operations_see_those_before(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 18+4=B@0; unmap 12+2; prefetch 0+100; "
					"map 11+8=A@1; prefetch 10+8"),
			 0);
	expect_log("M(10+10=A@0) "
		   "R(10+10=A@0 k0 p:10+8=A@0 n:1c+4=A@c) M(18+4=B@0) "
		   "R(10+8=A@0 k0 p:10+2=A@0 n:14+4=A@4) "
		   "P(10+2=A@0) P(14+4=A@4) P(18+4=B@0) P(1c+4=A@c) "
		   "R(10+2=A@0 k1 p:10+1=A@0) U(14+4=A@4 k1) R(18+4=B@0 k0 n:19+3=B@1) M(11+8=A@1) "
		   "P(10+1=A@0) P(11+8=A@1)");
	expect_vm("[10+1=A@0 11+8=A@1 19+3=B@1 1c+4=A@c]");
	assert_int_equal(gpuvm_find(&bt.toy.vm, 0x12)->gem.offset, 1);
	end(q);
}

/* Each prefetch meets the mappings of its turn, which later operations of the job may remove. */
static void prefetches_amid_changes(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 30+8=A@30; map 10+8=A@10; map 20+8=B@0; map 40+8=B@8"),
			 0);
	toy_clear_log(&bt.toy);
	assert_int_equal(submit_sync(q, "prefetch 0+100; unmap 20+8; prefetch 0+100; map 12+2=C@0; "
					"prefetch 10+8; unmap_all A; prefetch 0+100; unmap 0+100; "
					"prefetch 0+100"),
			 0);
	expect_log("P(10+8=A@10) P(20+8=B@0) P(30+8=A@30) P(40+8=B@8) U(20+8=B@0 k0) "
		   "P(10+8=A@10) P(30+8=A@30) P(40+8=B@8) "
		   "R(10+8=A@10 k0 p:10+2=A@10 n:14+4=A@14) M(12+2=C@0) "
		   "P(10+2=A@10) P(12+2=C@0) P(14+4=A@14) "
		   "U(30+8=A@30 k0) U(10+2=A@10 k0) U(14+4=A@14 k0) P(12+2=C@0) P(40+8=B@8) "
		   "U(12+2=C@0 k0) U(40+8=B@8 k0)");
	expect_vm("[]");
	end(q);
}

static void unmap_all_in_one_job(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 20+10=B@0; map 40+10=A@20"), 0);
	toy_clear_log(&bt.toy);
	/*
	 * Operations over ranges that are gone, in the middle, at an end and as a whole; then A is
	 * unmapped again.
	 */
	assert_int_equal(submit_sync(q, "unmap_all A; map 14+4=A@80; unmap 18+2; prefetch 0+100; "
					"map 4c+8=C@0; unmap 10+1; unmap_all A; map 30+1=A@7; "
					"unmap_all C"),
			 0);
	expect_log("U(10+10=A@0 k0) U(40+10=A@20 k0) M(14+4=A@80) P(14+4=A@80) P(20+10=B@0) "
		   "M(4c+8=C@0) U(14+4=A@80 k0) M(30+1=A@7) U(4c+8=C@0 k0)");
	expect_vm("[20+10=B@0 30+1=A@7]");
	assert_int_equal(submit_sync(q, "map 10+40=B@0"), 0);
	expect_vm("[10+40=B@0]");
	assert_int_equal(submit_sync(q, "unmap_all B; unmap_all A"), 0);
	expect_vm("[]");
	end(q);
}

/* What a job maps after its BIND_UNMAP_ALL outlives that one, but not the next job's. */
static void hidden_again(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm *vm = &bt.toy.vm;
	void *old, *new;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; unmap_all A; unmap_all A; map 20+10=A@0"),
			 0);
	assert_int_equal(submit_sync(q, "map 30+10=A@0"), 0);
	expect_vm("[20+10=A@0 30+10=A@0]");
	gpuvm_read_lock(vm);
	old = mtree_load(&vm->tree, 0x20);
	new = mtree_load(&vm->tree, 0x30);
	assert_int_equal(submit(q, "map 50+1=B@0; unmap_all A", NULL, NULL), 0);
	while (gpuvm_find(vm, 0x30))
		sched_yield();
	assert_null(smr_gpuva_from_entry(vm, old));
	assert_null(smr_gpuva_from_entry(vm, new));
	gpuvm_read_unlock(vm);
	settle(q);
	end(q);
}

/* A reader finds a mapping, another takes its place, and then its object is unmapped. */
static void found_before_it_was_replaced(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm *vm = &bt.toy.vm;
	void *replaced, *cut, *gone;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 20+10=A@10; map 30+10=A@20"), 0);
	gpuvm_read_lock(vm);
	replaced = mtree_load(&vm->tree, 0x10);
	cut = mtree_load(&vm->tree, 0x20);
	gone = mtree_load(&vm->tree, 0x30);
	assert_int_equal(submit(q, "map 10+10=B@0; unmap 28+8; unmap_all A", NULL, NULL), 0);
	while (gpuvm_find(vm, 0x30))
		sched_yield();
	assert_ptr_equal(smr_gpuva_from_entry(vm, replaced), replaced);
	assert_ptr_equal(smr_gpuva_from_entry(vm, cut), cut);
	assert_null(smr_gpuva_from_entry(vm, gone));
	gpuvm_read_unlock(vm);
	settle(q);
	expect_vm("[10+10=B@0]");
	end(q);
}

static void attributes_are_carried(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuva *va;

	(void)state;
	assert_int_equal(submit_sync(q, "sparse 10+10; map 30+10=A@0"), 0);
	va = gpuvm_find(&bt.toy.vm, 0x30);
	gpuva_invalidate(va, true);
	assert_int_equal(submit_sync(q, "unmap 14+4; unmap 34+4"), 0);
	assert_int_equal(gpuvm_find(&bt.toy.vm, 0x10)->flags, GPUVA_SPARSE);
	assert_int_equal(gpuvm_find(&bt.toy.vm, 0x1f)->flags, GPUVA_SPARSE);
	va = gpuvm_find(&bt.toy.vm, 0x3f);
	assert_true(gpuva_invalidated(va));
	assert_ptr_equal(va->vm_bo->obj, &bt.toy.objs[0]);
	assert_int_equal(((struct bind_toy_va *)va)->mark, 0);
	/* The backing of this mapping is in place again. */
	__atomic_fetch_or(&va->flags, GPUVA_USERBITS, __ATOMIC_RELAXED);
	gpuva_invalidate(va, false);
	assert_int_equal(va->flags, GPUVA_USERBITS);
	assert_int_equal(submit_sync(q, "unmap 39+2"), 0);
	assert_int_equal(gpuvm_find(&bt.toy.vm, 0x38)->flags, GPUVA_USERBITS);
	assert_int_equal(gpuvm_find(&bt.toy.vm, 0x3f)->flags, GPUVA_USERBITS);
	assert_true(gpuva_invalidated(gpuvm_find(&bt.toy.vm, 0x30)));
	end(q);
}

/* More operations than the VM's holder of credits can serve at once. */
static void large_jobs(void **state)
{
	struct bind_op list[200];
	struct bind_job job = { .ops = list, .nr_ops = 200, .flags = BIND_SYNC };
	struct bind_queue *q = begin(NULL);

	(void)state;
	for (unsigned int i = 0; i < 200; i++)
		list[i] = (struct bind_op){ BIND_MAP, 0, 8 * i, 4, &bt.toy.objs[i % 3], i };
	assert_int_equal(bind_queue_submit(q, &job), 0);
	assert_int_equal(stats().vas_live, 200);
	for (unsigned int i = 0; i < 200; i++)
		list[i] = (struct bind_op){ .type = BIND_UNMAP, .addr = 8 * i + 1, .range = 1 };
	assert_int_equal(bind_queue_submit(q, &job), 0);
	assert_int_equal(stats().vas_live, 400);
	assert_int_equal(stats().bytes, 0);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_see_those_before),
		cmocka_unit_test(prefetches_amid_changes),
		cmocka_unit_test(unmap_all_in_one_job),
		cmocka_unit_test(hidden_again),
		cmocka_unit_test(found_before_it_was_replaced),
		cmocka_unit_test(attributes_are_carried),
		cmocka_unit_test(large_jobs),
	};

	return cmocka_run_group_tests_name("bind_run", tests, NULL, NULL);
}
