/* SPDX-License-Identifier: MIT */
/*
 * Blocks of memory, and objects made of them.
 *
 * A block goes from the pool into a reservation, where sleeping and failing are allowed, and from
 * the reservation into use, where neither is; and back the same way. Page tables, frames and the
 * nodes of objects all go through here.
 */
#include "softgpu.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The most free blocks that a pool keeps; the rest go back to the C library. */
#define KEEP 4096

/* ---- Pools and reservations */

void sg_pool_init(struct sg_pool *pool, size_t size)
{
	*pool = (struct sg_pool){ .size = size };
	mt_lock_init(&pool->lock);
}

static void free_list(struct sg_block *first)
{
	struct sg_block *next;

	for (; first; first = next) {
		next = first->next;
		free(first);
	}
}

void sg_pool_fini(struct sg_pool *pool)
{
	assert(pool->held == 0);
	free_list(pool->free);
}

static void push(struct sg_block **list, void *block)
{
	struct sg_block *b = block;

	b->next = *list;
	*list = b;
}

static void *pop(struct sg_block **list)
{
	struct sg_block *b = *list;

	if (b)
		*list = b->next;
	return b;
}

void *sg_reserve_take(struct sg_reserve *r)
{
	void *block = pop(&r->first);

	if (block)
		r->nr--;
	return block;
}

void sg_reserve_put(struct sg_reserve *r, void *block)
{
	push(&r->first, block);
	r->nr++;
}

/* Counts @nr blocks as held, and hands out as many of them as are free. */
static void take_free(struct sg_pool *pool, struct sg_reserve *r, unsigned long nr)
{
	mt_lock_acquire(&pool->lock);
	pool->held += nr;
	if (pool->held > pool->peak)
		pool->peak = pool->held;
	while (r->nr < nr && pool->free) {
		sg_reserve_put(r, pop(&pool->free));
		pool->nr_free--;
	}
	mt_lock_release(&pool->lock);
}

static void uncount(struct sg_pool *pool, unsigned long nr)
{
	mt_lock_acquire(&pool->lock);
	pool->held -= nr;
	mt_lock_release(&pool->lock);
}

int sg_pool_reserve(struct sg_pool *pool, struct sg_reserve *r, unsigned long nr)
{
	struct sg_reserve more = { 0 };
	void *block;

	take_free(pool, &more, nr);
	while (more.nr < nr && (block = malloc(pool->size)))
		sg_reserve_put(&more, block);
	if (more.nr < nr) {
		uncount(pool, nr - more.nr);
		sg_pool_release(pool, &more);
		return -ENOMEM;
	}
	while (more.nr > 0)
		sg_reserve_put(r, sg_reserve_take(&more));
	return 0;
}

void sg_pool_release(struct sg_pool *pool, struct sg_reserve *r)
{
	struct sg_block *surplus = NULL;

	mt_lock_acquire(&pool->lock);
	pool->held -= r->nr;
	while (r->nr > 0) {
		bool keep = pool->nr_free < KEEP;

		push(keep ? &pool->free : &surplus, sg_reserve_take(r));
		pool->nr_free += keep;
	}
	mt_lock_release(&pool->lock);
	free_list(surplus);
}

/* ---- Objects */

/*
 * The slot for page @page is a pointer to its frame, or to a node of SG_ENTRIES such slots. A slot
 * is filled once, by compare and swap; a thread that comes second keeps its block. Release and
 * acquire: a block is zeroed before it can be seen.
 */
typedef void *slot_t;

static void *load(slot_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

/*
 * Returns the block that @slot leads to, installing one from @r if there is none; NULL if @r has
 * none either.
 */
static void *load_or_install(slot_t *slot, struct sg_reserve *r)
{
	void *block = load(slot), *fresh;

	if (block || !r)
		return block;
	fresh = sg_reserve_take(r);
	if (!fresh)
		return NULL;
	memset(fresh, 0, SG_PAGE);
	if (__atomic_compare_exchange_n(slot, &block, fresh, false, __ATOMIC_RELEASE,
					__ATOMIC_ACQUIRE))
		return fresh;
	sg_reserve_put(r, fresh);
	return block;
}

void *sg_object_frame(struct sg_object *obj, uint64_t page, struct sg_reserve *r)
{
	slot_t *slot = &obj->root;

	for (unsigned int level = obj->levels; level > 0; level--) {
		slot_t *node = load_or_install(slot, r);

		if (!node)
			return NULL;
		slot = &node[(page >> ((level - 1) * SG_LEVEL_BITS)) % SG_ENTRIES];
	}
	return load_or_install(slot, r);
}

/* Puts @block and everything below it into @r. */
static void collect(void *block, unsigned int level, struct sg_reserve *r)
{
	slot_t *node = block;

	if (!block)
		return;
	for (unsigned int i = 0; level > 0 && i < SG_ENTRIES; i++)
		collect(load(&node[i]), level - 1, r);
	sg_reserve_put(r, block);
}

int sg_object_init(struct sg_object *obj, struct sg_pool *frames, uint64_t size,
		   void (*free)(struct gpuvm_object *base))
{
	uint64_t pages = (size + SG_PAGE - 1) >> SG_PAGE_SHIFT;

	if (size == 0 || size > SG_VA_END)
		return -EINVAL;
	obj->frames = frames;
	obj->root = NULL;
	obj->levels = 0;
	while (pages > (uint64_t)1 << (obj->levels * SG_LEVEL_BITS))
		obj->levels++;
	gpuvm_object_init(&obj->base, pages << SG_PAGE_SHIFT, NULL, free);
	return 0;
}

void sg_object_fini(struct sg_object *obj)
{
	struct sg_reserve all = { 0 };

	collect(load(&obj->root), obj->levels, &all);
	sg_pool_release(obj->frames, &all);
}

static void destroy(struct gpuvm_object *base)
{
	struct sg_object *obj = (struct sg_object *)base;

	sg_object_fini(obj);
	free(obj);
}

struct sg_object *sg_object_create(struct sg_pool *frames, uint64_t size)
{
	struct sg_object *obj = malloc(sizeof(*obj));

	if (obj && sg_object_init(obj, frames, size, destroy)) {
		free(obj);
		return NULL;
	}
	return obj;
}
