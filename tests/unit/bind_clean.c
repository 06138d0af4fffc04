/* SPDX-License-Identifier: MIT */
/*
 * What a job leaves behind: pairs, objects and reservation locks last as long as they must, and no
 * longer. And clean-up that has to wait holds up no other job.
 */
#include "support/bind_bed.h"

#include "base/hooks.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

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

/*
 * The fence goes into the object's resv and not the VM's, which a job with protected lists locks
 * for the lists alone.
 */
static void told_to_who_moves_its_objects(void **state)
{
	for (unsigned int flags = 0; flags < 2; flags++) {
		struct toy_config config = { .range = 0x1000, .flags = flags };
		struct fence *in = fence_create();
		struct gpuvm_object obj;
		struct bind_op op = { BIND_MAP, 0, 0x10, 0x10, &obj, 0 };
		struct bind_sync sync = { .fence = in };
		struct bind_job job = { .ops = &op, .nr_ops = 1, .in = &sync, .nr_in = 1 };
		struct gpuvm_resv *resv;
		struct bind_queue *q;

		(void)state;
		bind_toy_init(&bt, &config, NULL);
		q = bind_queue_create(&bt.toy.vm, "test", NULL);
		resv = gpuvm_resv(&bt.toy.vm);
		gpuvm_object_init(&obj, 0, NULL, NULL);
		assert_int_equal(bind_queue_submit(q, &job), 0);
		assert_int_equal(gpuvm_resv_wait(obj.resv, GPUVM_USAGE_BOOKKEEP, 0), -ETIMEDOUT);
		assert_int_equal(gpuvm_resv_wait(resv, GPUVM_USAGE_BOOKKEEP, 0), 0);
		fence_signal(in);
		settle(q);
		assert_int_equal(submit_sync(q, "unmap 0+100"), 0);
		fence_put(in);
		in = fence_create();
		assert_int_equal(submit(q, "map 20+10=A@0", in, NULL), 0);
		assert_int_equal(gpuvm_resv_wait(bt.toy.objs[0].resv, GPUVM_USAGE_BOOKKEEP, 0),
				 -ETIMEDOUT);
		fence_signal(in);
		fence_put(in);
		settle(q);
		end(q);
		gpuvm_object_put(&obj);
	}
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

/* As the destructor of an object may do. */
static void free_under_resv(struct gpuvm_object *obj)
{
	gpuvm_resv_lock(gpuvm_resv(&bt.toy.vm));
	gpuvm_resv_unlock(gpuvm_resv(&bt.toy.vm));
	free_object(obj);
}

static void objects_end_without_the_reservation_lock(void **state)
{
	struct toy_config config = { .range = 0x1000, .flags = GPUVM_RESV_PROTECTED };
	struct gpuvm_object obj;
	struct bind_op op = { BIND_MAP, 0, 0x10, 0x10, &obj, 0 };
	struct bind_job job = { .ops = &op, .nr_ops = 1, .flags = BIND_SYNC };
	struct bind_queue *q;

	(void)state;
	freed = 0;
	bind_toy_init(&bt, &config, NULL);
	q = bind_queue_create(&bt.toy.vm, "test", NULL);
	gpuvm_object_init(&obj, 0, gpuvm_resv(&bt.toy.vm), free_under_resv);
	assert_int_equal(bind_queue_submit(q, &job), 0);
	gpuvm_object_put(&obj);
	assert_int_equal(submit_sync(q, "unmap 0+100"), 0);
	while (now(&freed) == 0)
		usleep(100);
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

/* ---- Nothing waits for clean-up that need not ---- */

/*
 * A thread that moves an object holds its lock and waits for the jobs that map it. In this mode
 * their clean-up takes the same lock.
 */
static void a_lock_holds_no_run_up(void **state)
{
	struct toy_config config = { .range = 0x1000, .flags = GPUVM_RESV_PROTECTED };
	struct fence *in = fence_create();
	struct gpuvm_resv *resv;
	struct bind_queue *q;
	int err;

	(void)state;
	bind_toy_init(&bt, &config, NULL);
	q = bind_queue_create(&bt.toy.vm, "test", NULL);
	resv = bt.toy.objs[1].resv;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(submit(q, "map 20+10=B@0", NULL, NULL), 0);
	gpuvm_resv_lock(resv);
	fence_signal(in);
	err = gpuvm_resv_wait(resv, GPUVM_USAGE_BOOKKEEP, BIND_TOY_PATIENCE);
	assert_int_equal(stats().jobs, 2);
	assert_int_equal(bind_queue_wait(q, 0), -ETIMEDOUT);
	gpuvm_resv_unlock(resv);
	assert_int_equal(err, 0);
	settle(q);
	assert_int_equal(stats().completed, 2);
	fence_put(in);
	end(q);
}

/* The first job's finish() waits for the second job, which needs the thread that runs jobs. */
static void a_callback_holds_no_run_up(void **state)
{
	struct bind_config config = { .workers = bind_workers_create(1) };
	struct bind_queue *q = begin(&config);
	struct fence *in = fence_create(), *out = fence_create();

	(void)state;
	bt.awaited = out;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(submit(q, "map 20+10=B@0", NULL, out), 0);
	fence_signal(in);
	settle(q);
	assert_int_equal(bt.awaiting, 2);
	assert_int_equal(bt.in_vain, 0);
	fence_put(in);
	fence_put(out);
	end(q);
	bind_workers_destroy(config.workers);
}

/* Submits a job whose clean-up waits until bt.awaited is signalled. */
static void hold_clean_up(struct bind_queue *q)
{
	bt.awaited = fence_create();
	assert_int_equal(submit(q, "map f00+1=F@0", NULL, NULL), 0);
	while (now(&bt.awaiting) == 0)
		usleep(100);
}

static void let_clean_up(struct bind_queue *q)
{
	fence_signal(bt.awaited);
	settle(q);
	assert_int_equal(bt.in_vain, 0);
	fence_put(bt.awaited);
	bt.awaited = NULL;
}

static void a_blocked_clean_up_blocks_no_other_vm(void **state)
{
	static struct bind_toy other;
	struct bind_config config = { .workers = bind_workers_create(2) };
	struct bind_queue *q = begin(&config), *p;

	(void)state;
	bind_toy_init(&other, NULL, &config);
	p = bind_queue_create(&other.toy.vm, "other", NULL);
	hold_clean_up(q);
	assert_int_equal(bind_toy_submit(p, &other, "map 10+10=A@0", NULL, NULL), 0);
	settle(p);
	assert_int_equal(stats().jobs, 1);
	let_clean_up(q);
	bind_queue_destroy(p);
	assert_true(bind_toy_destroy(&other));
	end(q);
	bind_workers_destroy(config.workers);
}

static struct fence *next_run;

/* Called in the first job's run; makes the second job's run wait for next_run. */
static void hold_next_run(struct fence *f, struct fence_cb *cb)
{
	(void)f;
	(void)cb;
	__atomic_store_n(&bt.block, next_run, __ATOMIC_SEQ_CST);
}

/*
 * One thread runs two jobs in a row and hangs in the second. Another thread must do the clean-up of
 * the first as soon as somebody waits for it: for the job, or for room.
 */
static void a_run_holds_up_no_clean_up_that_is_waited_for(void **state)
{
	(void)state;
	for (unsigned int room = 0; room < 2; room++) {
		struct bind_config two = { .max_jobs = 2 };
		struct bind_queue *q = begin(&two), *p = another();
		struct bind_job job = { .flags = BIND_NONBLOCK };
		struct fence *in = fence_create(), *out = fence_create();
		struct fence_cb cb;
		int err = -ENOSPC;

		next_run = fence_create();
		assert_int_equal(submit(q, "map 10+10=A@0", in, out), 0);
		assert_int_equal(submit(p, "map 20+10=B@0", out, NULL), 0);
		assert_int_equal(fence_add_callback(out, &cb, hold_next_run), 0);
		fence_signal(in);
		while (now(&bt.blocked) == 0)
			usleep(100);
		if (!room)
			err = bind_queue_wait(q, BIND_TOY_PATIENCE);
		for (unsigned int i = 0; room && err == -ENOSPC && i < 2000; i++) {
			err = bind_toy_submit_job(q, &bt, "", &job);
			usleep(1000);
		}
		fence_signal(next_run);
		assert_int_equal(err, 0);
		settle(p);
		fence_put(in);
		fence_put(out);
		bind_queue_destroy(p);
		end(q);
		fence_put(next_run);
	}
}

static void *wait_for_it(void *arg)
{
	return bind_queue_wait(arg, BIND_TOY_PATIENCE) ? arg : NULL;
}

/* The same, with a thread that waits already before the first run is over. */
static void a_run_holds_up_no_clean_up_that_is_being_waited_for(void **state)
{
	struct bind_queue *q = begin(NULL), *p = another();
	struct fence *out = fence_create(), *first_run = fence_create();
	struct fence_cb cb;
	pthread_t waiter;
	void *in_vain;

	(void)state;
	bt.block = first_run;
	next_run = fence_create();
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, out), 0);
	assert_int_equal(submit(p, "map 20+10=B@0", NULL, NULL), 0);
	assert_int_equal(fence_add_callback(out, &cb, hold_next_run), 0);
	while (now(&bt.blocked) == 0)
		usleep(100);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_it, q), 0);
	while (!somebody_waits(q))
		usleep(100);
	fence_signal(first_run);
	pthread_join(waiter, &in_vain);
	fence_signal(next_run);
	assert_null(in_vain);
	settle(p);
	assert_int_equal(bt.blocked, 2);
	fence_put(out);
	fence_put(first_run);
	bind_queue_destroy(p);
	end(q);
	fence_put(next_run);
}

static unsigned long markers(void)
{
	unsigned long nr;

	gpuvm_lock(&bt.toy.vm);
	nr = bt.toy.vm.markers;
	gpuvm_unlock(&bt.toy.vm);
	return nr;
}

static void expect_no_marker(void)
{
	MA_STATE(mas, &bt.toy.vm.tree, 0, 0);
	void *entry;

	gpuvm_lock(&bt.toy.vm);
	mas_for_each(&mas, entry, ULONG_MAX)
		assert_false(xa_is_zero(entry));
	gpuvm_unlock(&bt.toy.vm);
	assert_int_equal(markers(), 0);
}

/*
 * Without memory BIND_UNMAP_ALL leaves markers; other jobs may meet them before they are cleared.
 */
static void jobs_meet_markers(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *out = fence_create();

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+10=A@0; map 30+10=A@0; map 50+10=A@0; "
					"map 70+10=A@0"),
			 0);
	hold_clean_up(q);
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	assert_int_equal(submit(q, "unmap_all A", NULL, NULL), 0);
	assert_int_equal(
		submit(q, "map 14+4=B@0; map 30+10=B@0; map 48+20=B@0; unmap 78+20", NULL, NULL),
		0);
	assert_int_equal(submit(q, "unmap 12+4; unmap 4c+28; map 71+2=C@0", NULL, out), 0);
	expect_signaled(out, 0);
	assert_int_equal(markers(), 3); /* 10+2, 18+8, 74+c */
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	let_clean_up(q);
	expect_no_marker();
	expect_vm("[16+2=B@2 30+10=B@0 48+4=B@0 71+2=C@0 f00+1=F@0]");
	fence_put(out);
	end(q);
}

/* ---- Jobs run while markers are swept ---- */

enum { SWEPT = 1000 };

static struct sweeping {
	pthread_t submitter;
	struct fence *go, *out;
	unsigned int asks, asks_before_out;
} sweeping;

/*
 * Every other marker that is swept asks for a node. The first request lets a job start that needs
 * none; counts the requests made before that job has run.
 */
static void asked(void *arg)
{
	struct sweeping *s = arg;

	if (pthread_equal(pthread_self(), s->submitter))
		return;
	if (s->asks++ == 0)
		fence_signal(s->go);
	s->asks_before_out += !fence_is_signaled(s->out);
}

static void begin_sweeping(struct bind_queue *p)
{
	sweeping = (struct sweeping){ pthread_self(), fence_create(), fence_create(), 0, 0 };
	assert_int_equal(submit(p, "", sweeping.go, sweeping.out), 0);
	smr_hook_set_alloc(asked, &sweeping);
}

static void end_sweeping(void)
{
	smr_hook_reset();
	assert_true(sweeping.asks > 200);
	assert_true(sweeping.asks_before_out < sweeping.asks);
	fence_put(sweeping.go);
	fence_put(sweeping.out);
}

static struct bind_queue *begin_swept(void)
{
	static const struct toy_config large = { .range = 0x100000 };
	struct bind_op op = { BIND_MAP, 0, 0, 8, NULL, 0 };
	struct bind_job job = { .ops = &op, .nr_ops = 1 };
	struct bind_queue *q;

	bind_toy_init(&bt, &large, NULL);
	q = bind_queue_create(&bt.toy.vm, "test", NULL);
	assert_non_null(q);
	op.obj = &bt.toy.objs[0];
	for (unsigned int i = 0; i < SWEPT; i++) {
		op.addr = 0x1000 + 0x10 * i;
		assert_int_equal(bind_queue_submit(q, &job), 0);
	}
	settle(q);
	return q;
}

/* The cleaner sweeps, acting as the runner for moments. */
static void sweeping_lets_jobs_by(void **state)
{
	struct bind_queue *q = begin_swept(), *p = another();
	struct fence *out = fence_create();

	(void)state;
	hold_clean_up(q);
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT);
	assert_int_equal(submit(q, "unmap_all A", NULL, out), 0);
	expect_signaled(out, 0);
	assert_int_equal(markers(), SWEPT);
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	begin_sweeping(p);
	let_clean_up(q);
	settle(p);
	end_sweeping();
	expect_no_marker();
	fence_put(out);
	bind_queue_destroy(p);
	end(q);
}

/* A single marker in place of many mappings that are swept together is counted once. */
static void a_marker_is_swept_once(void **state)
{
	struct bind_queue *q = begin_swept();
	struct fence *out = fence_create();
	char text[32];

	(void)state;
	hold_clean_up(q);
	smr_hook_set_mem(SMR_HOOK_MEM_NOWAIT); /* so that most are cleared by credits, too */
	assert_int_equal(submit(q, "unmap_all A", NULL, NULL), 0);
	for (unsigned int at = 0x1000; at < 0x1000 + 0x10 * SWEPT; at += 0x100) {
		sprintf(text, "map %x+80=B@0", at);
		assert_int_equal(submit(q, text, NULL, NULL), 0);
	}
	assert_int_equal(submit(q, "unmap_all B", NULL, out), 0);
	expect_signaled(out, 0);
	assert_true(markers() < 3 * SWEPT / 4);
	let_clean_up(q);
	smr_hook_reset();
	expect_no_marker();
	expect_vm("[f00+1=F@0]");
	fence_put(out);
	end(q);
}

/* ---- Neighbours are removed in one store ---- */

/* Runs @text; @mem says whether there is memory for its removals. */
static void run_unmaps(struct bind_queue *q, const char *text, enum smr_hook_mem mem)
{
	struct fence *out = fence_create();

	smr_hook_set_mem(mem);
	assert_int_equal(submit(q, text, NULL, out), 0);
	expect_signaled(out, 0);
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	fence_put(out);
}

/* Nothing is left for clean-up. */
static void neighbours_go_in_one_store(void **state)
{
	struct bind_queue *q = begin_swept();
	unsigned long seq = bt.toy.vm.tree.ma_seq;

	(void)state;
	hold_clean_up(q);
	run_unmaps(q, "unmap_all A", SMR_HOOK_MEM_OK);
	expect_no_marker();
	assert_true(bt.toy.vm.tree.ma_seq - seq < 5);
	let_clean_up(q);
	expect_vm("[f00+1=F@0]");
	end(q);
}

/* Other objects' mappings and the reserved region in between lose nothing. */
static void others_stay_between_neighbours(void **state)
{
	static const struct toy_config config = { 0, 0x1000, 0x40, 0x10, 0, false, NULL };
	struct bind_queue *q = begin_with(&config, NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 50+8=A@0; map 38+8=A@0; map 30+8=B@0; map 10+8=A@0; "
					"map 18+10=A@0; map 60+10=C@0; map 80+20=A@0"),
			 0);
	hold_clean_up(q);
	run_unmaps(q, "unmap_all A; map 88+8=B@0", SMR_HOOK_MEM_OK);
	expect_no_marker();
	let_clean_up(q);
	expect_vm("[30+8=B@0 60+10=C@0 88+8=B@0 f00+1=F@0]");
	end(q);
}

/* Existing markers are removed with their neighbours, and counted. */
static void markers_go_with_their_neighbours(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit_sync(q, "map 10+8=A@0; map 18+8=A@0; map 20+8=B@0; map 30+8=A@0; "
					"map 38+8=A@0; map 50+8=C@0; map 60+8=B@0; map 70+8=A@0; "
					"map 78+8=A@0; map 80+8=D@0"),
			 0);
	hold_clean_up(q);
	run_unmaps(q, "unmap_all A", SMR_HOOK_MEM_NOWAIT);
	assert_int_equal(markers(), 6);
	run_unmaps(q, "unmap_all B", SMR_HOOK_MEM_OK);
	expect_no_marker();
	let_clean_up(q);
	expect_vm("[50+8=C@0 80+8=D@0 f00+1=F@0]");
	end(q);
}

/* ---- Sweeping leftover markers ---- */

/* The runner sweeps, after the run of a job. */
static void sweeping_what_was_left_lets_jobs_by(void **state)
{
	struct bind_queue *q = begin_swept(), *p = another();

	(void)state;
	assert_int_equal(submit_sync(q, "map f00+1=F@0"), 0); /* an empty tree needs no node */
	smr_hook_set_mem(SMR_HOOK_MEM_NONE);
	assert_int_equal(submit(q, "unmap_all A", NULL, NULL), 0);
	settle(q);
	assert_true(markers() > SWEPT / 2);
	smr_hook_set_mem(SMR_HOOK_MEM_OK);
	begin_sweeping(p);
	assert_int_equal(submit(q, "", NULL, NULL), 0);
	settle(q);
	settle(p);
	end_sweeping();
	expect_no_marker();
	bind_queue_destroy(p);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_outlive_their_mappings),
		cmocka_unit_test(told_to_who_moves_its_objects),
		cmocka_unit_test(destructors_wait_for_readers),
		cmocka_unit_test(objects_end_without_the_reservation_lock),
		cmocka_unit_test(external_objects),
		cmocka_unit_test(a_lock_holds_no_run_up),
		cmocka_unit_test(a_callback_holds_no_run_up),
		cmocka_unit_test(a_blocked_clean_up_blocks_no_other_vm),
		cmocka_unit_test(a_run_holds_up_no_clean_up_that_is_waited_for),
		cmocka_unit_test(a_run_holds_up_no_clean_up_that_is_being_waited_for),
		cmocka_unit_test(jobs_meet_markers),
		cmocka_unit_test(a_marker_is_swept_once),
		cmocka_unit_test(sweeping_lets_jobs_by),
		cmocka_unit_test(sweeping_what_was_left_lets_jobs_by),
		cmocka_unit_test(neighbours_go_in_one_store),
		cmocka_unit_test(others_stay_between_neighbours),
		cmocka_unit_test(markers_go_with_their_neighbours),
	};

	return cmocka_run_group_tests_name("bind_clean", tests, NULL, NULL);
}
