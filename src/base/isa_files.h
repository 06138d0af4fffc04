/* SPDX-License-Identifier: MIT */
/*
 * Includes SMR_ISA_FILE once for each instruction set (isa.h), with SMR_ISA() for the names and
 * SMR_ISA_TARGET for the functions in it. Hence neither file has an include guard.
 */
#define SMR_ISA(name) name##_any
#define SMR_ISA_TARGET SMR_TARGET_any
#include SMR_ISA_FILE
#undef SMR_ISA
#undef SMR_ISA_TARGET

#include "base/isa_simd_files.h"
