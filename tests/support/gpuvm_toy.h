/* SPDX-License-Identifier: MIT */
/*
 * A toy driver: a VM with objects A, B, ... that the test drives. Steps are carried out as
 * docs/gpuvm.md says and logged in the notation of docs/gpuvm-script.md: U(10+10=A@100 k0) R(...
 * p:... n:...) M(...) P(...).
 */
#ifndef TESTS_SUPPORT_GPUVM_TOY_H
#define TESTS_SUPPORT_GPUVM_TOY_H

#include <samara/gpuvm.h>

#define TOY_OBJECTS 6
#define TOY_TEXT 16384

/* Values of magic: of a live mapping and of a freed one. */
enum { TOY_ALIVE = 0x600dca11, TOY_DEAD = 0x0eadca11 };

struct toy_va {
	struct gpuva va; /* first */
	struct toy_va *dead;
	unsigned int magic;
	unsigned long born; /* a number that grows with each mapping */
};

struct toy {
	struct gpuvm vm; /* first */
	struct gpuvm_object objs[TOY_OBJECTS];
	struct gpuvm_object r_obj;
	bool apply; /* carry steps out; false: only log them */
	/* If set, called for each step instead of logging it. */
	void (*watch)(struct toy *toy, const struct gpuva_op *op);
	void *watch_arg;
	int fail_step;       /* the step with this number (from 1) returns -EIO */
	unsigned int steps;  /* since the log was cleared */
	unsigned int freed;  /* calls of vm_free */
	unsigned long born;  /* mappings allocated, */
	long live;           /* and not freed */
	struct toy_va *dead; /* removed; toy_reap() frees them */
	char log[TOY_TEXT];
	size_t log_len;
};

struct toy_config {
	uint64_t start, range, reserve_start, reserve_range;
	unsigned int flags;
	bool external; /* each object has a resv of its own */
	struct mt_mem *mem;
};

extern const struct gpuvm_ops toy_ops;

/* Returns 0 or an error of gpuvm_init() or gpuvm_set_mem(). */
int toy_init(struct toy *toy, const struct toy_config *config);
/*
 * Removes and frees all mappings, drops the VM and the objects; returns false if something was
 * left.
 */
bool toy_destroy(struct toy *toy);

/* Allocates a mapping that is in no VM; toy_bury() takes one that is no longer in any. */
struct gpuva *toy_new_va(struct toy *toy);
void toy_bury(struct toy *toy, struct gpuva *va);
/* Waits for readers, then frees the buried mappings. Does not need the VM lock. */
void toy_reap(struct toy *toy);

/* Returns object @index; -1: NULL. */
struct gpuvm_object *toy_obj(struct toy *toy, int index);

/* Inserts and links a mapping; returns 0 or a negative errno. VM lock held. */
int toy_insert(struct toy *toy, uint64_t addr, uint64_t range, int obj, uint64_t offset);
/* Removes all mappings. VM lock held. */
void toy_clear(struct toy *toy);

/* Carries out one operation. VM lock held. */
int toy_apply(struct toy *toy, const struct gpuva_op *op);
/* Carries out and logs each operation of a list, up to the first error. */
int toy_apply_list(struct toy *toy, struct gpuva_ops *ops);

/* Logs one operation. */
void toy_log_op(struct toy *toy, const struct gpuva_op *op);
/* Returns the log of steps, "(none)" if empty. toy_clear_log() starts a new one. */
const char *toy_log(struct toy *toy);
void toy_clear_log(struct toy *toy);
/* Whether vm->markers is the number of markers in the tree. VM lock held. */
bool toy_markers_counted(const struct gpuvm *vm);
/*
 * Prints all mappings in ascending order: "[10+8=A@100 20+8=-@0]". VM lock held, or in a read-side
 * critical section.
 */
void toy_dump(struct toy *toy, char *text, size_t size);
/* Prints one mapping, "NULL", or "K" for the reserved region. */
void toy_print_va(struct toy *toy, const struct gpuva *va, char *text, size_t size);

#endif
