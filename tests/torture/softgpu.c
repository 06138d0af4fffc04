/* SPDX-License-Identifier: MIT */
/*
 * The software GPU without any order between binds and executions: mappings go while engines are
 * using them, and so do objects. What a job reads is not determined then, but memory must not be
 * touched after it has been given back. Each player has objects, a region of the address space and
 * an engine of its own, and writes nothing but its own mark. Memory circulates between players;
 * when an object dies, and in the end, it must hold its player's mark or zeroes, and TSan watches
 * the rest.
 */
#include "blame.h"
#include "softgpu.h"
#include "support/cm.h"
#include "support/env.h"
#include "support/rng.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLAYERS = 2, OBJECTS = 3, OBJECT_PAGES = 40, REGION_PAGES = 600, IN_FLIGHT = 8 };

struct marked {
	struct sg_object obj; /* first */
	uint64_t mark;
};

struct player {
	unsigned int id;
	uint64_t mark, base;
	struct sg_engine *engine;
	struct bind_queue *queue;
	struct marked *object[OBJECTS]; /* GUARD the binding thread */
	pthread_t binding, executing;
	bool bound; /* atomic: no more binds will come */
};

static struct sg_device dev;
static struct sg_vm *vm;
static uint64_t rounds;
static unsigned long died; /* atomic: objects */

/* ---- Objects */

static void check_page(const struct marked *m, const uint64_t *word)
{
	for (unsigned int i = 0; word && i < SG_PAGE / sizeof(*word); i++)
		EXPECT(word[i] == 0 || word[i] == m->mark);
}

static void die(struct gpuvm_object *base)
{
	struct marked *m = (struct marked *)base;

	for (uint64_t page = 0; page < OBJECT_PAGES; page++)
		check_page(m, sg_object_frame(&m->obj, page, NULL));
	sg_object_fini(&m->obj);
	free(m);
	__atomic_fetch_add(&died, 1, __ATOMIC_RELAXED);
}

static struct marked *make(const struct player *p)
{
	struct marked *m = calloc(1, sizeof(*m));

	EXPECT(m);
	m->mark = p->mark;
	EXPECT(sg_object_init(&m->obj, &dev.frames, OBJECT_PAGES * SG_PAGE, die) == 0);
	return m;
}

/* Gives binds a chance to come in between, now and then. */
static void wait_a_little(void)
{
	static __thread uint64_t calls;
	struct rng rng = rng_make(env_seed() + 5, calls++);

	if (rng_one_in(&rng, 16))
		usleep((useconds_t)rng_below(&rng, 300));
}

/* ---- Binding */

static void submit(struct player *p, struct bind_op *ops, unsigned int nr)
{
	struct bind_job job = { .ops = ops, .nr_ops = nr };

	EXPECT(bind_queue_submit(p->queue, &job) == 0);
}

/* Removes all mappings of an object and our reference, so that the job has the last one. */
static void replace(struct player *p, struct rng *rng)
{
	unsigned int i = (unsigned int)rng_below(rng, OBJECTS);
	struct bind_op op = { .type = BIND_UNMAP_ALL, .obj = &p->object[i]->obj.base };

	submit(p, &op, 1);
	gpuvm_object_put(&p->object[i]->obj.base);
	p->object[i] = make(p);
}

static void bind_something(struct player *p, struct rng *rng)
{
	struct bind_op ops[3] = { 0 };
	unsigned int nr = 1 + (unsigned int)rng_below(rng, 3);

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t pages = 1 + rng_below(rng, OBJECT_PAGES);

		ops[i].type = rng_one_in(rng, 4) ? BIND_UNMAP : BIND_MAP;
		ops[i].range = pages * SG_PAGE;
		ops[i].addr = p->base + rng_below(rng, REGION_PAGES - pages + 1) * SG_PAGE;
		if (ops[i].type == BIND_UNMAP)
			continue;
		if (rng_one_in(rng, 8)) {
			ops[i].flags = GPUVA_SPARSE;
			continue;
		}
		ops[i].obj = &p->object[rng_below(rng, OBJECTS)]->obj.base;
		ops[i].offset = rng_below(rng, OBJECT_PAGES - pages + 1) * SG_PAGE;
	}
	submit(p, ops, nr);
}

static void *binding(void *arg)
{
	struct player *p = arg;

	for (uint64_t n = 0; n < rounds; n++) {
		struct rng rng = rng_make(env_seed() + 1000 * p->id, n);

		if (rng_one_in(&rng, 4))
			replace(p, &rng);
		else
			bind_something(p, &rng);
	}
	EXPECT(bind_queue_wait(p->queue, FENCE_FOREVER) == 0);
	__atomic_store_n(&p->bound, true, __ATOMIC_RELAXED);
	return NULL;
}

/* ---- Executing */

static void fill_in(struct player *p, struct sg_cmd *cmd, struct rng *rng)
{
	cmd->type = (enum sg_cmd_type)rng_below(rng, SG_CHECKSUM + 1);
	cmd->len = 8 * (1 + rng_below(rng, 1500));
	cmd->src = p->base + 8 * rng_below(rng, (REGION_PAGES * SG_PAGE - cmd->len) / 8);
	cmd->dst = p->base + 8 * rng_below(rng, (REGION_PAGES * SG_PAGE - cmd->len) / 8);
	cmd->pattern = p->mark;
}

/* Runs as long as there are binds to meet, however late the other thread starts. */
static void *executing(void *arg)
{
	struct player *p = arg;

	for (uint64_t n = 0; n < rounds || !__atomic_load_n(&p->bound, __ATOMIC_RELAXED); n++) {
		struct bind_sync out = { .fence = fence_create() };
		struct sg_cmd cmd[IN_FLIGHT] = { 0 };
		int error;

		EXPECT(out.fence);
		for (unsigned int i = 0; i < IN_FLIGHT; i++) {
			struct rng rng = rng_make(env_seed() + 77 + p->id, n * IN_FLIGHT + i);
			struct sg_job job = { .cmds = &cmd[i], .nr_cmds = 1, .out = &out };

			fill_in(p, &cmd[i], &rng);
			job.nr_out = i == IN_FLIGHT - 1;
			EXPECT(sg_engine_submit(p->engine, &job) == 0);
		}
		EXPECT(fence_wait(out.fence, FENCE_FOREVER) == 0);
		error = fence_error(out.fence);
		EXPECT(error == 0 || error == -EFAULT);
		fence_put(out.fence);
	}
	return NULL;
}

/* ---- A run */

static void enter(struct player *p, unsigned int id)
{
	*p = (struct player){ .id = id, .mark = 0x1111111111111111 * (id + 1) };
	/* Each lies across a border between two tables. */
	p->base = ((uint64_t)7 << 30) + id * ((uint64_t)1 << 22) - REGION_PAGES / 2 * SG_PAGE;
	for (unsigned int i = 0; i < OBJECTS; i++)
		p->object[i] = make(p);
	p->engine = sg_engine_create(vm);
	p->queue = bind_queue_create(&vm->base, "player", NULL);
	assert_non_null(p->engine);
	assert_non_null(p->queue);
	assert_int_equal(pthread_create(&p->binding, NULL, binding, p), 0);
	assert_int_equal(pthread_create(&p->executing, NULL, executing, p), 0);
}

static unsigned long leave(struct player *p)
{
	struct sg_engine_stats stats;

	pthread_join(p->binding, NULL);
	pthread_join(p->executing, NULL);
	sg_engine_stats(p->engine, &stats);
	sg_engine_destroy(p->engine);
	bind_queue_destroy(p->queue);
	for (unsigned int i = 0; i < OBJECTS; i++)
		gpuvm_object_put(&p->object[i]->obj.base);
	print_message("player %u: %lu faults, %lu hits, %lu times nothing was there\n", p->id,
		      stats.faults, stats.tlb_hits, stats.errors);
	return stats.cmds - stats.errors;
}

static void torture(enum sg_mode mode)
{
	const struct bind_config config = { .max_jobs = 32 };
	struct player player[PLAYERS];
	unsigned long good = 0;

	rounds = env_ops(1500);
	sg_device_init(&dev);
	assert_int_equal(sg_vm_create(&dev, "torture", mode, &config, &vm), 0);
	vm->interlude = wait_a_little;
	for (unsigned int i = 0; i < PLAYERS; i++)
		enter(&player[i], i);
	for (unsigned int i = 0; i < PLAYERS; i++)
		good += leave(&player[i]);
	sg_vm_destroy(vm);
	print_message("%lu objects died, %lu commands found all they wanted\n", died, good);
	assert_true(good > 0);
	sg_device_fini(&dev);
}

static void eager(void **state)
{
	(void)state;
	torture(SG_EAGER);
}

static void lazy(void **state)
{
	(void)state;
	torture(SG_LAZY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eager),
		cmocka_unit_test(lazy),
	};

	alarm(500);
	print_message("seed %llu\n", (unsigned long long)env_seed());
	return cmocka_run_group_tests_name("softgpu", tests, NULL, NULL);
}
