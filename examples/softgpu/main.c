/* SPDX-License-Identifier: MIT */
/*
 * Random binds and executions on several queues and engines at once, ordered only by fences, with
 * every byte checked. Usage: softgpu [STEPS [SEED]]
 *
 * Each step is a bind of a part of a region, or a job for an engine. Before it is submitted, a
 * model (shadow.c) does the same at once, so that the results are known. Fences tell which step
 * must not overtake which: each region and each object has the fence of the step that used it last.
 * A bind waits for the last use of its region, so no memory is taken away while an engine may be
 * using it. A job waits for the last use of the regions it goes through and of the objects mapped
 * there.
 */
#include "../expect.h"
#include "shadow.h"
#include <errno.h>
#include <string.h>

enum { QUEUES = 3, ENGINES = 2, FLIGHTS = 48, CMDS = 4, BINDS = 3, MOST_USES = REGIONS + OBJECTS };

/* A job in flight: the commands, and the results they should have. */
struct flight {
	struct fence *done;
	unsigned int nr;
	struct sg_cmd cmd[CMDS], expected[CMDS];
};

/* The regions and objects that a step uses. */
struct uses {
	bool used[MOST_USES]; /* regions, then objects */
};

static struct sg_device dev;
static struct sg_vm *vm;
static struct bind_queue *queue[QUEUES];
static struct sg_engine *engine[ENGINES];
static struct sg_object *object[OBJECTS];
static struct fence *last_use[MOST_USES];
static struct flight flights[FLIGHTS];
static struct shadow shadow;
static uint64_t random_state;
static unsigned long binds, jobs, faults;

static unsigned int below(unsigned int n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned int)((random_state >> 33) % n);
}

/* ---- Fences ---- */

/* Lists in @in the fences that @uses has to wait for. Returns their number. */
static unsigned int wait_list(const struct uses *uses, struct bind_sync *in)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < MOST_USES; i++)
		if (uses->used[i] && last_use[i])
			in[nr++] = (struct bind_sync){ .fence = last_use[i] };
	return nr;
}

/* Makes @done the last use of all in @uses. */
static void used_until(const struct uses *uses, struct fence *done)
{
	for (unsigned int i = 0; i < MOST_USES; i++) {
		if (uses->used[i]) {
			fence_put(last_use[i]);
			last_use[i] = fence_get(done);
		}
	}
}

/* ---- Binds ---- */

static struct bind_op map_op(unsigned int at, unsigned int nr, unsigned int obj, unsigned int page)
{
	shadow_map(&shadow, at, nr, (int)obj, page);
	return (struct bind_op){
		.type = BIND_MAP,
		.addr = shadow_addr(at),
		.range = nr * SG_PAGE,
		.obj = &object[obj]->base,
		.offset = page * SG_PAGE,
	};
}

static struct bind_op random_bind(unsigned int region, struct uses *uses)
{
	unsigned int from = below(REGION_PAGES), nr = 1 + below(REGION_PAGES - from);
	unsigned int at = region * REGION_PAGES + from, obj = below(OBJECTS);
	struct bind_op op = { .type = BIND_MAP, .addr = shadow_addr(at), .range = nr * SG_PAGE };

	switch (below(30)) {
	case 0:
		memset(uses->used, true, REGIONS);
		shadow_unmap_all(&shadow, (int)obj);
		return (struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &object[obj]->base };
	case 1:
	case 2:
	case 3:
		op.type = BIND_PREFETCH;
		return op;
	case 4:
	case 5:
		op.flags = GPUVA_SPARSE;
		shadow_map(&shadow, at, nr, SPARSE, 0);
		return op;
	case 6:
	case 7:
	case 8:
		op.type = BIND_UNMAP;
		shadow_map(&shadow, at, nr, NOTHING, 0);
		return op;
	default: /* often the same as what is there already, or its continuation */
		return map_op(at, nr, obj, below(2) ? from : below(OBJECT_PAGES - nr + 1));
	}
}

static void submit_bind(const struct uses *uses, const struct bind_op *ops, unsigned int nr)
{
	struct bind_sync in[MOST_USES], out = { .fence = fence_create() };
	struct bind_job job = { .ops = ops, .nr_ops = nr, .in = in, .out = &out, .nr_out = 1 };

	EXPECT(out.fence);
	job.nr_in = wait_list(uses, in);
	EXPECT(bind_queue_submit(queue[below(QUEUES)], &job) == 0);
	used_until(uses, out.fence);
	fence_put(out.fence);
	binds++;
}

static void bind_something(void)
{
	unsigned int region = below(REGIONS), nr = 1 + below(BINDS);
	struct uses uses = { 0 };
	struct bind_op ops[BINDS];

	uses.used[region] = true;
	for (unsigned int i = 0; i < nr; i++)
		ops[i] = random_bind(region, &uses);
	submit_bind(&uses, ops, nr);
}

static void bind_everything(void)
{
	for (unsigned int region = 0; region < REGIONS; region++) {
		struct bind_op op = map_op(region * REGION_PAGES, REGION_PAGES, region % OBJECTS,
					   0);
		struct uses uses = { 0 };

		uses.used[region] = true;
		submit_bind(&uses, &op, 1);
	}
}

/* ---- Executions ---- */

/* Waits for the job and checks that its results are as expected. */
static void land(struct flight *f)
{
	int error = 0;

	if (!f->done)
		return;
	while (fence_wait(f->done, FENCE_FOREVER))
		;
	for (unsigned int i = 0; i < f->nr; i++) {
		const struct sg_cmd *cmd = &f->cmd[i], *expected = &f->expected[i];

		EXPECT(cmd->error == expected->error);
		EXPECT(!cmd->error || cmd->fault == expected->fault);
		EXPECT(cmd->error || cmd->sum == expected->sum);
		faults += cmd->error == -EFAULT;
		error = error ? error : cmd->error;
	}
	EXPECT(fence_error(f->done) == error);
	fence_put(f->done);
	f->done = NULL;
}

static void use(struct uses *uses, uint64_t addr, uint64_t len)
{
	for (unsigned int i = shadow_page(addr); i <= shadow_page(addr + len - 1); i++) {
		uses->used[i / REGION_PAGES] = true;
		if (shadow.va[i].obj >= 0)
			uses->used[REGIONS + shadow.va[i].obj] = true;
	}
}

/* A random address with room for @len bytes within region @region. */
static uint64_t random_addr(unsigned int region, uint64_t len)
{
	return shadow_addr(region * REGION_PAGES) +
	       8 * below((unsigned int)((REGION_PAGES * SG_PAGE - len) / 8 + 1));
}

static struct sg_cmd random_cmd(struct uses *uses)
{
	enum sg_cmd_type type = (enum sg_cmd_type)below(SG_VERIFY + 1);
	unsigned int region = below(REGIONS);
	struct sg_cmd cmd = { .type = type, .len = 8 * (1 + below(below(3) ? 600 : 8000)) };

	cmd.dst = random_addr(region, cmd.len);
	cmd.src = random_addr((region + 1 + below(REGIONS - 1)) % REGIONS, cmd.len);
	cmd.pattern = random_state;
	if (type != SG_FILL)
		use(uses, cmd.src, cmd.len);
	if (type == SG_FILL || type == SG_COPY)
		use(uses, cmd.dst, cmd.len);
	return cmd;
}

static void run_something(void)
{
	struct flight *f = &flights[jobs % FLIGHTS];
	struct bind_sync in[MOST_USES], out = { 0 };
	struct sg_job job = { .in = in, .out = &out, .nr_out = 1 };
	struct uses uses = { 0 };

	land(f);
	f->nr = 1 + below(CMDS);
	for (unsigned int i = 0; i < f->nr; i++) {
		f->cmd[i] = random_cmd(&uses);
		f->expected[i] = f->cmd[i];
		shadow_run(&shadow, &f->expected[i]);
		f->cmd[i].sum = f->expected[i].sum;
	}
	job.cmds = f->cmd;
	job.nr_cmds = f->nr;
	job.nr_in = wait_list(&uses, in);
	f->done = out.fence = fence_create();
	EXPECT(out.fence);
	EXPECT(sg_engine_submit(engine[below(ENGINES)], &job) == 0);
	used_until(&uses, f->done);
	jobs++;
}

/* ---- A run ---- */

static void open_gpu(enum sg_mode mode)
{
	sg_device_init(&dev);
	EXPECT(sg_vm_create(&dev, "softgpu", mode, NULL, &vm) == 0);
	for (int i = 0; i < QUEUES; i++) {
		queue[i] = bind_queue_create(&vm->base, "bind", NULL);
		EXPECT(queue[i]);
	}
	for (int i = 0; i < ENGINES; i++) {
		engine[i] = sg_engine_create(vm);
		EXPECT(engine[i]);
	}
	for (int i = 0; i < OBJECTS; i++) {
		object[i] = sg_object_create(&dev.frames, OBJECT_PAGES * SG_PAGE);
		EXPECT(object[i]);
	}
}

static void report(const char *mode)
{
	struct sg_engine_stats sum = { 0 }, one;

	for (int i = 0; i < ENGINES; i++) {
		sg_engine_stats(engine[i], &one);
		EXPECT(one.mismatches == 0);
		sum.bytes += one.bytes;
		sum.faults += one.faults;
		sum.tlb_hits += one.tlb_hits;
		sum.tlb_misses += one.tlb_misses;
		sum.tlb_invalidations += one.tlb_invalidations;
	}
	printf("%s: %lu binds on %d queues, %lu jobs on %d engines, %.1f MiB, every byte as expected\n",
	       mode, binds, QUEUES, jobs, ENGINES, (double)sum.bytes / (1 << 20));
	printf("  TLB: %lu hits, %lu misses, %lu invalidations; faults: %lu filled in, %lu with nothing there\n",
	       sum.tlb_hits, sum.tlb_misses, sum.tlb_invalidations, sum.faults, faults);
	printf("  peak of page tables, with those reserved: %lu\n", dev.tables.peak);
}

static void expect_memory(void)
{
	static const char zeroes[SG_PAGE];

	for (int i = 0; i < OBJECTS; i++) {
		for (unsigned int page = 0; page < OBJECT_PAGES; page++) {
			const char *frame = sg_object_frame(object[i], page, NULL);

			EXPECT(!memcmp(frame ? frame : zeroes, &shadow.bytes[i][page * SG_PAGE],
				       SG_PAGE));
		}
	}
}

static void close_gpu(void)
{
	for (int i = 0; i < ENGINES; i++)
		sg_engine_destroy(engine[i]);
	for (int i = 0; i < QUEUES; i++)
		bind_queue_destroy(queue[i]);
	for (int i = 0; i < MOST_USES; i++) {
		fence_put(last_use[i]);
		last_use[i] = NULL;
	}
	sg_vm_destroy(vm);
	for (int i = 0; i < OBJECTS; i++)
		gpuvm_object_put(&object[i]->base);
	sg_device_fini(&dev); /* checks that nothing has leaked */
}

static void run(enum sg_mode mode, const char *name, unsigned long steps)
{
	binds = jobs = faults = 0;
	shadow_init(&shadow);
	open_gpu(mode);
	bind_everything();
	for (unsigned long i = 0; i < steps; i++) {
		if (below(3) == 0)
			bind_something();
		else
			run_something();
	}
	for (unsigned int i = 0; i < FLIGHTS; i++)
		land(&flights[i]);
	expect_memory();
	report(name);
	close_gpu();
}

/* Accepts only digits: strtoull() alone also takes signs and blanks. */
static bool number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end;
}

int main(int argc, char **argv)
{
	uint64_t steps = 20000, seed = 1;

	if (argc > 3 || (argc > 1 && !number(argv[1], &steps)) ||
	    (argc > 2 && !number(argv[2], &seed))) {
		fprintf(stderr, "usage: softgpu [STEPS [SEED]]\n");
		return 2;
	}
	random_state = seed;
	run(SG_EAGER, "eager", steps);
	run(SG_LAZY, "lazy", steps);
	check_large();
	return 0;
}
