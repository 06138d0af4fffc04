/* SPDX-License-Identifier: MIT */
#include "gpuvm_compare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool differ(struct compare *c, const char *what, uint64_t at)
{
	if (c->ok)
		snprintf(c->why, sizeof(c->why), "%s (%" PRIx64 ")", what, at);
	c->ok = false;
	return false;
}

static bool same_map(struct toy *toy, const struct gm_part *part, uint64_t addr, uint64_t range,
		     const struct gpuvm_object *obj, uint64_t offset)
{
	return part->there && part->addr == addr && part->range == range &&
	       toy_obj(toy, part->obj) == obj && part->offset == offset;
}

static bool same_op_map(struct toy *toy, const struct gm_part *part, const struct gpuva_op_map *op)
{
	if (!op || !part->there)
		return !op && !part->there;
	return same_map(toy, part, op->va.addr, op->va.range, op->gem.obj, op->gem.offset);
}

static bool same_va(struct toy *toy, const struct gm_part *part, const struct gpuva *va)
{
	if (!va || !part->there)
		return !va && !part->there;
	return same_map(toy, part, va->va.addr, va->va.range, va->gem.obj, va->gem.offset);
}

static bool same_step(struct toy *toy, const struct gm_step *step, const struct gpuva_op *op)
{
	switch (op->op) {
	case GPUVA_OP_MAP:
		return step->kind == GM_MAP && same_op_map(toy, &step->map, &op->map);
	case GPUVA_OP_UNMAP:
		return step->kind == GM_UNMAP && step->keep == op->unmap.keep &&
		       same_va(toy, &step->map, op->unmap.va);
	case GPUVA_OP_REMAP:
		return step->kind == GM_REMAP && step->keep == op->remap.unmap->keep &&
		       same_va(toy, &step->map, op->remap.unmap->va) &&
		       same_op_map(toy, &step->prev, op->remap.prev) &&
		       same_op_map(toy, &step->next, op->remap.next);
	default:
		return step->kind == GM_PREFETCH && same_va(toy, &step->map, op->prefetch.va);
	}
}

static void watch(struct toy *toy, const struct gpuva_op *op)
{
	struct compare *c = toy->watch_arg;

	if (c->seen >= c->nr_want || !same_step(toy, &c->want[c->seen], op))
		differ(c, "step", (uint64_t)c->seen);
	c->seen++;
	if (c->look < c->model.pages)
		gpuvm_find(&toy->vm, c->look);
}

bool compare_init(struct compare *c, unsigned int pages, unsigned int reserved_start,
		  unsigned int reserved, bool external)
{
	struct toy_config config = { .range = pages,
				     .reserve_start = reserved_start,
				     .reserve_range = reserved,
				     .external = external };

	memset(c, 0, sizeof(*c));
	c->ok = true;
	c->look = UINT64_MAX;
	gm_init(&c->model, pages);
	c->model.reserved = reserved_start;
	c->model.reserved_pages = reserved;
	if (toy_init(&c->toy, &config))
		return false;
	c->toy.watch = watch;
	c->toy.watch_arg = c;
	return true;
}

bool compare_destroy(struct compare *c)
{
	return toy_destroy(&c->toy);
}

void compare_clear(struct compare *c)
{
	toy_clear(&c->toy);
	for (unsigned int at = 0; at < c->model.pages; at++)
		c->model.page[at].mapping = 0;
}

static int callbacks(struct toy *toy, const struct request *r)
{
	return r->kind == REQUEST_MAP ? gpuvm_sm_map(&toy->vm, toy, r->addr, r->range,
						     toy_obj(toy, r->obj), r->offset)
				      : gpuvm_sm_unmap(&toy->vm, toy, r->addr, r->range);
}

static int list(struct toy *toy, const struct request *r)
{
	struct gpuvm *vm = &toy->vm;
	struct gpuva_ops *ops;
	int err;

	if (r->kind == REQUEST_MAP)
		ops = gpuvm_sm_map_ops_create(vm, r->addr, r->range, toy_obj(toy, r->obj),
					      r->offset, &err);
	else if (r->kind == REQUEST_UNMAP)
		ops = gpuvm_sm_unmap_ops_create(vm, r->addr, r->range, &err);
	else
		ops = gpuvm_prefetch_ops_create(vm, r->addr, r->range, &err);
	if (!ops)
		return err;
	err = toy_apply_list(toy, ops);
	gpuva_ops_free(vm, ops);
	return err;
}

static void ask_model(struct compare *c, const struct request *r)
{
	switch (r->kind) {
	case REQUEST_MAP:
		c->nr_want = gm_map(&c->model, r->addr, r->range, r->obj, r->offset, c->want);
		break;
	case REQUEST_UNMAP:
		c->nr_want = gm_unmap(&c->model, r->addr, r->range, c->want);
		break;
	default:
		c->nr_want = gm_prefetch(&c->model, r->addr, r->range, c->want);
	}
}

/* Applies the first @done steps of a map or an unmap to the model. */
static void apply_steps(struct compare *c, const struct request *r, int done)
{
	for (int i = 0; i < done; i++) {
		const struct gm_part *m = &c->want[i].map;
		uint64_t first = m->addr > r->addr ? m->addr : r->addr;
		uint64_t end = m->addr + m->range;

		end = end < r->addr + r->range ? end : r->addr + r->range;
		if (c->want[i].kind == GM_MAP)
			gm_apply_map(&c->model, r->addr, r->range, r->obj, r->offset);
		else if (c->want[i].kind != GM_PREFETCH)
			gm_apply_unmap(&c->model, first, end - first);
	}
}

bool compare_request(struct compare *c, const struct request *r, enum form form)
{
	int err;

	ask_model(c, r);
	c->seen = 0;
	c->toy.steps = 0;
	c->toy.apply = form != FORM_DRY;
	if (form == FORM_LIST || r->kind == REQUEST_PREFETCH)
		err = list(&c->toy, r);
	else
		err = callbacks(&c->toy, r);
	c->toy.apply = true;
	c->failed = err;
	if (!c->ok)
		return false;
	if (c->may_fail && (err == -ENOMEM || err == -EIO)) {
		/* The last step did nothing; a list that could not be made had no steps. */
		apply_steps(c, r, c->seen - 1);
		return true;
	}
	if (err != (c->nr_want < 0 ? -EINVAL : 0))
		return differ(c, "result", (uint64_t)-err);
	if (c->seen != (c->nr_want < 0 ? 0 : c->nr_want))
		return differ(c, "number of steps", (uint64_t)c->seen);
	if (form != FORM_DRY)
		apply_steps(c, r, c->seen);
	return true;
}

bool compare_hole(struct compare *c, uint64_t size, uint64_t align, uint64_t start, uint64_t end,
		  bool high)
{
	uint64_t want = 0, got = 0;
	bool there = gm_hole(&c->model, size, align, start, end, high, &want);
	int err = gpuvm_find_hole(&c->toy.vm, &got, size, align, start, end,
				  high ? GPUVM_HOLE_HIGH : GPUVM_HOLE_LOW);

	if (err != (there ? 0 : -ENOSPC) || (there && got != want))
		return differ(c, "gpuvm_find_hole", got);
	return true;
}

/* Forwards, each once. */
static bool same_iteration(struct compare *c)
{
	unsigned int n = 0;
	struct gpuva *va;
	struct gm_part part;

	gpuvm_for_each_va(va, &c->toy.vm)
	{
		part = gm_at(&c->model, va->va.addr);
		if (!same_va(&c->toy, &part, va))
			return differ(c, "iteration", va->va.addr);
		n++;
	}
	return n == gm_mappings(&c->model) && n == c->toy.vm.nr_vas
		       ? true
		       : differ(c, "number of mappings", n);
}

static bool same_lookups(struct compare *c, uint64_t at)
{
	struct gpuvm *vm = &c->toy.vm;
	struct gm_part part = gm_at(&c->model, at);

	if (!same_va(&c->toy, &part, gpuvm_find(vm, at)))
		return differ(c, "gpuvm_find", at);
	if (!same_va(&c->toy, &part, gpuva_find_prev(vm, at + 1)) ||
	    !same_va(&c->toy, &part, gpuva_find_next(vm, at)))
		return differ(c, "gpuva_find_prev, next", at);
	if (part.there && !gpuva_find(vm, part.addr, part.range))
		return differ(c, "gpuva_find", at);
	for (uint64_t range = 0; range <= 3; range++) {
		struct gpuva *va = gpuvm_first_va(vm, at, at + range);

		part = gm_first(&c->model, at, range);
		if (!same_va(&c->toy, &part, va))
			return differ(c, "gpuvm_first_va", at);
		va = gpuva_find_first(vm, at, range);
		if (va != &vm->kernel_alloc_node && !same_va(&c->toy, &part, va))
			return differ(c, "gpuva_find_first", at);
		if (gpuvm_interval_empty(vm, at, range) != !va)
			return differ(c, "gpuvm_interval_empty", at);
	}
	return true;
}

bool compare_all(struct compare *c)
{
	char why[256];

	if (mt_check(&c->toy.vm.tree, why, sizeof(why)))
		return differ(c, why, 0);
	if (!toy_markers_counted(&c->toy.vm))
		return differ(c, "markers", c->toy.vm.markers);
	for (uint64_t at = 0; at < c->model.pages; at++)
		if (!same_lookups(c, at))
			return false;
	return same_iteration(c);
}
