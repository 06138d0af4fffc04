/* SPDX-License-Identifier: MIT */
/*
 * Gathers the steps of one request into one store.
 *
 * Made step by step, a request over k mappings is up to k + 1 changes of the index. But together
 * they are one store: of the new mapping, or of nothing, over the whole of the request. It cuts the
 * mappings at the request's ends, and what is left of these becomes prev and next (tree/edges.h).
 * So while the steps of gpuvm_sm_map() and gpuvm_sm_unmap() run, gpuva_unmap() and gpuva_remap() of
 * the mapping that the walk is at only note what they do; gpuva_map() of the request, or the end of
 * the walk, makes that store:
 *
 *      before    |===1===|==2==|  |===3===|
 *      request       |###############|
 *      after     |=p=|###############|=n==|
 *
 * Readers without the lock see all of it at one moment, which is later than the steps, so they may
 * find what a step takes out until the walk is over.
 *
 * The thread that walks must not be able to tell. If in a step it asks the VM for anything, or
 * changes anything other than as the step asks, what was gathered is stored first. From then on
 * each step of the walk is a change of its own. The same goes if a step changes nothing, or fails.
 *
 * Memory. gpuva_remap() must not succeed and then turn out to have no memory. So the first one that
 * is gathered gets the nodes for any one store in a tree of this height, or the one node that the
 * store takes if it surely stays in one leaf; or there is a change that was paid for beforehand.
 * Unmaps need none: if there is no memory for them at the end, each leaves its marker. While
 * credits are out that the walk may not use, a store can take more nodes than its own, so nothing
 * is gathered then.
 *
 * The draft. Which leaf a map makes depends on the request and on the leaf that is there, and not
 * on the mappings, except for the entries. So if the store takes just one leaf, that is built
 * before the first step, while the mappings, which have been prefetched, are on their way from
 * memory; the map step only fills in the entries, edges too, and publishes the leaf. If the walk
 * does not get there, the draft becomes a free node again: the one that was secured.
 */
#include "gpuvm/batch.h"
#include "gpuvm/change.h"
#include "lock/section.h"
#include "tree/draft.h"
#include "tree/pledge.h"
#include "tree/store.h"

smr_thread_local struct smri_batch *smri_batch_mine __attribute__((visibility("hidden")));

/* ---- Storing ---- */

/*
 * Stores @entry and the edges, with the nodes that @mas owns or a credit: 0, or -ENOMEM if neither
 * was secured.
 */
static int store_new(struct smri_batch *b, struct ma_state *mas, uint64_t first, uint64_t last,
		     struct gpuva *entry)
{
	int err;

	if (entry || b->secured)
		err = smri_gpuvm_store(b->vm, mas, first, last, entry, b->edges);
	else
		err = smri_gpuvm_clear_unpaid(b->vm, mas, first, last, b->edges);
	smr_assert(!err || !b->secured);
	return err;
}

/* The same with the draft, which cannot fail. */
static void store_draft(struct smri_batch *b, struct ma_state *mas, uint64_t first, uint64_t last,
			struct gpuva *entry)
{
	long markers = smr_gpuvm_markers_under(b->vm, &b->vm->tree, first, last);

	smr_draft_store(&b->draft, mas, first, last, entry, b->edges);
	b->vm->markers -= (unsigned long)markers;
}

/* The same, with the draft if there is one. After success nothing is gathered any more. */
static int store(struct smri_batch *b, struct ma_state *mas, uint64_t first, uint64_t last,
		 struct gpuva *entry)
{
	int err = 0;

	if (b->draft.leaf)
		store_draft(b, mas, first, last, entry);
	else
		err = store_new(b, mas, first, last, entry);
	if (err)
		return err;
	b->has_changes = b->secured = false;
	b->edges = SMR_NO_EDGES;
	return 0;
}

static void flush(struct smri_batch *b)
{
	struct ma_state mas;

	smr_draft_drop(&b->draft, &b->split->mas);
	mas = b->split->mas;
	/* The walk goes on from where it is. */
	b->split->mas.alloc = NULL;
	b->split->mas.alloc_nr = 0;
	if (b->has_changes && store(b, &mas, b->first, b->last, NULL)) {
		smr_gpuvm_leave_markers(b->vm, b->first, b->last);
		b->has_changes = false;
	}
	mas_destroy(&mas);
}

/* Stores what has been gathered, and gathers no more in this walk. Returns 0. */
static int stop_gathering(struct smri_batch *b)
{
	flush(b);
	b->gathering = false;
	return 0;
}

void smri_batch_flush(const struct gpuvm *vm)
{
	for (struct smri_batch *b = smri_batch_mine; b; b = b->outer)
		if (b->vm == vm)
			stop_gathering(b);
}

/* ---- The walk ---- */

void smri_batch_begin(struct smri_batch *b, struct gpuvm *vm, struct smr_split *split)
{
	smr_gpuvm_flush_batch(vm);
	b->vm = vm;
	b->outer = smri_batch_mine;
	b->split = split;
	b->op = NULL;
	b->gathering = true;
	b->step_gathered = b->has_changes = b->secured = false;
	b->edges = SMR_NO_EDGES;
	b->draft.leaf = NULL;
	b->in = b->out = 0;
	smri_batch_mine = b;
}

void smri_batch_prepare(struct smri_batch *b)
{
	struct smr_split *s = b->split;

	smr_split_prefetch(s);
	if (!s->req || smr_has_credits(&b->vm->tree))
		return;
	smr_draft_begin(&b->draft, &s->mas, s->addr, s->last);
	b->secured = b->draft.leaf != NULL;
}

void smri_batch_step(struct smri_batch *b, const struct gpuva_op *op)
{
	if (b->gathering && b->op && !b->step_gathered)
		stop_gathering(b);
	b->op = op;
	b->step_gathered = false;
}

void smri_batch_end(struct smri_batch *b)
{
	struct ma_state *mas = &b->split->mas;

	smr_draft_drop(&b->draft, mas);
	if (b->has_changes && store(b, mas, b->first, b->last, NULL))
		smr_gpuvm_leave_markers(b->vm, b->first, b->last);
	mas_destroy(mas);
	smri_batch_mine = b->outer;
	for (; b->in > b->out; b->in--)
		gpuvm_get(b->vm);
	for (; b->out > b->in; b->out--)
		gpuvm_put(b->vm);
}

/* ---- Changes ---- */

/*
 * Returns the thread's walk if it gathers and is at a step of @type in @vm; otherwise NULL, and
 * what walks of @vm have gathered is stored.
 */
static struct smri_batch *batch_at_step(const struct gpuvm *vm, enum gpuva_op_type type)
{
	struct smri_batch *b = smri_batch_mine;

	if (!b)
		return NULL;
	if (b->vm == vm && b->gathering && !b->step_gathered && b->op->op == type)
		return b;
	smri_batch_flush(vm);
	return NULL;
}

static void vacate(struct smri_batch *b, uint64_t first, uint64_t last)
{
	if (!b->has_changes)
		b->first = first;
	b->last = last;
	b->has_changes = b->step_gathered = true;
}

int smri_batch_unmap(struct gpuva *va)
{
	struct smri_batch *b = batch_at_step(va->vm, GPUVA_OP_UNMAP);

	if (!b)
		return 0;
	if (va != b->op->unmap.va)
		return stop_gathering(b);
	vacate(b, va->va.addr, smr_va_last(va));
	return 1;
}

/* Secures memory for one store, whatever it will be: 1; 0: it cannot be had beforehand; -ENOMEM. */
static int secure(struct smri_batch *b)
{
	struct ma_state *mas = &b->split->mas;
	unsigned long nr;
	int err;

	if (b->secured)
		return 1;
	if (!smri_gpuvm_is_paid(b->vm)) {
		if (smr_has_credits(&b->vm->tree))
			return stop_gathering(b);
		nr = smr_nodes_within(mas, b->split->addr, b->split->last);
		err = smr_cursor_fill(mas, nr, GFP_NOWAIT | __GFP_NOWARN);
		if (err && !smr_in_section())
			err = smr_cursor_fill(mas, nr, GFP_KERNEL);
		if (err)
			return err;
	}
	b->secured = true;
	return 1;
}

int smri_batch_remap(struct gpuva *prev, struct gpuva *next, const struct gpuva_op_remap *op)
{
	struct smri_batch *b = batch_at_step(op->unmap->va->vm, GPUVA_OP_REMAP);
	int err;

	if (!b)
		return 0;
	if (op != &b->op->remap)
		return stop_gathering(b);
	err = secure(b);
	if (err <= 0)
		return err;
	if (op->prev)
		b->edges.left = prev;
	if (op->next)
		b->edges.right = next;
	vacate(b, op->prev ? b->split->addr : op->unmap->va->va.addr,
	       op->next ? b->split->last : smr_va_last(op->unmap->va));
	return 1;
}

int smri_batch_map(struct gpuvm *vm, struct gpuva *va)
{
	struct smri_batch *b = batch_at_step(vm, GPUVA_OP_MAP);
	const struct gpuva_op_map *op = b ? &b->op->map : NULL;
	int err;

	if (!b)
		return 0;
	if (va->va.addr != op->va.addr || va->va.range != op->va.range ||
	    va->gem.obj != op->gem.obj || va->gem.offset != op->gem.offset)
		return stop_gathering(b);
	err = store(b, &b->split->mas, op->va.addr, smr_va_last(va), va);
	if (err) {
		stop_gathering(b);
		return err;
	}
	b->step_gathered = true;
	return 1;
}
