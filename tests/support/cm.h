/* SPDX-License-Identifier: MIT */
/* cmocka, with what it wants included before it. */
#ifndef TESTS_SUPPORT_CM_H
#define TESTS_SUPPORT_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What cmocka 2.0 calls it; there the older name is deprecated. */
#ifndef assert_uint_in_range
#define assert_uint_in_range assert_in_range
#endif

#endif
