/* SPDX-License-Identifier: MIT */
/*
 * Linkage of the public symbols. The library is built with hidden visibility; what carries
 * MT_API, and nothing else, is exported (src/samara.map says in which version).
 */
#ifndef SAMARA_EXPORT_H
#define SAMARA_EXPORT_H

#define MT_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define MT_BEGIN_DECLS extern "C" {
#define MT_END_DECLS }
#else
#define MT_BEGIN_DECLS
#define MT_END_DECLS
#endif

#endif
