/* SPDX-License-Identifier: MIT */
/*
 * A model of a GPU VA space, page by page: each page has the number of its mapping and the page of
 * the object that it shows. Requests are answered by looking at every page. It is the oracle for
 * split and merge, and shares nothing with the library.
 *
 * Objects are small numbers; GM_NONE: no object. A mapping is a run of pages with one number;
 * numbers are never reused.
 */
#ifndef MODEL_GPUVM_MODEL_H
#define MODEL_GPUVM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define GM_PAGES 256
#define GM_NONE (-1)
/* The most steps of one request: every page is a mapping, and the map. */
#define GM_STEPS (GM_PAGES + 1)

struct gm_page {
	unsigned int mapping; /* 0: nothing is mapped */
	int obj;
	uint64_t offset; /* of this page in the object */
};

struct gpuvm_model {
	unsigned int pages;
	unsigned int reserved, reserved_pages; /* the reserved region: first page, length */
	unsigned int last_number;              /* the last number given to a mapping */
	struct gm_page page[GM_PAGES];
};

struct gm_part {
	bool there;
	uint64_t addr, range;
	int obj;
	uint64_t offset;
};

enum gm_kind { GM_MAP, GM_REMAP, GM_UNMAP, GM_PREFETCH };

struct gm_step {
	enum gm_kind kind;
	bool keep;
	struct gm_part map; /* the mapping that is made, cut, removed or prefetched */
	struct gm_part prev, next;
};

/* Begins with pages 0 to @pages - 1, of which none is mapped. */
void gm_init(struct gpuvm_model *m, unsigned int pages);

/*
 * Store the steps of mapping (unmapping, prefetching) [addr, addr + range), and change nothing.
 * Return the number of steps, or -1 if the request is not valid.
 */
int gm_map(const struct gpuvm_model *m, uint64_t addr, uint64_t range, int obj, uint64_t offset,
	   struct gm_step steps[GM_STEPS]);
int gm_unmap(const struct gpuvm_model *m, uint64_t addr, uint64_t range,
	     struct gm_step steps[GM_STEPS]);
int gm_prefetch(const struct gpuvm_model *m, uint64_t addr, uint64_t range,
		struct gm_step steps[GM_STEPS]);

/* Carry out a request, which must be valid. */
void gm_apply_map(struct gpuvm_model *m, uint64_t addr, uint64_t range, int obj, uint64_t offset);
void gm_apply_unmap(struct gpuvm_model *m, uint64_t addr, uint64_t range);

/* Return the mapping of page @at; the first with a page in [addr, addr + range). */
struct gm_part gm_at(const struct gpuvm_model *m, uint64_t at);
struct gm_part gm_first(const struct gpuvm_model *m, uint64_t addr, uint64_t range);
unsigned int gm_mappings(const struct gpuvm_model *m);

/*
 * Stores the lowest (highest) multiple of @align in [start, end) from which @size pages are free.
 * Returns false if there is none.
 */
bool gm_hole(const struct gpuvm_model *m, uint64_t size, uint64_t align, uint64_t start,
	     uint64_t end, bool high, uint64_t *addr);

#endif
