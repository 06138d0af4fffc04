/* SPDX-License-Identifier: MIT */
/* cmocka and the headers that it needs before it. */
#ifndef TESTS_SUPPORT_CM_H
#define TESTS_SUPPORT_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The name in cmocka 2.0, which deprecates the older one. */
#ifndef assert_uint_in_range
#define assert_uint_in_range assert_in_range
#endif

#endif
