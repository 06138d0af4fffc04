/* SPDX-License-Identifier: MIT */
/* Dumps of outstanding jobs: why each has not begun. */
#include "support/bind_bed.h"

#include "base/hooks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct bind_queue *begin_mine(void)
{
	struct bind_queue *q = begin(NULL);

	bt.toy.vm.name = "mine";
	return q;
}

/* The dump's first line must begin with @head and end with @tail, and @lines must follow it. */
static void expect_dump(const char *head, const char *tail, const char *lines)
{
	char *text, *line;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	bind_vm_dump(&bt.toy.vm, out);
	fclose(out);
	line = strchr(text, '\n');
	assert_non_null(line);
	*line = '\0';
	assert_memory_equal(text, head, strlen(head));
	assert_true(strlen(text) > strlen(tail));
	assert_string_equal(line - strlen(tail), tail);
	assert_string_equal(line + 1, lines);
	free(text);
}

static void what_jobs_wait_for(void **state)
{
	struct bind_queue *q = begin_mine(), *other = another();
	struct fence *in = fence_create(), *second = fence_create();
	struct timeline *tl = timeline_create("test", 3);
	struct bind_sync both[] = { { .fence = in }, { .fence = second } };
	struct bind_sync value = { .timeline = tl, .value = 7 };
	struct bind_job two = { .nr_in = 2, .in = both }, late = { .nr_in = 1, .in = &value };
	const struct smri_bind_sync *seven;
	char lines[500];

	(void)state;
	expect_dump("bind queues of mine: jobs 0, bytes 0,", "", "");
	assert_int_equal(bind_toy_submit_job(q, &bt, "map 10+10=A@0; unmap 11+1", &two), 0);
	assert_int_equal(submit(q, "map 20+10=A@0", NULL, NULL), 0);
	assert_int_equal(bind_toy_submit_job(other, &bt, "map 30+10=A@0", &late), 0);
	seven = (void *)((struct smri_bind_job *)other->jobs.head)->in.head;
	snprintf(lines, sizeof(lines),
		 "  queue test: operations 2, waits for fence %p and 1 more\n"
		 "  queue test: operations 1, waits for the job before it\n"
		 "  queue another: operations 1, waits for value 7 of a timeline, fence %p\n",
		 (void *)in, (void *)seven->fence);
	expect_dump("bind queues of mine: jobs 3, ", ", threads waiting 0", lines);
	fence_signal(in);
	snprintf(lines, sizeof(lines),
		 "  queue test: operations 2, waits for fence %p\n"
		 "  queue test: operations 1, waits for the job before it\n",
		 (void *)second);
	timeline_signal(tl, 7);
	settle(other);
	expect_dump("bind queues of mine: jobs 2, ", "", lines);
	fence_signal(second);
	settle(q);
	expect_dump("bind queues of mine: jobs 0, bytes 0,", "", "");
	fence_put(in);
	fence_put(second);
	timeline_put(tl);
	bind_queue_destroy(other);
	end(q);
}

static struct bind_queue *busy;

/* Submits as another, faster thread might. */
static void submit_meanwhile(enum smr_hook_point point, void *in)
{
	while (point == SMR_HOOK_ROOM && busy->submitted < 5)
		assert_int_equal(submit(busy, "map 20+10=A@0", in, NULL), 0);
}

/* The last queue's jobs are listed, however many come into the first. */
static void jobs_that_come(void **state)
{
	struct bind_queue *other;
	struct fence *in = fence_create();
	char lines[500];

	(void)state;
	busy = begin_mine();
	other = another();
	assert_int_equal(submit(busy, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(submit(other, "map 30+10=A@0", in, NULL), 0);
	smr_hook_set_point(submit_meanwhile, in);
	snprintf(lines, sizeof(lines),
		 "  queue test: operations 1, waits for fence %p\n"
		 "  queue test: operations 1, waits for fence %p\n"
		 "  queue test: operations 1, waits for fence %p\n"
		 "  queue test: operations 1, waits for fence %p\n"
		 "  queue test: operations 1, waits for fence %p\n"
		 "  queue another: operations 1, waits for fence %p\n",
		 (void *)in, (void *)in, (void *)in, (void *)in, (void *)in, (void *)in);
	expect_dump("bind queues of mine: jobs 6, ", ", threads waiting 0", lines);
	smr_hook_reset();
	fence_signal(in);
	settle(other);
	fence_put(in);
	bind_queue_destroy(other);
	end(busy);
}

/* The first line is always there and says that the rest is missing. */
static void no_memory(void **state)
{
	struct bind_queue *q = begin_mine();
	struct fence *in = fence_create();

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	memfault_none();
	expect_dump("bind queues of mine: jobs 1, ", ", no memory for a list of the jobs", "");
	memfault_ok();
	fence_signal(in);
	settle(q);
	fence_put(in);
	end(q);
}

/* A closed VM must not look as if it were at work for ever. */
static void closed(void **state)
{
	struct bind_queue *q = begin_mine();

	(void)state;
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, NULL), 0);
	assert_int_equal(bind_vm_close(&bt.toy.vm, BIND_DRAIN), 0);
	expect_dump("bind queues of mine: jobs 0, bytes 0, to be cleaned up 0",
		    ", threads waiting 0, closed", "");
	end(q);
}

/* One queue, whose first job runs: what the dump says of the second, and what becomes of that. */
static void a_run_under_way(void **state)
{
	struct bind_queue *q = begin_mine();
	struct fence *block = fence_create();

	(void)state;
	bt.block = block;
	assert_int_equal(submit(q, "map 10+10=A@0", NULL, NULL), 0);
	assert_int_equal(submit(q, "map 20+10=A@0; unmap 21+1", NULL, NULL), 0);
	while (now(&bt.blocked) == 0)
		usleep(100);
	expect_dump("bind queues of mine: jobs 2, ", ", a run under way",
		    "  queue test: operations 2, can begin\n");
	bind_queue_cancel(q);
	expect_dump("bind queues of mine: jobs 2, ", ", a run under way",
		    "  queue test: operations 2, to be cancelled\n");
	bind_vm_ban(&bt.toy.vm);
	expect_dump("bind queues of mine: jobs 2, ", ", a run under way, banned",
		    "  queue test: operations 2, to be cancelled\n");
	fence_signal(block);
	settle(q);
	fence_put(block);
	end(q);
}

struct printing {
	FILE *out;
	bool returned;
};

static void *dumps_cancelled(void *arg)
{
	struct printing *p = arg;

	pthread_cancel(pthread_self());
	bind_vm_dump(&bt.toy.vm, p->out);
	p->returned = true;
	return NULL;
}

/* It has memory to free when it has printed. */
static void cancelled_threads_dump_to_the_end(void **state)
{
	struct bind_queue *q = begin_mine();
	struct printing p = { fopen("/dev/null", "w"), false };
	struct fence *in = fence_create();
	pthread_t thread;

	(void)state;
	assert_non_null(p.out);
	setvbuf(p.out, NULL, _IONBF, 0); /* prints are cancellation points */
	assert_int_equal(submit(q, "map 10+10=A@0", in, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, dumps_cancelled, &p), 0);
	pthread_join(thread, NULL);
	assert_true(p.returned);
	fclose(p.out);
	fence_put(in);
	end(q);
}

static void no_queues(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };

	(void)state;
	assert_int_equal(toy_init(&bt.toy, &config), 0);
	bt.toy.vm.name = "plain";
	expect_dump("bind queues of plain: none", "", "");
	assert_true(toy_destroy(&bt.toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_jobs_wait_for),
		cmocka_unit_test(jobs_that_come),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(closed),
		cmocka_unit_test(a_run_under_way),
		cmocka_unit_test(no_queues),
		cmocka_unit_test(cancelled_threads_dump_to_the_end),
	};

	return cmocka_run_group_tests_name("bind_dump", tests, NULL, NULL);
}
