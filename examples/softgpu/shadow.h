/* SPDX-License-Identifier: MIT */
/*
 * What the software GPU should do, done in the simplest way: page by page and byte by byte, at
 * once, in the order of submission.
 */
#ifndef SOFTGPU_SHADOW_H
#define SOFTGPU_SHADOW_H

#include "softgpu.h"

enum {
	REGIONS = 8, /* a bind stays within one */
	REGION_PAGES = 64,
	PAGES = REGIONS * REGION_PAGES,
	OBJECTS = 6,
	OBJECT_PAGES = 64,
	NOTHING = -1, /* in place of an object */
	SPARSE = -2,
};

/* Just below a border between two entries of the second level, so that mappings cross it. */
#define SHADOW_BASE (((uint64_t)5 << 30) - 3 * REGION_PAGES * SG_PAGE)

struct shadow {
	struct {
		int obj;
		unsigned int page;
	} va[PAGES];
	unsigned char bytes[OBJECTS][OBJECT_PAGES * SG_PAGE];
};

void shadow_init(struct shadow *s);
/* Maps @nr pages at VA page @at to object @obj from page @from on, or to NOTHING or SPARSE. */
void shadow_map(struct shadow *s, unsigned int at, unsigned int nr, int obj, unsigned int from);
void shadow_unmap_all(struct shadow *s, int obj);
/*
 * Runs @cmd: sets its error, fault and sum to what they should be. Treats SG_VERIFY as SG_CHECKSUM.
 */
void shadow_run(struct shadow *s, struct sg_cmd *cmd);

/* large.c: another check, without the shadow. */
void check_large(void);

static inline uint64_t shadow_addr(unsigned int page)
{
	return SHADOW_BASE + page * SG_PAGE;
}

static inline unsigned int shadow_page(uint64_t addr)
{
	return (unsigned int)((addr - SHADOW_BASE) >> SG_PAGE_SHIFT);
}

#endif
