/* SPDX-License-Identifier: MIT */
/*
 * Split and merge: which steps a request to map or to unmap [s, t) takes.
 *
 * Every mapping m = [a, b) that overlaps the request is visited once, ascending, and what becomes
 * of it depends on nothing but m and the request:
 *
 *   prev   the part of m in front of s, if a < s:  [a, s), same object, same offset
 *   next   the part of m behind t, if b > t:       [t, b), same object, offset + (t - a), mod 2^64
 *   keep   true if a map continues m: m has an object, it is the request's, and both show the same
 *          place in it at the same address (offset - address is equal). For an unmap always false.
 *
 * Without prev and next the step is an unmap U(m, keep), otherwise one remap R(m, keep, prev,
 * next). A map ends with one step M. So the steps are a function of the tree as it is, the same
 * whether each is carried out at once or all are listed first; at most two are remaps, the first
 * and the last; and all of them together have at most one prev, from a mapping that has both s - 1
 * and s, and one next, from one that has both t - 1 and t. So a map needs at most three new
 * mappings, an unmap two, whatever else has happened to the tree: docs/gpuvm.md.
 *
 * The cases ("=" m, "#" the request). K is keep; nm and nu are the tree after a map and after an
 * unmap.
 *
 *   G1 a = s, b = t      m  |=========|         map:    U(m, K) M
 *                        q  |#########|         unmap:  U(m, 0)
 *                        nm |#########|         nu  nothing
 *
 *   G2 a = s, b < t      m  |====|              map:    U(m, K) M
 *                        q  |#########|         unmap:  U(m, 0)
 *                        nm |#########|         nu  nothing
 *
 *   G3 a = s, b > t      m  |=========|         map:    R(m, K, next) M
 *                        q  |####|              unmap:  R(m, 0, next)
 *                        nm |####|====|         nu       |====|
 *
 *   G4 a < s, b = t      m  |=========|         map:    R(m, K, prev) M
 *                        q       |####|         unmap:  R(m, 0, prev)
 *                        nm |====|####|         nu  |====|
 *
 *   G5 a < s, b < t      m  |=======|           map:    R(m, K, prev) M
 *                        q      |#######|       unmap:  R(m, 0, prev)
 *                        nm |===|#######|       nu  |===|
 *
 *   G6 a < s, b > t      m  |===========|       map:    R(m, K, prev, next) M
 *                        q     |####|           unmap:  R(m, 0, prev, next)
 *                        nm |==|####|===|       nu  |==|    |===|
 *
 *   G7 a > s, b = t      m       |====|         map:    U(m, K) M
 *                        q  |#########|         unmap:  U(m, 0)
 *                        nm |#########|         nu  nothing
 *
 *   G8 a > s, b < t      m    |===|             map:    U(m, K) M
 *                        q  |#########|         unmap:  U(m, 0)
 *                        nm |#########|         nu  nothing
 *
 *   G9 a > s, b > t      m      |=======|       map:    R(m, K, next) M
 *                        q  |#######|           unmap:  R(m, 0, next)
 *                        nm |#######|===|       nu          |===|
 *
 *   G10 b <= s or a >= t: touching or apart; m is not looked at, even if it shows the same object
 *       and continues the request.
 *
 *   G11 several          m  |==1==|=2=| |3|==4==|    map:    R(1, K1, prev) U(2, K2) U(3, K3)
 *                        q     |############|                R(4, K4, next) M
 *                        nm |=1|############|4=|     unmap:  the same without M, and no K
 *                                                    nu  |=1|            |4=|
 *
 * "Merge" is keep and nothing more: the page-table entries that m and the request share may stay as
 * they are. Mappings that touch are never made one.
 *
 * The walk holds a cursor, so that a step costs a few loads. The cursor is on the last mapping
 * visited. What a step does to that mapping, and to whatever lies in front of it, moves the cursor
 * to the same place in the new tree, and nothing is visited twice: prev lies in front, next lies
 * behind t, and M comes when the walk is over.
 *
 * Rejected: two remaps, one for each edge, where q lies inside m, as they would need a third
 * mapping; reusing m's own memory for a remainder in the last step, as readers may be looking at
 * it.
 */
#include "gpuvm/split.h"
#include "gpuvm/batch.h"
#include "tree/walk.h"

#include <errno.h>

/* ---- What is allowed ---- */

static bool aligned(const struct gpuvm *vm, uint64_t addr, uint64_t range, uint64_t offset)
{
	return ((addr | range | offset) & (vm->align - 1)) == 0;
}

static bool inside(const struct gpuvm_object *obj, uint64_t range, uint64_t offset)
{
	return !obj || obj->size == 0 || (range <= obj->size && offset <= obj->size - range);
}

int smr_gpuvm_check(const struct gpuvm *vm, uint64_t addr, uint64_t range,
		    const struct gpuvm_object *obj, uint64_t offset)
{
	return gpuvm_range_valid(vm, addr, range) && aligned(vm, addr, range, offset) &&
			       inside(obj, range, offset)
		       ? 0
		       : -EINVAL;
}

/* ---- The walk ---- */

void smr_split_begin(struct smr_split *s, const struct gpuvm *vm, struct maple_tree *mt,
		     uint64_t addr, uint64_t range, const struct gpuva_op_map *req)
{
	s->vm = vm;
	s->addr = addr;
	s->last = addr + (range - 1);
	s->req = req;
	s->is_gone = NULL;
	s->gone_arg = NULL;
	s->looked_up = NULL;
	s->prefetched_leaf = NULL;
	mas_init(&s->mas, mt, addr);
}

/* @entry may be anything. */
static void prefetch_va(const void *entry)
{
	uintptr_t va = (uintptr_t)entry;

	smr_prefetch((const void *)va);
	smr_prefetch((const void *)(va + offsetof(struct gpuva, gem.entry) - 1));
}

/*
 * Prefetches into the cache all mappings of the request that are in the leaf which the cursor has
 * come to, before the first is looked at: in a large VM none of them is in a cache, and so the walk
 * waits once, not for each. Markers are not addresses that anybody has mapped, and prefetching them
 * does nothing. One request in ten goes on into the next leaf.
 */
static void prefetch_leaf(struct smr_split *s)
{
	const struct ma_state *mas = &s->mas;
	void *const *slots;

	s->prefetched_leaf = mas->node;
	if (!mas->node)
		return;
	slots = smr_slots(mas->node);
	if (s->last > mas->max)
		smr_prefetch_next_leaf(mas);
	for (unsigned int i = mas->offset;; i++) {
		prefetch_va(slots[i]);
		if (i == mas->end || smr_start(mas->node, i + 1) > s->last)
			return;
	}
}

struct gpuva *smr_split_next_va(struct smr_split *s)
{
	struct gpuva *va;
	void *entry;

	/* A mapping that reaches as far as the request is the last: most often there is one. */
	if (s->mas.status == ma_active && s->mas.last >= s->last)
		return NULL;
	while ((entry = mas_find(&s->mas, s->last)) != NULL) {
		if (s->mas.node != s->prefetched_leaf)
			prefetch_leaf(s);
		va = smr_gpuva_from_entry(s->vm, entry);
		if (va && va != &s->vm->kernel_alloc_node &&
		    !(s->is_gone && s->is_gone(va, s->gone_arg)))
			return va;
	}
	return NULL;
}

void smr_split_prefetch(struct smr_split *s)
{
	s->looked_up = smr_split_next_va(s);
}

static bool keeps(const struct gpuva *va, const struct gpuva_op_map *req)
{
	return req && va->gem.obj && va->gem.obj == req->gem.obj &&
	       va->gem.offset - va->va.addr == req->gem.offset - req->va.addr;
}

/* Sets @map to the part of @va from @addr to @last. */
static struct gpuva_op_map *part(struct gpuva_op_map *map, const struct gpuva *va, uint64_t addr,
				 uint64_t last)
{
	map->va.addr = addr;
	map->va.range = last - addr + 1;
	map->gem.obj = va->gem.obj;
	map->gem.offset = va->gem.offset + (addr - va->va.addr);
	return map;
}

struct gpuva_op *smr_split_next(struct smr_split *s)
{
	struct gpuva *va = s->looked_up ? s->looked_up : smr_split_next_va(s);
	bool front, behind, keep;

	s->looked_up = NULL;
	if (!va)
		return NULL;
	keep = keeps(va, s->req);
	front = va->va.addr < s->addr;
	behind = smr_va_last(va) > s->last;
	if (!front && !behind) {
		s->op.op = GPUVA_OP_UNMAP;
		s->op.unmap = (struct gpuva_op_unmap){ va, keep };
		return &s->op;
	}
	s->unmap = (struct gpuva_op_unmap){ va, keep };
	s->op.op = GPUVA_OP_REMAP;
	s->op.remap = (struct gpuva_op_remap){
		.prev = front ? part(&s->prev, va, va->va.addr, s->addr - 1) : NULL,
		.next = behind ? part(&s->next, va, s->last + 1, smr_va_last(va)) : NULL,
		.unmap = &s->unmap,
	};
	return &s->op;
}

/* ---- As callbacks ---- */

static int run_step(const struct gpuvm *vm, struct gpuva_op *op, void *priv)
{
	switch (op->op) {
	case GPUVA_OP_MAP:
		return vm->ops->sm_step_map(op, priv);
	case GPUVA_OP_REMAP:
		return vm->ops->sm_step_remap(op, priv);
	default:
		return vm->ops->sm_step_unmap(op, priv);
	}
}

/*
 * Calls all steps; @map is the last step of a map request. If a step fails, what has been done
 * stays.
 */
static int run_steps(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range,
		     struct gpuva_op *map)
{
	struct smri_batch batch;
	struct smr_split s;
	struct gpuva_op *op;
	int err = 0;

	smr_split_begin(&s, vm, &vm->tree, addr, range, map ? &map->map : NULL);
	smri_batch_begin(&batch, vm, &s);
	smri_batch_prepare(&batch);
	while (!err && (op = smr_split_next(&s)) != NULL) {
		smri_batch_step(&batch, op);
		err = run_step(vm, op, priv);
	}
	if (!err && map) {
		smri_batch_step(&batch, map);
		err = run_step(vm, map, priv);
	}
	smri_batch_end(&batch);
	return err;
}

int gpuvm_sm_map(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range,
		 struct gpuvm_object *obj, uint64_t offset)
{
	struct gpuva_op map = { .op = GPUVA_OP_MAP, .map = { { addr, range }, { obj, offset } } };

	smr_gpuvm_check_user(vm);
	if (!vm->ops->sm_step_map || !vm->ops->sm_step_remap || !vm->ops->sm_step_unmap ||
	    smr_gpuvm_check(vm, addr, range, obj, offset))
		return -EINVAL;
	return run_steps(vm, priv, addr, range, &map);
}

int gpuvm_sm_unmap(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range)
{
	smr_gpuvm_check_user(vm);
	if (!vm->ops->sm_step_remap || !vm->ops->sm_step_unmap ||
	    smr_gpuvm_check(vm, addr, range, NULL, 0))
		return -EINVAL;
	return run_steps(vm, priv, addr, range, NULL);
}
