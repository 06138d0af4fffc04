/* SPDX-License-Identifier: MIT */
/*
 * search.h for each instruction set that the machine may have. Separate, because compilers take
 * longer to read the intrinsics than to read most of the files that rarely look into nodes.
 */
#ifndef SMR_TREE_SEARCH_SIMD_H
#define SMR_TREE_SEARCH_SIMD_H

#include "tree/search.h"

#if SMR_HAVE_AVX2
#include "tree/search_avx2.h"
#include "tree/search_avx512.h"

#define SMR_ISA_FILE "tree/search_isa.h"
#include "base/isa_simd_files.h"
#endif

#endif
