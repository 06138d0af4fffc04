/* SPDX-License-Identifier: MIT */
/*
 * Atomic access to plain variables. Every access that may race with another thread's goes through
 * here. Its order is either RELAXED or a named one, ORDER(name, order): base/order.h.
 */
#ifndef SMR_BASE_ATOMIC_H
#define SMR_BASE_ATOMIC_H

#define RELAXED __ATOMIC_RELAXED

#define smr_load(ptr, order) __atomic_load_n((ptr), (order))
#define smr_store(ptr, val, order) __atomic_store_n((ptr), (val), (order))
/* These return the old value. */
#define smr_xchg(ptr, val, order) __atomic_exchange_n((ptr), (val), (order))
#define smr_add(ptr, val, order) __atomic_fetch_add((ptr), (val), (order))
#define smr_sub(ptr, val, order) __atomic_fetch_sub((ptr), (val), (order))
#define smr_or(ptr, val, order) __atomic_fetch_or((ptr), (val), (order))
/* Strong compare and swap: returns true, or false with the value found in *@old. */
#define smr_cas(ptr, old, new, succ, fail) \
	__atomic_compare_exchange_n((ptr), (old), (new), 0, (succ), (fail))

/* For a loop, between two looks at a variable that another thread is about to change. */
#ifdef __x86_64__
#define smr_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define smr_pause() __asm__ volatile("yield" ::: "memory")
#else
#define smr_pause() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

/* Keeps the compiler, but not the processor, from moving accesses across. */
#define smr_compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
