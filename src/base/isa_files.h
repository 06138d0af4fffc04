/* SPDX-License-Identifier: MIT */
/*
 * Includes SMR_ISA_FILE once for each instruction set (isa.h), with SMR_ISA() for the names and
 * SMR_ISA_TARGET for the functions in it. So neither has a guard.
 */
#define SMR_ISA(name) name##_any
#define SMR_ISA_TARGET SMR_TARGET_any
#include SMR_ISA_FILE
#undef SMR_ISA
#undef SMR_ISA_TARGET

#if SMR_HAVE_AVX2
#define SMR_ISA(name) name##_avx2
#define SMR_ISA_TARGET SMR_TARGET_avx2
#include SMR_ISA_FILE
#undef SMR_ISA
#undef SMR_ISA_TARGET

#define SMR_ISA(name) name##_avx512
#define SMR_ISA_TARGET SMR_TARGET_avx512
#include SMR_ISA_FILE
#undef SMR_ISA
#undef SMR_ISA_TARGET
#endif

#undef SMR_ISA_FILE
