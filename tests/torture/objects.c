/* SPDX-License-Identifier: MIT */
#include "objects.h"

#include "base/rcu.h"

#include <stdlib.h>
#include <time.h>

/* The number of grace periods for which an object is kept, aging, before it is used again. */
#define AGE_FREE 3u
#define POISON (~0UL / 3)

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static void push(struct object **list, struct object *object)
{
	object->next = *list;
	*list = object;
}

/* Makes each of @list one grace period older. Returns those that must stay longer. */
static struct object *grow_older(struct pool *pool, struct object *list)
{
	struct object *young = NULL;

	while (list) {
		struct object *object = list;
		unsigned int age = __atomic_load_n(&object->age, __ATOMIC_RELAXED) + 1;

		list = object->next;
		__atomic_store_n(&object->age, age, __ATOMIC_RELAXED);
		if (age < AGE_FREE) {
			push(&young, object);
			continue;
		}
		object->first = object->last = object->version = POISON;
		pthread_mutex_lock(&pool->lock);
		push(&pool->free, object);
		pthread_mutex_unlock(&pool->lock);
	}
	return young;
}

static void *ager(void *arg)
{
	struct pool *pool = arg;
	struct object *aging = NULL;
	bool stop = false;

	while (!stop || aging) {
		pthread_mutex_lock(&pool->lock);
		stop = pool->stop;
		while (pool->removed) {
			struct object *object = pool->removed;

			pool->removed = object->next;
			push(&aging, object);
		}
		pthread_mutex_unlock(&pool->lock);
		if (!aging) {
			nap();
			continue;
		}
		smr_rcu_synchronize(pool->flavor);
		aging = grow_older(pool, aging);
	}
	return NULL;
}

bool pool_start(struct pool *pool, enum mt_rcu_flavor flavor, unsigned long objects)
{
	*pool = (struct pool){ .flavor = flavor, .all = calloc(objects, sizeof(struct object)) };
	if (!pool->all || pthread_mutex_init(&pool->lock, NULL))
		return false;
	for (unsigned long i = 0; i < objects; i++)
		push(&pool->free, &pool->all[i]);
	return pthread_create(&pool->ager, NULL, ager, pool) == 0;
}

void pool_stop(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_mutex_unlock(&pool->lock);
	pthread_join(pool->ager, NULL);
	pthread_mutex_destroy(&pool->lock);
	free(pool->all);
}

struct object *pool_take(struct pool *pool)
{
	struct object *object;

	for (;;) {
		pthread_mutex_lock(&pool->lock);
		object = pool->free;
		if (object)
			pool->free = object->next;
		pthread_mutex_unlock(&pool->lock);
		if (object)
			break;
		nap();
	}
	__atomic_store_n(&object->age, 0, __ATOMIC_RELAXED);
	object->keys = 0;
	return object;
}

void pool_remove(struct pool *pool, struct object *object)
{
	pthread_mutex_lock(&pool->lock);
	push(&pool->removed, object);
	pthread_mutex_unlock(&pool->lock);
}
