/* SPDX-License-Identifier: MIT */
/*
 * The version of the headers (macros) and of the library actually loaded (functions). Within one
 * major version names are only added, never changed or removed.
 */
#ifndef SAMARA_VERSION_H
#define SAMARA_VERSION_H

#include <samara/export.h>

#define SAMARA_VERSION_MAJOR 0
#define SAMARA_VERSION_MINOR 1
#define SAMARA_VERSION_PATCH 0
#define SAMARA_VERSION_STRING "0.1.0"

MT_BEGIN_DECLS

/* "MAJOR.MINOR.PATCH" of the library at run time. Never NULL, never freed. */
MT_API const char *samara_version(void);

MT_END_DECLS

#endif
