/* SPDX-License-Identifier: MIT */
/*
 * Keeps the mappings of a trace in a GPU VM, and reads them back.
 *
 * Addresses and offsets are bytes. An object of the trace is a gpuvm_object. So is private
 * anonymous memory, all of it one object, in which the offset of each address is the address
 * itself, so that adjacent pieces continue each other. The trace's flags are the VM's user bits.
 */
#ifndef SAMARA_TOOL_MAPPED_H
#define SAMARA_TOOL_MAPPED_H

#include <samara/gpuvm.h>
#include <stdatomic.h>
#include <stdio.h>

#include "model/address_space.h"
#include "softgpu.h"

/* An object of the trace, or, with id 0, anonymous memory. */
struct vm_object {
	struct sg_object base; /* without frames only its gpuvm_object is used */
	uint64_t id;
};

/* A mapping in the VM. */
struct vm_mapping {
	struct gpuva va;
	atomic_bool stale;            /* no reader can see it any more */
	struct vm_mapping *next_gone; /* through_gpuvm.c: removed before it, by the same walk */
};

/* What one address holds, whatever the bounds of the mapping around it. */
struct content {
	bool mapped;
	unsigned int flags;
	uint64_t object, offset;
};

static inline unsigned int flags_to_va(unsigned int flags)
{
	return flags * GPUVA_USERBITS;
}

/* Objects by id. */
struct vm_objects {
	struct vm_object *object; /* ascending */
	size_t nr;
};

/*
 * Makes one object for each id that @trace maps, and one for 0. Returns 0 or -ENOMEM. With @frames
 * they have memory, which the software GPU can write to; if it is NULL, they are mere names.
 */
int vm_objects_init(struct vm_objects *objects, const struct trace *trace, struct sg_pool *frames);
/* CONTEXT: no VM has mappings of them. */
void vm_objects_destroy(struct vm_objects *objects);
/* Returns NULL if there is none. */
struct gpuvm_object *vm_objects_find(const struct vm_objects *objects, uint64_t id);

/* Reads what @addr holds, in @va, which may be NULL, or in the model. */
struct content content_read(const struct gpuva *va, uint64_t addr);
struct content content_expected(const struct address_space *model, uint64_t addr);
bool content_equal(const struct content *a, const struct content *b);
/* "nothing", or object, offset and flags; returns @text. */
const char *content_text(const struct content *content, char *text, size_t size);

/*
 * Compares the whole VM with the model. Returns 0, or -EUCLEAN with the first difference in @why of
 * @size bytes. CONTEXT: as for look-ups, and the VM does not change meanwhile.
 */
int vm_check_all(struct gpuvm *vm, const struct address_space *model, char *why, size_t size);
/*
 * Compares only [first..last], where @pieces, cut at its ends, must be all that is mapped.
 * Allocates nothing.
 */
int vm_check_range(struct gpuvm *vm, uint64_t first, uint64_t last, const struct as_mapping *pieces,
		   size_t nr, char *why, size_t size);
/* Prints the maximal runs (as_write_runs()) of @vm, a struct gpuvm. Returns as_runs_count(). */
size_t vm_write_runs(void *vm, FILE *out);

#endif
