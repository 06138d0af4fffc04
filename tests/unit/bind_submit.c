/* SPDX-License-Identifier: MIT */
/* Submitting jobs: what is refused, and that a refused job leaves nothing behind. */
#include "support/bind_bed.h"

#include "mem/arena.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

static void expect_bad(struct bind_queue *q, struct bind_op op)
{
	struct bind_op list[2] = { { .type = BIND_UNMAP, .addr = 0x20, .range = 4 }, op };
	struct bind_job job = { .ops = list, .nr_ops = 2 };

	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	assert_int_equal(job.bad_op, 1);
}

static void refuses_operations(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm_object *a = &bt.toy.objs[0];

	(void)state;
	a->size = 0x100;
	expect_bad(q, (struct bind_op){ .type = (enum bind_op_type)9, .addr = 1, .range = 1 });
	expect_bad(q, (struct bind_op){ .type = BIND_MAP, .addr = 1, .obj = a });
	expect_bad(q, (struct bind_op){ .type = BIND_MAP, .addr = 0xff0, .range = 0x11 });
	expect_bad(q, (struct bind_op){ .type = BIND_MAP, .addr = ~0UL, .range = 2 });
	expect_bad(q, (struct bind_op){ BIND_MAP, 0, 0x10, 0x10, a, 0xf1 });
	expect_bad(q, (struct bind_op){ BIND_MAP, GPUVA_SPARSE, 0x10, 0x10, a, 0 });
	expect_bad(q, (struct bind_op){ BIND_MAP, GPUVA_SPARSE, 0x10, 0x10, NULL, 7 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP, 0, 0x10, 0x10, a, 0 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP, 0, 0x10, 0x10, NULL, 1 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP, 1, 0x10, 0x10, NULL, 0 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP, 0, 0x10, 0, NULL, 0 });
	expect_bad(q, (struct bind_op){ BIND_PREFETCH, 0, 0x10, 0x10, a, 0 });
	expect_bad(q, (struct bind_op){ BIND_PREFETCH, 0, 0x10, 0, NULL, 0 });
	expect_bad(q, (struct bind_op){ BIND_PREFETCH, 0, 2, ~0UL, NULL, 0 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP_ALL, 0, 0, 0, NULL, 0 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP_ALL, 0, 1, 0, a, 0 });
	expect_bad(q, (struct bind_op){ BIND_UNMAP_ALL, 0, 0, 1, a, 0 });
	assert_int_equal(stats().submitted, 0);
	/* Without an object the offset says where the user's own memory is. */
	assert_int_equal(submit_sync(q, "map 10+10=-@7"), 0);
	expect_vm("[10+10=-@7]");
	end(q);
}

static void refuses_jobs(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *f = fence_create();
	struct timeline *tl = timeline_create("t", 0);
	struct bind_sync sync = { .fence = f, .timeline = tl };
	struct bind_job job = { .flags = 4 };

	(void)state;
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	assert_int_equal(job.bad_op, 0);
	job = (struct bind_job){ .nr_in = 1 };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	job = (struct bind_job){ .nr_in = 1, .in = &sync }; /* both */
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	sync = (struct bind_sync){ .value = 1 }; /* neither */
	job = (struct bind_job){ .nr_out = 1, .out = &sync };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	sync = (struct bind_sync){ .fence = f };
	job = (struct bind_job){ .nr_out = UINT_MAX, .out = &sync };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	job = (struct bind_job){ .nr_ops = 1 };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	assert_int_equal(job.bad_op, 1);
	/* A7 */
	sync = (struct bind_sync){ .fence = f };
	job = (struct bind_job){ .flags = BIND_SYNC, .nr_in = 1, .in = &sync };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	job = (struct bind_job){ .flags = BIND_SYNC, .nr_out = 1, .out = &sync };
	assert_int_equal(bind_queue_submit(q, &job), -EINVAL);
	assert_false(fence_is_signaled(f));
	fence_put(f);
	timeline_put(tl);
	end(q);
}

/* A6 */
static void nothing_of_a_bad_job_is_done(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0; map 20+0=A@0", NULL, NULL), -EINVAL);
	settle(q);
	expect_vm("[]");
	end(q);
}

/* A1 */
static void refused_when_over(void **state)
{
	struct bind_queue *q = begin(NULL), *p = another();
	struct bind_stats before;
	int err;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	bind_queue_cancel(p);
	assert_int_equal(submit(p, "map 10+10=A@0", NULL, NULL), -ENOENT);
	before = stats();
	bind_vm_ban(&bt.toy.vm);
	assert_true(bind_vm_is_banned(&bt.toy.vm));
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, NULL), -ENOENT);
	assert_int_equal(submit(q, "unmap 10+10", NULL, NULL), -ENOENT);
	assert_int_equal(submit(q, "unmap 10+0", NULL, NULL), -ENOENT);
	assert_null(bind_queue_create(&bt.toy.vm, "late", &err));
	assert_int_equal(err, -ENOENT);
	assert_int_equal(stats().submitted, before.submitted);
	assert_int_equal(stats().bytes, 0);
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_DRAIN), 0);
	assert_int_equal(submit(q, "unmap 10+10", NULL, NULL), -ENOENT);
	bind_queue_destroy(p);
	end(q);
}

/*
 * An error from the driver's prepare() becomes the result, and operations already prepared are
 * finished.
 */
static void preparing_may_fail(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_stats before = stats();
	struct bind_job job = { .flags = 0 };

	(void)state;
	bt.prepare_at = 2;
	bt.prepare_err = -ENOSPC;
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 1+1=A@0; map 2+1=B@0; map 3+1=A@0", &job),
			 -ENOSPC);
	assert_int_equal(job.bad_op, 2);
	assert_int_equal(bt.cookies, 0);
	assert_int_equal(bt.toy.objs[0].refs, 1);
	before.bytes_peak = stats().bytes_peak;
	assert_memory_equal(&before, &(struct bind_stats[]){ stats() }, sizeof(before));
	assert_int_equal(submit_sync(q, "map 1+1=A@0; map 2+1=B@0; map 3+1=A@0"), 0);
	assert_int_equal(bt.cookies, 0);
	end(q);
}

static void mappings_are_bounded(void **state)
{
	struct bind_config strict = { .max_mappings = 6, .max_jobs = 4, .max_ops = 8 };
	struct bind_queue *q = begin(&strict);
	struct fence *in = fence_create();

	(void)state;
	assert_int_equal(submit_sync(q, "map 0+100=A@0"), 0);
	assert_int_equal(submit(q, "unmap 20+10; unmap 40+10", in, NULL), 0);
	assert_int_equal(submit(q, "map 80+10=B@0", NULL, NULL), 0);
	/* One is there and four may come: one more is allowed, two are not. */
	assert_int_equal(submit(q, "map 90+10=B@0", NULL, NULL), -ENOSPC);
	assert_int_equal(submit(q, "unmap 90+1", NULL, NULL), 0);
	assert_int_equal(submit(q, "unmap 90+1", NULL, NULL), -ENOSPC);
	fence_signal(in);
	settle(q);
	expect_vm("[0+20=A@0 30+10=A@30 50+30=A@50 80+10=B@0 91+6f=A@91]");
	assert_int_equal(submit_sync(q, "map 800+10=B@0"), -ENOSPC);
	assert_int_equal(submit_sync(q, "unmap 8+1"), 0);
	assert_int_equal(submit_sync(q, "unmap 10+100"), -ENOSPC);
	/* An unmap of the whole VM leaves no remainder. */
	assert_int_equal(submit_sync(q, "unmap 0+1000"), 0);
	expect_vm("[]");
	/* Nine operations exceed max_ops, though nothing is in flight. */
	assert_int_equal(submit_sync(q, "prefetch 1+1; prefetch 1+1; prefetch 1+1; prefetch 1+1; "
					"prefetch 1+1; prefetch 1+1; prefetch 1+1; prefetch 1+1"),
			 0);
	assert_int_equal(submit_sync(q, "prefetch 1+1; prefetch 1+1; prefetch 1+1; prefetch 1+1; "
					"prefetch 1+1; prefetch 1+1; prefetch 1+1; prefetch 1+1; "
					"prefetch 1+1"),
			 -ENOSPC);
	fence_put(in);
	end(q);
}

static size_t pledged_bytes(void)
{
	struct mt_mem_stats s;

	mt_mem_stats(smr_mem_of(&bt.toy.vm.tree), &s);
	return s.nodes_pledged * MT_NODE_SIZE;
}

/* A job of more than a batch keeps many nodes for each of its stores. */
static void large_jobs_count_all_their_nodes(void **state)
{
	enum { JOBS = 3, OPS = 8 * MT_CREDITS_BATCH };
	struct bind_queue *q = begin(NULL);
	struct fence *f = fence_create();
	struct bind_sync in = { .fence = f };
	static struct bind_op ops[OPS];
	size_t before = pledged_bytes();

	(void)state;
	for (unsigned int i = 0; i < OPS; i++)
		ops[i] = (struct bind_op){ BIND_MAP, GPUVA_SPARSE, 2UL * i, 1, NULL, 0 };
	for (unsigned int i = 0; i < JOBS; i++) {
		struct bind_job job = { .ops = ops, .nr_ops = OPS, .in = &in, .nr_in = 1 };

		assert_int_equal(bind_queue_submit(q, &job), 0);
		assert_in_range(stats().bytes, pledged_bytes() - before, SIZE_MAX);
	}
	fence_signal(f);
	settle(q);
	assert_int_equal(stats().bytes, 0);
	fence_put(f);
	end(q);
}

/* Such an unmap cuts no mapping, wherever the reserved region lies. */
static void unmaps_of_the_whole_vm_reserve_no_mapping(void **state)
{
	static const struct toy_config config = { .range = 0x1000,
						  .reserve_start = 0x1000,
						  .reserve_range = 0x10 };
	struct bind_queue *q = begin_with(&config, NULL);
	struct fence *in = fence_create();

	(void)state;
	assert_int_equal(submit_sync(q, "map 0+10=A@0; map ff0+10=A@0"), 0);
	assert_int_equal(submit(q, "unmap 0+1000", in, NULL), 0);
	assert_int_equal(stats().vas_reserved, 0);
	assert_int_equal(submit(q, "unmap 0+fff", NULL, NULL), 0);
	assert_int_equal(stats().vas_reserved, 2);
	assert_int_equal(submit(q, "unmap 1+fff; map 0+10=A@0; unmap 0+1000", NULL, NULL), 0);
	assert_int_equal(stats().vas_reserved, 7);
	fence_signal(in);
	settle(q);
	expect_vm("[]");
	fence_put(in);
	end(q);
}

/*
 * As many locks as operations plus one, that of the VM's lists: each object is named anew after
 * another.
 */
static void each_operation_has_its_lock(void **state)
{
	static const struct toy_config config = { .range = 0x1000,
						  .flags = GPUVM_RESV_PROTECTED,
						  .external = true };
	struct bind_queue *q = begin_with(&config, NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 0+1=A@0; map 1+1=B@0; map 2+1=A@0; map 3+1=B@0; "
					"map 4+1=A@0; map 5+1=B@0; map 6+1=A@0"),
			 0);
	assert_int_equal(submit_sync(q, "map 0+1=A@0; map 1+1=B@0; map 2+1=A@0; map 3+1=B@0; "
					"map 4+1=A@0; map 5+1=B@0; map 6+1=A@0; map 7+1=B@0"),
			 0);
	expect_vm("[0+1=A@0 1+1=B@0 2+1=A@0 3+1=B@0 4+1=A@0 5+1=B@0 6+1=A@0 7+1=B@0]");
	for (unsigned int i = 0; i < 2; i++)
		assert_false(gpuvm_resv_is_held(bt.toy.objs[i].resv));
	assert_false(gpuvm_resv_held(&bt.toy.vm));
	end(q);
}

static struct gpuvm_bo *validated;

static int validate(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec)
{
	(void)exec;
	assert_true(gpuvm_resv_is_held(vm_bo->obj->resv));
	validated = vm_bo;
	gpuvm_bo_evict(vm_bo, false);
	return 0;
}

static void evict(struct gpuvm_object *obj)
{
	gpuvm_resv_lock(obj->resv);
	gpuvm_bo_gem_evict(obj, true);
	gpuvm_resv_unlock(obj->resv);
}

static void *map_and_evict(void *queue)
{
	assert_int_equal(submit_sync(queue, "map 30+10=B@0"), 0);
	evict(&bt.toy.objs[1]);
	return NULL;
}

/*
 * A new object's pair is not locked, so a thread that locked the VM before must not make it
 * resident.
 */
static void an_object_comes_beside_a_transaction(void **state)
{
	static const struct toy_config config = { .range = 0x1000, .external = true };
	struct bind_queue *q = begin_with(&config, NULL);
	struct gpuvm_exec exec = { .vm = &bt.toy.vm };
	struct gpuvm_ops ops = *bt.toy.vm.ops;
	struct gpuvm_bo *pair;
	pthread_t other;

	(void)state;
	ops.vm_bo_validate = validate;
	bt.toy.vm.ops = &ops;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	evict(&bt.toy.objs[0]);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(pthread_create(&other, NULL, map_and_evict, q), 0);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(gpuvm_exec_validate(&exec), 0);
	gpuvm_exec_unlock(&exec);
	pair = gpuvm_find(&bt.toy.vm, 0x10)->vm_bo;
	assert_ptr_equal(validated, pair);
	pair = gpuvm_find(&bt.toy.vm, 0x30)->vm_bo;
	assert_true(pair->evicted);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(gpuvm_exec_validate(&exec), 0);
	gpuvm_exec_unlock(&exec);
	assert_ptr_equal(validated, pair);
	assert_false(pair->evicted);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_operations),
		cmocka_unit_test(refuses_jobs),
		cmocka_unit_test(nothing_of_a_bad_job_is_done),
		cmocka_unit_test(refused_when_over),
		cmocka_unit_test(preparing_may_fail),
		cmocka_unit_test(mappings_are_bounded),
		cmocka_unit_test(large_jobs_count_all_their_nodes),
		cmocka_unit_test(unmaps_of_the_whole_vm_reserve_no_mapping),
		cmocka_unit_test(each_operation_has_its_lock),
		cmocka_unit_test(an_object_comes_beside_a_transaction),
	};

	return cmocka_run_group_tests_name("bind_submit", tests, NULL, NULL);
}
