/* SPDX-License-Identifier: MIT */
/*
 * Code for more than one instruction set in one library.
 *
 * The few functions that gain from vector instructions are written once per instruction set:
 * name_any() in plain C, and name_avx2() and name_avx512() for x86-64 with these. All must give the
 * same answers (tests/unit/tree_search.c). Inlined code calls the version for its own instruction
 * set by SMR_ISA(). SMR_DISPATCH() makes of the three one function that callers can name; the
 * loader picks, once, the version that suits the machine. The function's name has a prefix even
 * where it is static, because Clang makes such a name global. The function that picks is marked as
 * used: Clang 14 does not see that the loader calls it, nor hence what it picks from, and would
 * leave everything that is only called from there without inlining.
 *
 * SMR_CLONES marks a function in plain C of which the compiler makes such versions by itself,
 * because it turns the loops into vector code.
 *
 * There is no dispatch, and the plain version is used, where the compiler or the C library cannot
 * do it, in unoptimised builds, and under the sanitizers: their runtimes are not ready yet when the
 * loader asks, and ThreadSanitizer is to see each access as it is written in plain C.
 */
#ifndef SMR_BASE_ISA_H
#define SMR_BASE_ISA_H

#include "base/sanitizer.h"

#include <features.h> /* __GLIBC__: without it nothing is dispatched */

#if defined(__x86_64__) && defined(__GNUC__)
#define SMR_HAVE_AVX2 1
/* "unused": without dispatch only the tests call these versions. */
#define SMR_TARGET_avx2 __attribute__((target("avx2,bmi,bmi2,popcnt"), unused))
#define SMR_TARGET_avx512 \
	__attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl"), unused))
#else
#define SMR_HAVE_AVX2 0
#endif
#define SMR_TARGET_any

#if SMR_HAVE_AVX2
/*
 * Whether this machine has what SMR_TARGET_avx2 asks for. May be called before anything else has
 * run.
 */
static inline int smr_isa_have_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

/*
 * The same for SMR_TARGET_avx512, and for VBMI, which is not used: processors without it (before
 * Ice Lake and Zen 4) lower their clock for vectors of 512 bits.
 */
static inline int smr_isa_have_avx512(void)
{
	return smr_isa_have_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
}

#define SMR_EACH_ISA(define) define(any) define(avx2) define(avx512)
#else
#define SMR_EACH_ISA(define) define(any)
#endif

#if SMR_HAVE_AVX2 && defined(__GLIBC__) && defined(__OPTIMIZE__) && !SMR_ASAN && !SMR_TSAN && \
	!SMR_MSAN
#define SMR_HAVE_DISPATCH 1
#else
#define SMR_HAVE_DISPATCH 0
#endif

#if SMR_HAVE_DISPATCH
/*
 * Makes @name(@params) one of name_any(), name_avx2() and name_avx512(), which must come before it.
 */
#define SMR_DISPATCH(type, name, params)                                       \
	__attribute__((used)) static __typeof__(name##_any) *name##_pick(void) \
	{                                                                      \
		if (smr_isa_have_avx512())                                     \
			return name##_avx512;                                  \
		if (smr_isa_have_avx2())                                       \
			return name##_avx2;                                    \
		return name##_any;                                             \
	}                                                                      \
	type name params __attribute__((ifunc(#name "_pick")))
#else
#define SMR_DISPATCH(type, name, params) type name params __attribute__((alias(#name "_any")))
#endif

#if SMR_HAVE_DISPATCH && !defined(__clang__)
#define SMR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SMR_CLONES
#endif

#endif
