/* SPDX-License-Identifier: MIT */
/* Shared by the kinds of synthetic traces (gen_kinds.c) and the command (gen.c). */
#ifndef SAMARA_TOOL_GEN_H
#define SAMARA_TOOL_GEN_H

#include "model/address_space.h"

#define GEN_PAGE UINT64_C(0x1000)
#define GEN_VA_FIRST UINT64_C(0x10000)
#define GEN_VA_LAST UINT64_C(0x7fffffffffff)
#define GEN_BASE UINT64_C(0x100000000000) /* where the kinds put their windows */

/*
 * A trace being made. What has been written so far is applied to the model, where a kind can look
 * it up.
 */
struct gen {
	struct trace_writer *writer;
	struct address_space model;
	uint64_t live;   /* about how many mappings there should be */
	uint64_t left;   /* operations still to write */
	uint64_t random; /* state of the generator */
	uint64_t cursor; /* a kind's own position */
	int err;         /* the first error stays */
};

struct gen_kind {
	const char *name;
	/* Writes one operation or a few. */
	void (*step)(struct gen *gen);
};

extern const struct gen_kind gen_kinds[];
extern const unsigned int nr_gen_kinds;

/* A random number in [0..below - 1]. */
uint64_t gen_random(struct gen *gen, uint64_t below);
/* Write one operation, unless all have been written or one has failed. */
void gen_map(struct gen *gen, uint64_t addr, uint64_t length, uint64_t object, uint64_t offset,
	     unsigned int flags);
void gen_unmap(struct gen *gen, uint64_t addr, uint64_t length);
/* Writes nothing unless the whole range is mapped by mappings like the one at @addr. */
void gen_protect(struct gen *gen, uint64_t addr, uint64_t length, unsigned int rwx);
void gen_move(struct gen *gen, uint64_t addr, uint64_t length, uint64_t new_addr,
	      uint64_t new_length);
/* Writes a look-up near @addr, if something is mapped at or above it. */
void gen_load(struct gen *gen, uint64_t addr);
/* The first mapping that reaches into [first..last], or NULL. */
const struct as_mapping *gen_pick(struct gen *gen, uint64_t first, uint64_t last);

#endif
