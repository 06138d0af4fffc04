/* SPDX-License-Identifier: MIT */
/*
 * The tests of this folder show one named memory order each: two threads share plain data that
 * nothing but that order protects. As it stands the library must run them without a report of
 * ThreadSanitizer; with the order made relaxed it must get one. What else would order the two
 * threads (a lock both take, another load with acquire) is therefore avoided, and what they tell
 * each other to stop is relaxed. Each ends the process if something fails.
 */
#ifndef TESTS_ORDER_TWO_H
#define TESTS_ORDER_TWO_H

#include "base/order.h"
#include <pthread.h>
#include <stdlib.h>

#define ORDER_DECLARE(name) void order_##name(void);
SMR_ORDERS(ORDER_DECLARE)

static inline void two(void *(*a)(void *), void *(*b)(void *))
{
	pthread_t threads[2];

	if (pthread_create(&threads[0], NULL, a, NULL) ||
	    pthread_create(&threads[1], NULL, b, NULL))
		exit(99);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

#define relaxed_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define relaxed_store(p, value) __atomic_store_n((p), (value), __ATOMIC_RELAXED)

#endif
