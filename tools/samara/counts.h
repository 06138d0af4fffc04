/* SPDX-License-Identifier: MIT */
/* What the readers of a run count. */
#ifndef SAMARA_TOOL_COUNTS_H
#define SAMARA_TOOL_COUNTS_H

#include <stdint.h>

struct reader_counts {
	uint64_t lookups;  /* of one address */
	uint64_t walked;   /* mappings seen on walks */
	uint64_t unjudged; /* look-ups that the writer outran, so that they cannot be judged */
	uint64_t wrong;    /* answers that were never true */
	char example[512]; /* the first wrong one */
};

#endif
