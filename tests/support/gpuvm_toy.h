/* SPDX-License-Identifier: MIT */
/*
 * A toy driver: a VM that its user drives, with objects A, B, ... Steps are carried out as
 * docs/gpuvm.md says, and written down as in docs/gpuvm-script.md: U(10+10=A@100 k0)
 * R(... p:... n:...) M(...) P(...).
 */
#ifndef TESTS_SUPPORT_GPUVM_TOY_H
#define TESTS_SUPPORT_GPUVM_TOY_H

#include <samara/gpuvm.h>

#define TOY_OBJECTS 6
#define TOY_TEXT 16384

/* What is in magic: of one that is alive, and of a freed one. */
enum { TOY_ALIVE = 0x600dca11, TOY_DEAD = 0x0eadca11 };

struct toy_va {
	struct gpuva va; /* first */
	struct toy_va *dead;
	unsigned int magic;
	unsigned long born; /* counts up from mapping to mapping */
};

struct toy {
	struct gpuvm vm; /* first */
	struct gpuvm_object objs[TOY_OBJECTS];
	struct gpuvm_object r_obj;
	bool apply; /* carry steps out, or only write them down */
	/* Is shown each step in place of its being written down. */
	void (*watch)(struct toy *toy, const struct gpuva_op *op);
	void *watch_arg;
	int fail_step;       /* the step of that number (from 1) returns -EIO instead */
	unsigned int steps;  /* since the log was cleared */
	unsigned int freed;  /* calls of vm_free */
	unsigned long born;  /* mappings allocated, */
	long live;           /* and not freed */
	struct toy_va *dead; /* taken out, and freed by toy_reap() */
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

/* 0 or what gpuvm_init() says. */
int toy_init(struct toy *toy, const struct toy_config *config);
/* Removes and frees all mappings, drops the VM and the objects; false: something was left. */
bool toy_destroy(struct toy *toy);

/* A new mapping, not in the VM; and one that is in no VM any more. */
struct gpuva *toy_new_va(struct toy *toy);
void toy_bury(struct toy *toy, struct gpuva *va);
/* Waits for readers, then frees what was taken out. VM lock not needed. */
void toy_reap(struct toy *toy);

/* Object @index; -1: none. */
struct gpuvm_object *toy_obj(struct toy *toy, int index);

/* Inserts and links: 0 or a negative errno. VM lock held. */
int toy_insert(struct toy *toy, uint64_t addr, uint64_t range, int obj, uint64_t offset);
/* Takes all mappings out. VM lock held. */
void toy_clear(struct toy *toy);

/* Carries one operation out. VM lock held. */
int toy_apply(struct toy *toy, const struct gpuva_op *op);
/* All of a list, each also written down. */
int toy_apply_list(struct toy *toy, struct gpuva_ops *ops);

/* Writes one operation down. */
void toy_log_op(struct toy *toy, const struct gpuva_op *op);
/* The log of steps, "(none)" if there were none, and a new one begun. */
const char *toy_log(struct toy *toy);
void toy_clear_log(struct toy *toy);
/* Is vm->markers how many there are in the tree? VM lock held. */
bool toy_markers_counted(const struct gpuvm *vm);
/* All mappings, ascending: "[10+8=A@100 20+8=-@0]". VM lock or read-side section held. */
void toy_dump(struct toy *toy, char *text, size_t size);
/* One mapping, "NULL", or "K" for the reserved region. */
void toy_print_va(struct toy *toy, const struct gpuva *va, char *text, size_t size);

#endif
