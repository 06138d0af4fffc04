/* SPDX-License-Identifier: MIT */
/*
 * What bench/sm_map.c asks of a GPU VA manager: maps and unmaps with split and merge, each under
 * one uncontended lock, with each step passed to the driver's page tables, which here are a running
 * sum.
 */
#ifndef BENCH_SM_MAP_H
#define BENCH_SM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SM_OBJECTS = 4 };

struct sm_map {
	uint64_t addr, range;
	unsigned int object; /* 1 to SM_OBJECTS; 0: none */
	uint64_t offset;
};

/* The steps of all requests so far: if the sums are equal, so are the steps and their order. */
struct sm_steps {
	uint64_t sum;
	uint64_t count;
};

struct sm_peer {
	const char *name;
	/*
	 * Creates an empty VM that manages [0, @range) and adds its steps to @steps. NULL: no
	 * memory.
	 */
	void *(*create)(uint64_t range, struct sm_steps *steps);
	void (*destroy)(void *vm);
	/* Return 0 or a negative errno. */
	int (*map)(void *vm, const struct sm_map *request);
	int (*unmap)(void *vm, uint64_t addr, uint64_t range);
	/* Stores the mapping around @addr in *@found. Returns false if there is none. */
	bool (*find)(void *vm, uint64_t addr, struct sm_map *found);
	/* The number of mappings. */
	size_t (*count)(void *vm);
};

extern const struct sm_peer sm_samara, sm_rb_tree, sm_rb_interval_tree;

static inline void sm_add(struct sm_steps *s, uint64_t a, uint64_t b, uint64_t c)
{
	s->sum = (s->sum ^ a) * 0x9e3779b97f4a7c15u + b + (c << 7);
}

static inline void sm_step_map(struct sm_steps *s, const struct sm_map *m)
{
	sm_add(s, m->addr, m->range, m->offset ^ m->object);
	s->count++;
}

static inline void sm_step_unmap(struct sm_steps *s, uint64_t addr, bool keep)
{
	sm_add(s, addr, keep, 1);
	s->count++;
}

/* @prev and @next: what is left of the mapping in front and behind, or NULL. */
static inline void sm_step_remap(struct sm_steps *s, uint64_t addr, bool keep,
				 const struct sm_map *prev, const struct sm_map *next)
{
	sm_add(s, addr, keep, 2);
	if (prev)
		sm_add(s, prev->addr, prev->range, prev->offset);
	if (next)
		sm_add(s, next->addr, next->range, next->offset);
	s->count++;
}

#endif
