/* SPDX-License-Identifier: MIT */
/*
 * Large mappings: 64 TiB take no more tables than their two ends need, unmapping a page in the
 * middle needs no memory, and the rest of the large entry that it cuts comes back by faults.
 */
#include "../expect.h"
#include "shadow.h"
#include <errno.h>

#define TIB ((uint64_t)1 << 40)
#define START (3 * SG_PAGE)
#define SIZE (64 * TIB + 5 * SG_PAGE)
#define HOLE (START + 20 * TIB + 77 * SG_PAGE)

static struct sg_device dev;
static struct sg_vm *vm;
static struct bind_queue *queue;
static struct sg_engine *engine;

static void bind(const struct bind_op *op)
{
	struct bind_job job = { .ops = op, .nr_ops = 1, .flags = BIND_SYNC };

	EXPECT(bind_queue_submit(queue, &job) == 0);
	EXPECT(bind_queue_wait(queue, FENCE_FOREVER) == 0); /* and cleaned up */
}

static int execute(struct sg_cmd *cmd)
{
	struct bind_sync out = { .fence = fence_create() };
	struct sg_job job = { .cmds = cmd, .nr_cmds = 1, .out = &out, .nr_out = 1 };
	int error;

	EXPECT(out.fence);
	EXPECT(sg_engine_submit(engine, &job) == 0);
	EXPECT(fence_wait(out.fence, FENCE_FOREVER) == 0);
	error = fence_error(out.fence);
	fence_put(out.fence);
	return error;
}

static int fill(uint64_t addr, uint64_t pattern)
{
	struct sg_cmd cmd = { .type = SG_FILL, .dst = addr, .len = 8, .pattern = pattern };

	return execute(&cmd);
}

static int verify(uint64_t addr, uint64_t word)
{
	struct sg_cmd cmd = { .type = SG_VERIFY, .src = addr, .len = 8 };

	cmd.sum = sg_checksum(0, &word, sizeof(word));
	return execute(&cmd);
}

static unsigned long tables(void)
{
	unsigned long nr;

	mt_lock_acquire(&vm->pt.lock);
	nr = vm->pt.tables;
	mt_lock_release(&vm->pt.lock);
	return nr;
}

static void check(struct sg_object *obj)
{
	struct bind_op map = {
		.type = BIND_MAP, .addr = START, .range = SIZE, .obj = &obj->base, .offset = SG_PAGE
	};
	struct bind_op unmap = { .type = BIND_UNMAP, .addr = HOLE, .range = SG_PAGE };
	struct sg_engine_stats stats;

	bind(&map);
	EXPECT(tables() == sg_pt_tables(START, SIZE) && tables() <= 6);
	for (uint64_t i = 0; i < 64; i++)
		EXPECT(fill(START + i * (TIB + SG_PAGE), i + 1) == 0);
	for (uint64_t i = 0; i < 64; i++)
		EXPECT(verify(START + i * (TIB + SG_PAGE), i + 1) == 0);
	EXPECT(fill(HOLE - 8, 1234) == 0 && fill(HOLE, 1) == 0 && fill(HOLE + SG_PAGE, 5678) == 0);

	bind(&unmap);
	EXPECT(tables() <= 6);
	EXPECT(verify(HOLE, 1) == -EFAULT);
	/*
	 * What the TLB holds of the neighbouring pages is still valid; the rest of the entry is no
	 * longer in the page tables.
	 */
	EXPECT(verify(HOLE - 8, 1234) == 0 && verify(HOLE + SG_PAGE, 5678) == 0);
	EXPECT(verify(HOLE - 2 * SG_PAGE, 0) == 0 && verify(HOLE + 2 * SG_PAGE, 0) == 0);
	sg_engine_stats(engine, &stats);
	EXPECT(stats.faults == 2);

	/* The same object continues there: the memory is unchanged, and nothing is faulted in. */
	map.addr = HOLE;
	map.range = SG_PAGE;
	map.offset = SG_PAGE + (HOLE - START);
	bind(&map);
	EXPECT(verify(HOLE, 1) == 0);
	sg_engine_stats(engine, &stats);
	EXPECT(stats.faults == 2 && stats.mismatches == 0);
	printf("large: %lu TiB mapped with %lu page tables, and a page unmapped in the middle\n",
	       (unsigned long)(SIZE / TIB), tables());
}

void check_large(void)
{
	struct sg_object *obj;

	sg_device_init(&dev);
	EXPECT(sg_vm_create(&dev, "large", SG_EAGER, NULL, &vm) == 0);
	queue = bind_queue_create(&vm->base, "bind", NULL);
	engine = sg_engine_create(vm);
	obj = sg_object_create(&dev.frames, SIZE + SG_PAGE);
	EXPECT(queue && engine && obj);
	check(obj);
	sg_engine_destroy(engine);
	bind_queue_destroy(queue);
	sg_vm_destroy(vm);
	gpuvm_object_put(&obj->base);
	sg_device_fini(&dev);
}
