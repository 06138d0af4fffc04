/* SPDX-License-Identifier: MIT */
/*
 * Which sanitizers the code is compiled for: SMR_ASAN, SMR_TSAN and SMR_MSAN are 1 or 0. GCC tells
 * by macros of its own, Clang by __has_feature().
 */
#ifndef SMR_BASE_SANITIZER_H
#define SMR_BASE_SANITIZER_H

#ifdef __has_feature
#define SMRI_HAS_FEATURE(name) __has_feature(name)
#else
#define SMRI_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SMRI_HAS_FEATURE(address_sanitizer)
#define SMR_ASAN 1
#else
#define SMR_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || SMRI_HAS_FEATURE(thread_sanitizer)
#define SMR_TSAN 1
#else
#define SMR_TSAN 0
#endif

#if SMRI_HAS_FEATURE(memory_sanitizer)
#define SMR_MSAN 1
#else
#define SMR_MSAN 0
#endif

#endif
