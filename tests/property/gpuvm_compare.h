/* SPDX-License-Identifier: MIT */
/*
 * A toy VM and the model side by side: makes the same requests of both, and compares the steps and
 * what is mapped afterwards.
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
	bool may_fail; /* a request may return -ENOMEM or -EIO; its earlier steps stay */
	int failed;    /* the result of the last request */
	uint64_t look; /* each step looks this page up, if it is in the VM */
	bool ok;
	char why[512];
};

/* @pages from 0; @reserved of them, from @reserved_start on, must not be mapped. */
bool compare_init(struct compare *c, unsigned int pages, unsigned int reserved_start,
		  unsigned int reserved, bool external);
/* Returns false if anything was left. */
bool compare_destroy(struct compare *c);
/* Unmaps everything on both sides. */
void compare_clear(struct compare *c);

/*
 * Makes the request, also of the model unless dry; if it fails, the model does only the steps made.
 * Returns false if the two differ; c->why says where. CONTEXT: the VM lock.
 */
bool compare_request(struct compare *c, const struct request *r, enum form form);
/* Checks that both sides find a place of the same size, or none. CONTEXT: the VM lock. */
bool compare_hole(struct compare *c, uint64_t size, uint64_t align, uint64_t start, uint64_t end,
		  bool high);
/* Checks that every page and every look-up is the same. CONTEXT: the VM lock. */
bool compare_all(struct compare *c);

#endif
