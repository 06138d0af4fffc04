/* SPDX-License-Identifier: MIT */
/* Arrays that grow, and arrays that become sets. */
#ifndef SAMARA_TOOL_ARRAY_H
#define SAMARA_TOOL_ARRAY_H

#include <stdint.h>
#include <stdlib.h>

/*
 * Returns @array, of @nr elements of @size bytes, with room for one more; or NULL without memory,
 * and then @array is as before. The capacity is the next power of two.
 */
static inline void *array_extend(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return realloc(array, (nr ? nr * 2 : 1) * size);
}

static inline int array_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts @values, ascending, and drops duplicates. Returns how many are left. */
static inline size_t array_sort_unique(uint64_t *values, size_t nr)
{
	size_t kept = 0;

	qsort(values, nr, sizeof(*values), array_compare);
	for (size_t i = 0; i < nr; i++) {
		if (!kept || values[kept - 1] != values[i])
			values[kept++] = values[i];
	}
	return kept;
}

#endif
