/* SPDX-License-Identifier: MIT */
/*
 * Atomic access to plain variables, and named memory orders.
 *
 * Every access that two threads may make to one variable goes through here. Its order is either
 * RELAXED or ORDER(name, order) with order one of acquire, release, acq_rel, seq_cst. The name
 * stands for one pairing, is written on both of its sides and is explained in base/order.h. A build
 * with -Dweaken=name makes every access of that name relaxed: its test must then fail.
 */
#ifndef SMR_BASE_ATOMIC_H
#define SMR_BASE_ATOMIC_H

#define RELAXED __ATOMIC_RELAXED

#define SMR_MO_acquire __ATOMIC_ACQUIRE
#define SMR_MO_release __ATOMIC_RELEASE
#define SMR_MO_acq_rel __ATOMIC_ACQ_REL
#define SMR_MO_seq_cst __ATOMIC_SEQ_CST

/*
 * A weakened name is a macro with the value 1, which makes the pasted identifier below expand to
 * two arguments, of which the second is taken; any other name leaves one, and the second is the
 * order.
 */
#define SMR_WEAK_1 0, __ATOMIC_RELAXED
#define SMR_ORDER_SECOND_(first, second, ...) second
#define SMR_ORDER_SECOND(...) SMR_ORDER_SECOND_(__VA_ARGS__)
#define SMR_ORDER_PASTE_(value, mo) SMR_ORDER_SECOND(SMR_WEAK_##value, mo, 0)
#define SMR_ORDER_PASTE(value, mo) SMR_ORDER_PASTE_(value, mo)
#define ORDER(name, order) SMR_ORDER_PASTE(SMR_WEAKEN_##name, SMR_MO_##order)

#define smr_load(ptr, order) __atomic_load_n((ptr), (order))
#define smr_store(ptr, val, order) __atomic_store_n((ptr), (val), (order))
/* These return the value from before. */
#define smr_xchg(ptr, val, order) __atomic_exchange_n((ptr), (val), (order))
#define smr_add(ptr, val, order) __atomic_fetch_add((ptr), (val), (order))
#define smr_sub(ptr, val, order) __atomic_fetch_sub((ptr), (val), (order))
#define smr_or(ptr, val, order) __atomic_fetch_or((ptr), (val), (order))
#define smr_and(ptr, val, order) __atomic_fetch_and((ptr), (val), (order))
/* Strong compare and swap: true, or false with the value found in *@old. */
#define smr_cas(ptr, old, new, succ, fail) \
	__atomic_compare_exchange_n((ptr), (old), (new), 0, (succ), (fail))

/* Between two looks at what another thread is about to change. */
#ifdef __x86_64__
#define smr_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define smr_pause() __asm__ volatile("yield" ::: "memory")
#else
#define smr_pause() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

/* Keeps the compiler, and nothing else, from moving accesses across. */
#define smr_compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
