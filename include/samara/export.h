/* SPDX-License-Identifier: MIT */
/*
 * What all headers need: a system of 64 bits, and linkage of the public symbols. The library is
 * built with hidden visibility; what carries MT_API, and nothing else, is exported (src/samara.map
 * says in which version).
 */
#ifndef SAMARA_EXPORT_H
#define SAMARA_EXPORT_H

#if __SIZEOF_POINTER__ != 8 || __SIZEOF_LONG__ != 8
#error "Samara needs a system whose pointers and longs have 64 bits."
#endif

#define MT_API __attribute__((visibility("default")))

#ifdef __cplusplus
/* Structs and functions of one name are C's custom; g++ -Wshadow thinks that the one is hidden. */
#define MT_BEGIN_DECLS                                                                           \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") extern "C" \
	{
#define MT_END_DECLS \
	}            \
	_Pragma("GCC diagnostic pop")
#else
#define MT_BEGIN_DECLS
#define MT_END_DECLS
#endif

#endif
