/* SPDX-License-Identifier: MIT */
/*
 * What the tortured tree points at. An object says over which keys it was stored and in which
 * version, and, after it has left the tree, how many grace periods ago that was: a reader in a
 * read-side critical section that meets one older than 0 has found memory that could have been
 * freed.
 */
#ifndef TESTS_TORTURE_OBJECTS_H
#define TESTS_TORTURE_OBJECTS_H

#include <pthread.h>
#include <samara/rcu.h>
#include <stdbool.h>

struct object {
	unsigned long first,
		last; /* constant from before it is stored until its grace periods are over */
	unsigned long version;
	unsigned int age;    /* atomic */
	unsigned int keys;   /* that still map to it; only for its writer */
	struct object *next; /* GUARD pool lock */
};

struct pool {
	enum mt_rcu_flavor flavor;
	struct object *all;
	pthread_mutex_t lock;
	struct object *free;    /* GUARD lock */
	struct object *removed; /* GUARD lock */
	bool stop;              /* GUARD lock */
	pthread_t ager;
};

/* Starts the thread that lets removed objects age. Returns false if it lacks memory or threads. */
bool pool_start(struct pool *pool, enum mt_rcu_flavor flavor, unsigned long objects);
/* Waits until all removed objects are free again. */
void pool_stop(struct pool *pool);

/* Waits for the ager if there is none. */
struct object *pool_take(struct pool *pool);
/* CONTEXT: @object is no longer in any tree. */
void pool_remove(struct pool *pool, struct object *object);

#endif
