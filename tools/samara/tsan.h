/* SPDX-License-Identifier: MIT */
/*
 * ThreadSanitizer cannot see the order that liburcu's grace periods and queues make. These two tell
 * it: what happens before tsan_release(x) happens before what follows a later tsan_acquire(x).
 */
#ifndef SAMARA_TOOL_TSAN_H
#define SAMARA_TOOL_TSAN_H

#include "sanitizer.h"

#if TOOL_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define tsan_acquire(addr) __tsan_acquire(addr)
#define tsan_release(addr) __tsan_release(addr)
#else
#define tsan_acquire(addr) ((void)(addr))
#define tsan_release(addr) ((void)(addr))
#endif

#endif
