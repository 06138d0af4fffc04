/* SPDX-License-Identifier: MIT */
/*
 * Unmaps that need memory when there is none use the spare, for which they wait; at the strict
 * level they use what was paid for at the beginning.
 */
#include "bind_dry.h"
#include "bind_picture.h"

#include "base/hooks.h"

#include <pthread.h>

/*
 * A13: the spare serves the first unmap, which turns out to need nothing; the second waits until
 * the spare comes back.
 */
static void unmaps_live_on_the_spare(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create();
	struct waiting w = { .q = q, .text = "unmap 40+4" };
	pthread_t thread;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0; map 38+10=B@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "map 14+4=A@0", NULL, NULL), -ENOMEM);
	assert_int_equal(submit(q, "unmap 100+20", in, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, submit_waiting, &w), 0);
	usleep(2000);
	assert_int_equal(stats().jobs, 1);
	fence_signal(in);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, 0);
	settle_all(q);
	expect_vm("[10+10=A@0 38+8=B@0 44+4=B@c]");
	assert_int_equal(stats().unmaps_inline, 0);
	fence_put(in);
	end(q);
}

/* Unmapping all of an object counts as an unmap, and needs only records of the spare. */
static void unmaps_of_objects_live_on_the_spare(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create();
	struct bind_job job = { .flags = BIND_NONBLOCK };

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0; map 38+10=B@0; map 80+10=A@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap_all A", in, NULL), 0);
	assert_int_equal(stats().jobs, 1);
	assert_true(q->vm->spare.credits);
	assert_int_equal(q->vm->spare.list[SMRI_BIND_VAS].nr, GPUVM_UNMAP_CHANGES);
	/* It has the spare's job record, and is outstanding. */
	assert_int_equal(bind_toy_submit_job(q, &bt, "", &job), -ENOMEM);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 38+10", &job), -ENOMEM);
	fence_signal(in);
	settle_all(q);
	expect_vm("[38+10=B@0]");
	assert_int_equal(submit(q, "", NULL, out), 0);
	settle_all(q);
	assert_true(fence_is_signaled(out));
	assert_int_equal(submit(q, "unmap 40+4", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[38+8=B@0 44+4=B@c]");
	assert_int_equal(stats().unmaps_inline, 0);
	assert_int_equal(stats().vas_reserved, 0);
	fence_put(in);
	fence_put(out);
	end(q);
}

/* Waiting for a value of a timeline takes a fence, which is not part of the spare. */
static void the_spare_comes_back_whole(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct timeline *tl = timeline_create("t", 0);
	struct bind_sync in[2] = { { .fence = fence_create() }, { .timeline = tl, .value = 3 } };
	struct bind_job job = { .nr_in = 2, .in = in };
	struct picture before, after;

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle_all(q);
	fence_signal(in[0].fence);
	take_picture(&before, q, NULL, NULL, tl);
	assert_true(before.spare_credit);
	memfault_none();
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 40+10", &job), -ENOMEM);
	memfault_ok();
	take_picture(&after, q, NULL, NULL, tl);
	expect_same(&before, &after, 0);
	/* So it serves a job that needs nothing else. */
	memfault_none();
	job.nr_in = 1;
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 40+10", &job), 0);
	settle_all(q);
	expect_vm("[0+40=A@0 50+b0=A@50]");
	assert_int_equal(stats().unmaps_inline, 0);
	memfault_ok();
	fence_put(in[0].fence);
	timeline_put(tl);
	end(q);
}

/*
 * What a cut has used is replaced by mappings that are freed after a grace period, memory or not.
 */
static void old_mappings_fill_the_spare(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");

	(void)state;
	assert_true(q->vm->spare.list[SMRI_BIND_VAS].nr < GPUVM_UNMAP_CHANGES);
	assert_int_equal(submit(q, "unmap 200+10", NULL, NULL), 0);
	assert_int_equal(submit(q, "unmap 220+10", NULL, NULL), 0);
	settle_all(q);
	assert_int_equal(q->vm->spare.list[SMRI_BIND_VAS].nr, GPUVM_UNMAP_CHANGES);
	end(q);
}

/* What is still missing is filled as soon as a job is over and there is memory again. */
static void the_end_of_a_job_fills_the_spare(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0");

	(void)state;
	memfault_ok();
	assert_int_equal(submit(q, "", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 10+4", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[0+10=A@0 14+2c=A@14 50+b0=A@50]");
	end(q);
}

/* ---- What a submit that needs memory waits for ---- */

/* Called on the first request for memory: that one gets none, but afterwards there is some. */
static void bring_memory(void *arg)
{
	struct gpuvm_queues *q = arg;

	smr_hook_reset();
	mt_lock_acquire(&q->lock);
	smri_bind_wake_waiters(q);
	mt_lock_release(&q->lock);
}

/* Whatever ends just before the submit would wait may have freed memory, so it tries again. */
static void what_was_over_before_counts(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0");

	(void)state;
	smr_hook_set_alloc(bring_memory, q->vm);
	assert_int_equal(submit(q, "unmap 10+4", NULL, NULL), 0);
	settle_all(q);
	assert_int_equal(stats().unmaps_inline, 0);
	expect_vm("[0+10=A@0 14+2c=A@14 50+b0=A@50]");
	end(q);
}

struct cutter {
	struct bind_queue *q;
	int result;
	unsigned int done;
};

static void *cut(void *arg)
{
	struct cutter *c = arg;

	c->result = submit(c->q, "unmap 10+4", NULL, NULL);
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static bool somebody_sleeps(struct gpuvm_queues *q)
{
	bool sleeps;

	mt_lock_acquire(&q->lock);
	sleeps = q->sleepers > 0;
	mt_lock_release(&q->lock);
	return sleeps;
}

/*
 * No job is outstanding, but mappings that readers may see: when they are freed there may be
 * memory.
 */
static void old_mappings_are_waited_for(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");
	struct bind_job job = { .flags = BIND_NONBLOCK }; /* a reader must not wait */
	struct cutter c = { .q = q };
	pthread_t thread;

	(void)state;
	gpuvm_read_lock(&bt.toy.vm);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 200+10; unmap 220+10", &job), 0);
	assert_int_equal(stats().jobs, 0);
	assert_int_equal(stats().vas_limbo, 2);
	assert_int_equal(pthread_create(&thread, NULL, cut, &c), 0);
	while (!somebody_sleeps(q->vm) && !now(&c.done))
		usleep(100);
	memfault_ok();
	gpuvm_read_unlock(&bt.toy.vm);
	pthread_join(thread, NULL);
	assert_int_equal(c.result, 0);
	settle_all(q);
	expect_vm("[0+10=A@0 14+2c=A@14 50+b0=A@50]");
	end(q);
}

/* ---- Records ---- */

/* Records of the spare that have become mappings are like those of the pool. */
static void the_spare_becomes_mappings_like_others(void **state)
{
	struct bind_queue *q = begin(NULL);

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0; map 200+100=A@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 0+10", NULL, NULL), 0);
	settle_all(q);
	memfault_ok();
	assert_int_equal(submit(q, "map 400+10=A@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 220+10", NULL, NULL), 0);
	settle_all(q);
	memfault_ok();
	assert_int_equal(submit(q, "unmap 200+20", NULL, NULL), 0);
	assert_int_equal(submit(q, "unmap 230+d0", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[10+f0=A@10 400+10=A@0]");
	end(q);
}

/* Cutting again and again makes the VM grow: in the end it fails. */
static void cutting_comes_to_an_end(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct bind_job job = { .flags = BIND_NONBLOCK };
	unsigned int cuts = 0;
	char text[32];
	int err;

	(void)state;
	assert_int_equal(submit(q, "map 0+800=A@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	do {
		sprintf(text, "unmap %x+1", 4 * cuts + 2);
		err = submit(q, text, NULL, NULL);
		settle_all(q);
		cuts += !err;
	} while (!err);
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(stats().vas_live, 1 + cuts);
	assert_true(cuts >= 1 && cuts < 20);
	assert_int_equal(bind_toy_submit_job(q, &bt, text, &job), -ENOMEM);
	assert_int_equal(submit(q, "unmap 0+3", NULL, NULL), 0);
	assert_int_equal(stats().vas_live, cuts);
	assert_int_equal(submit(q, "unmap_all A", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[]");
	end(q);
}

/* ---- The strict level ---- */

static const struct bind_config strict = { .max_mappings = 40, .max_jobs = 1, .max_ops = 2 };

/*
 * What was paid for at the beginning suffices for as many operations as were announced, without the
 * spare.
 */
static void strict_unmaps_have_all_they_need(void **state)
{
	struct bind_queue *q = begin(&strict);

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle_all(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 20+10; unmap 40+10", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[0+20=A@0 30+10=A@30 50+b0=A@50]");
	assert_int_equal(stats().unmaps_inline, 0);
	end(q);
}

/* The VM/object pair of a map, and its fence, are not paid for. */
static void strict_maps_may_find_no_memory(void **state)
{
	struct bind_queue *q = begin(&strict);
	struct picture before, after;

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle_all(q);
	take_picture(&before, q, NULL, NULL, NULL);
	memfault_none();
	/* It cuts nothing: an unmap could be run at once. */
	assert_int_equal(submit(q, "map 0+100=B@0", NULL, NULL), -ENOMEM);
	memfault_ok();
	take_picture(&after, q, NULL, NULL, NULL);
	expect_same(&before, &after, 0);
	assert_int_equal(submit(q, "map 0+100=B@0", NULL, NULL), 0);
	settle_all(q);
	expect_vm("[0+100=B@0]");
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmaps_live_on_the_spare),
		cmocka_unit_test(unmaps_of_objects_live_on_the_spare),
		cmocka_unit_test(the_spare_comes_back_whole),
		cmocka_unit_test(old_mappings_fill_the_spare),
		cmocka_unit_test(the_end_of_a_job_fills_the_spare),
		cmocka_unit_test(what_was_over_before_counts),
		cmocka_unit_test(old_mappings_are_waited_for),
		cmocka_unit_test(the_spare_becomes_mappings_like_others),
		cmocka_unit_test(cutting_comes_to_an_end),
		cmocka_unit_test(strict_unmaps_have_all_they_need),
		cmocka_unit_test(strict_maps_may_find_no_memory),
	};

	return cmocka_run_group_tests_name("bind_spare", tests, NULL, NULL);
}
