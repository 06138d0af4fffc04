/* SPDX-License-Identifier: MIT */
/* Arrays that grow. */
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

#endif
