/* SPDX-License-Identifier: MIT */
/*
 * Pools of objects of one size, for what is needed where nothing may allocate, and may be seen by
 * lock-free readers.
 *
 * Getting has two halves. smr_pool_prepare() may block and may fail: it puts objects on the
 * caller's list, which are his alone from then on. smr_pool_get() takes one off that list, in any
 * context: it does not know the pool, and so cannot ask it for more. What is not used goes back
 * with smr_pool_put(); what readers may still see, with smr_pool_retire(): after a grace period it
 * is *expired*, and the pool's owner, who is told, takes it from there with smr_pool_expired(),
 * where sleeping is fine, ends what the object refers to, and puts it back.
 *
 * Objects are allocated one by one, so that all that nobody needs can go back to the heap, whatever
 * lived beside it: a pool is as large as it was, to the byte, once what was taken out of it has
 * come back.
 */
#ifndef SMR_MEM_POOL_H
#define SMR_MEM_POOL_H

#include "base/base.h"
#include "base/rcu.h"
#include <samara/lock.h>

/* Every object begins with one. Its owner's, while the object is on no list of a pool. */
struct smr_pool_obj {
	struct smr_pool_obj *next;
};

/* Objects in order, the caller's. */
struct smr_pool_list {
	struct smr_pool_obj *head, **tail;
	unsigned long nr;
};

struct smr_pool {
	struct mt_lock lock;
	size_t size;
	enum mt_rcu_flavor flavor;
	unsigned long keep;  /* GUARD lock: free objects that are not given back to the heap */
	unsigned long total; /* GUARD lock: objects there are */
	struct smr_pool_list free;     /* GUARD lock */
	struct smr_pool_list gathered; /* GUARD lock: retired, to be the next batch */
	struct smr_pool_list batch;    /* GUARD lock: waits for a grace period, if not empty */
	struct smr_pool_list expired;  /* GUARD lock */
	unsigned long ending;          /* GUARD lock: expired ones that the owner is at work on */
	struct smr_rcu_head rcu;       /* of the batch */
	void (*notify)(
		void *arg); /* something has expired; called with the lock held, by any thread */
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

/* Appends all of @from, which is empty then. */
void smr_pool_list_move(struct smr_pool_list *list, struct smr_pool_list *from);

/* Takes the first object off @list, or NULL. CONTEXT: any. */
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
 * @size: of an object, its struct smr_pool_obj included. @notify may be NULL where nothing is
 * retired. The flavour's thread runs (smr_grace_start()): nothing here starts it.
 */
void smr_pool_init(struct smr_pool *pool, size_t size, unsigned long keep,
		   enum mt_rcu_flavor flavor, void (*notify)(void *arg), void *arg);
/* Everything has come back. Frees it; smr_pool_count() may go on asking. TAKES pool. */
void smr_pool_destroy(struct smr_pool *pool);

/*
 * Appends @nr zeroed objects to @list: 0, or -ENOMEM and nothing has changed. CONTEXT: may block.
 * TAKES pool.
 */
int smr_pool_prepare(struct smr_pool *pool, struct smr_pool_list *list, unsigned long nr);
/* Makes all of @list as if it came from smr_pool_prepare(). CONTEXT: any. */
void smr_pool_clear(const struct smr_pool *pool, struct smr_pool_list *list);
/* Takes all of @list back, which no reader sees. CONTEXT: frees memory. TAKES pool. */
void smr_pool_put(struct smr_pool *pool, struct smr_pool_list *list);
/*
 * Takes all of @list back that readers may have found before they could not find it any more. All
 * but the link stays as it is until it expires: in a child of fork(), where other threads may have
 * left the pool and its owner locked, never. CONTEXT: any. TAKES pool.
 */
void smr_pool_retire(struct smr_pool *pool, struct smr_pool_list *list);
/*
 * Appends what has expired to @list. It counts as in limbo until smr_pool_ended(). CONTEXT: any.
 * TAKES pool.
 */
void smr_pool_expired(struct smr_pool *pool, struct smr_pool_list *list);
/* What @nr of these referred to has ended. CONTEXT: any. TAKES pool. */
void smr_pool_ended(struct smr_pool *pool, unsigned long nr);

struct smr_pool_count {
	unsigned long total, free;
	unsigned long limbo; /* retired, the expired ones included until they have ended */
};

struct smr_pool_count smr_pool_count(struct smr_pool *pool);

#endif
