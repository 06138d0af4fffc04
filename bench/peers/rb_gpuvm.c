/* SPDX-License-Identifier: MIT */
/* A GPU VA manager over a red-black tree or an interval tree: see rb_gpuvm.h. */
#include "rb_gpuvm.h"
#include <errno.h>

static uint64_t end_of(const struct sm_map *m)
{
	return m->addr + m->range;
}

static int compare(const struct rb_va *a, const struct rb_va *b)
{
	return (a->what.addr > b->what.addr) - (a->what.addr < b->what.addr);
}

static struct rb_va *new_va(struct rb_vm *vm)
{
	return pool_take(vm->pool, pool_size(sizeof(struct rb_va)));
}

static void free_va(struct rb_vm *vm, struct rb_va *va)
{
	pool_give(vm->pool, va, pool_size(sizeof(*va)));
}

#ifdef RB_INTERVAL

/* ---- An interval tree ---- */

static void update_max(struct rb_va *va)
{
	const struct rb_va *left = RB_LEFT(va, node), *right = RB_RIGHT(va, node);

	va->max = end_of(&va->what);
	if (left && left->max > va->max)
		va->max = left->max;
	if (right && right->max > va->max)
		va->max = right->max;
}

RB_GENERATE_INTERNAL(rb_va_tree, rb_va, node, compare, __attribute__((unused)) static)

/*
 * The macros update the nodes that they move about, but those above only if two nodes change
 * places.
 */
static void take_out(struct rb_vm *vm, struct rb_va *va)
{
	struct rb_va *up = RB_PARENT(va, node);
	const bool both = RB_LEFT(va, node) && RB_RIGHT(va, node);
	const uint64_t max = va->max;

	RB_REMOVE(rb_va_tree, &vm->tree, va);
	for (; !both && up && up->max <= max; up = RB_PARENT(up, node))
		update_max(up);
}

static void put_in(struct rb_vm *vm, struct rb_va *before, struct rb_va *va)
{
	struct rb_va **slot = &RB_ROOT(&vm->tree), *parent = NULL;
	const uint64_t end = end_of(&va->what);

	(void)before;
	while (*slot) {
		parent = *slot;
		if (parent->max < end)
			parent->max = end;
		slot = compare(va, parent) < 0 ? &RB_LEFT(parent, node) : &RB_RIGHT(parent, node);
	}
	RB_SET(va, parent, node);
	va->max = end;
	*slot = va;
	rb_va_tree_RB_INSERT_COLOR(&vm->tree, va);
}

static struct rb_va *first_above(struct rb_vm *vm, uint64_t addr, struct rb_va **before)
{
	struct rb_va *va = RB_ROOT(&vm->tree), *left;

	*before = NULL;
	while (va && va->max > addr) {
		left = RB_LEFT(va, node);
		if (left && left->max > addr)
			va = left;
		else if (end_of(&va->what) > addr)
			return va;
		else
			va = RB_RIGHT(va, node);
	}
	return NULL;
}

static void trim(struct rb_vm *vm, struct rb_va *va, const struct sm_map *what)
{
	take_out(vm, va);
	va->what = *what;
	put_in(vm, NULL, va);
}

#else

/* ---- A plain tree ---- */

RB_GENERATE_INTERNAL(rb_va_tree, rb_va, node, compare, __attribute__((unused)) static)

static void take_out(struct rb_vm *vm, struct rb_va *va)
{
	RB_REMOVE(rb_va_tree, &vm->tree, va);
}

/* Inserts @va right behind @before (NULL: in front of all). */
static void put_in(struct rb_vm *vm, struct rb_va *before, struct rb_va *va)
{
	struct rb_va *parent, **slot;

	RB_BEHIND(&vm->tree, before, parent, slot, node);
	RB_SET(va, parent, node);
	*slot = va;
	rb_va_tree_RB_INSERT_COLOR(&vm->tree, va);
}

/*
 * Returns the lowest mapping that ends above @addr. *@before is the one below it, if the search met
 * it.
 */
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

/* Reduces @va, which stays in the tree, to a part of its range. */
static void trim(struct rb_vm *vm, struct rb_va *va, const struct sm_map *what)
{
	(void)vm;
	va->what = *what;
}

#endif

static void remove_va(struct rb_vm *vm, struct rb_va *va)
{
	take_out(vm, va);
	vm->count--;
	free_va(vm, va);
}

static void insert_behind(struct rb_vm *vm, struct rb_va *before, struct rb_va *va)
{
	put_in(vm, before, va);
	vm->count++;
}

/* ---- Split and merge ---- */

struct request {
	struct sm_map what;
	bool map;
	struct rb_va *before; /* the new mapping is inserted behind it */
	struct rb_va *spare;  /* for a mapping that is cut in two */
};

static bool keeps(const struct request *r, const struct sm_map *m)
{
	return r->map && m->object && m->object == r->what.object &&
	       m->offset - m->addr == r->what.offset - r->what.addr;
}

/* Returns what is left of @m behind the request; range 0: nothing. */
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
		trim(vm, va, &next);
		return;
	}
	trim(vm, va, &prev);
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

/*
 * Returns 0; -EINVAL for a range outside or of length 0; or -ENOMEM. On an error nothing has
 * changed.
 */
static int rb_vm_map(struct rb_vm *vm, uint64_t addr, uint64_t range, unsigned int object,
		     uint64_t offset)
{
	return change_locked(
		vm, (struct request){ .what = { addr, range, object, offset }, .map = true });
}

static int rb_vm_unmap(struct rb_vm *vm, uint64_t addr, uint64_t range)
{
	return change_locked(vm, (struct request){ .what = { .addr = addr, .range = range } });
}

/* Stores the mapping around @addr in *@found. Returns false if there is none. */
static bool rb_vm_find(struct rb_vm *vm, uint64_t addr, struct sm_map *found)
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

/* Manages [start, start + range), which must not overflow. */
static void rb_vm_init(struct rb_vm *vm, uint64_t start, uint64_t range, struct pool *pool,
		       const struct rb_vm_ops *ops, void *priv)
{
	*vm = (struct rb_vm){
		.pool = pool, .start = start, .range = range, .ops = ops, .priv = priv
	};
	pthread_mutex_init(&vm->lock, NULL);
	RB_INIT(&vm->tree);
}

static void rb_vm_fini(struct rb_vm *vm)
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
	static struct pool pool; /* of all VMs: they are used by one thread only */
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

#ifdef RB_INTERVAL
const struct sm_peer sm_rb_interval_tree = {
	.name = "rb interval tree",
#else
const struct sm_peer sm_rb_tree = {
	.name = "rb tree",
#endif
	.create = create,
	.destroy = destroy,
	.map = map,
	.unmap = unmap,
	.find = find,
	.count = count,
};
