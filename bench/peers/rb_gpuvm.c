/* SPDX-License-Identifier: MIT */
#include "rb_gpuvm.h"
#include <errno.h>

static int compare(const struct rb_va *a, const struct rb_va *b)
{
	return (a->what.addr > b->what.addr) - (a->what.addr < b->what.addr);
}

RB_GENERATE_INTERNAL(rb_va_tree, rb_va, node, compare, __attribute__((unused)) static)

static const size_t va_size = (sizeof(struct rb_va) + 15) / 16 * 16;

static uint64_t end_of(const struct sm_map *m)
{
	return m->addr + m->range;
}

/* ---- The tree ---- */

static struct rb_va *new_va(struct rb_vm *vm)
{
	return pool_take(vm->pool, va_size);
}

static void free_va(struct rb_vm *vm, struct rb_va *va)
{
	pool_give(vm->pool, va, va_size);
}

static void remove_va(struct rb_vm *vm, struct rb_va *va)
{
	RB_REMOVE(rb_va_tree, &vm->tree, va);
	vm->count--;
	free_va(vm, va);
}

/* Puts @va right behind @before (NULL: in front of all). */
static void insert_behind(struct rb_vm *vm, struct rb_va *before, struct rb_va *va)
{
	struct rb_va *parent, **slot;

	RB_BEHIND(&vm->tree, before, parent, slot, node);
	RB_SET(va, parent, node);
	*slot = va;
	rb_va_tree_RB_INSERT_COLOR(&vm->tree, va);
	vm->count++;
}

/* The lowest mapping that ends above @addr; *@before is the one below it, if the search met it. */
static struct rb_va *first_above(struct rb_vm *vm, uint64_t addr, struct rb_va **before)
{
	struct rb_va *va = RB_ROOT(&vm->tree), *found = NULL;

	*before = NULL;
	while (va) {
		if (end_of(&va->what) > addr) {
			found = va;
			va = RB_LEFT(va, node);
		} else {
			*before = va;
			va = RB_RIGHT(va, node);
		}
	}
	return found;
}

/* ---- Split and merge ---- */

struct request {
	struct sm_map what;
	bool map;
	struct rb_va *before; /* what the new mapping comes behind */
	struct rb_va *spare;  /* for a mapping that is cut in two */
};

static bool keeps(const struct request *r, const struct sm_map *m)
{
	return r->map && m->object && m->object == r->what.object &&
	       m->offset - m->addr == r->what.offset - r->what.addr;
}

/* What is left of @m behind the request; range 0: nothing. */
static struct sm_map rest_behind(const struct sm_map *m, const struct sm_map *request)
{
	const uint64_t from = end_of(request);
	struct sm_map rest = { from, 0, m->object, m->offset + (from - m->addr) };

	if (end_of(m) > from)
		rest.range = end_of(m) - from;
	return rest;
}

/*
 *     |----va----|      |----va----|         |----va----|     |--va--|       before
 *        |---r---|      |---r---|              |--r--|       |---r----|
 *     |va|                      |va|         |va|     |spare|                after
 */
static void cut(struct rb_vm *vm, struct request *r, struct rb_va *va)
{
	const struct sm_map next = rest_behind(&va->what, &r->what);
	struct sm_map prev = va->what;
	const bool keep = keeps(r, &va->what);

	prev.range = prev.addr < r->what.addr ? r->what.addr - prev.addr : 0;
	if (!prev.range && !next.range) {
		vm->ops->unmap(va, keep, vm->priv);
		remove_va(vm, va);
		return;
	}
	vm->ops->remap(va, keep, prev.range ? &prev : NULL, next.range ? &next : NULL, vm->priv);
	if (!prev.range) {
		va->what = next;
		return;
	}
	va->what = prev;
	r->before = va;
	if (next.range) {
		r->spare->what = next;
		insert_behind(vm, va, r->spare);
		r->spare = NULL;
	}
}

static void cut_all(struct rb_vm *vm, struct request *r)
{
	struct rb_va *va = first_above(vm, r->what.addr, &r->before), *following;

	while (va && va->what.addr < end_of(&r->what)) {
		following = RB_NEXT(rb_va_tree, &vm->tree, va);
		cut(vm, r, va);
		va = following;
	}
}

static bool valid(const struct rb_vm *vm, uint64_t addr, uint64_t range)
{
	return range && addr >= vm->start && addr + range > addr &&
	       addr + range <= vm->start + vm->range;
}

static int change(struct rb_vm *vm, struct request *r)
{
	struct rb_va *va = NULL;

	r->spare = new_va(vm);
	if (r->map && r->spare)
		va = new_va(vm);
	if (!r->spare || (r->map && !va)) {
		if (r->spare)
			free_va(vm, r->spare);
		return -ENOMEM;
	}
	cut_all(vm, r);
	if (va) {
		vm->ops->map(&r->what, vm->priv);
		va->what = r->what;
		insert_behind(vm, r->before, va);
	}
	if (r->spare)
		free_va(vm, r->spare);
	return 0;
}

static int change_locked(struct rb_vm *vm, struct request r)
{
	int err;

	if (!valid(vm, r.what.addr, r.what.range))
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	err = change(vm, &r);
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int rb_vm_map(struct rb_vm *vm, uint64_t addr, uint64_t range, unsigned int object, uint64_t offset)
{
	return change_locked(
		vm, (struct request){ .what = { addr, range, object, offset }, .map = true });
}

int rb_vm_unmap(struct rb_vm *vm, uint64_t addr, uint64_t range)
{
	return change_locked(vm, (struct request){ .what = { .addr = addr, .range = range } });
}

bool rb_vm_find(struct rb_vm *vm, uint64_t addr, struct sm_map *found)
{
	struct rb_va *before, *va;
	bool there;

	pthread_mutex_lock(&vm->lock);
	va = first_above(vm, addr, &before);
	there = va && va->what.addr <= addr;
	if (there)
		*found = va->what;
	pthread_mutex_unlock(&vm->lock);
	return there;
}

void rb_vm_init(struct rb_vm *vm, uint64_t start, uint64_t range, struct pool *pool,
		const struct rb_vm_ops *ops, void *priv)
{
	*vm = (struct rb_vm){
		.pool = pool, .start = start, .range = range, .ops = ops, .priv = priv
	};
	pthread_mutex_init(&vm->lock, NULL);
	RB_INIT(&vm->tree);
}

void rb_vm_fini(struct rb_vm *vm)
{
	struct rb_va *va;

	while ((va = RB_ROOT(&vm->tree)))
		remove_va(vm, va);
	pthread_mutex_destroy(&vm->lock);
}

/* ---- The peer ---- */

static void step_map(const struct sm_map *map, void *priv)
{
	sm_step_map(priv, map);
}

static void step_remap(const struct rb_va *va, bool keep, const struct sm_map *prev,
		       const struct sm_map *next, void *priv)
{
	sm_step_remap(priv, va->what.addr, keep, prev, next);
}

static void step_unmap(const struct rb_va *va, bool keep, void *priv)
{
	sm_step_unmap(priv, va->what.addr, keep);
}

static void *create(uint64_t range, struct sm_steps *steps)
{
	static const struct rb_vm_ops ops = { step_map, step_remap, step_unmap };
	static struct pool pool; /* of all VMs: only one thread makes any */
	struct rb_vm *vm = malloc(sizeof(*vm));

	if (vm)
		rb_vm_init(vm, 0, range, &pool, &ops, steps);
	return vm;
}

static void destroy(void *vm)
{
	rb_vm_fini(vm);
	free(vm);
}

static int map(void *vm, const struct sm_map *r)
{
	return rb_vm_map(vm, r->addr, r->range, r->object, r->offset);
}

static int unmap(void *vm, uint64_t addr, uint64_t range)
{
	return rb_vm_unmap(vm, addr, range);
}

static bool find(void *vm, uint64_t addr, struct sm_map *found)
{
	return rb_vm_find(vm, addr, found);
}

static size_t count(void *vm)
{
	return ((struct rb_vm *)vm)->count;
}

const struct sm_peer sm_rb_tree = {
	.name = "rb tree",
	.create = create,
	.destroy = destroy,
	.map = map,
	.unmap = unmap,
	.find = find,
	.count = count,
};
