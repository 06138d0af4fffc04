/* SPDX-License-Identifier: MIT */
/*
 * Failing allocations of bind queues: a submit that fails has changed nothing, whichever of its
 * allocations it was, and an accepted job needs none; and VMs and pools that could not be made
 * leave nothing behind.
 */
#include "bind_dry.h"
#include "bind_picture.h"
#include "support/threadfault.h"
#include "support/threads.h"

#include <stdlib.h>

/* A VM with a queue, and a job that waits for a fence and a value, and signals others. */
struct scene {
	const struct toy_config *config;
	const char *text;
	bool syncs;
	struct bind_queue *q;
	struct timeline *tl;
	struct fence *in, *out;
	struct bind_sync ins[2], outs[2];
	struct bind_job job;
};

static void scene_begin(struct scene *s)
{
	s->q = begin_with(s->config, NULL);
	s->tl = timeline_create("t", 0);
	s->in = fence_create();
	s->out = fence_create();
	s->ins[0] = (struct bind_sync){ .fence = s->in };
	s->ins[1] = (struct bind_sync){ .timeline = s->tl, .value = 7 };
	s->outs[0] = (struct bind_sync){ .fence = s->out };
	s->outs[1] = (struct bind_sync){ .timeline = s->tl, .value = 9 };
	s->job = (struct bind_job){ .flags = 0 };
	if (s->syncs)
		s->job = (struct bind_job){ .nr_in = 2, .nr_out = 2, .in = s->ins, .out = s->outs };
}

static void scene_end(struct scene *s)
{
	end(s->q);
	fence_put(s->in);
	fence_put(s->out);
	timeline_put(s->tl);
}

/*
 * A2: fails the first, the second, ... allocation, until there are no more. Returns how many there
 * were. If the submit survives a failure, another VM is made. The last job is accepted.
 */
static unsigned long each_allocation(struct scene *s)
{
	struct picture before, after;
	unsigned long i;
	bool met = true;
	int err;

	scene_begin(s);
	for (i = 1; met; i++) {
		take_picture(&before, s->q, s->in, s->out, s->tl);
		memfault_nth(i);
		err = bind_toy_submit_job(s->q, &bt, s->text, &s->job);
		met = memfault_count() >= i;
		memfault_ok();
		assert_true(i < 2000);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			take_picture(&after, s->q, s->in, s->out, s->tl);
			expect_same(&before, &after, i);
		} else if (met) {
			scene_end(s);
			scene_begin(s);
		}
	}
	return i - 2;
}

static void every_allocation_of_maps(void **state)
{
	static const struct toy_config external = { .range = 0x1000, .external = true };
	static const struct toy_config protected = { .range = 0x1000,
						     .external = true,
						     .flags = GPUVM_RESV_PROTECTED };
	static const struct toy_config *const configs[] = { NULL, &external, &protected };

	(void)state;
	for (unsigned int c = 0; c < 3; c++) {
		struct scene s = { .config = configs[c],
				   .text = "map 10+10=A@0; map 20+10=B@0; unmap 18+10; "
					   "map 40+10=A@7; unmap_all C; prefetch 0+100; "
					   "map 60+8=C@0; map 68+8=D@0; map 70+8=E@0; "
					   "map 78+8=F@0; sparse 80+8",
				   .syncs = true };

		assert_true(each_allocation(&s) > 30);
		/* A3, A4: from here on there is no memory. */
		memfault_none();
		fence_signal(s.in);
		timeline_signal(s.tl, 7);
		assert_int_equal(fence_wait(s.out, FENCE_FOREVER), 0);
		assert_int_equal(fence_error(s.out), 0);
		assert_int_equal(bind_queue_wait(s.q, FENCE_FOREVER), 0);
		expect_vm("[10+8=A@0 28+8=B@8 40+10=A@7 60+8=C@0 68+8=D@0 70+8=E@0 "
			  "78+8=F@0 80+8=-@0]");
		memfault_ok();
		scene_end(&s);
	}
}

static void every_allocation_of_a_large_job(void **state)
{
	char text[4096] = "";
	struct scene s = { .text = text };

	(void)state;
	for (unsigned int i = 0; i < 70; i++)
		sprintf(text + strlen(text), "map %x+8=A@0; ", 8 * i);
	assert_true(each_allocation(&s) > 200);
	settle_all(s.q);
	assert_int_equal(stats().vas_live, 70);
	scene_end(&s);
}

/*
 * A job with more stores than a batch has credits of its own. The VM's arena, which has a limit,
 * has too few nodes for those, but enough for everything else.
 */
static void a_job_too_large_for_its_arena(void **state)
{
	enum { OPS = 20000 };
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct toy_config config = { .range = 0x100000, .mem = mem };
	struct bind_queue *q = begin_with(&config, NULL);
	struct bind_op *ops = calloc(OPS, sizeof(*ops));
	struct bind_job job = { .ops = ops, .nr_ops = OPS };
	struct picture before, after;

	(void)state;
	assert_non_null(ops);
	for (unsigned int i = 0; i < OPS; i++)
		ops[i] = (struct bind_op){
			.type = BIND_MAP, .flags = GPUVA_SPARSE, .addr = 8 * i, .range = 4
		};
	take_picture(&before, q, NULL, NULL, NULL);
	assert_int_equal(bind_queue_submit(q, &job), -ENOMEM);
	take_picture(&after, q, NULL, NULL, NULL);
	expect_same(&before, &after, 0);
	job.nr_ops = 200;
	assert_int_equal(bind_queue_submit(q, &job), 0);
	settle_all(q);
	assert_int_equal(stats().vas_live, 200);
	free(ops);
	end(q);
	mt_mem_destroy(mem);
}

/* A11: what was reserved for a tree of one level is enough after others have made it grow. */
static void trees_grow_between(void **state)
{
	struct bind_queue *q = begin(NULL), *other;
	struct fence *in = fence_create(), *out = fence_create();
	const struct maple_tree *mt = &bt.toy.vm.tree;
	unsigned int height;
	char text[32];

	(void)state;
	other = another();
	assert_int_equal(submit(q, "map 14+8=B@0; unmap 800+100; map 1e0+100=C@0", in, out), 0);
	height = mt_height(mt);
	for (unsigned int i = 0; i < 1000; i++) {
		sprintf(text, "map %x+2=A@0", 4 * i);
		assert_int_equal(submit(other, text, NULL, NULL), 0);
	}
	settle_all(other);
	assert_true(mt_height(mt) >= height + 2);
	memfault_none();
	fence_signal(in);
	assert_int_equal(fence_wait(out, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(out), 0);
	settle_all(q);
	assert_int_equal(stats().vas_live, 1000 - 2 - 64 - 64 + 2);
	memfault_ok();
	fence_put(in);
	fence_put(out);
	bind_queue_destroy(other);
	end(q);
}

static void every_allocation_of_a_vm(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };

	(void)state;
	for (unsigned int strict = 0; strict < 2; strict++) {
		struct bind_config c = { .size = sizeof(c) };
		bool met = true;
		struct toy toy;
		int err;

		if (strict) {
			c.max_mappings = 10;
			c.max_ops = c.max_jobs = 3;
		}
		for (unsigned long i = 1; met; i++) {
			assert_int_equal(toy_init(&toy, &config), 0);
			memfault_nth(i);
			err = bind_vm_init(&toy.vm, &c);
			met = memfault_count() >= i;
			memfault_ok();
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_null(toy.vm.queues);
				assert_int_equal(toy.vm.tree.ma_pledge.pledged, 0);
				assert_true(toy_destroy(&toy));
				continue;
			}
			memfault_nth(1);
			assert_null(bind_queue_create(&toy.vm, "x", &err));
			assert_int_equal(err, -ENOMEM);
			memfault_ok();
			assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
			assert_true(toy_destroy(&toy));
		}
	}
}

/* ---- Threads ---- */

/* A joined thread may still be visible for a moment. */
static void expect_threads(unsigned int nr)
{
	for (unsigned int i = 0; i < 1000 && count_threads() > nr; i++)
		usleep(1000);
	assert_int_equal(count_threads(), nr);
}

/* A pool that cannot start all its threads is not made, and the started ones end. */
static void too_few_threads(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };
	struct bind_config c = { .size = sizeof(c) };
	unsigned int before = count_threads();
	struct bind_workers *workers;
	struct toy toy;

	(void)state;
	for (long n = 0; n < 8; n++) {
		threads_to_come = n;
		assert_null(bind_workers_create(4));
		expect_threads(before);
	}
	threads_to_come = 8; /* four to run jobs, and four to clean up */
	workers = bind_workers_create(4);
	assert_non_null(workers);
	bind_workers_destroy(workers);
	/* The pool that VMs share has two of each. */
	assert_int_equal(toy_init(&toy, &config), 0);
	threads_to_come = 3;
	assert_int_equal(bind_vm_init(&toy.vm, &c), -ENOMEM);
	assert_null(toy.vm.queues);
	threads_to_come = -1;
	assert_int_equal(bind_vm_init(&toy.vm, &c), 0);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
	assert_true(toy_destroy(&toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_of_maps),
		cmocka_unit_test(every_allocation_of_a_large_job),
		cmocka_unit_test(a_job_too_large_for_its_arena),
		cmocka_unit_test(trees_grow_between),
		cmocka_unit_test(every_allocation_of_a_vm),
		cmocka_unit_test(too_few_threads),
	};

	return cmocka_run_group_tests_name("bind_submit", tests, NULL, NULL);
}
