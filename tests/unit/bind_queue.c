/* SPDX-License-Identifier: MIT */
/* Bind queues on the toy driver: what is accepted, what a job does and when, and what is left of it. */
#include "support/cm.h"

#include "support/bind_toy.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct bind_toy bt;

static struct bind_queue *begin(const struct bind_config *bounds)
{
	struct bind_queue *q;
	int err = 1;

	bind_toy_init(&bt, NULL, bounds);
	q = bind_queue_create(&bt.toy.vm, "test", &err);
	assert_non_null(q);
	assert_int_equal(err, 0);
	return q;
}

static struct bind_queue *another(void)
{
	struct bind_queue *q = bind_queue_create(&bt.toy.vm, "another", NULL);

	assert_non_null(q);
	return q;
}

static void end(struct bind_queue *q)
{
	bind_queue_destroy(q);
	assert_true(bind_toy_destroy(&bt));
}

static int submit(struct bind_queue *q, const char *text, struct fence *in, struct fence *out)
{
	return bind_toy_submit(q, &bt, text, in, out);
}

static int submit_sync(struct bind_queue *q, const char *text)
{
	struct bind_job job = { .flags = BIND_SYNC };

	return bind_toy_submit_job(q, &bt, text, &job);
}

static void settle(struct bind_queue *q)
{
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
}

static struct bind_stats stats(void)
{
	struct bind_stats s;

	bind_vm_stats(&bt.toy.vm, &s);
	return s;
}

#define expect_vm(text) assert_string_equal(bind_toy_dump(&bt), text)
#define expect_log(text) assert_string_equal(toy_log(&bt.toy), text)

static void expect_signaled(struct fence *f, int error)
{
	assert_int_equal(fence_wait(f, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(f), error);
}

/* ---- What is accepted ---- */

static void refuses_vms_and_configurations(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };
	struct bind_config c = { .size = sizeof(c) };
	struct bind_stats s;
	struct toy toy;
	int err;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	assert_null(bind_queue_create(&toy.vm, "none", &err));
	assert_int_equal(err, -EINVAL);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), -ENOENT);
	assert_false(bind_vm_is_banned(&toy.vm));
	bind_vm_ban(&toy.vm);
	bind_vm_stats(&toy.vm, &s);
	assert_int_equal(s.submitted, 0);
	assert_int_equal(bind_vm_init(&toy.vm, NULL), -EINVAL);
	c.size = 0;
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c.size = sizeof(c) + 1;
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c = (struct bind_config){ .size = sizeof(c), .va_size = sizeof(struct gpuva) - 1 };
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c = (struct bind_config){ .size = sizeof(c), .va_size = SIZE_MAX };
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c = (struct bind_config){ .size = sizeof(c), .max_mappings = 10, .max_ops = 10 };
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c.max_jobs = 1;
	c.max_mappings = ULONG_MAX;
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	c.max_mappings = 1;
	c.max_ops = ULONG_MAX;
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 1, 1, 0, 0), 0);
	gpuvm_unlock(&toy.vm);
	c = (struct bind_config){ .size = sizeof(c) };
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EBUSY);
	gpuvm_lock(&toy.vm);
	toy_clear(&toy);
	gpuvm_unlock(&toy.vm);
	assert_int_equal(bind_vm_init(&toy.vm, &c), 0); /* threads that VMs share */
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EBUSY);
	assert_int_equal(gpuvm_set_mem(&toy.vm, NULL), -EBUSY);
	assert_int_equal(gpuvm_set_lock(&toy.vm, NULL, NULL), -EBUSY);
	assert_null(bind_queue_create(&toy.vm, NULL, NULL));
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), -ENOENT);
	assert_null(bind_queue_create(&toy.vm, "late", &err));
	assert_int_equal(err, -ENOENT);
	assert_true(toy_destroy(&toy));
	assert_null(bind_workers_create(0));
	assert_null(bind_workers_create(1025));
	bind_workers_destroy(NULL);
	bind_queue_destroy(NULL);
}

static void refuses_external_locks(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };
	struct bind_config c = { .size = sizeof(c) };
	struct toy toy;
	int lock;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	assert_int_equal(gpuvm_set_lock(&toy.vm, &lock, NULL), 0);
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EINVAL);
	gpuvm_put(&toy.vm);
}

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
	assert_null(bind_queue_create(&bt.toy.vm, "late", &err));
	assert_int_equal(err, -ENOENT);
	assert_int_equal(stats().submitted, before.submitted);
	assert_int_equal(stats().bytes, 0);
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_DRAIN), 0);
	assert_int_equal(submit(q, "unmap 10+10", NULL, NULL), -ENOENT);
	bind_queue_destroy(p);
	end(q);
}

/* ---- Order ---- */

static void named(void **state)
{
	struct bind_queue *q;

	(void)state;
	bind_toy_init(&bt, NULL, NULL);
	q = bind_queue_create(&bt.toy.vm, "0123456789012345678901234567890123456789", NULL);
	assert_string_equal(bind_queue_name(q), "0123456789012345678901234567890");
	end(q);
}

/* J1: what the second needs is not to be seen when it is submitted. */
static void later_jobs_meet_earlier_ones(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create();

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(submit(q, "unmap 14+4", NULL, out), 0);
	assert_int_equal(bind_queue_wait(q, 0), -ETIMEDOUT);
	assert_int_equal(bind_queue_wait(q, 1000000), -ETIMEDOUT);
	assert_false(fence_is_signaled(out));
	expect_vm("[]");
	fence_signal(in);
	expect_signaled(out, 0);
	expect_vm("[10+4=A@0 18+8=A@8]");
	settle(q);
	expect_log("M(10+10=A@0) R(10+10=A@0 k0 p:10+4=A@0 n:18+8=A@8)");
	assert_int_equal(stats().vas_used, 3);
	assert_int_equal(stats().vas_returned, 2);
	assert_int_equal(stats().vas_live, 2);
	assert_int_equal(stats().vas_reserved, 0);
	fence_put(in);
	fence_put(out);
	end(q);
}

/* J2 */
static void overlapping_maps(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create();

	(void)state;
	assert_int_equal(submit(q, "map 1+9=A@0", in, NULL), 0);
	assert_int_equal(submit(q, "map a+a=B@0", NULL, NULL), 0);
	assert_int_equal(submit(q, "map 5+a=C@0", NULL, NULL), 0);
	fence_signal(in);
	settle(q);
	expect_vm("[1+4=A@0 5+a=C@0 f+5=B@5]");
	expect_log("M(1+9=A@0) M(a+a=B@0) R(1+9=A@0 k0 p:1+4=A@0) R(a+a=B@0 k0 n:f+5=B@5) "
		   "M(5+a=C@0)");
	fence_put(in);
	end(q);
}

/* J3, J4: queues have no order but that of fences. */
static void queues_overtake(void **state)
{
	struct bind_queue *q = begin(NULL), *p = another();
	struct fence *in = fence_create();

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	assert_int_equal(submit(q, "unmap 10+10", in, NULL), 0);
	assert_int_equal(submit_sync(p, "map 8+20=B@0"), 0);
	expect_vm("[8+20=B@0]");
	fence_signal(in);
	settle(q);
	expect_vm("[8+8=B@0 20+8=B@18]");
	bind_queue_destroy(p);
	fence_put(in);
	end(q);
}

/* J5 to J7 */
static void what_is_left_comes_back(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_stats s;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	s = stats();
	assert_int_equal(s.vas_used, 1);
	assert_int_equal(s.vas_returned, 2);
	assert_int_equal(submit_sync(q, "unmap 10+10; map 18+10=A@0"), 0);
	expect_vm("[18+10=A@0]");
	assert_int_equal(submit_sync(q, "unmap 0+fff; map 0+40=A@0"), 0);
	assert_int_equal(submit_sync(q, "unmap 10+8; unmap 20+8; unmap 4+4"), 0);
	expect_vm("[0+4=A@0 8+8=A@8 18+8=A@18 28+18=A@28]");
	assert_int_equal(stats().bytes, 0);
	end(q);
}

/* A8 */
static void empty_jobs_keep_their_place(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create(), *last = fence_create();

	(void)state;
	assert_int_equal(submit(q, "", in, out), 0);
	assert_int_equal(submit(q, "", NULL, last), 0);
	assert_false(fence_is_signaled(out));
	fence_signal_error(in, -EIO); /* an error is a signal, too */
	expect_signaled(out, 0);
	expect_signaled(last, 0);
	assert_int_equal(submit_sync(q, ""), 0);
	assert_int_equal(submit_sync(q, "unmap 10+10; prefetch 0+fff; unmap_all A"), 0);
	expect_log("(none)");
	fence_put(in);
	fence_put(out);
	fence_put(last);
	end(q);
}

static void many_fences_and_timelines(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct timeline *in_tl = timeline_create("in", 0), *out_tl = timeline_create("out", 0);
	struct fence *in = fence_create(), *over = fence_create(), *out = fence_create();
	struct bind_sync ins[] = { { .fence = in },
				   { .timeline = in_tl, .value = 5 },
				   { .fence = over },
				   { .timeline = in_tl, .value = 0 } };
	struct bind_sync outs[] = { { .timeline = out_tl, .value = 3 },
				    { .fence = out },
				    { .timeline = out_tl, .value = 2 } };
	struct bind_job job = { .nr_in = 4, .nr_out = 3, .in = ins, .out = outs };

	(void)state;
	fence_signal(over);
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 1+1=A@0", &job), 0);
	timeline_signal(in_tl, 4);
	fence_signal(in);
	assert_int_equal(bind_queue_wait(q, 0), -ETIMEDOUT);
	timeline_signal(in_tl, 6);
	expect_signaled(out, 0);
	settle(q);
	assert_int_equal(timeline_value(out_tl), 3);
	timeline_put(in_tl);
	timeline_put(out_tl);
	fence_put(in);
	fence_put(over);
	fence_put(out);
	end(q);
}

/* ---- Operations within one job ---- */

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

static void unmap_all_in_one_job(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 20+10=B@0; map 40+10=A@20"), 0);
	toy_clear_log(&bt.toy);
	/* Over parts of what has gone, in the middle, at an end and as a whole; and all of that again. */
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
	end(q);
}

/* More operations than the VM's holder of credits serves at once. */
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

/* ---- Pairs, objects, reservation locks ---- */

/* What a worker counts, and with it what it did before. */
static unsigned int now(const unsigned int *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

static void objects_outlive_their_mappings(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm_object *a = &bt.toy.objs[0];
	struct fence *in = fence_create();
	struct gpuvm_bo *pair;

	(void)state;
	assert_int_equal(a->refs, 1);
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	gpuvm_object_lock(a);
	pair = gpuvm_bo_find(&bt.toy.vm, a);
	gpuvm_object_unlock(a);
	assert_non_null(pair);
	gpuvm_bo_put(pair);
	assert_int_equal(gpuvm_resv_wait(a->resv, GPUVM_USAGE_READ, 0), 0);
	assert_int_equal(gpuvm_resv_wait(a->resv, GPUVM_USAGE_BOOKKEEP, 0), -ETIMEDOUT);
	fence_signal(in);
	settle(q);
	assert_int_equal(gpuvm_resv_wait(a->resv, GPUVM_USAGE_BOOKKEEP, 0), 0);
	assert_int_equal(a->refs, 2);
	assert_int_equal(submit_sync(q, "unmap_all A"), 0);
	while (stats().vas_limbo > 0 || now(&a->refs) > 1)
		usleep(100);
	assert_int_equal(now(&bt.released), 1);
	fence_put(in);
	end(q);
}

static unsigned int freed;

static void free_object(struct gpuvm_object *obj)
{
	(void)obj;
	assert_false(fence_in_signalling());
	__atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
}

/* A12 */
static void destructors_wait_for_readers(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm_object obj;
	struct bind_op op = { BIND_MAP, 0, 0x10, 0x10, &obj, 0 };
	struct bind_job job = { .ops = &op, .nr_ops = 1, .flags = BIND_SYNC };
	struct fence *in = fence_create();
	struct gpuva *va;

	(void)state;
	freed = 0;
	gpuvm_object_init(&obj, 0, NULL, free_object);
	assert_int_equal(bind_queue_submit(q, &job), 0);
	gpuvm_object_put(&obj);
	assert_int_equal(submit(q, "unmap 0+100", in, NULL), 0);
	gpuvm_read_lock(&bt.toy.vm);
	va = gpuvm_find(&bt.toy.vm, 0x18);
	fence_signal(in);
	while (gpuvm_find(&bt.toy.vm, 0x18) || stats().jobs > 0)
		usleep(100);
	usleep(2000);
	assert_ptr_equal(va->gem.obj, &obj);
	assert_ptr_equal(va->vm_bo->obj, &obj);
	assert_int_equal(stats().vas_limbo, 1);
	assert_int_equal(now(&freed), 0);
	gpuvm_read_unlock(&bt.toy.vm);
	while (stats().vas_limbo > 0 || now(&freed) == 0)
		usleep(100);
	assert_int_equal(now(&freed), 1);
	fence_put(in);
	end(q);
}

static void external_objects(void **state)
{
	for (unsigned int flags = 0; flags < 2; flags++) {
		struct toy_config config = { .range = 0x1000, .flags = flags, .external = true };
		struct gpuvm_exec exec;
		struct bind_queue *q;

		(void)state;
		bind_toy_init(&bt, &config, NULL);
		q = bind_queue_create(&bt.toy.vm, "test", NULL);
		assert_int_equal(submit_sync(q, "map 10+10=A@0; map 20+10=B@0; map 30+10=A@0"), 0);
		exec = (struct gpuvm_exec){ .vm = &bt.toy.vm, .num_fences = 1 };
		assert_int_equal(gpuvm_exec_lock(&exec), 0);
		assert_int_equal(exec.nr, 3);
		gpuvm_exec_unlock(&exec);
		assert_int_equal(submit_sync(q, "unmap_all A; unmap 20+10"), 0);
		end(q);
	}
}

/* ---- Ends before their time ---- */

/* A5 */
static void canceled_jobs_change_nothing(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *a = fence_create(), *b = fence_create();
	struct bind_stats s;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, a), 0);
	assert_int_equal(submit(q, "unmap 14+4", NULL, b), 0);
	bind_queue_cancel(q);
	expect_signaled(b, -ECANCELED);
	assert_true(fence_is_signaled(a));
	assert_int_equal(fence_error(a), -ECANCELED);
	settle(q);
	expect_vm("[]");
	expect_log("(none)");
	s = stats();
	assert_int_equal(s.canceled, 2);
	assert_int_equal(s.jobs + s.ops + s.bytes + s.vas_reserved + s.vas_used, 0);
	assert_int_equal(bt.cookies, 0);
	fence_signal(in); /* nobody listens any more */
	fence_put(in);
	fence_put(a);
	fence_put(b);
	end(q);
}

/* A9 */
static void a_failed_step_bans(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *a = fence_create(), *b = fence_create();

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	bt.step_err = -EIO;
	assert_int_equal(submit(q, "unmap 14+4", in, a), 0);
	assert_int_equal(submit(q, "unmap 10+10", NULL, b), 0);
	fence_signal(in);
	expect_signaled(a, -EIO);
	expect_signaled(b, -ECANCELED);
	assert_true(bind_vm_is_banned(&bt.toy.vm));
	assert_int_equal(submit(q, "unmap 10+10", NULL, NULL), -ENOENT);
	settle(q);
	assert_int_equal(stats().failed, 1);
	assert_int_equal(stats().canceled, 1);
	fence_put(in);
	fence_put(a);
	fence_put(b);
	end(q);
}

static void sync_jobs_return_their_result(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	bt.step_err = -EIO;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), -EIO);
	end(q);
}

static void closing(enum bind_close how)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create();

	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 800+10=B@0; sparse 900+1"), 0);
	assert_int_equal(submit(q, "map 20+10=B@0", how == BIND_CANCEL ? in : NULL, out), 0);
	assert_int_equal(bind_vm_close(&bt.toy.vm, how), 0);
	expect_signaled(out, how == BIND_CANCEL ? -ECANCELED : 0);
	expect_vm("[]");
	assert_int_equal(stats().vas_live + stats().vas_limbo, 0);
	assert_int_equal(bt.released, how == BIND_CANCEL ? 3 : 4);
	fence_signal(in);
	fence_put(in);
	fence_put(out);
	end(q);
}

static void closes(void **state)
{
	(void)state;
	closing(BIND_CANCEL);
	closing(BIND_DRAIN);
}

/* What the driver says of an operation becomes the answer, and what it has said yes to is finished. */
static void preparing_may_fail(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_stats before = stats();

	(void)state;
	bt.prepare_at = 2;
	bt.prepare_err = -ENOSPC;
	assert_int_equal(submit(q, "map 1+1=A@0; map 2+1=B@0; map 3+1=A@0", NULL, NULL), -ENOSPC);
	assert_int_equal(bt.cookies, 0);
	assert_int_equal(bt.toy.objs[0].refs, 1);
	before.bytes_peak = stats().bytes_peak;
	assert_memory_equal(&before, &(struct bind_stats[]){ stats() }, sizeof(before));
	assert_int_equal(submit_sync(q, "map 1+1=A@0; map 2+1=B@0; map 3+1=A@0"), 0);
	assert_int_equal(bt.cookies, 0);
	end(q);
}

/* ---- Back-pressure ---- */

struct blocked {
	pthread_t thread;
	struct bind_queue *q;
	int result;
	unsigned int done;
};

static void *submit_blocked(void *arg)
{
	struct blocked *b = arg;

	b->result = submit(b->q, "map 20+10=B@0", NULL, NULL);
	__atomic_store_n(&b->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start_blocked(struct blocked *b, struct bind_queue *q)
{
	*b = (struct blocked){ .q = q };
	assert_int_equal(pthread_create(&b->thread, NULL, submit_blocked, b), 0);
	while (stats().blocked == 0)
		usleep(100);
}

static int join_blocked(struct blocked *b)
{
	pthread_join(b->thread, NULL);
	return b->result;
}

static void bounded(const struct bind_config *bounds)
{
	struct bind_queue *q = begin(bounds);
	struct fence *in = fence_create();
	struct bind_job job = { .flags = BIND_NONBLOCK };
	struct blocked b;

	/* The first is always let in. */
	assert_int_equal(submit(q, "map 10+10=A@0; map 11+10=A@0", in, NULL), 0);
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 20+10=B@0", &job), -ENOSPC);
	start_blocked(&b, q);
	assert_int_equal(b.done, 0);
	fence_signal(in);
	assert_int_equal(join_blocked(&b), 0);
	settle(q);
	expect_vm("[10+1=A@0 11+f=A@0 20+10=B@0]");
	assert_int_equal(stats().blocked, 1);
	fence_put(in);
	end(q);
}

static void submits_wait_for_room(void **state)
{
	(void)state;
	bounded(&(struct bind_config){ .max_jobs = 1 });
	bounded(&(struct bind_config){ .max_ops = 2 });
	bounded(&(struct bind_config){ .max_bytes = 1000 });
}

static void who_waits_learns_of_the_end(void **state)
{
	struct bind_config one = { .max_jobs = 1 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct bind_queue *q = begin(&one);
		struct fence *in = fence_create();
		struct blocked b;

		assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
		start_blocked(&b, q);
		if (i == 0)
			bind_queue_cancel(q);
		else if (i == 1)
			bind_vm_ban(&bt.toy.vm);
		else
			bind_vm_close(&bt.toy.vm, BIND_CANCEL);
		assert_int_equal(join_blocked(&b), -ENOENT);
		fence_put(in);
		end(q);
	}
}

static void nothing(int sig)
{
	(void)sig;
}

static void kick(pthread_t thread, const unsigned int *done)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
	while (!__atomic_load_n(done, __ATOMIC_SEQ_CST)) {
		pthread_kill(thread, SIGUSR1);
		usleep(200);
	}
}

static void waiting_for_room_is_interrupted(void **state)
{
	struct bind_config one = { .max_jobs = 1 };
	struct bind_queue *q = begin(&one);
	struct fence *in = fence_create();
	struct blocked b;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	start_blocked(&b, q);
	kick(b.thread, &b.done);
	assert_int_equal(join_blocked(&b), -EINTR);
	fence_signal(in);
	settle(q);
	expect_vm("[10+10=A@0]");
	fence_put(in);
	end(q);
}

struct synced {
	struct bind_queue *q;
	struct bind_job job;
	int result;
	unsigned int done;
};

static void *submit_synced(void *arg)
{
	struct synced *s = arg;

	s->job = (struct bind_job){ .flags = BIND_SYNC };
	s->result = bind_toy_submit_job(s->q, &bt, "map 20+10=B@0", &s->job);
	__atomic_store_n(&s->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void an_interrupted_sync_job_still_runs(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create();
	struct synced s = { .q = q };
	pthread_t thread;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, submit_synced, &s), 0);
	while (stats().jobs < 2)
		usleep(100);
	kick(thread, &s.done);
	pthread_join(thread, NULL);
	assert_int_equal(s.result, -EINTR);
	assert_int_equal(s.job.bad_op, UINT_MAX);
	fence_signal(in);
	settle(q);
	expect_vm("[10+10=A@0 20+10=B@0]");
	fence_put(in);
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
	/* 1 is there, 4 may come: one more may, two not. */
	assert_int_equal(submit(q, "map 90+10=B@0", NULL, NULL), -ENOSPC);
	assert_int_equal(submit(q, "unmap 90+1", NULL, NULL), 0);
	assert_int_equal(submit(q, "unmap 90+1", NULL, NULL), -ENOSPC);
	fence_signal(in);
	settle(q);
	expect_vm("[0+20=A@0 30+10=A@30 50+30=A@50 80+10=B@0 91+6f=A@91]");
	assert_int_equal(submit_sync(q, "map 800+10=B@0"), -ENOSPC);
	assert_int_equal(submit_sync(q, "unmap 8+1"), 0);
	assert_int_equal(submit_sync(q, "unmap 10+100"), -ENOSPC);
	/* Of the whole VM nothing can be left over. */
	assert_int_equal(submit_sync(q, "unmap 0+1000"), 0);
	expect_vm("[]");
	/* Nine operations are beyond what was said, though nothing is under way. */
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

/* ---- Callbacks that block ---- */

static void a_blocked_vm_blocks_no_other(void **state)
{
	static struct bind_toy other;
	struct bind_queue *q = begin(NULL), *p;
	struct bind_config config = { .workers = NULL };
	struct fence *block = fence_create();

	(void)state;
	(void)config;
	bind_toy_init(&other, NULL, NULL);
	p = bind_queue_create(&other.toy.vm, "other", NULL);
	bt.block = block;
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, NULL), 0);
	while (!__atomic_load_n(&bt.blocked, __ATOMIC_SEQ_CST))
		usleep(100);
	assert_int_equal(submit(q, "map 20+10=A@0", NULL, NULL), 0); /* nor submitters */
	assert_null(gpuvm_find(&bt.toy.vm, 0x10));                   /* nor readers */
	assert_int_equal(bind_toy_submit(p, &other, "map 10+10=A@0", NULL, NULL), 0);
	settle(p);
	fence_signal(block);
	settle(q);
	expect_vm("[10+10=A@0 20+10=A@0]");
	bind_queue_destroy(p);
	assert_true(bind_toy_destroy(&other));
	fence_put(block);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_vms_and_configurations),
		cmocka_unit_test(refuses_external_locks),
		cmocka_unit_test(refuses_operations),
		cmocka_unit_test(refuses_jobs),
		cmocka_unit_test(nothing_of_a_bad_job_is_done),
		cmocka_unit_test(refused_when_over),
		cmocka_unit_test(named),
		cmocka_unit_test(later_jobs_meet_earlier_ones),
		cmocka_unit_test(overlapping_maps),
		cmocka_unit_test(queues_overtake),
		cmocka_unit_test(what_is_left_comes_back),
		cmocka_unit_test(empty_jobs_keep_their_place),
		cmocka_unit_test(many_fences_and_timelines),
		cmocka_unit_test(operations_see_those_before),
		cmocka_unit_test(unmap_all_in_one_job),
		cmocka_unit_test(attributes_are_carried),
		cmocka_unit_test(large_jobs),
		cmocka_unit_test(objects_outlive_their_mappings),
		cmocka_unit_test(destructors_wait_for_readers),
		cmocka_unit_test(external_objects),
		cmocka_unit_test(canceled_jobs_change_nothing),
		cmocka_unit_test(a_failed_step_bans),
		cmocka_unit_test(sync_jobs_return_their_result),
		cmocka_unit_test(closes),
		cmocka_unit_test(preparing_may_fail),
		cmocka_unit_test(submits_wait_for_room),
		cmocka_unit_test(who_waits_learns_of_the_end),
		cmocka_unit_test(waiting_for_room_is_interrupted),
		cmocka_unit_test(an_interrupted_sync_job_still_runs),
		cmocka_unit_test(mappings_are_bounded),
		cmocka_unit_test(a_blocked_vm_blocks_no_other),
	};

	return cmocka_run_group_tests_name("bind_queue", tests, NULL, NULL);
}
