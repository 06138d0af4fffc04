/* SPDX-License-Identifier: MIT */
/*
 * The examples check their own claims: if one does not hold, it is reported and the program fails.
 */
#ifndef EXAMPLES_EXPECT_H
#define EXAMPLES_EXPECT_H

#include <stdio.h>
#include <stdlib.h>

#define EXPECT(cond)                                                                        \
	do {                                                                                \
		if (!(cond)) {                                                              \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                                            \
		}                                                                           \
	} while (0)

#endif
