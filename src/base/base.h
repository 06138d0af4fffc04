/* SPDX-License-Identifier: MIT */
/*
 * Helpers for every file of the library: branch hints, assertions, checked arithmetic.
 *
 * Assertions come in two tiers: _Static_assert for what the compiler can know, and smr_assert() for
 * O(1) checks, active in debug builds (SMR_DEBUG). An inactive smr_assert() still compiles its
 * expression, but does not evaluate it.
 */
#ifndef SMR_BASE_BASE_H
#define SMR_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define smr_likely(x) __builtin_expect(!!(x), 1)
#define smr_unlikely(x) __builtin_expect(!!(x), 0)
#define smr_inline static inline __attribute__((always_inline))
#define smr_noinline __attribute__((noinline))
#define smr_aligned(n) __attribute__((aligned(n)))
#define smr_prefetch(addr) __builtin_prefetch(addr)

/*
 * A thread-local variable. With glibc it lies at a constant offset from the thread pointer, where
 * glibc keeps some room for libraries loaded by dlopen(). Other C libraries keep none, and would
 * refuse to load a library that asks for it.
 */
#ifdef __GLIBC__
#define smr_thread_local __thread __attribute__((tls_model("initial-exec")))
#else
#define smr_thread_local __thread
#endif

#define SMR_CACHE_LINE 64

/* Errors are -1 to -SMR_MAX_ERRNO, as in the kernel. */
#define SMR_MAX_ERRNO 4095

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                            \
	__extension__({                                                            \
		const __typeof__(((type *)0)->member) *smr_member_ = (ptr);        \
		(type *)((char *)(uintptr_t)smr_member_ - offsetof(type, member)); \
	})

/* Prints the failed assertion to stderr and aborts. */
__attribute__((noreturn, cold)) void smr_assert_fail(const char *what, const char *file, int line);

#define SMR_ASSERT_ON(expr) \
	((void)(smr_likely(expr) ? 0 : (smr_assert_fail(#expr, __FILE__, __LINE__), 0)))
#define SMR_ASSERT_OFF(expr) ((void)sizeof(!(expr)))

#ifdef SMR_DEBUG
#define smr_assert(expr) SMR_ASSERT_ON(expr)
#else
#define smr_assert(expr) SMR_ASSERT_OFF(expr)
#endif

/* Sets *@sum to @a + @b. Returns false, and leaves *@sum undefined, if that does not fit. */
smr_inline bool smr_checked_add(unsigned long a, unsigned long b, unsigned long *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

/*
 * Sets *@last to the last of the @size keys that begin at @first. Returns false if there is none:
 * @size is 0, or the range would run past ULONG_MAX. (A range that ends exactly there is fine: its
 * end, last + 1, would wrap to 0.)
 */
smr_inline bool smr_range_last(unsigned long first, unsigned long size, unsigned long *last)
{
	return size != 0 && smr_checked_add(first, size - 1, last);
}

#endif
