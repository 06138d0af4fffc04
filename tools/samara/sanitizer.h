/* SPDX-License-Identifier: MIT */
/*
 * Which sanitizers the tool is compiled for: TOOL_ASAN and TOOL_TSAN, 1 or 0. GCC has macros of its
 * own for this, Clang has __has_feature().
 */
#ifndef SAMARA_TOOL_SANITIZER_H
#define SAMARA_TOOL_SANITIZER_H

#ifdef __has_feature
#define TOOL_HAS_FEATURE(name) __has_feature(name)
#else
#define TOOL_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || TOOL_HAS_FEATURE(address_sanitizer)
#define TOOL_ASAN 1
#else
#define TOOL_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || TOOL_HAS_FEATURE(thread_sanitizer)
#define TOOL_TSAN 1
#else
#define TOOL_TSAN 0
#endif

#endif
