/* SPDX-License-Identifier: MIT */
/*
 * Samara's GPU VA manager as a driver uses it: with its internal lock, steps that apply the
 * operations to the index, mappings from a free list. Removed mappings go back to the list when the
 * request is done: there are no readers without the lock.
 */
#include "../sm_map.h"
#include "pool.h"
#include <errno.h>
#include <samara/gpuvm.h>

/* All that a request reads and writes of a mapping is in its first cache line. */
struct mapping {
	struct mapping *next; /* of the removed ones */
	struct gpuva va;
};

struct vm {
	struct gpuvm gpuvm;
	struct gpuvm_object objects[SM_OBJECTS];
	struct mapping *gone;
	size_t count;
	struct sm_steps *steps;
};

static struct pool pool; /* of all VMs: they are used by one thread only */

static const size_t mapping_size = (sizeof(struct mapping) + POOL_LINE - 1) / POOL_LINE * POOL_LINE;

static struct mapping *new_mapping(struct vm *v)
{
	struct mapping *m = pool_take(&pool, mapping_size);

	/* The rest is written with the range and on linking; the link is in another cache line. */
	if (m) {
		m->va.vm_bo = NULL;
		m->va.flags = 0;
	}
	v->count += m != NULL;
	return m;
}

static void free_mapping(struct vm *v, struct mapping *m)
{
	v->count--;
	pool_give(&pool, m, mapping_size);
}

static void take_out(struct vm *v, struct gpuva *va)
{
	struct mapping *m = (struct mapping *)((char *)va - offsetof(struct mapping, va));

	m->next = v->gone;
	v->gone = m;
}

static void free_gone(struct vm *v)
{
	struct mapping *m;

	while ((m = v->gone)) {
		v->gone = m->next;
		free_mapping(v, m);
	}
}

static unsigned int number(const struct vm *v, const struct gpuvm_object *obj)
{
	return obj ? (unsigned int)(obj - v->objects) + 1 : 0;
}

static struct sm_map described(const struct vm *v, const struct gpuva_op_map *op)
{
	return (struct sm_map){ op->va.addr, op->va.range, number(v, op->gem.obj), op->gem.offset };
}

/* ---- Steps ---- */

static int step_map(struct gpuva_op *op, void *priv)
{
	struct vm *v = priv;
	const struct sm_map what = described(v, &op->map);
	struct mapping *m = new_mapping(v);
	int err = m ? gpuva_map(&v->gpuvm, &m->va, &op->map) : -ENOMEM;

	if (err && m)
		free_mapping(v, m);
	if (!err)
		sm_step_map(v->steps, &what);
	return err;
}

static void tell_remap(struct vm *v, const struct gpuva_op_remap *op)
{
	struct sm_map prev, next;

	if (op->prev)
		prev = described(v, op->prev);
	if (op->next)
		next = described(v, op->next);
	sm_step_remap(v->steps, op->unmap->va->va.addr, op->unmap->keep, op->prev ? &prev : NULL,
		      op->next ? &next : NULL);
}

static int step_remap(struct gpuva_op *op, void *priv)
{
	const struct gpuva_op_remap *r = &op->remap;
	struct vm *v = priv;
	struct mapping *prev = r->prev ? new_mapping(v) : NULL;
	struct mapping *next = r->next ? new_mapping(v) : NULL;
	int err = -ENOMEM;

	tell_remap(v, r);
	if ((prev || !r->prev) && (next || !r->next))
		err = gpuva_remap(prev ? &prev->va : NULL, next ? &next->va : NULL, r);
	if (!err) {
		take_out(v, r->unmap->va);
		return 0;
	}
	if (prev)
		free_mapping(v, prev);
	if (next)
		free_mapping(v, next);
	return err;
}

static int step_unmap(struct gpuva_op *op, void *priv)
{
	struct vm *v = priv;

	sm_step_unmap(v->steps, op->unmap.va->va.addr, op->unmap.keep);
	gpuva_unmap(&op->unmap);
	take_out(v, op->unmap.va);
	return 0;
}

/* ---- The peer ---- */

static void vm_free(struct gpuvm *vm)
{
	free(vm);
}

static void *create(uint64_t range, struct sm_steps *steps)
{
	static const struct gpuvm_ops ops = {
		.vm_free = vm_free,
		.sm_step_map = step_map,
		.sm_step_remap = step_remap,
		.sm_step_unmap = step_unmap,
	};
	struct gpuvm_object *r_obj = gpuvm_resv_object_alloc(NULL);
	struct vm *v = calloc(1, sizeof(*v));

	if (v && r_obj && !gpuvm_init(&v->gpuvm, "bench", 0, NULL, r_obj, 0, range, 0, 0, &ops)) {
		for (unsigned int i = 0; i < SM_OBJECTS; i++)
			gpuvm_object_init(&v->objects[i], 0, NULL, NULL);
		v->steps = steps;
		gpuvm_object_put(r_obj);
		return v;
	}
	gpuvm_object_put(r_obj);
	free(v);
	return NULL;
}

static int map(void *vm, const struct sm_map *r)
{
	struct vm *v = vm;
	struct gpuvm_object *obj = r->object ? &v->objects[r->object - 1] : NULL;
	int err;

	gpuvm_lock(&v->gpuvm);
	err = gpuvm_sm_map(&v->gpuvm, v, r->addr, r->range, obj, r->offset);
	free_gone(v);
	gpuvm_unlock(&v->gpuvm);
	return err;
}

static int unmap(void *vm, uint64_t addr, uint64_t range)
{
	struct vm *v = vm;
	int err;

	gpuvm_lock(&v->gpuvm);
	err = gpuvm_sm_unmap(&v->gpuvm, v, addr, range);
	free_gone(v);
	gpuvm_unlock(&v->gpuvm);
	return err;
}

static void destroy(void *vm)
{
	struct vm *v = vm;

	unmap(v, v->gpuvm.mm_start, v->gpuvm.mm_range);
	gpuvm_put(&v->gpuvm);
}

static bool find(void *vm, uint64_t addr, struct sm_map *found)
{
	struct vm *v = vm;
	const struct gpuva *va;

	gpuvm_read_lock(&v->gpuvm);
	va = gpuvm_find(&v->gpuvm, addr);
	if (va)
		*found = (struct sm_map){ va->va.addr, va->va.range, number(v, va->gem.obj),
					  va->gem.offset };
	gpuvm_read_unlock(&v->gpuvm);
	return va != NULL;
}

static size_t count(void *vm)
{
	return ((struct vm *)vm)->count;
}

const struct sm_peer sm_samara = {
	.name = "samara",
	.create = create,
	.destroy = destroy,
	.map = map,
	.unmap = unmap,
	.find = find,
	.count = count,
};
