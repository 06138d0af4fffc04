/* SPDX-License-Identifier: MIT */
/* Lists of operations: the steps that split.c would call, to be carried out later. */
#include "gpuvm/batch.h"
#include "gpuvm/list.h"
#include "mem/heap.h"

#include <errno.h>

/* What a remap points to, in one allocation. */
struct remap_parts {
	struct gpuva_op_unmap unmap;
	struct gpuva_op_map prev, next;
};

static struct gpuva_op *new_op(struct gpuvm *vm)
{
	return vm->ops->op_alloc ? vm->ops->op_alloc() : smr_heap_alloc(sizeof(struct gpuva_op));
}

static void free_op(struct gpuvm *vm, struct gpuva_op *op)
{
	if (op->op == GPUVA_OP_REMAP)
		smr_heap_free(container_of(op->remap.unmap, struct remap_parts, unmap));
	if (vm->ops->op_free)
		vm->ops->op_free(op);
	else
		smr_heap_free(op);
}

/* Copies a remap with all that it points to: 0 or -ENOMEM. */
static int copy_remap(struct gpuva_op_remap *to, const struct gpuva_op_remap *from)
{
	struct remap_parts *parts = smr_heap_alloc(sizeof(*parts));

	if (!parts)
		return -ENOMEM;
	parts->unmap = *from->unmap;
	to->unmap = &parts->unmap;
	to->prev = from->prev ? &parts->prev : NULL;
	to->next = from->next ? &parts->next : NULL;
	if (from->prev)
		parts->prev = *from->prev;
	if (from->next)
		parts->next = *from->next;
	return 0;
}

/* Appends a copy of @from: 0 or -ENOMEM. */
static int append(struct gpuvm *vm, struct gpuva_ops *ops, const struct gpuva_op *from)
{
	struct gpuva_op *op = new_op(vm);

	if (!op)
		return -ENOMEM;
	/* A user's operation may begin with this one, so only its own fields are written. */
	op->op = GPUVA_OP_MAP;
	switch (from->op) {
	case GPUVA_OP_MAP:
		op->map = from->map;
		break;
	case GPUVA_OP_REMAP:
		if (copy_remap(&op->remap, &from->remap)) {
			free_op(vm, op);
			return -ENOMEM;
		}
		break;
	case GPUVA_OP_UNMAP:
		op->unmap = from->unmap;
		break;
	case GPUVA_OP_PREFETCH:
		op->prefetch = from->prefetch;
		break;
	}
	op->op = from->op;
	smr_list_append(&ops->list, &op->entry);
	return 0;
}

static struct gpuva_ops *new_list(void)
{
	struct gpuva_ops *ops = smr_heap_alloc(sizeof(*ops));

	if (ops)
		smr_list_init(&ops->list);
	return ops;
}

/* Returns what every creator returns: the list, or NULL and why. */
static struct gpuva_ops *finish(struct gpuvm *vm, struct gpuva_ops *ops, int result, int *err)
{
	if (result && ops) {
		gpuva_ops_free(vm, ops);
		ops = NULL;
	}
	if (err)
		*err = result;
	return ops;
}

/* Appends the steps of a request; @map is the last step of a map request. */
static int append_steps(struct gpuvm *vm, struct gpuva_ops *ops, uint64_t addr, uint64_t range,
			const struct gpuva_op *map)
{
	struct smr_split s;
	struct gpuva_op *op;
	int err = 0;

	smr_gpuvm_flush_batch(vm);
	smr_split_begin(&s, vm, &vm->tree, addr, range, map ? &map->map : NULL);
	while (!err && (op = smr_split_next(&s)) != NULL)
		err = append(vm, ops, op);
	return err || !map ? err : append(vm, ops, map);
}

/* Makes the list of a request's steps. @result is that of the request's check. */
static struct gpuva_ops *list_steps(struct gpuvm *vm, uint64_t addr, uint64_t range,
				    const struct gpuva_op *map, int result, int *err)
{
	struct gpuva_ops *ops = NULL;

	smr_assert(gpuvm_is_locked(vm));
	if (!result)
		result = (ops = new_list()) ? 0 : -ENOMEM;
	if (!result)
		result = append_steps(vm, ops, addr, range, map);
	return finish(vm, ops, result, err);
}

struct gpuva_ops *gpuvm_sm_map_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
					  struct gpuvm_object *obj, uint64_t offset, int *err)
{
	struct gpuva_op map = { .op = GPUVA_OP_MAP, .map = { { addr, range }, { obj, offset } } };

	return list_steps(vm, addr, range, &map, smr_gpuvm_check(vm, addr, range, obj, offset),
			  err);
}

struct gpuva_ops *gpuvm_sm_unmap_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
					    int *err)
{
	return list_steps(vm, addr, range, NULL, smr_gpuvm_check(vm, addr, range, NULL, 0), err);
}

struct gpuva_ops *gpuvm_prefetch_ops_create(struct gpuvm *vm, uint64_t addr, uint64_t range,
					    int *err)
{
	struct gpuva_op op = { .op = GPUVA_OP_PREFETCH };
	struct gpuva_ops *ops = new_list();
	int result = ops ? 0 : -ENOMEM;
	struct smr_split s;
	unsigned long last;

	smr_assert(gpuvm_is_locked(vm));
	smr_gpuvm_flush_batch(vm);
	if (!result && smr_clamp_range(addr, range, &last)) {
		smr_split_begin(&s, vm, &vm->tree, addr, last - addr + 1, NULL);
		while (!result && (op.prefetch.va = smr_split_next_va(&s)) != NULL)
			result = append(vm, ops, &op);
	}
	return finish(vm, ops, result, err);
}

static unsigned long nr_linked(const struct gpuvm_bo *vm_bo)
{
	const struct gpuva *va;
	unsigned long nr = 0;

	gpuvm_bo_for_each_va(va, vm_bo) nr++;
	return nr;
}

/* Resizes a list from *@nr to @want unmaps, which name no mapping yet: 0 or -ENOMEM. */
static int resize(struct gpuvm *vm, struct gpuva_ops *ops, unsigned long *nr, unsigned long want)
{
	const struct gpuva_op op = { .op = GPUVA_OP_UNMAP };

	for (; *nr < want; ++*nr)
		if (append(vm, ops, &op))
			return -ENOMEM;
	for (; *nr > want; --*nr) {
		struct gpuva_op *last = gpuva_last_op(ops);

		smr_list_remove(&last->entry);
		free_op(vm, last);
	}
	return 0;
}

/*
 * Signalling sections take the object's lock, so it is dropped while memory is got and given back.
 * That is repeated until the list is as long as the pair's, in case the latter has changed
 * meanwhile.
 */
struct gpuva_ops *gpuvm_bo_unmap_ops_create(struct gpuvm_bo *vm_bo, int *err)
{
	struct gpuvm_object *obj = vm_bo->obj;
	struct gpuva_ops *ops = NULL;
	unsigned long nr = 0, want;
	struct gpuva_op *op;
	struct gpuva *va;
	int result;

	smr_assert(gpuvm_is_locked(vm_bo->vm) && mt_lock_held(&obj->lock));
	do {
		want = nr_linked(vm_bo);
		gpuvm_object_unlock(obj);
		if (!ops)
			ops = new_list();
		result = ops ? resize(vm_bo->vm, ops, &nr, want) : -ENOMEM;
		ops = finish(vm_bo->vm, ops, result, err);
		gpuvm_object_lock(obj);
	} while (ops && nr_linked(vm_bo) != nr);
	if (!ops)
		return NULL;
	op = gpuva_first_op(ops);
	gpuvm_bo_for_each_va(va, vm_bo)
	{
		op->unmap.va = va;
		op = gpuva_next_op(ops, op);
	}
	return ops;
}

void gpuva_ops_free(struct gpuvm *vm, struct gpuva_ops *ops)
{
	struct gpuvm_list *link, *next;

	if (!ops)
		return;
	smr_list_for_each_safe(link, next, &ops->list)
		free_op(vm, smr_list_entry(link, struct gpuva_op, entry));
	smr_heap_free(ops);
}

void gpuva_op_remap_to_unmap_range(const struct gpuva_op_remap *op, uint64_t *start,
				   uint64_t *range)
{
	const struct gpuva *va = op->unmap->va;
	uint64_t first = op->prev ? op->prev->va.addr + op->prev->va.range : va->va.addr;
	uint64_t end = op->next ? op->next->va.addr : va->va.addr + va->va.range;

	if (start)
		*start = first;
	if (range)
		*range = end - first;
}

/* ---- Walking ---- */

static struct gpuva_op *op_at(const struct gpuva_ops *ops, struct gpuvm_list *link)
{
	return link == &ops->list ? NULL : smr_list_entry(link, struct gpuva_op, entry);
}

struct gpuva_op *gpuva_first_op(const struct gpuva_ops *ops)
{
	return op_at(ops, ops->list.next);
}

struct gpuva_op *gpuva_last_op(const struct gpuva_ops *ops)
{
	return op_at(ops, ops->list.prev);
}

struct gpuva_op *gpuva_next_op(const struct gpuva_ops *ops, const struct gpuva_op *op)
{
	return op_at(ops, op->entry.next);
}

struct gpuva_op *gpuva_prev_op(const struct gpuva_ops *ops, const struct gpuva_op *op)
{
	return op_at(ops, op->entry.prev);
}
