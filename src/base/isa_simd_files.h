/* SPDX-License-Identifier: MIT */
/* The part of isa_files.h for instruction sets other than plain C. */
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
