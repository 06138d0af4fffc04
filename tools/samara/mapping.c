/* SPDX-License-Identifier: MIT */
#include "mapping.h"

#include <stdlib.h>

struct mapping *mapping_new(const struct as_mapping *what)
{
	struct mapping *mapping = malloc(sizeof(*mapping));

	if (!mapping)
		return NULL;
	mapping->what = *what;
	mapping->birth = 0;
	atomic_init(&mapping->cut, 0);
	atomic_init(&mapping->death, 0);
	atomic_init(&mapping->magic, MAPPING_ALIVE);
	return mapping;
}

void mapping_discard(struct mapping *mapping)
{
	free(mapping);
}

void mapping_free(void *mapping)
{
	struct mapping *dead = mapping;

	atomic_store_explicit(&dead->magic, MAPPING_FREED, memory_order_relaxed);
	free(dead);
}
