/* SPDX-License-Identifier: MIT */
/* Gathers the steps of a walk into one change of the index: see batch.c. */
#ifndef SMR_GPUVM_BATCH_H
#define SMR_GPUVM_BATCH_H

#include "gpuvm/split.h"
#include "tree/draft.h"

/* A walk of gpuvm_sm_map() or gpuvm_sm_unmap() that the calling thread is in. */
struct smri_batch {
	struct gpuvm *vm;
	struct smri_batch *outer; /* a walk of another VM, whose step began this one */
	struct smr_split *split;
	const struct gpuva_op *op; /* the current step */
	bool gathering;            /* steps are gathered */
	bool step_gathered;        /* the current step has been gathered */
	bool has_changes;          /* something is gathered */
	uint64_t first, last;      /* the range vacated so far */
	struct smr_edges edges;    /* mappings to be stored at its ends */
	bool secured;              /* there is memory for the store */
	struct smr_draft draft;    /* of the store that the map step makes */
	unsigned long in, out;     /* mappings whose references to the VM are yet to be counted */
};

extern smr_thread_local struct smri_batch *smri_batch_mine __attribute__((visibility("hidden")));

/*
 * Returns the walk of @vm that the thread is in, or NULL. It may be an outer one, whose step began
 * a walk of another VM.
 */
smr_inline struct smri_batch *smri_batch_of(const struct gpuvm *vm)
{
	struct smri_batch *b = smri_batch_mine;

	while (b && b->vm != vm)
		b = b->outer;
	return b;
}

/* Begin and end a walk. The end stores what has been gathered. CONTEXT: HOLDS the VM's lock. */
void smri_batch_begin(struct smri_batch *b, struct gpuvm *vm, struct smr_split *split);
void smri_batch_end(struct smri_batch *b);
/* Looks up where the walk begins, and drafts a map's store while the mappings come from memory. */
void smri_batch_prepare(struct smri_batch *b);
/* Call before each step. */
void smri_batch_step(struct smri_batch *b, const struct gpuva_op *op);

/*
 * Gathers a change if it is what the current step asks for: 1. Otherwise stores what has been
 * gathered, and the caller must make the change by itself: 0. -ENOMEM: no memory for it, and
 * nothing has changed. A map is stored at once, with all that was gathered.
 */
int smri_batch_unmap(struct gpuva *va);
int smri_batch_remap(struct gpuva *prev, struct gpuva *next, const struct gpuva_op_remap *op);
int smri_batch_map(struct gpuvm *vm, struct gpuva *va);

void smri_batch_flush(const struct gpuvm *vm);

/*
 * Call before the thread looks at @vm's index other than through its walk, so that it sees what its
 * steps have done.
 */
smr_inline void smr_gpuvm_flush_batch(const struct gpuvm *vm)
{
	if (smr_unlikely(smri_batch_mine))
		smri_batch_flush(vm);
}

#endif
