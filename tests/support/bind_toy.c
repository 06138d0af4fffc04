/* SPDX-License-Identifier: MIT */
#include "bind_toy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>
#include <urcu/static/urcu-bp.h>

#define add(p, n) __atomic_fetch_add((p), (n), __ATOMIC_SEQ_CST)
#define get(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)

/* ---- The driver ---- */

static int prepare(struct gpuvm *vm, const struct bind_op *op, void **cookie, void *priv)
{
	struct bind_toy *bt = priv;

	(void)vm;
	if (bt->prepare_at >= 0 && bt->prepare_at-- == 0)
		return bt->prepare_err;
	add(&bt->cookies, 1);
	*cookie = bt;
	(void)op;
	return 0;
}

static void finish(struct gpuvm *vm, void *cookie, void *priv)
{
	struct bind_toy *bt = priv;
	struct fence *awaited = get(&bt->awaited);

	(void)vm;
	if (cookie != bt)
		abort();
	if (awaited) {
		add(&bt->awaiting, 1);
		if (fence_wait(awaited, BIND_TOY_PATIENCE))
			add(&bt->in_vain, 1);
	}
	add(&bt->cookies, -1);
}

static int step(struct gpuvm *vm, const struct bind_step *step, void *priv)
{
	struct bind_toy *bt = priv;

	if (vm != &bt->toy.vm || step->cookie != bt)
		abort();
	toy_log_op(&bt->toy, step->op);
	return get(&bt->step_err);
}

static void run_begin(struct gpuvm *vm, void *priv)
{
	struct bind_toy *bt = priv;
	struct fence *block = get(&bt->block);

	(void)vm;
	/*
	 * The first read-side critical section of a thread registers it, which allocates: that must
	 * have happened before.
	 */
	if (!fence_in_signalling() || !URCU_TLS(urcu_bp_reader))
		abort();
	add(&bt->runs, 1);
	if (!block)
		return;
	add(&bt->blocked, 1);
	/*
	 * Waiting here breaks the rules, which is the point of the test; so not with fence_wait().
	 */
	while (!fence_is_signaled(block))
		;
}

static void va_release(struct gpuva *va, void *priv)
{
	struct bind_toy *bt = priv;

	if (fence_in_signalling())
		abort();
	((struct bind_toy_va *)va)->mark = ~0UL;
	add(&bt->released, 1);
}

static const struct bind_ops ops = {
	.prepare = prepare,
	.step = step,
	.finish = finish,
	.run_begin = run_begin,
	.va_release = va_release,
};

/* ---- Set-up and teardown ---- */

void bind_toy_init(struct bind_toy *bt, const struct toy_config *config,
		   const struct bind_config *bounds)
{
	static const struct toy_config plain = { .range = 0x1000 };

	memset(bt, 0, sizeof(*bt));
	bt->prepare_at = -1;
	if (bounds)
		bt->config = *bounds;
	if (!bt->config.workers)
		bt->config.workers = bt->workers = bind_workers_create(2);
	if (!bt->config.workers || toy_init(&bt->toy, config ? config : &plain))
		exit(99);
	bt->config.size = sizeof(bt->config);
	bt->config.ops = &ops;
	bt->config.priv = bt;
	bt->config.va_size = sizeof(struct bind_toy_va);
	if (bind_vm_init(&bt->toy.vm, &bt->config))
		exit(99);
}

bool bind_toy_destroy(struct bind_toy *bt)
{
	bool clean;

	bind_vm_close(&bt->toy.vm, BIND_CANCEL);
	gpuvm_lock(&bt->toy.vm);
	clean = bt->cookies == 0 && bt->toy.vm.refs == 1 && toy_markers_counted(&bt->toy.vm);
	gpuvm_unlock(&bt->toy.vm);
	clean &= toy_destroy(&bt->toy);
	bind_workers_destroy(bt->workers);
	return clean;
}

/* ---- Jobs ---- */

static uint64_t number(const char **at)
{
	char *end;
	uint64_t value = strtoull(*at, &end, 16);

	if (end == *at) {
		fprintf(stderr, "a number is missing: %s\n", *at);
		exit(99);
	}
	*at = end;
	return value;
}

static bool skip(const char **at, const char *what)
{
	*at += strspn(*at, " ");
	if (strncmp(*at, what, strlen(what)) != 0)
		return false;
	*at += strlen(what);
	return true;
}

static struct gpuvm_object *object(struct bind_toy *bt, const char **at)
{
	char c;

	*at += strspn(*at, " ");
	c = *(*at)++;
	return c == '-' ? NULL : &bt->toy.objs[c - 'A'];
}

static struct bind_op parse_op(struct bind_toy *bt, const char **at)
{
	struct bind_op op = { .type = BIND_MAP };

	if (skip(at, "unmap_all ")) {
		op.type = BIND_UNMAP_ALL;
		op.obj = object(bt, at);
		return op;
	}
	if (skip(at, "unmap "))
		op.type = BIND_UNMAP;
	else if (skip(at, "prefetch "))
		op.type = BIND_PREFETCH;
	else if (skip(at, "sparse "))
		op.flags = GPUVA_SPARSE;
	else if (!skip(at, "map "))
		exit(99);
	op.addr = number(at);
	if (skip(at, "+"))
		op.range = number(at);
	if (skip(at, "="))
		op.obj = object(bt, at);
	if (skip(at, "@"))
		op.offset = number(at);
	return op;
}

unsigned int bind_toy_parse(struct bind_toy *bt, const char *text, struct bind_op *list)
{
	unsigned int nr = 0;

	while (text[strspn(text, " ;")] && nr < BIND_TOY_OPS) {
		text += strspn(text, " ;");
		list[nr++] = parse_op(bt, &text);
	}
	return nr;
}

int bind_toy_submit_job(struct bind_queue *q, struct bind_toy *bt, const char *text,
			struct bind_job *job)
{
	struct bind_op list[BIND_TOY_OPS];

	job->ops = list;
	job->nr_ops = bind_toy_parse(bt, text, list);
	return bind_queue_submit(q, job);
}

int bind_toy_submit(struct bind_queue *q, struct bind_toy *bt, const char *text, struct fence *in,
		    struct fence *out)
{
	struct bind_sync wait = { .fence = in }, signal = { .fence = out };
	struct bind_job job = {
		.nr_in = in != NULL, .nr_out = out != NULL, .in = &wait, .out = &signal
	};

	return bind_toy_submit_job(q, bt, text, &job);
}

const char *bind_toy_dump(struct bind_toy *bt)
{
	static char text[TOY_TEXT];

	gpuvm_lock(&bt->toy.vm);
	toy_dump(&bt->toy, text, sizeof(text));
	gpuvm_unlock(&bt->toy.vm);
	return text;
}
