/* SPDX-License-Identifier: MIT */
/* The model of a GPU VA space: see gpuvm_model.h. */
#include "gpuvm_model.h"

#include <string.h>

void gm_init(struct gpuvm_model *m, unsigned int pages)
{
	memset(m, 0, sizeof(*m));
	m->pages = pages;
}

static bool is_reserved(const struct gpuvm_model *m, uint64_t at)
{
	return at >= m->reserved && at < (uint64_t)m->reserved + m->reserved_pages;
}

static bool valid(const struct gpuvm_model *m, uint64_t addr, uint64_t range)
{
	if (range == 0 || range > m->pages || addr > m->pages - range)
		return false;
	for (uint64_t at = addr; at < addr + range; at++)
		if (is_reserved(m, at))
			return false;
	return true;
}

struct gm_part gm_at(const struct gpuvm_model *m, uint64_t at)
{
	struct gm_part part = { .there = false };
	uint64_t first = at, last = at;

	if (at >= m->pages || m->page[at].mapping == 0)
		return part;
	while (first > 0 && m->page[first - 1].mapping == m->page[at].mapping)
		first--;
	while (last + 1 < m->pages && m->page[last + 1].mapping == m->page[at].mapping)
		last++;
	part = (struct gm_part){ true, first, last - first + 1, m->page[first].obj,
				 m->page[first].offset };
	return part;
}

struct gm_part gm_first(const struct gpuvm_model *m, uint64_t addr, uint64_t range)
{
	for (uint64_t at = addr; at < addr + range && at < m->pages; at++)
		if (m->page[at].mapping)
			return gm_at(m, at);
	return (struct gm_part){ .there = false };
}

unsigned int gm_mappings(const struct gpuvm_model *m)
{
	unsigned int n = 0;

	for (unsigned int at = 0; at < m->pages; at++)
		n += m->page[at].mapping &&
		     (at == 0 || m->page[at - 1].mapping != m->page[at].mapping);
	return n;
}

/* Returns the part of a mapping from page @from to page @to - 1; from >= to: none. */
static struct gm_part cut(const struct gpuvm_model *m, uint64_t from, uint64_t to)
{
	if (from >= to)
		return (struct gm_part){ .there = false };
	return (struct gm_part){ true, from, to - from, m->page[from].obj, m->page[from].offset };
}

/* Stores one step for each mapping with a page in the range. Returns how many. */
static int steps_over(const struct gpuvm_model *m, uint64_t addr, uint64_t range,
		      struct gm_step steps[GM_STEPS])
{
	int n = 0;

	for (uint64_t at = addr; at < addr + range && at < m->pages; at++) {
		struct gm_step *step = &steps[n];

		if (m->page[at].mapping == 0 ||
		    (at > addr && m->page[at - 1].mapping == m->page[at].mapping))
			continue;
		memset(step, 0, sizeof(*step));
		step->map = gm_at(m, at);
		step->prev = cut(m, step->map.addr, addr);
		step->next = cut(m, addr + range, step->map.addr + step->map.range);
		step->kind = step->prev.there || step->next.there ? GM_REMAP : GM_UNMAP;
		n++;
	}
	return n;
}

int gm_map(const struct gpuvm_model *m, uint64_t addr, uint64_t range, int obj, uint64_t offset,
	   struct gm_step steps[GM_STEPS])
{
	int n;

	if (!valid(m, addr, range))
		return -1;
	n = steps_over(m, addr, range, steps);
	/* Keep: pages of the mapping in the range show the same before and after. */
	for (int i = 0; i < n; i++)
		for (uint64_t at = addr; at < addr + range; at++)
			if (at >= steps[i].map.addr && at - steps[i].map.addr < steps[i].map.range)
				steps[i].keep = obj != GM_NONE && m->page[at].obj == obj &&
						m->page[at].offset == offset + (at - addr);
	steps[n] = (struct gm_step){ .kind = GM_MAP, .map = { true, addr, range, obj, offset } };
	return n + 1;
}

int gm_unmap(const struct gpuvm_model *m, uint64_t addr, uint64_t range,
	     struct gm_step steps[GM_STEPS])
{
	return valid(m, addr, range) ? steps_over(m, addr, range, steps) : -1;
}

int gm_prefetch(const struct gpuvm_model *m, uint64_t addr, uint64_t range,
		struct gm_step steps[GM_STEPS])
{
	int n = steps_over(m, addr, range < m->pages ? range : m->pages, steps);

	/* Any range is valid. */
	for (int i = 0; i < n; i++)
		steps[i] = (struct gm_step){ .kind = GM_PREFETCH, .map = steps[i].map };
	return n;
}

/* Makes the pages a new mapping: each part of a mapping that is cut becomes one. */
static void renumber(struct gpuvm_model *m, uint64_t from, uint64_t to)
{
	unsigned int number = ++m->last_number;

	for (uint64_t at = from; at < to; at++)
		m->page[at].mapping = number;
}

void gm_apply_unmap(struct gpuvm_model *m, uint64_t addr, uint64_t range)
{
	struct gm_step steps[GM_STEPS];
	int n = steps_over(m, addr, range, steps);

	for (int i = 0; i < n; i++) {
		if (steps[i].prev.there)
			renumber(m, steps[i].prev.addr, steps[i].prev.addr + steps[i].prev.range);
		if (steps[i].next.there)
			renumber(m, steps[i].next.addr, steps[i].next.addr + steps[i].next.range);
	}
	for (uint64_t at = addr; at < addr + range; at++)
		m->page[at].mapping = 0;
}

void gm_apply_map(struct gpuvm_model *m, uint64_t addr, uint64_t range, int obj, uint64_t offset)
{
	gm_apply_unmap(m, addr, range);
	renumber(m, addr, addr + range);
	for (uint64_t at = addr; at < addr + range; at++) {
		m->page[at].obj = obj;
		m->page[at].offset = offset + (at - addr);
	}
}

bool gm_hole(const struct gpuvm_model *m, uint64_t size, uint64_t align, uint64_t start,
	     uint64_t end, bool high, uint64_t *addr)
{
	bool found = false;

	end = end < m->pages ? end : m->pages;
	for (uint64_t at = start; at < end; at++) {
		bool free = at % align == 0 && size <= end - at;

		for (uint64_t i = at; free && i < at + size; i++)
			free = m->page[i].mapping == 0 && !is_reserved(m, i);
		if (free && (high || !found)) {
			*addr = at;
			found = true;
		}
	}
	return found;
}
