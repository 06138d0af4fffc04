/* SPDX-License-Identifier: MIT */
/*
 * What jobs find that other jobs before and after them did, in one queue and in several; and
 * callbacks that block.
 */
#include "support/bind_bed.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void named(void **state)
{
	struct bind_queue *q;

	(void)state;
	bind_toy_init(&bt, NULL, NULL);
	q = bind_queue_create(&bt.toy.vm, "0123456789012345678901234567890123456789", NULL);
	assert_string_equal(bind_queue_name(q), "0123456789012345678901234567890");
	end(q);
}

/* J1: what the second job needs is not visible yet when it is submitted. */
static void later_jobs_meet_earlier_ones(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct fence *in = fence_create(), *out = fence_create();

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(submit(q, "unmap 14+4", NULL, out), 0);
	gpuvm_read_lock(&bt.toy.vm); /* a look is not a wait */
	assert_int_equal(bind_queue_wait(q, 0), -ETIMEDOUT);
	gpuvm_read_unlock(&bt.toy.vm);
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

/* J3, J4: only fences order jobs of different queues. */
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
	assert_int_equal(submit(q, "map 20+10=A@0", NULL, NULL), 0); /* submitters go on */
	assert_null(gpuvm_find(&bt.toy.vm, 0x10));                   /* readers, too */
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

/* A thread that has to run something itself gets the turn although there always is a worker. */
static void who_claims_the_turn_comes_first(void **state)
{
	struct bind_queue *q = begin(NULL);
	struct gpuvm_queues *vm = q->vm;
	struct smri_bind_turn *turn = &vm->turn[SMRI_BIND_RUN];
	bool called;

	(void)state;
	mt_lock_acquire(&vm->lock);
	turn->claims++;
	mt_lock_release(&vm->lock);
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, NULL), 0);
	mt_lock_acquire(&vm->lock);
	called = turn->listed || turn->busy;
	turn->claims--;
	smri_bind_kick(vm, SMRI_BIND_RUN);
	mt_lock_release(&vm->lock);
	assert_false(called);
	settle(q);
	expect_vm("[10+10=A@0]");
	end(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(named),
		cmocka_unit_test(later_jobs_meet_earlier_ones),
		cmocka_unit_test(overlapping_maps),
		cmocka_unit_test(queues_overtake),
		cmocka_unit_test(what_is_left_comes_back),
		cmocka_unit_test(empty_jobs_keep_their_place),
		cmocka_unit_test(many_fences_and_timelines),
		cmocka_unit_test(a_blocked_vm_blocks_no_other),
		cmocka_unit_test(who_claims_the_turn_comes_first),
	};

	return cmocka_run_group_tests_name("bind_queue", tests, NULL, NULL);
}
