/* SPDX-License-Identifier: MIT */
/*
 * What all headers need: a 64-bit system, and linkage of the public symbols. The library is built
 * with hidden visibility: what carries MT_API, and nothing else, is exported (src/samara.map says
 * in which version).
 */
#ifndef SAMARA_EXPORT_H
#define SAMARA_EXPORT_H

#ifdef __cplusplus
#define MT_STATIC_ASSERT_ static_assert
#else
#define MT_STATIC_ASSERT_ _Static_assert
#endif

MT_STATIC_ASSERT_(sizeof(void *) == 8 && sizeof(long) == 8,
		  "Samara needs a system whose pointers and longs have 64 bits");

/* -fshort-enums lays structs out differently from the library. */
enum mt_enum_ { MT_ENUM_ };
MT_STATIC_ASSERT_(sizeof(enum mt_enum_) == sizeof(int),
		  "Samara needs enums like int: no -fshort-enums");

#define MT_API __attribute__((visibility("default")))

#ifdef __cplusplus
/* In C a struct and a function may share a name; g++ -Wshadow takes one for hidden. */
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
