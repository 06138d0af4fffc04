/* SPDX-License-Identifier: MIT */
/* A toy VM set beside the model: requests made of both, and the steps and what is mapped afterwards compared. */
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

/* Makes the request, of the model too unless dry; false: they differ, and c->why says where. VM lock held. */
bool compare_request(struct compare *c, const struct request *r, enum form form);
/* Does the same show on every page, and in every look-up? VM lock held. */
bool compare_all(struct compare *c);

#endif
