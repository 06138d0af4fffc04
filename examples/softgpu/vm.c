/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of an address space: what happens to the page tables when bind queues change
 * it.
 *
 *	prepare   at submission: reserves the tables that a map can need. May sleep, may fail
 *	step      during the run, after the VM has changed: clears what is gone, enters what is
 *	          new. In a signalling section
 *	finish    afterwards: gives back what was not needed, and tables that have become empty
 *
 * A step that removes something clears and logs it before the job's out-fences are signalled, so an
 * engine whose job waits for them cannot use the old translation. An engine whose job does not wait
 * may use it for one access; it makes each access in a read-side critical section, so the mapping's
 * object outlives the access.
 */
#include "softgpu.h"
#include <errno.h>
#include <stdlib.h>

/* ---- What bind queues ask for */

/* The cookie of an operation. */
struct plan {
	struct sg_reserve tables;
	uint64_t addr, range;
};

static int prepare(struct gpuvm *base, const struct bind_op *op, void **cookie, void *priv)
{
	struct sg_vm *vm = priv;
	struct plan *plan;
	int err;

	(void)base;
	*cookie = NULL;
	if (vm->mode == SG_LAZY || (op->type != BIND_MAP && op->type != BIND_PREFETCH))
		return 0;
	plan = calloc(1, sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	plan->addr = op->addr;
	plan->range = op->range;
	err = sg_pool_reserve(&vm->dev->tables, &plan->tables, sg_pt_tables(op->addr, op->range));
	if (err)
		free(plan);
	else
		*cookie = plan;
	return err;
}

static void finish(struct gpuvm *base, void *cookie, void *priv)
{
	struct sg_vm *vm = priv;
	struct plan *plan = cookie;

	(void)base;
	if (plan) {
		sg_pool_release(&vm->dev->tables, &plan->tables);
		free(plan);
	}
	sg_pt_trim(&vm->pt);
}

static void enter(struct sg_vm *vm, struct plan *plan, uint64_t addr, uint64_t range,
		  struct gpuvm_object *obj, uint64_t offset)
{
	if (plan)
		sg_pt_map(&vm->pt, addr, range, (struct sg_object *)obj, offset, &plan->tables);
}

/* Enters as much of @va as was asked for and as the tables suffice for. */
static void prefetch(struct sg_vm *vm, struct plan *plan, const struct gpuva *va)
{
	uint64_t start = va->va.addr, end = start + va->va.range;

	if (!plan)
		return;
	if (start < plan->addr)
		start = plan->addr;
	if (end > plan->addr + plan->range)
		end = plan->addr + plan->range;
	enter(vm, plan, start, end - start, va->gem.obj, va->gem.offset + (start - va->va.addr));
}

/* Where the new mapping continues the old one, the translations stay as they are. */
static int step(struct gpuvm *base, const struct bind_step *step, void *priv)
{
	const struct gpuva_op *op = step->op;
	struct sg_vm *vm = priv;
	uint64_t start, range;

	(void)base;
	switch (op->op) {
	case GPUVA_OP_MAP:
		enter(vm, step->cookie, op->map.va.addr, op->map.va.range, op->map.gem.obj,
		      op->map.gem.offset);
		break;
	case GPUVA_OP_REMAP:
		gpuva_op_remap_to_unmap_range(&op->remap, &start, &range);
		if (!op->remap.unmap->keep)
			sg_pt_clear(&vm->pt, start, range);
		break;
	case GPUVA_OP_UNMAP:
		if (!op->unmap.keep)
			sg_pt_clear(&vm->pt, op->unmap.va->va.addr, op->unmap.va->va.range);
		break;
	case GPUVA_OP_PREFETCH:
		prefetch(vm, step->cookie, op->prefetch.va);
		break;
	}
	return 0;
}

static void run_begin(struct gpuvm *base, void *priv)
{
	const struct sg_vm *vm = priv;

	if (vm->more && vm->more->run_begin)
		vm->more->run_begin(base, vm->more_priv);
}

static void run_end(struct gpuvm *base, void *priv)
{
	const struct sg_vm *vm = priv;

	if (vm->more && vm->more->run_end)
		vm->more->run_end(base, vm->more_priv);
}

static void va_release(struct gpuva *va, void *priv)
{
	const struct sg_vm *vm = priv;

	if (vm->more && vm->more->va_release)
		vm->more->va_release(va, vm->more_priv);
}

static const struct bind_ops bind_ops = {
	.prepare = prepare,
	.step = step,
	.finish = finish,
	.run_begin = run_begin,
	.run_end = run_end,
	.va_release = va_release,
};

/* ---- Lifetime */

static void vm_free(struct gpuvm *base)
{
	struct sg_vm *vm = (struct sg_vm *)base;

	sg_pt_fini(&vm->pt);
	free(vm);
}

static const struct gpuvm_ops vm_ops = { .vm_free = vm_free };

void sg_device_init(struct sg_device *dev)
{
	sg_pool_init(&dev->tables, sizeof(struct sg_table));
	sg_pool_init(&dev->frames, SG_PAGE);
}

void sg_device_fini(struct sg_device *dev)
{
	sg_pool_fini(&dev->tables);
	sg_pool_fini(&dev->frames);
}

static void free_object(struct gpuvm_object *obj)
{
	free(obj);
}

/* Initializes the VM with an object of its own, which only provides the VM's reservation lock. */
static int init_base(struct sg_vm *vm, const char *name)
{
	struct gpuvm_object *resv = malloc(sizeof(*resv));
	int err;

	if (!resv)
		return -ENOMEM;
	gpuvm_object_init(resv, 0, NULL, free_object);
	err = gpuvm_init(&vm->base, name, 0, vm->dev, resv, SG_PAGE, SG_VA_END - SG_PAGE, 0, 0,
			 &vm_ops);
	gpuvm_object_put(resv);
	return err;
}

int sg_vm_create(struct sg_device *dev, const char *name, enum sg_mode mode,
		 const struct bind_config *config, struct sg_vm **created)
{
	struct bind_config own = config ? *config : (struct bind_config){ 0 };
	struct sg_vm *vm = calloc(1, sizeof(*vm));
	int err;

	if (!vm)
		return -ENOMEM;
	vm->dev = dev;
	vm->mode = mode;
	sg_pt_init(&vm->pt, &dev->tables);
	err = init_base(vm, name);
	if (err) {
		free(vm);
		return err;
	}
	vm->more = own.ops;
	vm->more_priv = own.priv;
	own.size = sizeof(own);
	own.ops = &bind_ops;
	own.priv = vm;
	err = gpuvm_set_align(&vm->base, SG_PAGE);
	if (!err)
		err = bind_vm_init(&vm->base, &own);
	if (err)
		gpuvm_put(&vm->base);
	else
		*created = vm;
	return err;
}

void sg_vm_destroy(struct sg_vm *vm)
{
	(void)bind_vm_close(&vm->base, BIND_DRAIN);
	gpuvm_put(&vm->base);
}
