/* SPDX-License-Identifier: MIT */
/*
 * Unmaps that cut nothing are run by their submitter if there is no memory at all, neither for a
 * job nor in the spare.
 */
#include "bind_dry.h"
#include "bind_picture.h"

#include <pthread.h>

/* Nothing is outstanding, and the spare is used up: unmaps that cut nothing work all the same. */
static void unmaps_are_run_inline(void **state)
{
	struct timeline *tl = timeline_create("t", 0);
	struct bind_sync out = { .timeline = tl, .value = 3 };
	struct bind_job job = { .nr_out = 1, .out = &out };
	struct bind_queue *q = begin_without_memory(
		"map 0+100=A@0; map 200+10=B@0; map 210+10=C@0; sparse 220+10");

	(void)state;
	assert_int_equal(
		bind_toy_submit_job(q, &bt, "unmap 200+20; unmap 220+40; unmap 300+1", &job), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_int_equal(timeline_value(tl), 3);
	expect_log("U(200+10=B@0 k0) U(210+10=C@0 k0) U(220+10=-@0 k0)");
	expect_vm("[0+40=A@0 50+b0=A@50]");
	assert_int_equal(bt.cookies, 0);
	settle_all(q);
	memfault_ok();
	assert_int_equal(submit(q, "map 208+20=D@0; unmap 10+1", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[0+10=A@0 11+2f=A@11 50+b0=A@50 208+20=D@0]");
	timeline_put(tl);
	end(q);
}

/*
 * A mapping that an earlier operation has removed as a whole need not be cut by a later one; one
 * that only a later operation removes must be cut.
 */
static void inline_unmaps_see_those_before(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");

	(void)state;
	assert_int_equal(submit(q, "unmap 224+4; unmap 220+10", NULL, NULL), -ENOMEM);
	assert_int_equal(submit(q, "unmap 200+10; unmap 208+20", NULL, NULL), -ENOMEM);
	assert_int_equal(stats().unmaps_inline, 0);
	expect_log("(none)");
	assert_int_equal(
		submit(q, "unmap 200+10; unmap 204+4; unmap 220+40; unmap 208+20", NULL, NULL), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	expect_log("U(200+10=B@0 k0) U(220+10=C@0 k0)");
	expect_vm("[0+40=A@0 50+b0=A@50]");
	end(q);
}

/* As many as there is room for on the submitter's stack. */
static void few_unmaps_are_run_inline(void **state)
{
	struct bind_queue *q = begin_without_memory("map 200+10=B@0");
	char text[16 * SMRI_BIND_INLINE_OPS + 1] = "unmap 200+10";
	unsigned int nr = 1;

	(void)state;
	while (nr++ < SMRI_BIND_INLINE_OPS)
		strcat(text, "; unmap 300+1");
	strcat(text, "; unmap 300+1");
	assert_int_equal(submit(q, text, NULL, NULL), -ENOMEM);
	assert_int_equal(stats().unmaps_inline, 0);
	text[strlen(text) - strlen("; unmap 300+1")] = '\0';
	assert_int_equal(submit(q, text, NULL, NULL), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	expect_log("U(200+10=B@0 k0)");
	end(q);
}

static void unmaps_of_objects_are_run_inline(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");

	(void)state;
	assert_int_equal(submit(q, "unmap_all B; unmap 10+4", NULL, NULL), -ENOMEM);
	expect_log("(none)");
	assert_int_equal(submit(q, "unmap_all B; unmap 204+4; unmap 0+40; unmap_all A; unmap_all B",
				NULL, NULL),
			 0);
	assert_int_equal(stats().unmaps_inline, 1);
	expect_log("U(200+10=B@0 k0) U(0+40=A@0 k0) U(50+b0=A@50 k0)");
	expect_vm("[220+10=C@0]");
	settle_all(q);
	assert_int_equal(bt.toy.objs[0].refs, 1);
	assert_int_equal(bt.cookies, 0);
	memfault_ok();
	assert_int_equal(submit(q, "map 0+100=A@0; unmap_all A; map 200+10=B@0", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[200+10=B@0 220+10=C@0]");
	end(q);
}

/* Markers that it cannot clear without memory are cleared after the next run that has some. */
static void markers_of_what_ran_inline_go(void **state)
{
	struct bind_queue *q = begin_without_memory(
		"map 0+100=A@0; map 200+1=B@0; map 201+1=C@0; map 202+1=B@0; map 203+1=C@0; "
		"map 204+1=B@0; map 205+1=C@0; map 206+1=B@0; map 207+1=C@0; map 208+1=B@0");

	(void)state;
	assert_int_equal(submit(q, "unmap 200+8", NULL, NULL), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	settle_all(q);
	assert_true(bt.toy.vm.markers > 0);
	memfault_ok();
	assert_int_equal(submit(q, "map 300+1=D@0", NULL, NULL), 0);
	settle_all(q);
	assert_int_equal(bt.toy.vm.markers, 0);
	expect_vm("[0+40=A@0 50+b0=A@50 208+1=B@0 300+1=D@0]");
	end(q);
}

/* More fences than the spare has records for. */
static void empty_jobs_are_run_inline(void **state)
{
	struct bind_sync out[SMRI_BIND_SPARE_SYNCS + 1];
	struct bind_job job = { .nr_out = ARRAY_SIZE(out), .out = out };
	struct bind_queue *q = begin(NULL);

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(out); i++)
		out[i] = (struct bind_sync){ .fence = fence_create() };
	memfault_none();
	assert_int_equal(bind_toy_submit_job(q, &bt, "", &job), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_int_equal(stats().completed, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(out); i++) {
		assert_true(fence_is_signaled(out[i].fence));
		fence_put(out[i].fence);
	}
	end(q);
}

/* A submit that may not wait is run inline all the same, if there is nothing to wait for. */
static void inline_without_waiting(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");
	struct bind_sync in = { .value = 1 };
	struct bind_job job = { .flags = BIND_NONBLOCK, .in = &in };

	(void)state;
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 10+4", &job), -ENOMEM);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+10", &job), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	memfault_ok();
	in.fence = fence_create();
	memfault_none();
	job.nr_in = 1;
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 220+10", &job), -ENOMEM);
	expect_vm("[0+40=A@0 50+b0=A@50 220+10=C@0]");
	fence_signal(in.fence);
	settle_all(q);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 220+10", &job), 0);
	assert_int_equal(stats().unmaps_inline, 2);
	expect_vm("[0+40=A@0 50+b0=A@50]");
	/*
	 * With nothing to free, no clean-up follows that would clear lingers, for which others may
	 * be refused.
	 */
	settle_all(q);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 220+10", &job), 0);
	assert_int_equal(stats().unmaps_inline, 3);
	assert_false(q->vm->slow_clean);
	fence_put(in.fence);
	end(q);
}

static const struct bind_ops *toy_bind_ops;
static struct bind_ops meddling;
static struct fence *releases; /* each va_release() waits for it, with patience */
static unsigned int releasing;

static void slow_release(struct gpuva *va, void *priv)
{
	toy_bind_ops->va_release(va, priv);
	__atomic_fetch_add(&releasing, 1, __ATOMIC_SEQ_CST);
	fence_wait(releases, BIND_TOY_PATIENCE);
}

/* The driver may take its time in va_release(). */
static void inline_without_waiting_for_callbacks(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");
	struct bind_job job = { .flags = BIND_NONBLOCK };
	int err;

	(void)state;
	memfault_ok();
	releases = fence_create();
	releasing = 0;
	memfault_none();
	toy_bind_ops = q->vm->ops;
	meddling = *q->vm->ops;
	meddling.va_release = slow_release;
	q->vm->ops = &meddling;
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+10", &job), 0);
	while (__atomic_load_n(&releasing, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	err = bind_toy_submit_job(q, &bt, "unmap 220+10", &job);
	fence_signal(releases);
	assert_int_equal(err, -ENOMEM);
	job.flags = 0; /* may wait, since the callback may not have returned yet */
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 220+10", &job), 0);
	assert_int_equal(stats().unmaps_inline, 2);
	settle(q);
	end(q);
	fence_put(releases);
}

/*
 * A failed step bans the VM here, too. The error is the job's; without BIND_SYNC the submit
 * succeeds.
 */
static void a_failed_step_inline(void **state)
{
	(void)state;
	for (unsigned int sync = 0; sync < 2; sync++) {
		struct bind_queue *q =
			begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 210+10=C@0");
		struct bind_sync out = { .value = 3 };
		struct bind_job job = { .nr_out = !sync, .out = &out };
		struct fence *f;

		memfault_ok();
		out.timeline = timeline_create("t", 0);
		f = timeline_fence(out.timeline, 3);
		memfault_none();
		job.flags = sync ? BIND_SYNC : 0;
		bt.step_err = -EIO;
		assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+20", &job),
				 sync ? -EIO : 0);
		assert_int_equal(job.bad_op, sync ? UINT_MAX : 1);
		expect_log("U(200+10=B@0 k0)"); /* and none after the failed one */
		assert_int_equal(stats().unmaps_inline, 1);
		assert_int_equal(stats().failed, 1);
		assert_true(bind_vm_is_banned(&bt.toy.vm));
		assert_int_equal(submit(q, "unmap 0+10", NULL, NULL), -ENOENT);
		expect_vm("[0+40=A@0 50+b0=A@50]");
		assert_int_equal(fence_is_signaled(f), !sync);
		if (!sync)
			assert_int_equal(fence_error(f), -EIO);
		assert_int_equal(bt.cookies, 0);
		memfault_ok();
		fence_put(f);
		timeline_put(out.timeline);
		end(q);
	}
}

/* ---- What happens while a driver prepares an unmap that is to run inline ---- */

static struct bind_queue *victim, *helper;
static struct fence *helper_in;
static unsigned int prepared;

static int cancel_and_prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	bind_queue_cancel(victim);
	return toy_bind_ops->prepare(vm, op, cookie, priv);
}

/* Suddenly there is another job; there is memory only while it is submitted. */
static int submit_and_prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	int err = toy_bind_ops->prepare(vm, op, cookie, priv);

	if (prepared++ == 0) {
		memfault_ok();
		assert_int_equal(submit(helper, "map 800+10=C@0", helper_in, NULL), 0);
		memfault_none();
	}
	return err;
}

static void meddle(struct bind_queue *queue,
		   int (*prepare)(struct gpuvm *vm, const struct bind_op *op, void **cookie,
				  void *priv))
{
	struct gpuvm_queues *q = queue->vm;

	victim = queue;
	prepared = 0;
	toy_bind_ops = q->ops;
	meddling = *q->ops;
	meddling.prepare = prepare;
	q->ops = &meddling;
}

static int refuse_the_second(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	return prepared++ ? -EPERM : toy_bind_ops->prepare(vm, op, cookie, priv);
}

static void refused_before_it_runs_inline(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");
	struct bind_job job = { .flags = 0 };

	(void)state;
	meddle(q, refuse_the_second);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+20; unmap 300+10; unmap 0+0", &job),
			 -EINVAL);
	assert_int_equal(job.bad_op, 2);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+20; unmap 300+10", &job), -EPERM);
	assert_int_equal(job.bad_op, 1);
	assert_int_equal(bt.cookies, 0);
	end(q);
}

static void canceled_before_it_runs_inline(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");
	struct picture before, after;

	(void)state;
	take_picture(&before, q, NULL, NULL, NULL);
	meddle(q, cancel_and_prepare);
	assert_int_equal(submit(q, "unmap 200+20", NULL, NULL), -ENOENT);
	take_picture(&after, q, NULL, NULL, NULL);
	expect_same(&before, &after, 0);
	assert_false(q->vm->turn[SMRI_BIND_RUN].busy || q->vm->turn[SMRI_BIND_CLEAN].busy);
	expect_log("(none)");
	end(q);
}

/*
 * Then the unmap is not run inline, beside the other job: it waits for memory again, and becomes a
 * job.
 */
static void not_alone_any_more(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");

	(void)state;
	memfault_ok();
	helper = another();
	helper_in = fence_create();
	memfault_none();
	meddle(q, submit_and_prepare);
	assert_int_equal(submit(q, "unmap 200+20", NULL, NULL), 0);
	settle_all(q);
	assert_int_equal(prepared, 3); /* one more than there are operations */
	assert_int_equal(stats().unmaps_inline, 0);
	assert_int_equal(stats().jobs, 1);
	assert_int_equal(bt.cookies, 1); /* the helper's */
	fence_signal(helper_in);
	settle_all(helper);
	expect_vm("[0+40=A@0 50+b0=A@50 800+10=C@0]");
	assert_int_equal(bt.cookies, 0);
	memfault_ok();
	fence_put(helper_in);
	bind_queue_destroy(helper);
	end(q);
}

static int count_and_prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	prepared++;
	return toy_bind_ops->prepare(vm, op, cookie, priv);
}

/*
 * While the submitter waits for the in-fence, the queue or the VM ends; the driver is not called.
 */
static void what_runs_inline_is_canceled(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct fence *in = fence_create();
		struct bind_queue *q = begin_without_memory("map 0+100=A@0");
		struct waiting w = { .q = q, .text = "unmap 0+100", .in = in };
		pthread_t thread;

		meddle(q, count_and_prepare);
		assert_int_equal(pthread_create(&thread, NULL, submit_waiting, &w), 0);
		while (!somebody_waits(q))
			usleep(100);
		if (i == 0)
			bind_queue_cancel(q);
		else if (i == 1)
			bind_vm_ban(&bt.toy.vm);
		else if (i == 2)
			assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_CANCEL), 0);
		else
			fence_signal(in);
		pthread_join(thread, NULL);
		assert_int_equal(w.result, i < 3 ? -ENOENT : 0);
		assert_int_equal(stats().unmaps_inline, i == 3);
		assert_int_equal(prepared, i == 3);
		fence_put(in);
		end(q);
	}
}

/* There is memory for the fence of the value to wait for, but none for a job. */
static void *submit_for_value(void *arg)
{
	struct bind_sync *in = arg;
	struct bind_job job = { .nr_in = 1, .in = in };

	prepared = (unsigned int)-bind_toy_submit_job(victim, &bt, "unmap 200+10", &job);
	return NULL;
}

/* The fence is freed as soon as the value is no longer waited for, whether reached or not. */
static void a_value_is_waited_for_inline(void **state)
{
	(void)state;
	for (unsigned int cancel = 0; cancel < 2; cancel++) {
		struct timeline *tl = timeline_create("t", 0);
		struct bind_sync in = { .timeline = tl, .value = 3 };
		pthread_t thread;

		victim = begin_without_memory("map 0+100=A@0; map 200+10=B@0");
		memfault_nth(1);
		assert_int_equal(pthread_create(&thread, NULL, submit_for_value, &in), 0);
		while (!somebody_waits(victim))
			usleep(100);
		assert_int_equal(owed_by(tl), 1);
		if (cancel)
			bind_queue_cancel(victim);
		else
			assert_int_equal(timeline_signal(tl, 3), 0);
		pthread_join(thread, NULL);
		assert_int_equal(prepared, cancel ? ENOENT : 0);
		assert_int_equal(stats().unmaps_inline, !cancel);
		assert_int_equal(owed_by(tl), 0);
		expect_vm(cancel ? "[0+40=A@0 50+b0=A@50 200+10=B@0]" : "[0+40=A@0 50+b0=A@50]");
		timeline_put(tl);
		end(victim);
	}
}

static void *wait_for_queue(void *arg)
{
	return bind_queue_wait(arg, FENCE_FOREVER) ? arg : NULL;
}

/*
 * A job that is submitted meanwhile comes after it, and is waited for all the same; one that would
 * have to be run inline as well waits, or is refused if it may not wait.
 */
static void what_runs_inline_has_its_place(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");
	struct waiting w = { .q = q, .text = "unmap 200+10; unmap 220+10" };
	struct bind_job job = { .flags = BIND_NONBLOCK };
	pthread_t submitter, waiter;
	struct fence *in;
	void *failed;

	(void)state;
	memfault_ok();
	in = fence_create();
	bt.block = fence_create();
	memfault_none();
	assert_int_equal(pthread_create(&submitter, NULL, submit_waiting, &w), 0);
	while (__atomic_load_n(&bt.blocked, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 400+10", &job), -ENOMEM);
	memfault_ok();
	assert_int_equal(submit(q, "map 300+10=D@0", in, NULL), 0);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_queue, q), 0);
	while (!somebody_waits(q))
		usleep(100);
	fence_signal(bt.block);
	pthread_join(submitter, NULL);
	assert_int_equal(w.result, 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_true(somebody_waits(q));
	fence_signal(in);
	pthread_join(waiter, &failed);
	assert_null(failed);
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50 300+10=D@0]");
	fence_put(in);
	fence_put(bt.block);
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmaps_are_run_inline),
		cmocka_unit_test(inline_unmaps_see_those_before),
		cmocka_unit_test(few_unmaps_are_run_inline),
		cmocka_unit_test(unmaps_of_objects_are_run_inline),
		cmocka_unit_test(markers_of_what_ran_inline_go),
		cmocka_unit_test(empty_jobs_are_run_inline),
		cmocka_unit_test(inline_without_waiting),
		cmocka_unit_test(inline_without_waiting_for_callbacks),
		cmocka_unit_test(a_failed_step_inline),
		cmocka_unit_test(refused_before_it_runs_inline),
		cmocka_unit_test(canceled_before_it_runs_inline),
		cmocka_unit_test(not_alone_any_more),
		cmocka_unit_test(what_runs_inline_is_canceled),
		cmocka_unit_test(what_runs_inline_has_its_place),
		cmocka_unit_test(a_value_is_waited_for_inline),
	};

	return cmocka_run_group_tests_name("bind_inline", tests, NULL, NULL);
}
