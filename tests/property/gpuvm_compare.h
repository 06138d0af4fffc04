/* SPDX-License-Identifier: MIT */
/*
 * A toy VM set beside the model: requests made of both, and the steps and what is mapped afterwards
 * compared.
 */
#ifndef TESTS_PROPERTY_GPUVM_COMPARE_H
#define TESTS_PROPERTY_GPUVM_COMPARE_H

#include "model/gpuvm_model.h"
#include "support/gpuvm_toy.h"

struct request {
	enum { REQUEST_MAP, REQUEST_UNMAP, REQUEST_PREFETCH } kind;
	uint64_t addr, range;
	int obj;
	uint64_t offset;
};

enum form {
	FORM_DRY,       /* callbacks that change nothing */
	FORM_CALLBACKS, /* callbacks that carry the steps out */
	FORM_LIST,
};

struct compare {
	struct toy toy;
	struct gpuvm_model model;
	struct gm_step want[GM_STEPS];
	int nr_want, seen;
	bool may_fail; /* a request may return -ENOMEM or -EIO, and what it did before stays */
	int failed;    /* what the last one returned */
	uint64_t look; /* each step looks this page up, if it is one */
	bool ok;
	char why[512];
};

/* @pages from 0; @reserved of them, from @reserved_start on, are kept out. */
bool compare_init(struct compare *c, unsigned int pages, unsigned int reserved_start,
		  unsigned int reserved, bool external);
/* False: something was left. */
bool compare_destroy(struct compare *c);
/* Nothing mapped on either side. */
void compare_clear(struct compare *c);

/*
 * Makes the request, of the model too unless dry, or as far as it came; false: they differ, and
 * c->why says where. VM lock held.
 */
bool compare_request(struct compare *c, const struct request *r, enum form form);
/* A place of the same size is found on both sides, or none. VM lock held. */
bool compare_hole(struct compare *c, uint64_t size, uint64_t align, uint64_t start, uint64_t end,
		  bool high);
/* Does the same show on every page, and in every look-up? VM lock held. */
bool compare_all(struct compare *c);

#endif
