/* SPDX-License-Identifier: MIT */
/*
 * Pools of objects of one size that are needed where nothing may allocate, and that lock-free
 * readers may see.
 *
 * Getting an object has two halves. smr_pool_prepare() may block and may fail: it puts objects on a
 * list of the caller, who owns them from then on. smr_pool_get() takes one off that list, in any
 * context: it does not know the pool, and so cannot ask it for more. Unused objects go back with
 * smr_pool_put(); those that readers may still see, with smr_pool_retire(). After a grace period
 * these are *expired*, and the pool's owner is notified. Where sleeping is fine, it collects them
 * with smr_pool_expired(), ends what they refer to, and puts them back.
 *
 * Objects are allocated one by one, so that each unneeded one can go back to the heap, whatever
 * lived beside it: once everything taken out of a pool has come back, the pool is as large as it
 * was, to the byte.
 */
#ifndef SMR_MEM_POOL_H
#define SMR_MEM_POOL_H

#include "base/base.h"
#include "base/rcu.h"
#include <samara/lock.h>

/* Every object begins with one. Its owner may use it while the object is on no smr_pool_list. */
struct smr_pool_obj {
	struct smr_pool_obj *next;
};

/* A list of objects, in order, owned by the caller. */
struct smr_pool_list {
	struct smr_pool_obj *head, **tail;
	unsigned long nr;
};

struct smr_pool {
	struct mt_lock lock;
	size_t size;
	enum mt_rcu_flavor flavor;
	unsigned long keep;  /* GUARD lock: free objects that are not given back to the heap */
	unsigned long total; /* GUARD lock: all objects of the pool */
	struct smr_pool_list free;     /* GUARD lock */
	struct smr_pool_list gathered; /* GUARD lock: retired; the next batch */
	struct smr_pool_list batch;    /* GUARD lock: waits for a grace period, if not empty */
	struct smr_pool_list expired;  /* GUARD lock */
	unsigned long ending;          /* GUARD lock: expired ones that the owner is working on */
	struct smr_rcu_head rcu;       /* of the batch */
	void (*notify)(
		void *arg); /* objects have expired; called with the lock held, by any thread */
	void *arg;
};

smr_inline void smr_pool_list_init(struct smr_pool_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
	list->nr = 0;
}

smr_inline void smr_pool_list_add(struct smr_pool_list *list, struct smr_pool_obj *obj)
{
	obj->next = NULL;
	*list->tail = obj;
	list->tail = &obj->next;
	list->nr++;
}

/* Appends all of @from to @list, and leaves @from empty. */
void smr_pool_list_move(struct smr_pool_list *list, struct smr_pool_list *from);

/* Takes the first object off @list and returns it, or NULL if there is none. CONTEXT: any. */
smr_inline void *smr_pool_get(struct smr_pool_list *list)
{
	struct smr_pool_obj *obj = list->head;

	if (!obj)
		return NULL;
	list->head = obj->next;
	if (!list->head)
		list->tail = &list->head;
	list->nr--;
	return obj;
}

/*
 * @size: of an object, including its struct smr_pool_obj. @notify may be NULL if nothing is ever
 * retired. The caller must have started the flavour's thread (smr_grace_start()): nothing here
 * does.
 */
void smr_pool_init(struct smr_pool *pool, size_t size, unsigned long keep,
		   enum mt_rcu_flavor flavor, void (*notify)(void *arg), void *arg);
/*
 * Frees all objects, which must have come back. Others may still call smr_pool_count(). TAKES pool.
 */
void smr_pool_destroy(struct smr_pool *pool);

/*
 * Appends @nr zeroed objects to @list. Returns 0, or -ENOMEM, and then nothing has changed.
 * CONTEXT: may block. TAKES pool.
 */
int smr_pool_prepare(struct smr_pool *pool, struct smr_pool_list *list, unsigned long nr);
/* Clears all objects of @list, as smr_pool_prepare() returns them. CONTEXT: any. */
void smr_pool_clear(const struct smr_pool *pool, struct smr_pool_list *list);
/*
 * Takes back all of @list, which no reader can see any more. CONTEXT: frees memory. TAKES pool.
 */
void smr_pool_put(struct smr_pool *pool, struct smr_pool_list *list);
/*
 * Takes back all of @list, which new readers can no longer find but earlier ones may still see. All
 * but the objects' links stays as it is until they expire; in a child of fork(), where other
 * threads may have left the pool and its owner locked, they never do. CONTEXT: any. TAKES pool.
 */
void smr_pool_retire(struct smr_pool *pool, struct smr_pool_list *list);
/*
 * Appends the expired objects to @list. They count as in limbo until smr_pool_ended(). CONTEXT:
 * any. TAKES pool.
 */
void smr_pool_expired(struct smr_pool *pool, struct smr_pool_list *list);
/* Says that what @nr of these referred to has ended. CONTEXT: any. TAKES pool. */
void smr_pool_ended(struct smr_pool *pool, unsigned long nr);

struct smr_pool_count {
	unsigned long total, free;
	unsigned long limbo; /* retired ones, including expired ones that have not ended yet */
};

struct smr_pool_count smr_pool_count(struct smr_pool *pool);

#endif
