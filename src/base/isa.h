/* SPDX-License-Identifier: MIT */
/*
 * Code for more than one instruction set in one library.
 *
 * The little that gains from vector instructions is written per instruction set, as name_any() in
 * plain C, and as name_avx2() and name_avx512() for x86-64 with these, all of which must give the
 * same answers (tests/unit/tree_search.c). What is inlined calls its own kind by SMR_ISA();
 * SMR_DISPATCH() makes of the three one function that callers can name, and the loader picks, once,
 * what the machine has. Its name has a prefix even where it is static, for Clang makes such a name
 * a global one. And who picks is marked as used: Clang 14 does not see that the loader calls it,
 * nor then whom it picks from, and leaves all that is only called from there without inlining.
 *
 * A function in plain C of which the compiler makes such kinds by itself, because its loops become
 * vectors, is marked SMR_CLONES.
 *
 * Without dispatch the plain one is taken: where the compiler or the C library cannot do it, in
 * unoptimised builds, and under the sanitizers. Their runtimes are not ready yet when the loader
 * asks, and ThreadSanitizer is to see each access as it is written in plain C.
 */
#ifndef SMR_BASE_ISA_H
#define SMR_BASE_ISA_H

#include "base/sanitizer.h"

#include <features.h> /* __GLIBC__: without it nothing is dispatched */

#if defined(__x86_64__) && defined(__GNUC__)
#define SMR_HAVE_AVX2 1
/* Unused: where there is no dispatch only the tests call them. */
#define SMR_TARGET_avx2 __attribute__((target("avx2,bmi,bmi2,popcnt"), unused))
#define SMR_TARGET_avx512 \
	__attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl"), unused))
#else
#define SMR_HAVE_AVX2 0
#endif
#define SMR_TARGET_any

#if SMR_HAVE_AVX2
/* Has this machine what SMR_TARGET_avx2 asks for? May be asked before anything else has run. */
static inline int smr_isa_have_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

/*
 * The same for SMR_TARGET_avx512, and VBMI, which is not used: processors without it (before Ice
 * Lake and Zen 4) lower their clock for vectors of 512 bits.
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
/* @name(@params) is one of name_any(), name_avx2() and name_avx512(), which stand above. */
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
