/* SPDX-License-Identifier: MIT */
/*
 * Three overlapping maps, [1, 10), [10, 20) and [5, 15), are queued while the first waits for a
 * fence. When they are accepted the VM is still empty, so it is not yet known what they will
 * change. When the fence is signalled they run one after the other, in a section in which nothing
 * allocates and nothing can fail: the third cuts into what the first two have mapped.
 */
#include "expect.h"
#include <samara/bind_queue.h>

/*
 * Here a driver would write page tables; the example prints. Runs in the section, where only an
 * example may call printf().
 */
static int step(struct gpuvm *vm, const struct bind_step *step, void *priv)
{
	const struct gpuva_op *op = step->op;
	const struct gpuva *va;
	uint64_t start, range;

	(void)vm;
	(void)priv;
	switch (op->op) {
	case GPUVA_OP_MAP:
		printf("map [%lu, %lu)\n", op->map.va.addr, op->map.va.addr + op->map.va.range);
		break;
	case GPUVA_OP_REMAP:
		va = op->remap.unmap->va;
		gpuva_op_remap_to_unmap_range(&op->remap, &start, &range);
		printf("cut [%lu, %lu) out of [%lu, %lu)\n", start, start + range, va->va.addr,
		       va->va.addr + va->va.range);
		break;
	case GPUVA_OP_UNMAP:
	case GPUVA_OP_PREFETCH:
		EXPECT(!"none of these");
	}
	return 0;
}

static void vm_free(struct gpuvm *vm)
{
	(void)vm; /* it is static */
}

static struct gpuvm vm;
static struct gpuvm_object a, b, c;

static int queue_map(struct bind_queue *q, uint64_t first, uint64_t end, struct gpuvm_object *obj,
		     struct fence *in, struct fence *out)
{
	struct bind_op op = { .type = BIND_MAP, .addr = first, .range = end - first, .obj = obj };
	struct bind_sync wait = { .fence = in }, signal = { .fence = out };
	struct bind_job job = { .ops = &op,
				.nr_ops = 1,
				.in = &wait,
				.nr_in = in != NULL,
				.out = &signal,
				.nr_out = out != NULL };

	return bind_queue_submit(q, &job); /* may sleep or fail; on failure nothing has happened */
}

static uint64_t offset_at(uint64_t addr)
{
	struct gpuva *va;
	uint64_t offset;

	gpuvm_read_lock(&vm); /* as a page fault would */
	va = gpuvm_find(&vm, addr);
	EXPECT(va);
	offset = va->gem.offset + (addr - va->va.addr);
	gpuvm_read_unlock(&vm);
	return offset;
}

int main(void)
{
	static const struct gpuvm_ops vm_ops = { .vm_free = vm_free };
	static const struct bind_ops bind_ops = { .step = step };
	struct bind_config config = { .size = sizeof(config), .ops = &bind_ops };
	struct fence *ready = fence_create(), *done = fence_create();
	struct gpuvm_object *resv = gpuvm_resv_object_alloc(NULL);
	struct bind_queue *q;

	EXPECT(ready && done && resv);
	EXPECT(gpuvm_init(&vm, "example", 0, NULL, resv, 0, 1 << 20, 0, 0, &vm_ops) == 0);
	gpuvm_object_init(&a, 0, resv->resv, NULL);
	gpuvm_object_init(&b, 0, resv->resv, NULL);
	gpuvm_object_init(&c, 0, resv->resv, NULL);
	EXPECT(bind_vm_init(&vm, &config) == 0);
	q = bind_queue_create(&vm, "example", NULL);
	EXPECT(q);

	EXPECT(queue_map(q, 1, 10, &a, ready, NULL) == 0);
	EXPECT(queue_map(q, 10, 20, &b, NULL, NULL) == 0);
	EXPECT(queue_map(q, 5, 15, &c, NULL, done) == 0);
	EXPECT(gpuvm_interval_empty(&vm, 0, 100)); /* nothing has run */

	fence_signal(ready);
	EXPECT(fence_wait(done, FENCE_FOREVER) == 0 && fence_error(done) == 0);
	EXPECT(offset_at(4) == 3);  /* a, from 1 on */
	EXPECT(offset_at(14) == 9); /* c, from 5 on */
	EXPECT(offset_at(15) == 5); /* b, from 10 on */

	EXPECT(bind_vm_close(&vm, BIND_DRAIN) == 0);
	bind_queue_destroy(q);
	gpuvm_object_put(&a);
	gpuvm_object_put(&b);
	gpuvm_object_put(&c);
	gpuvm_put(&vm);
	gpuvm_object_put(resv);
	fence_put(ready);
	fence_put(done);
	return 0;
}
