/* SPDX-License-Identifier: MIT */
/*
 * A plain model of an address space, which defines what the operations of a trace mean: the oracle
 * of `samara replay --check`. It knows nothing of trees.
 *
 * The space is a sorted sequence of mappings that do not overlap. An operation over part of a
 * mapping cuts it at the edges of the operation's range (and only there, and only where something
 * changes on one side), and pieces are never joined again. as_write_runs() joins them for printing.
 *
 * The sequence is an array of blocks of at most AS_BLOCK mappings, so a change moves few of them; a
 * block is never empty. Not thread-safe.
 */
#ifndef MODEL_ADDRESS_SPACE_H
#define MODEL_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "trace/trace.h"

#define AS_BLOCK 256

struct as_mapping {
	uint64_t first;
	uint64_t last;
	uint64_t object; /* 0: private anonymous memory, whose offset is always 0 */
	uint64_t offset; /* of first */
	unsigned int flags;
};

bool as_equal(const struct as_mapping *a, const struct as_mapping *b);
/* Cuts @mapping to its part in [first..last], which it overlaps. */
void as_clip(struct as_mapping *mapping, uint64_t first, uint64_t last);
/* Writes "FIRST-LAST object ID offset OFFSET FLAGS", or for NULL "nothing"; returns @text. */
const char *as_text(const struct as_mapping *mapping, char *text, size_t size);

struct as_block {
	size_t count;
	struct as_mapping mappings[AS_BLOCK];
};

struct address_space {
	struct as_block **blocks;
	size_t nr_blocks;
	size_t room;
	size_t count; /* of mappings */
};

/* The position of a mapping, valid until the next change. */
struct as_pos {
	size_t block;
	size_t slot;
};

void as_init(struct address_space *as);
void as_destroy(struct address_space *as);

/*
 * Applies @op. Returns 0, -ENOMEM, or -EINVAL with the reason in *@why if the operation does not
 * fit the space: a protect over a hole or with another s, p or g, a load or a move where nothing is
 * mapped, or a growth into a mapping. After -EINVAL the space is as before; after -ENOMEM call only
 * as_destroy().
 */
int as_apply(struct address_space *as, const struct trace_op *op, const char **why);

/* Returns the mapping that contains @addr, or NULL. */
const struct as_mapping *as_at(const struct address_space *as, uint64_t addr);
/* Finds the first mapping that ends at or above @addr, or NULL; as_next() goes on upwards. */
const struct as_mapping *as_from(const struct address_space *as, uint64_t addr, struct as_pos *pos);
const struct as_mapping *as_next(const struct address_space *as, struct as_pos *pos);
/*
 * Moves @pos down by one mapping, also from the end, and returns the mapping there. NULL: there is
 * none, and @pos stays.
 */
const struct as_mapping *as_prev(const struct address_space *as, struct as_pos *pos);

/*
 * Joins mappings into maximal runs: neighbours with the same object and flags and contiguous offset
 * (anonymous: just the same flags). Add mappings in order; as_runs_end() prints the last run.
 */
struct as_runs {
	FILE *out;
	struct as_mapping run;
	bool any;
	bool failed; /* a write to @out failed */
	size_t count;
};

void as_runs_begin(struct as_runs *runs, FILE *out);
void as_runs_add(struct as_runs *runs, const struct as_mapping *mapping);
void as_runs_end(struct as_runs *runs);

/* Returns the number of runs; SIZE_MAX: a write to @out failed. Call after as_runs_end(). */
size_t as_runs_count(const struct as_runs *runs);

/* Prints all runs as `addr length object offset flags` lines; returns as_runs_count(). */
size_t as_write_runs(const struct address_space *as, FILE *out);

#endif
