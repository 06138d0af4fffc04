/* SPDX-License-Identifier: MIT */
/*
 * One batch is in flight at a time: it waits for its grace period while the next one gathers, as in
 * retire.c. But here nothing looks or hurries, and the lock is all it takes: objects are retired by
 * the list, not one by one, and where sleeping is fine.
 */
#include "mem/pool.h"

#include "lock/rank.h"
#include "mem/heap.h"

#include <errno.h>
#include <string.h>

void smr_pool_list_move(struct smr_pool_list *list, struct smr_pool_list *from)
{
	if (!from->head)
		return;
	*list->tail = from->head;
	list->tail = from->tail;
	list->nr += from->nr;
	smr_pool_list_init(from);
}

void smr_pool_init(struct smr_pool *pool, size_t size, unsigned long keep,
		   enum mt_rcu_flavor flavor, void (*notify)(void *arg), void *arg)
{
	*pool = (struct smr_pool){ .size = size, .keep = keep, .flavor = flavor };
	pool->notify = notify;
	pool->arg = arg;
	smr_lock_init(&pool->lock, SMR_RANK_POOL);
	smr_pool_list_init(&pool->free);
	smr_pool_list_init(&pool->gathered);
	smr_pool_list_init(&pool->batch);
	smr_pool_list_init(&pool->expired);
}

static void free_all(struct smr_pool_list *list)
{
	void *obj;

	while ((obj = smr_pool_get(list)))
		smr_heap_free(obj);
}

void smr_pool_destroy(struct smr_pool *pool)
{
	struct smr_pool_list all;

	smr_pool_list_init(&all);
	mt_lock_acquire(&pool->lock); /* another thread may still be in smr_pool_count() */
	smr_assert(pool->total == pool->free.nr);
	smr_pool_list_move(&all, &pool->free);
	pool->total = 0;
	mt_lock_release(&pool->lock);
	free_all(&all);
}

void smr_pool_clear(const struct smr_pool *pool, struct smr_pool_list *list)
{
	for (struct smr_pool_obj *obj = list->head; obj; obj = obj->next)
		memset(obj + 1, 0, pool->size - sizeof(*obj));
}

/* Moves up to @nr free objects to @list. */
static void take_free(struct smr_pool *pool, struct smr_pool_list *list, unsigned long nr)
{
	mt_lock_acquire(&pool->lock);
	while (list->nr < nr && pool->free.head)
		smr_pool_list_add(list, smr_pool_get(&pool->free));
	mt_lock_release(&pool->lock);
	smr_pool_clear(pool, list);
}

static void count_total(struct smr_pool *pool, unsigned long more)
{
	mt_lock_acquire(&pool->lock);
	pool->total += more;
	mt_lock_release(&pool->lock);
}

int smr_pool_prepare(struct smr_pool *pool, struct smr_pool_list *list, unsigned long nr)
{
	struct smr_pool_list old, fresh;
	void *obj;

	if (nr == 0)
		return 0;
	smr_pool_list_init(&old);
	smr_pool_list_init(&fresh);
	take_free(pool, &old, nr);
	while (old.nr + fresh.nr < nr) {
		obj = smr_heap_alloc(pool->size);
		if (!obj) {
			free_all(&fresh);
			smr_pool_put(pool, &old);
			return -ENOMEM;
		}
		smr_pool_list_add(&fresh, obj);
	}
	if (fresh.nr)
		count_total(pool, fresh.nr);
	smr_pool_list_move(list, &old);
	smr_pool_list_move(list, &fresh);
	return 0;
}

void smr_pool_put(struct smr_pool *pool, struct smr_pool_list *list)
{
	struct smr_pool_list surplus;

	if (!list->head)
		return;
	smr_pool_list_init(&surplus);
	mt_lock_acquire(&pool->lock);
	smr_pool_list_move(&pool->free, list);
	while (pool->free.nr > pool->keep)
		smr_pool_list_add(&surplus, smr_pool_get(&pool->free));
	pool->total -= surplus.nr;
	mt_lock_release(&pool->lock);
	free_all(&surplus);
}

/* ---- Retirement ---- */

static void expire_batch(struct smr_rcu_head *head);

/* CONTEXT: HOLDS pool. */
static void send_batch(struct smr_pool *pool)
{
	if (pool->batch.head || !pool->gathered.head)
		return;
	smr_pool_list_move(&pool->batch, &pool->gathered);
	smr_rcu_call_parents(pool->flavor, &pool->rcu, expire_batch);
}

/*
 * The owner is notified under the lock: a thread that collects the expired objects afterwards may
 * free the pool, since this thread does not touch it again.
 */
static void expire_batch(struct smr_rcu_head *head)
{
	struct smr_pool *pool = container_of(head, struct smr_pool, rcu);

	mt_lock_acquire(&pool->lock);
	smr_pool_list_move(&pool->expired, &pool->batch);
	send_batch(pool);
	pool->notify(pool->arg);
	mt_lock_release(&pool->lock);
}

void smr_pool_retire(struct smr_pool *pool, struct smr_pool_list *list)
{
	if (!list->head)
		return;
	mt_lock_acquire(&pool->lock);
	smr_pool_list_move(&pool->gathered, list);
	send_batch(pool);
	mt_lock_release(&pool->lock);
}

void smr_pool_expired(struct smr_pool *pool, struct smr_pool_list *list)
{
	mt_lock_acquire(&pool->lock);
	pool->ending += pool->expired.nr;
	smr_pool_list_move(list, &pool->expired);
	mt_lock_release(&pool->lock);
}

void smr_pool_ended(struct smr_pool *pool, unsigned long nr)
{
	mt_lock_acquire(&pool->lock);
	pool->ending -= nr;
	mt_lock_release(&pool->lock);
}

struct smr_pool_count smr_pool_count(struct smr_pool *pool)
{
	struct smr_pool_count count;

	mt_lock_acquire(&pool->lock);
	count.total = pool->total;
	count.free = pool->free.nr;
	count.limbo = pool->gathered.nr + pool->batch.nr + pool->expired.nr + pool->ending;
	mt_lock_release(&pool->lock);
	return count;
}
