/* SPDX-License-Identifier: MIT */
/*
 * VMs driven by bind queues: which ones are accepted, and how it ends: by cancelled queues, a ban,
 * or a close.
 */
#include "support/bind_bed.h"

#include "bind/bind_internal.h"
#include "mem/refill.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <samara/lockcheck.h>
#include <string.h>
#include <unistd.h>

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
	assert_int_equal(gpuvm_reserve(&toy.vm, 1), 0);
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EBUSY);
	gpuvm_unreserve(&toy.vm);
	assert_int_equal(bind_vm_init(&toy.vm, &c), 0); /* with the workers that VMs share */
	assert_int_equal(bind_vm_init(&toy.vm, &c), -EBUSY);
	assert_int_equal(gpuvm_set_mem(&toy.vm, NULL), -EBUSY);
	assert_int_equal(gpuvm_set_lock(&toy.vm, NULL, NULL), -EBUSY);
	assert_int_equal(gpuvm_set_align(&toy.vm, 2), -EBUSY);
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

/* The user's own erasures may leave gaps in pieces, for which the strict level does not allow. */
static void joins_gaps_that_its_user_left(void **state)
{
	static const struct toy_config config = { .range = 0x1000,
						  .reserve_start = 0x800,
						  .reserve_range = 0x10 };
	const struct bind_config strict = {
		.size = sizeof(strict), .max_mappings = 10, .max_ops = 10, .max_jobs = 1
	};
	struct mt_stats before, after;
	struct toy toy;
	char why[256] = "";

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(toy_insert(&toy, 4 * i, 1, 0, 0), 0);
	toy_clear(&toy);
	mt_stats(&toy.vm.tree, &before);
	assert_true(before.level_slots[0] > 3);
	gpuvm_unlock(&toy.vm);
	assert_int_equal(bind_vm_init(&toy.vm, &strict), 0);
	gpuvm_lock(&toy.vm);
	mt_check(&toy.vm.tree, why, sizeof(why));
	mt_stats(&toy.vm.tree, &after);
	gpuvm_unlock(&toy.vm);
	assert_string_equal(why, "");
	assert_int_equal(after.level_slots[0], 3);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
	assert_true(toy_destroy(&toy));
}

/* The search takes the VM's lock unless the caller holds it, and releases only what it took. */
static void holes_with_and_without_the_lock(void **state)
{
	struct bind_queue *q = begin(NULL);
	uint64_t addr = 77;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 30+fc8=A@0"), 0);
	assert_int_equal(gpuvm_find_hole(&bt.toy.vm, &addr, 0x11, 0, 0, 0x1000, GPUVM_HOLE_LOW),
			 -ENOSPC);
	assert_int_equal(addr, 77);
	assert_false(gpuvm_is_locked(&bt.toy.vm));
	assert_int_equal(gpuvm_find_hole(&bt.toy.vm, &addr, 0x10, 0, 8, 0x1000, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x20);
	assert_false(gpuvm_is_locked(&bt.toy.vm));
	gpuvm_lock(&bt.toy.vm);
	assert_int_equal(gpuvm_find_hole(&bt.toy.vm, &addr, 8, 0, 0, 0x1000, GPUVM_HOLE_HIGH), 0);
	assert_int_equal(addr, 0xff8);
	assert_true(gpuvm_is_locked(&bt.toy.vm));
	gpuvm_unlock(&bt.toy.vm);
	end(q);
}

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
	fence_signal(in); /* nothing listens any more */
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

static void *drain(void *arg)
{
	(void)arg;
	return bind_vm_close(&bt.toy.vm, BIND_DRAIN) ? &bt : NULL;
}

/* A thread that has waited long enough turns the drain into a cancellation. */
static void draining_is_cut_short(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create();
	pthread_t thread;
	void *failed;
	int err;

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	assert_int_equal(submit(q, "map 20+10=B@0", in, out), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain, NULL), 0);
	while (submit(q, "", NULL, NULL) == 0)
		usleep(100);
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_DRAIN), -ENOENT);
	assert_false(fence_is_signaled(out));
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_CANCEL), -ENOENT);
	err = fence_wait(out, BIND_TOY_PATIENCE);
	fence_signal(in);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(err, 0);
	assert_int_equal(fence_error(out), -ECANCELED);
	expect_vm("[]");
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_CANCEL), -ENOENT);
	fence_put(in);
	fence_put(out);
	end(q);
}

static void *count(void *stop)
{
	while (!now(stop))
		(void)stats();
	return NULL;
}

/* For the thread sanitizer. */
static void figures_are_told_beside_a_close(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		struct bind_config strict = { .max_mappings = 100, .max_jobs = 10, .max_ops = 10 };
		struct bind_queue *q = begin(&strict);
		unsigned int stop = 0;
		pthread_t thread;

		assert_int_equal(submit(q, "map 10+10=A@0; map 20+10=B@0", NULL, NULL), 0);
		assert_int_equal(pthread_create(&thread, NULL, count, &stop), 0);
		assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_DRAIN), 0);
		__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
		assert_int_equal(stats().vas_live + stats().vas_limbo, 0);
		end(q);
	}
}

/* ---- The strict level ---- */

static const struct bind_config few = {
	.size = sizeof(few), .max_mappings = 3, .max_jobs = 1, .max_ops = 1
};

/*
 * The VM's index is one leaf at most: it never needs more than that leaf, its replacement and one
 * more node.
 */
static void few_mappings_take_one_leaf(void **state)
{
	struct bind_queue *q = begin(&few);

	(void)state;
	assert_uint_in_range(bt.toy.vm.tree.ma_pledge.pledged, 1, 3);
	assert_int_equal(submit_sync(q, "map 10+10=-@0"), 0);
	assert_int_equal(submit_sync(q, "map 20+10=-@0"), 0);
	assert_uint_in_range(bt.toy.vm.tree.ma_pledge.pledged, 1, 3);
	memfault_none();
	assert_int_equal(submit_sync(q, "unmap 10+8"), 0);
	assert_int_equal(submit_sync(q, "unmap 0+40"), 0);
	expect_vm("[]");
	end(q);
}

/*
 * A VM that cannot have the memory that its bounds need can still be driven by its user, without a
 * bound.
 */
static void no_bound_stays_of_what_did_not_begin(void **state)
{
	struct mt_mem *mem = mt_mem_create(2 * MT_CHUNK_SIZE, NULL);
	struct toy_config config = { .range = 0x1000, .mem = mem };
	struct smr_nodes hoard = { NULL, 0 };
	struct toy toy;

	(void)state;
	assert_non_null(mem);
	assert_int_equal(toy_init(&toy, &config), 0);
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	while (!smr_mem_refill(mem, &hoard, 1))
		;
	assert_int_equal(bind_vm_init(&toy.vm, &few), -ENOMEM);
	smr_mem_give_list(mem, &hoard);
	assert_int_equal(gpuvm_reserve(&toy.vm, 1), 0);
	gpuvm_lock(&toy.vm);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(toy_insert(&toy, 8 * i, 4, -1, 0), 0);
	gpuvm_unlock(&toy.vm);
	gpuvm_unreserve(&toy.vm);
	assert_true(toy_destroy(&toy));
	mt_mem_destroy(mem);
}

static unsigned int reports, orders; /* of LOCKCHECK_LOCK_RECURSION and LOCKCHECK_LOCK_ORDER */

static void note(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	if (report->rule == LOCKCHECK_LOCK_RECURSION)
		__atomic_fetch_add(&reports, 1, __ATOMIC_SEQ_CST);
	if (report->rule == LOCKCHECK_LOCK_ORDER)
		__atomic_fetch_add(&orders, 1, __ATOMIC_SEQ_CST);
}

/* Clean-up takes the VM's lock: a thread that holds it and waits for clean-up waits for itself. */
static void a_lock_that_is_held_is_reported(void **state)
{
	static const struct toy_config config = { .range = 0x1000, .flags = GPUVM_RESV_PROTECTED };
	struct bind_queue *q, *p;

	(void)state;
	if (!lockcheck_enabled())
		skip();
	bind_toy_init(&bt, &config, NULL);
	q = bind_queue_create(&bt.toy.vm, "test", NULL);
	p = another();
	reports = 0;
	lockcheck_set_handler(note, NULL);
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
	assert_int_equal(submit_sync(q, ""), 0);
	assert_int_equal(reports, 0);
	gpuvm_resv_lock(gpuvm_resv(&bt.toy.vm));
	assert_int_equal(bind_queue_wait(q, 0), 0);
	assert_int_equal(reports, 0);
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
	assert_int_equal(reports, 1);
	assert_int_equal(submit_sync(q, ""), 0);
	assert_int_equal(reports, 2);
	bind_queue_destroy(p);
	assert_int_equal(reports, 3);
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_CANCEL), 0);
	assert_int_equal(reports, 4);
	assert_true(gpuvm_resv_held(&bt.toy.vm));
	gpuvm_resv_unlock(gpuvm_resv(&bt.toy.vm));
	lockcheck_set_handler(NULL, NULL);
	end(q);
}

static void count_in_section(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	if (report->rule == LOCKCHECK_WAIT_IN_READ_SECTION)
		reports++;
}

static void vm_is_gone(struct gpuvm *vm)
{
	fail_msg("%s is gone with what a reader sees", vm->name);
}

/* What the closer's own section keeps from being freed is left, and the VM with it. */
static void a_reader_that_closes_goes_on(void **state)
{
	static const struct gpuvm_ops ops = { .vm_free = vm_is_gone };
	static struct gpuvm vm; /* for good */
	struct bind_op op = { .type = BIND_MAP, .flags = GPUVA_SPARSE, .range = 1 };
	struct bind_job job = { .ops = &op, .nr_ops = 1, .flags = BIND_SYNC };
	struct bind_config c = { .size = sizeof(c) };
	struct gpuvm_object *resv;
	struct bind_queue *q;
	struct gpuva *va;

	(void)state;
	if (!lockcheck_enabled())
		skip();
	c.workers = bind_workers_create(1);
	assert_non_null(c.workers);
	resv = gpuvm_resv_object_alloc(NULL);
	assert_non_null(resv);
	assert_int_equal(gpuvm_init(&vm, "kept", 0, NULL, resv, 0, 0x1000, 0, 0, &ops), 0);
	gpuvm_object_put(resv);
	assert_int_equal(bind_vm_init(&vm, &c), 0);
	q = bind_queue_create(&vm, "test", NULL);
	assert_non_null(q);
	assert_int_equal(bind_queue_submit(q, &job), 0);
	reports = 0;
	lockcheck_set_handler(count_in_section, NULL);
	gpuvm_read_lock(&vm);
	va = gpuvm_find(&vm, 0);
	assert_non_null(va);
	assert_int_equal(bind_vm_close(&vm, BIND_DRAIN), 0);
	assert_true(reports > 0);
	assert_null(gpuvm_find(&vm, 0));
	assert_int_equal(va->va.range, 1);
	gpuvm_read_unlock(&vm);
	lockcheck_set_handler(NULL, NULL);
	assert_int_equal(bind_queue_submit(q, &job), -ENOENT);
	assert_int_equal(bind_vm_close(&vm, BIND_DRAIN), -ENOENT);
	bind_queue_destroy(q);
	gpuvm_put(&vm);
	gpuvm_synchronize(&vm);
	bind_workers_destroy(c.workers);
}

/* The submitter does not wait for memory that its own section keeps from coming back. */
static void a_reader_that_submits_goes_on(void **state)
{
	struct bind_config strict = { .max_mappings = 4, .max_jobs = 1, .max_ops = 1 };
	struct bind_queue *q = begin(&strict);
	int err = 0;

	(void)state;
	if (!lockcheck_enabled()) {
		end(q);
		skip();
	}
	reports = 0;
	lockcheck_set_handler(count_in_section, NULL);
	gpuvm_read_lock(&bt.toy.vm);
	memfault_none();
	while (!err)
		err = submit_sync(q, "sparse 0+10");
	memfault_ok();
	gpuvm_read_unlock(&bt.toy.vm);
	lockcheck_set_handler(NULL, NULL);
	assert_int_equal(err, -ENOMEM);
	assert_true(reports > 0);
	end(q);
}

static const struct bind_ops *toy_bind_ops;
static struct bind_queue *awaited;
static struct lockcheck_class driver = LOCKCHECK_CLASS("driver's lock");
static char drivers_lock;

static void finish_under_lock(struct gpuvm *vm, void *cookie, void *priv)
{
	lockcheck_acquire(&drivers_lock, &driver, 0);
	toy_bind_ops->finish(vm, cookie, priv);
	lockcheck_release(&drivers_lock);
	if (awaited)
		(void)bind_queue_wait(awaited, 1);
}

/*
 * Clean-up takes a driver's lock that a thread waiting for it holds; and clean-up waits for itself.
 */
static void waiting_for_oneself_is_reported(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_ops ops = *q->vm->ops;

	(void)state;
	if (!lockcheck_enabled()) {
		end(q);
		skip();
	}
	toy_bind_ops = q->vm->ops;
	ops.finish = finish_under_lock;
	q->vm->ops = &ops;
	awaited = NULL;
	reports = orders = 0;
	lockcheck_set_handler(note, NULL);
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
	assert_int_equal(orders, 0);
	lockcheck_acquire(&drivers_lock, &driver, 0);
	/* Without bounds a map waits for nothing. */
	assert_int_equal(submit(q, "map 30+10=B@0", NULL, NULL), 0);
	assert_int_equal(orders, 0);
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
	assert_int_equal(orders, 1);
	lockcheck_release(&drivers_lock);
	assert_int_equal(reports, 0);
	awaited = q;
	assert_int_equal(submit_sync(q, "map 10+10=A@0"), 0);
	assert_int_equal(reports, 1);
	awaited = NULL;
	lockcheck_set_handler(NULL, NULL);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_vms_and_configurations),
		cmocka_unit_test(refuses_external_locks),
		cmocka_unit_test(joins_gaps_that_its_user_left),
		cmocka_unit_test(holes_with_and_without_the_lock),
		cmocka_unit_test(canceled_jobs_change_nothing),
		cmocka_unit_test(a_failed_step_bans),
		cmocka_unit_test(closes),
		cmocka_unit_test(draining_is_cut_short),
		cmocka_unit_test(figures_are_told_beside_a_close),
		cmocka_unit_test(few_mappings_take_one_leaf),
		cmocka_unit_test(no_bound_stays_of_what_did_not_begin),
		cmocka_unit_test(a_lock_that_is_held_is_reported),
		cmocka_unit_test(a_reader_that_closes_goes_on),
		cmocka_unit_test(a_reader_that_submits_goes_on),
		cmocka_unit_test(waiting_for_oneself_is_reported),
	};

	return cmocka_run_group_tests_name("bind_vm", tests, NULL, NULL);
}
