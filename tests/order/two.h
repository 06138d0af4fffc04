/* SPDX-License-Identifier: MIT */
/*
 * Each test of this folder shows one named memory order: two threads share plain data that only
 * that order protects. As it is, the library must run it without a report of ThreadSanitizer; with
 * the order relaxed there must be one. So anything else that would order the two threads (a lock
 * that both take, another load with acquire) is avoided, and what they tell each other to stop is
 * relaxed. Each test ends the process if something fails.
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
