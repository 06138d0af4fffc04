/* SPDX-License-Identifier: MIT */
/*
 * Bind queues without memory: a submit that fails has changed nothing, whichever of its allocations
 * it was; an accepted job needs none; and unmaps are not refused.
 */
#include "support/cm.h"

#include "bind/bind_internal.h"
#include "support/bind_toy.h"
#include "support/memfault.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct bind_toy bt;

static struct bind_queue *begin(const struct toy_config *config, const struct bind_config *bounds)
{
	struct bind_queue *q;

	bind_toy_init(&bt, config, bounds);
	q = bind_queue_create(&bt.toy.vm, "test", NULL);
	assert_non_null(q);
	return q;
}

static void end(struct bind_queue *q)
{
	memfault_ok();
	bind_queue_destroy(q);
	assert_true(bind_toy_destroy(&bt));
}

static struct bind_stats stats(void)
{
	struct bind_stats s;

	bind_vm_stats(&bt.toy.vm, &s);
	return s;
}

static void settle(struct bind_queue *q)
{
	assert_int_equal(bind_queue_wait(q, FENCE_FOREVER), 0);
	while (stats().vas_limbo > 0)
		usleep(100);
}

static int submit(struct bind_queue *q, const char *text, struct fence *in, struct fence *out)
{
	return bind_toy_submit(q, &bt, text, in, out);
}

/* ---- Everything that a submit might leave behind ---- */

struct picture {
	struct bind_stats stats;
	struct smri_bind_load charged;
	struct smr_pool_count pools[4];
	unsigned long credits, pledged, submitted, seq;
	unsigned int obj_refs[TOY_OBJECTS], pairs[TOY_OBJECTS], vm_refs, resv_fences, resv_reserved;
	unsigned int extobj;
	long cookies;
	bool in_signaled, out_signaled, spare_credit;
	char vm[4096];
};

static unsigned int length(const struct gpuvm_list *head)
{
	unsigned int n = 0;

	for (const struct gpuvm_list *link = head->next; link != head; link = link->next)
		n++;
	return n;
}

static void take_picture(struct picture *p, struct bind_queue *queue, struct fence *in,
			 struct fence *out)
{
	struct gpuvm_queues *q = queue->vm;

	memset(p, 0, sizeof(*p));
	p->stats = stats();
	p->charged = q->charged;
	p->pools[0] = smr_pool_count(&q->vas);
	p->pools[1] = smr_pool_count(&q->jobs);
	p->pools[2] = smr_pool_count(&q->op_records);
	p->pools[3] = smr_pool_count(&q->syncs);
	p->credits = mt_credits_left(&q->credits);
	p->spare_credit = q->spare.credit;
	p->pledged = bt.toy.vm.tree.ma_pledge.pledged;
	p->seq = bt.toy.vm.tree.ma_seq;
	p->submitted = queue->submitted;
	for (unsigned int i = 0; i < TOY_OBJECTS; i++) {
		p->obj_refs[i] = bt.toy.objs[i].refs;
		p->pairs[i] = length(&bt.toy.objs[i].pairs);
		p->resv_fences += bt.toy.objs[i].own_resv.nr;
		p->resv_reserved += bt.toy.objs[i].own_resv.reserved;
	}
	p->vm_refs = bt.toy.vm.refs;
	p->extobj = length(&bt.toy.vm.extobj.list);
	p->cookies = bt.cookies;
	p->in_signaled = in && fence_is_signaled(in);
	p->out_signaled = out && fence_is_signaled(out);
	snprintf(p->vm, sizeof(p->vm), "%s", bind_toy_dump(&bt));
}

static void expect_same(const struct picture *a, const struct picture *b, unsigned long i)
{
	if (memcmp(a, b, sizeof(*a)) == 0)
		return;
	for (size_t at = 0; at < sizeof(*a); at++)
		if (((const char *)a)[at] != ((const char *)b)[at])
			fail_msg("allocation %lu: the picture differs at byte %zu", i, at);
}

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
	s->q = begin(s->config, NULL);
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
 * A2: fails the first, the second, ... allocation, until there is none more; how many there were.
 * Of some the failure is survived, then another VM is taken. The last one's job is accepted.
 */
static unsigned long each_allocation(struct scene *s)
{
	struct picture before, after;
	unsigned long i;
	bool met = true;
	int err;

	scene_begin(s);
	for (i = 1; met; i++) {
		take_picture(&before, s->q, s->in, s->out);
		memfault_nth(i);
		err = bind_toy_submit_job(s->q, &bt, s->text, &s->job);
		met = memfault_count() >= i;
		memfault_ok();
		assert_true(i < 2000);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			take_picture(&after, s->q, s->in, s->out);
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
		/* A3, A4: from here on there is none. */
		memfault_none();
		fence_signal(s.in);
		timeline_signal(s.tl, 7);
		assert_int_equal(fence_wait(s.out, FENCE_FOREVER), 0);
		assert_int_equal(fence_error(s.out), 0);
		assert_int_equal(bind_queue_wait(s.q, FENCE_FOREVER), 0);
		assert_string_equal(bind_toy_dump(&bt),
				    "[10+8=A@0 28+8=B@8 40+10=A@7 60+8=C@0 68+8=D@0 70+8=E@0 "
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
	settle(s.q);
	assert_int_equal(stats().vas_live, 70);
	scene_end(&s);
}

/*
 * One of more stores than a batch has credits of its own. The VM's arena, which has a limit, has
 * too few nodes for those, and enough for everything else.
 */
static void a_job_too_large_for_its_arena(void **state)
{
	enum { OPS = 20000 };
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct toy_config config = { .range = 0x100000, .mem = mem };
	struct bind_queue *q = begin(&config, NULL);
	struct bind_op *ops = calloc(OPS, sizeof(*ops));
	struct bind_job job = { .ops = ops, .nr_ops = OPS };
	struct picture before, after;

	(void)state;
	assert_non_null(ops);
	for (unsigned int i = 0; i < OPS; i++)
		ops[i] = (struct bind_op){
			.type = BIND_MAP, .flags = GPUVA_SPARSE, .addr = 8 * i, .range = 4
		};
	take_picture(&before, q, NULL, NULL);
	assert_int_equal(bind_queue_submit(q, &job), -ENOMEM);
	take_picture(&after, q, NULL, NULL);
	expect_same(&before, &after, 0);
	job.nr_ops = 200;
	assert_int_equal(bind_queue_submit(q, &job), 0);
	settle(q);
	assert_int_equal(stats().vas_live, 200);
	free(ops);
	end(q);
	mt_mem_destroy(mem);
}

/* A11: what was reserved for a tree of one level is enough when others have made it grow. */
static void trees_grow_between(void **state)
{
	struct bind_queue *q = begin(NULL, NULL), *other;
	struct fence *in = fence_create(), *out = fence_create();
	const struct maple_tree *mt = &bt.toy.vm.tree;
	unsigned int height;
	char text[32];

	(void)state;
	other = bind_queue_create(&bt.toy.vm, "other", NULL);
	assert_int_equal(submit(q, "map 14+8=B@0; unmap 800+100; map 1e0+100=C@0", in, out), 0);
	height = mt_height(mt);
	for (unsigned int i = 0; i < 1000; i++) {
		sprintf(text, "map %x+2=A@0", 4 * i);
		assert_int_equal(submit(other, text, NULL, NULL), 0);
	}
	settle(other);
	assert_true(mt_height(mt) >= height + 2);
	memfault_none();
	fence_signal(in);
	assert_int_equal(fence_wait(out, FENCE_FOREVER), 0);
	assert_int_equal(fence_error(out), 0);
	settle(q);
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

static long threads_to_come = -1; /* after so many there are none; -1: as many as one likes */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	if (threads_to_come == 0)
		return EAGAIN;
	threads_to_come -= threads_to_come > 0;
	return __real_pthread_create(thread, attr, fn, arg);
}

static unsigned int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int n = 0;

	assert_non_null(tasks);
	while (readdir(tasks))
		n++;
	closedir(tasks);
	return n;
}

/* Who has been joined may be seen for a moment more. */
static void expect_threads(unsigned int nr)
{
	for (unsigned int i = 0; i < 1000 && count_threads() > nr; i++)
		usleep(1000);
	assert_int_equal(count_threads(), nr);
}

/* A pool with fewer threads than it should have is none, and those that were started end. */
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

/* ---- Unmaps ---- */

/*
 * A13: the spare serves the first, which is found to need nothing; the second waits for it to come
 * back.
 */
struct waiting {
	struct bind_queue *q;
	const char *text;
	struct fence *in;
	int result;
};

static void *submit_waiting(void *arg)
{
	struct waiting *w = arg;

	w->result = submit(w->q, w->text, w->in, NULL);
	return NULL;
}

static void unmaps_live_on_the_spare(void **state)
{
	struct bind_queue *q = begin(NULL, NULL);
	struct fence *in = fence_create();
	struct waiting w = { .q = q, .text = "unmap 40+4" };
	pthread_t thread;

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0; map 38+10=B@0", NULL, NULL), 0);
	settle(q);
	memfault_none();
	assert_int_equal(submit(q, "map 14+4=A@0", NULL, NULL), -ENOMEM);
	assert_int_equal(submit(q, "unmap 100+20", in, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, submit_waiting, &w), 0);
	usleep(2000);
	assert_int_equal(stats().jobs, 1);
	fence_signal(in);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[10+10=A@0 38+8=B@0 44+4=B@c]");
	assert_int_equal(stats().unmaps_inline, 0);
	fence_put(in);
	end(q);
}

/* Nothing is outstanding, and the spare is used up: what cuts nothing goes all the same. */
static void unmaps_are_run_inline(void **state)
{
	struct bind_queue *q = begin(NULL, NULL);
	struct timeline *tl = timeline_create("t", 0);
	struct bind_sync out = { .timeline = tl, .value = 3 };
	struct bind_job job = { .nr_out = 1, .out = &out };

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0; map 200+10=B@0; map 210+10=C@0; sparse 220+10",
				NULL, NULL),
			 0);
	settle(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 40+10", NULL, NULL),
			 0); /* on the spare, which it needs */
	settle(q);
	toy_clear_log(&bt.toy);
	assert_int_equal(
		bind_toy_submit_job(q, &bt, "unmap 200+20; unmap 220+40; unmap 300+1", &job), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_int_equal(timeline_value(tl), 3);
	assert_string_equal(toy_log(&bt.toy), "U(200+10=B@0 k0) U(210+10=C@0 k0) U(220+10=-@0 k0)");
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50]");
	assert_int_equal(bt.cookies, 0);
	settle(q);
	memfault_ok();
	assert_int_equal(submit(q, "map 208+20=D@0; unmap 10+1", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[0+10=A@0 11+2f=A@11 50+b0=A@50 208+20=D@0]");
	timeline_put(tl);
	end(q);
}

/* Uses the spare up for a cut, so that what comes next has no memory at all. */
static struct bind_queue *begin_without_memory(const char *maps)
{
	struct bind_queue *q = begin(NULL, NULL);

	assert_int_equal(submit(q, maps, NULL, NULL), 0);
	settle(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 40+10", NULL, NULL), 0);
	settle(q);
	toy_clear_log(&bt.toy);
	return q;
}

/* What an operation before has taken out as a whole need not be cut; but what comes later does. */
static void inline_unmaps_see_those_before(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");

	(void)state;
	assert_int_equal(submit(q, "unmap 224+4; unmap 220+10", NULL, NULL), -ENOMEM);
	assert_int_equal(submit(q, "unmap 200+10; unmap 208+20", NULL, NULL), -ENOMEM);
	assert_int_equal(stats().unmaps_inline, 0);
	assert_string_equal(toy_log(&bt.toy), "(none)");
	assert_int_equal(
		submit(q, "unmap 200+10; unmap 204+4; unmap 220+40; unmap 208+20", NULL, NULL), 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_string_equal(toy_log(&bt.toy), "U(200+10=B@0 k0) U(220+10=C@0 k0)");
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50]");
	end(q);
}

/* Unmaps of all of an object count as unmaps, and need of the spare only the records. */
static void unmaps_of_objects_live_on_the_spare(void **state)
{
	struct bind_queue *q = begin(NULL, NULL);
	struct fence *in = fence_create(), *out = fence_create();
	struct bind_job now = { .flags = BIND_NONBLOCK };

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0; map 38+10=B@0; map 80+10=A@0", NULL, NULL), 0);
	settle(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap_all A", in, NULL), 0);
	assert_int_equal(stats().jobs, 1);
	assert_true(q->vm->spare.credit);
	assert_int_equal(q->vm->spare.vas.nr, GPUVM_UNMAP_CHANGES);
	/* It has the record of a job, and is outstanding. */
	assert_int_equal(bind_toy_submit_job(q, &bt, "", &now), -ENOMEM);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 38+10", &now), -ENOMEM);
	fence_signal(in);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[38+10=B@0]");
	assert_int_equal(submit(q, "", NULL, out), 0);
	settle(q);
	assert_true(fence_is_signaled(out));
	assert_int_equal(submit(q, "unmap 40+4", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[38+8=B@0 44+4=B@c]");
	assert_int_equal(stats().unmaps_inline, 0);
	assert_int_equal(stats().vas_reserved, 0);
	fence_put(in);
	fence_put(out);
	end(q);
}

static void unmaps_of_objects_are_run_inline(void **state)
{
	struct bind_queue *q =
		begin_without_memory("map 0+100=A@0; map 200+10=B@0; map 220+10=C@0");

	(void)state;
	assert_int_equal(submit(q, "unmap_all B; unmap 10+4", NULL, NULL), -ENOMEM);
	assert_string_equal(toy_log(&bt.toy), "(none)");
	assert_int_equal(submit(q, "unmap_all B; unmap 204+4; unmap 0+40; unmap_all A; unmap_all B",
				NULL, NULL),
			 0);
	assert_int_equal(stats().unmaps_inline, 1);
	assert_string_equal(toy_log(&bt.toy), "U(200+10=B@0 k0) U(0+40=A@0 k0) U(50+b0=A@50 k0)");
	assert_string_equal(bind_toy_dump(&bt), "[220+10=C@0]");
	settle(q);
	assert_int_equal(bt.toy.objs[0].refs, 1);
	assert_int_equal(bt.cookies, 0);
	memfault_ok();
	assert_int_equal(submit(q, "map 0+100=A@0; unmap_all A; map 200+10=B@0", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[200+10=B@0 220+10=C@0]");
	end(q);
}

/* More fences than the spare has records for. */
static void empty_jobs_are_run_inline(void **state)
{
	struct bind_sync out[SMRI_BIND_SPARE_SYNCS + 1];
	struct bind_job job = { .nr_out = ARRAY_SIZE(out), .out = out };
	struct bind_queue *q = begin(NULL, NULL);

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

/* What is not to wait is run inline all the same, if there is nothing to wait for. */
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
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50 220+10=C@0]");
	fence_signal(in.fence);
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 220+10", &job), 0);
	assert_int_equal(stats().unmaps_inline, 2);
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50]");
	fence_put(in.fence);
	end(q);
}

/* A step that fails bans the VM here, too; it is the job's error, and no longer the submit's. */
static void a_failed_step_inline(void **state)
{
	(void)state;
	for (unsigned int sync = 0; sync < 2; sync++) {
		struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");
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
		assert_int_equal(stats().unmaps_inline, 1);
		assert_int_equal(stats().failed, 1);
		assert_true(bind_vm_is_banned(&bt.toy.vm));
		assert_int_equal(submit(q, "unmap 0+10", NULL, NULL), -ENOENT);
		assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50]");
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

static const struct bind_ops *toy_bind_ops;
static struct bind_ops meddling;
static struct bind_queue *victim, *helper;
static struct fence *helper_in;
static unsigned int prepared;

static int cancel_and_prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	bind_queue_cancel(victim);
	return toy_bind_ops->prepare(vm, op, cookie, priv);
}

/* There is another job all of a sudden, and memory while it is submitted. */
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

static void canceled_before_it_runs_inline(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");
	struct picture before, after;

	(void)state;
	take_picture(&before, q, NULL, NULL);
	meddle(q, cancel_and_prepare);
	assert_int_equal(submit(q, "unmap 200+20", NULL, NULL), -ENOENT);
	take_picture(&after, q, NULL, NULL);
	expect_same(&before, &after, 0);
	assert_false(q->vm->turn[SMRI_BIND_RUN].busy || q->vm->turn[SMRI_BIND_CLEAN].busy);
	assert_string_equal(toy_log(&bt.toy), "(none)");
	end(q);
}

/* Then it is not run inline, beside the other: it waits for memory anew, and is a job. */
static void not_alone_any_more(void **state)
{
	struct bind_queue *q = begin_without_memory("map 0+100=A@0; map 200+10=B@0");

	(void)state;
	memfault_ok();
	helper = bind_queue_create(&bt.toy.vm, "helper", NULL);
	helper_in = fence_create();
	assert_non_null(helper);
	memfault_none();
	meddle(q, submit_and_prepare);
	assert_int_equal(submit(q, "unmap 200+20", NULL, NULL), 0);
	settle(q);
	assert_int_equal(prepared, 3); /* once more than there are operations */
	assert_int_equal(stats().unmaps_inline, 0);
	assert_int_equal(stats().jobs, 1);
	assert_int_equal(bt.cookies, 1); /* the helper's */
	fence_signal(helper_in);
	settle(helper);
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50 800+10=C@0]");
	assert_int_equal(bt.cookies, 0);
	memfault_ok();
	fence_put(helper_in);
	bind_queue_destroy(helper);
	end(q);
}

/* ---- The spare is whole, but not enough ---- */

/* A value of a timeline to wait for needs a fence, which is not part of the spare. */
static void the_spare_comes_back_whole(void **state)
{
	struct bind_queue *q = begin(NULL, NULL);
	struct timeline *tl = timeline_create("t", 0);
	struct bind_sync in[2] = { { .fence = fence_create() }, { .timeline = tl, .value = 3 } };
	struct bind_job job = { .nr_in = 2, .in = in };
	struct picture before, after;

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle(q);
	fence_signal(in[0].fence);
	take_picture(&before, q, NULL, NULL);
	assert_true(before.spare_credit);
	memfault_none();
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 40+10", &job), -ENOMEM);
	memfault_ok();
	take_picture(&after, q, NULL, NULL);
	expect_same(&before, &after, 0);
	/* So it serves one that needs no more. */
	memfault_none();
	job.nr_in = 1;
	assert_int_equal(bind_toy_submit_job(q, &bt, "unmap 40+10", &job), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[0+40=A@0 50+b0=A@50]");
	assert_int_equal(stats().unmaps_inline, 0);
	memfault_ok();
	fence_put(in[0].fence);
	timeline_put(tl);
	end(q);
}

/* While its submitter waits for the in-fence, the queue ends, or the VM. */
static void what_runs_inline_is_canceled(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct bind_queue *q = begin(NULL, NULL);
		struct fence *in = fence_create();
		struct waiting w = { .q = q, .text = "unmap 0+100", .in = in };
		pthread_t thread;

		assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
		settle(q);
		memfault_none();
		assert_int_equal(submit(q, "unmap 40+10", NULL, NULL), 0);
		settle(q);
		assert_int_equal(pthread_create(&thread, NULL, submit_waiting, &w), 0);
		usleep(2000);
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
		fence_put(in);
		end(q);
	}
}

/* ---- Markers ---- */

static bool markers_counted(void)
{
	bool good;

	gpuvm_lock(&bt.toy.vm);
	good = toy_markers_counted(&bt.toy.vm);
	gpuvm_unlock(&bt.toy.vm);
	return good;
}

enum { MARKED = 300 };

static void map_many(struct bind_queue *q, unsigned int obj)
{
	for (unsigned int i = 0; i < MARKED; i++) {
		struct bind_op op = { BIND_MAP, 0, 0x20 * i + 0x10 * obj, 8, &bt.toy.objs[obj], 0 };
		struct bind_job job = { .ops = &op, .nr_ops = 1 };

		assert_int_equal(bind_queue_submit(q, &job), 0);
	}
	settle(q);
}

/* A VM with mappings of B and, between these, what is left of A when there is no memory at all. */
static struct bind_queue *begin_with_markers(void)
{
	static const struct toy_config config = { .range = 0x20 * (MARKED + 1) };
	struct bind_queue *q = begin(&config, NULL);
	struct fence *in = fence_create();

	map_many(q, 0);
	map_many(q, 1);
	assert_int_equal(submit(q, "unmap_all A", in, NULL), 0);
	memfault_none();
	fence_signal(in);
	settle(q);
	assert_int_equal(stats().vas_live, MARKED);
	assert_true(bt.toy.vm.markers > 10);
	assert_true(markers_counted());
	fence_put(in);
	return q;
}

static uint64_t lowest_marker(void)
{
	MA_STATE(mas, &bt.toy.vm.tree, 0, 0);
	void *entry;

	gpuvm_lock(&bt.toy.vm);
	do
		entry = mas_find(&mas, ULONG_MAX);
	while (entry && !xa_is_zero(entry));
	gpuvm_unlock(&bt.toy.vm);
	assert_non_null(entry);
	assert_int_equal(mas.last - mas.index, 7);
	return mas.index;
}

static void submit_at(struct bind_queue *q, const char *what, uint64_t addr, unsigned int range)
{
	char text[64];

	sprintf(text, "%s %lx+%x", what, (unsigned long)addr, range);
	assert_int_equal(submit(q, text, NULL, NULL), 0);
	settle(q);
	assert_true(markers_counted());
}

/* Stores that come over markers: these are not there any more, and no longer counted. */
static void markers_go_with_what_comes_over_them(void **state)
{
	struct bind_queue *q = begin_with_markers();
	uint64_t addr = lowest_marker();

	(void)state;
	memfault_nowait(); /* for jobs there is memory, for sweeping only now and then a slot */
	submit_at(q, "sparse", addr + 2, 3); /* two are left of it */
	submit_at(q, "sparse", addr, 1);     /* the first of these is shorter now */
	submit_at(q, "sparse", addr, 8);
	submit_at(q, "unmap", addr, 8);
	submit_at(q, "unmap", 0, bt.toy.vm.mm_range);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(stats().vas_live, 0);
	end(q);
}

/* What clean-up had no memory for is swept after a run that finds some again. */
static void markers_go_when_there_is_memory(void **state)
{
	struct bind_queue *q = begin_with_markers();
	unsigned long markers = bt.toy.vm.markers;

	(void)state;
	memfault_nowait();
	submit_at(q, "prefetch", 0, 1);
	assert_int_equal(bt.toy.vm.markers, markers); /* the first one needs a node */
	memfault_ok();
	submit_at(q, "prefetch", 0, 1);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(stats().vas_live, MARKED);
	end(q);
}

/* Of the time before it had queues. */
static void markers_of_a_vm_without_queues(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };
	struct bind_config c = { .size = sizeof(c) };
	struct toy toy;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(toy_insert(&toy, 0x20 * i, 0x10, -1, 0), 0);
	memfault_none();
	toy_clear(&toy);
	assert_true(toy.vm.markers > 0);
	gpuvm_unlock(&toy.vm);
	assert_int_equal(bind_vm_init(&toy.vm, &c), -ENOMEM);
	memfault_ok();
	assert_int_equal(bind_vm_init(&toy.vm, &c), 0);
	assert_int_equal(toy.vm.markers, 0);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
	assert_true(toy_destroy(&toy));
}

/* Cutting again and again grows the VM: in the end it cannot be. */
static void cutting_comes_to_an_end(void **state)
{
	struct bind_queue *q = begin(NULL, NULL);
	struct bind_job job = { .flags = BIND_NONBLOCK };
	unsigned int cuts = 0;
	char text[32];
	int err;

	(void)state;
	assert_int_equal(submit(q, "map 0+800=A@0", NULL, NULL), 0);
	settle(q);
	memfault_none();
	do {
		sprintf(text, "unmap %x+1", 4 * cuts + 2);
		err = submit(q, text, NULL, NULL);
		settle(q);
		cuts += !err;
	} while (!err);
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(stats().vas_live, 1 + cuts);
	assert_true(cuts >= 1 && cuts < 20);
	assert_int_equal(bind_toy_submit_job(q, &bt, text, &job), -ENOMEM);
	assert_int_equal(submit(q, "unmap 0+3", NULL, NULL), 0);
	assert_int_equal(stats().vas_live, cuts);
	assert_int_equal(submit(q, "unmap_all A", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[]");
	end(q);
}

/* ---- The strict level ---- */

/* ---- Memory that waits for jobs ---- */

/*
 * Who gets memory back may wait for any job that was accepted. So may the heap, and a page source.
 * Here they do, once, when a worker asks: for the job that signals @out, which could not begin
 * before.
 */
static struct {
	pthread_t tester;
	struct fence *in, *out;
	bool heap, pages;           /* atomic: which of them does */
	bool refuses;               /* atomic: the page source has nothing */
	unsigned int asked, vainly; /* atomic */
} memory;

static void reclaim(bool *does)
{
	if (!__atomic_load_n(does, __ATOMIC_SEQ_CST) ||
	    pthread_equal(pthread_self(), memory.tester))
		return;
	__atomic_store_n(does, false, __ATOMIC_SEQ_CST);
	fence_signal(memory.in);
	if (fence_wait(memory.out, 2000000000))
		__atomic_fetch_add(&memory.vainly, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&memory.asked, 1, __ATOMIC_SEQ_CST);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	reclaim(&memory.heap);
	return __real_calloc(n, size);
}

static void *map_pages(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	reclaim(&memory.pages);
	return __atomic_load_n(&memory.refuses, __ATOMIC_SEQ_CST) ? NULL
								  : aligned_alloc(align, size);
}

static void unmap_pages(void *ctx, void *pages, size_t size)
{
	(void)ctx;
	(void)size;
	free(pages);
}

/* A VM with such memory; @p has the job that is waited for. */
struct thirst {
	struct mt_mem *mem;
	struct bind_queue *q, *p;
	struct fence *in;
};

static void begin_thirst(struct thirst *t)
{
	static const struct mt_mem_ops ops = { map_pages, unmap_pages, NULL };
	struct toy_config config = { .range = 0x10000 };

	memset(&memory, 0, sizeof(memory));
	memory.tester = pthread_self();
	memory.in = fence_create();
	memory.out = fence_create();
	t->mem = config.mem = mt_mem_create(0, &ops);
	assert_non_null(t->mem);
	t->q = begin(&config, NULL);
	t->p = bind_queue_create(&bt.toy.vm, "other", NULL);
	t->in = fence_create();
	assert_int_equal(submit(t->p, "", memory.in, memory.out), 0);
}

static void end_thirst(struct thirst *t)
{
	settle(t->q);
	assert_int_equal(memory.asked, 1);
	assert_int_equal(memory.vainly, 0);
	settle(t->p);
	bind_queue_destroy(t->p);
	end(t->q);
	mt_mem_destroy(t->mem);
	fence_put(t->in);
	fence_put(memory.in);
	fence_put(memory.out);
}

/* The spare is filled up after a run, which may take as long as it likes. */
static void the_spare_may_wait_for_jobs(void **state)
{
	struct thirst t;

	(void)state;
	begin_thirst(&t);
	assert_int_equal(submit(t.q, "map 10+10=A@0", NULL, NULL), 0);
	settle(t.q);
	memfault_none();
	assert_int_equal(submit(t.q, "unmap 14+4", t.in, NULL), 0);
	assert_null(t.q->vm->spare.vas.head); /* nor will the job leave any of these */
	memfault_ok();
	__atomic_store_n(&memory.heap, true, __ATOMIC_SEQ_CST);
	fence_signal(t.in);
	end_thirst(&t);
}

static void map_every_other(struct bind_queue *q, unsigned int from, unsigned int nr)
{
	char text[4096];
	size_t len = 0;

	for (unsigned int i = 0; i < nr; i++)
		len += (size_t)sprintf(text + len, "%smap %x+1=A@0", i ? "; " : "", from + 2 * i);
	assert_int_equal(submit(q, text, NULL, NULL), 0);
}

/* Until there is not even a node. */
static void use_up(struct mt_credits *credits)
{
	__atomic_store_n(&memory.refuses, true, __ATOMIC_SEQ_CST);
	for (unsigned long nr = 4096; nr; nr /= 2)
		while (!mt_credits_reserve(credits, nr, GFP_KERNEL))
			;
	__atomic_store_n(&memory.refuses, false, __ATOMIC_SEQ_CST);
}

/* Nor is anybody held up by what is left of a BIND_UNMAP_ALL, which it takes memory to clear. */
static void sweeping_may_wait_for_jobs(void **state)
{
	struct mt_credits credits;
	struct maple_tree other;
	struct thirst t;

	(void)state;
	begin_thirst(&t);
	mt_init(&other);
	assert_int_equal(mt_set_mem(&other, t.mem), 0);
	mt_credits_init(&credits, &other, MT_CREDITS_STRICT);
	for (unsigned int i = 0; i < 10; i++)
		map_every_other(t.q, 0x100 * i, 100);
	settle(t.q);
	assert_int_equal(submit(t.q, "unmap_all A", t.in, NULL), 0);
	use_up(&credits);
	__atomic_store_n(&memory.pages, true, __ATOMIC_SEQ_CST);
	gpuvm_read_lock(&bt.toy.vm); /* no node comes back */
	fence_signal(t.in);
	while (__atomic_load_n(&memory.asked, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	gpuvm_read_unlock(&bt.toy.vm);
	settle(t.q);
	assert_int_equal(bt.toy.vm.markers, 0);
	mt_credits_release(&credits);
	mtree_destroy(&other);
	end_thirst(&t);
}

static const struct bind_config strict = { .max_mappings = 40, .max_jobs = 1, .max_ops = 2 };

/*
 * What was paid for at the beginning is enough for as many operations as were said, the spare
 * aside.
 */
static void strict_unmaps_have_all_they_need(void **state)
{
	struct bind_queue *q = begin(NULL, &strict);

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle(q);
	memfault_none();
	assert_int_equal(submit(q, "unmap 20+10; unmap 40+10", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[0+20=A@0 30+10=A@30 50+b0=A@50]");
	assert_int_equal(stats().unmaps_inline, 0);
	end(q);
}

/* What is not paid for, the pair of a map, is waited for, but not when nobody could bring it. */
static void strict_maps_may_find_no_memory(void **state)
{
	struct bind_queue *q = begin(NULL, &strict);
	struct picture before, after;

	(void)state;
	assert_int_equal(submit(q, "map 0+100=A@0", NULL, NULL), 0);
	settle(q);
	take_picture(&before, q, NULL, NULL);
	memfault_none();
	/* It cuts nothing: as an unmap it could be done at once. */
	assert_int_equal(submit(q, "map 0+100=B@0", NULL, NULL), -ENOMEM);
	memfault_ok();
	take_picture(&after, q, NULL, NULL);
	expect_same(&before, &after, 0);
	assert_int_equal(submit(q, "map 0+100=B@0", NULL, NULL), 0);
	settle(q);
	assert_string_equal(bind_toy_dump(&bt), "[0+100=B@0]");
	end(q);
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
		cmocka_unit_test(the_spare_may_wait_for_jobs),
		cmocka_unit_test(sweeping_may_wait_for_jobs),
		cmocka_unit_test(unmaps_live_on_the_spare),
		cmocka_unit_test(unmaps_are_run_inline),
		cmocka_unit_test(inline_unmaps_see_those_before),
		cmocka_unit_test(unmaps_of_objects_live_on_the_spare),
		cmocka_unit_test(unmaps_of_objects_are_run_inline),
		cmocka_unit_test(empty_jobs_are_run_inline),
		cmocka_unit_test(inline_without_waiting),
		cmocka_unit_test(a_failed_step_inline),
		cmocka_unit_test(canceled_before_it_runs_inline),
		cmocka_unit_test(not_alone_any_more),
		cmocka_unit_test(the_spare_comes_back_whole),
		cmocka_unit_test(what_runs_inline_is_canceled),
		cmocka_unit_test(markers_go_with_what_comes_over_them),
		cmocka_unit_test(markers_go_when_there_is_memory),
		cmocka_unit_test(markers_of_a_vm_without_queues),
		cmocka_unit_test(cutting_comes_to_an_end),
		cmocka_unit_test(strict_unmaps_have_all_they_need),
		cmocka_unit_test(strict_maps_may_find_no_memory),
	};

	return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
