/* SPDX-License-Identifier: MIT */
/*
 * Runs jobs. Except for what comes before it (its stores are announced, which may wait for a
 * grace period) and after it (markers are swept), it is within a signalling section: nothing there
 * allocates, frees, waits (but for locks under which nobody does any of these), or fails for lack
 * of anything.
 *
 *   apply    under the VM's lock, all operations in one transaction: what each removes, makes and
 *            leaves over is noted in its record
 *   steps    the driver's, without a lock, from these notes (steps.c)
 *   unlist   what was removed leaves the objects' lists (steps.c, too)
 *   signal   the out-fences
 *
 * An object's list holds what a driver has to look after when the object's memory moves. So a new
 * mapping is on it before its step is called, and an old one until its step is over: in between
 * both are, and a thread that moves the object invalidates both. Flags are carried to what is left
 * of a mapping in the same critical section of the object's lock that puts it on the list, or an
 * invalidation could be lost.
 *
 * BIND_UNMAP_ALL removes any number of mappings, each of which may take a store. So the pair's
 * epoch is moved on right before the transaction is committed, which hides them all from readers at
 * once. Then, before the VM's lock is released, they are taken out: neighbours in one store, with
 * nodes that happen to be free; otherwise each is replaced by an empty marker, one slot (sweep.c).
 * Before the commit the job's later operations pass them over because of `gone`. If one of these
 * has overwritten a part, the rest is in pieces that still name the mapping, and goes in the same
 * way.
 * New mappings of the pair get the epoch to come. Mappings that other operations take out are
 * spared, because a reader may have found one of them a moment ago.
 */
#include "bind/bind_internal.h"

#include "gpuvm/change.h"
#include "gpuvm/list.h"
#include "gpuvm/object.h"
#include "gpuvm/split.h"
#include "tree/credits.h"

#include <errno.h>

/* ---- Apply ---- */

struct apply {
	struct gpuvm_queues *q;
	struct smri_bind_job *job;
	struct mt_txn txn;
	bool unmaps_all;
};

static bool is_gone(const struct gpuva *va, void *arg)
{
	(void)arg;
	return smri_bind_va_of(va)->gone;
}

/* Makes one of the job's reserved mappings @map, for @op. */
static struct gpuva *new_va(struct apply *a, const struct smri_bind_op *op,
			    const struct gpuva_op_map *map)
{
	struct smri_bind_va *v = smr_pool_get(&a->job->vas);

	smr_assert(v);
	v->born = op->stamp;
	v->va.vm = a->q->vm;
	gpuva_init_from_op(&v->va, map);
	a->job->vas_added++;
	return &v->va;
}

/* Puts @va on its object's list, with the flags of @old or, if that is NULL, @flags. */
static void link_va(struct gpuva *va, struct gpuvm_bo *pair, const struct gpuva *old,
		    unsigned int flags)
{
	if (pair)
		gpuvm_object_lock(pair->obj);
	smr_store(&va->flags, old ? smr_load(&old->flags, RELAXED) : flags, RELAXED);
	if (pair) {
		gpuva_link(va, pair);
		va->epoch += pair->hides;
		gpuvm_object_unlock(pair->obj);
	}
}

static struct gpuva *new_remainder(struct apply *a, const struct smri_bind_op *op,
				   const struct gpuva_op_map *part, const struct gpuva *old)
{
	struct gpuva *va = new_va(a, op, part);

	link_va(va, old->vm_bo, old, 0);
	return va;
}

void smri_bind_note_removed(struct smri_bind_job *job, struct smri_bind_op *op,
			    const struct gpuva *va, bool keep)
{
	struct smri_bind_va *v = smri_bind_va_of(va);

	v->gone = 1;
	v->keep = keep;
	smr_pool_list_add(&op->removed, &v->obj);
	job->vas_removed++;
}

/* Notes what @op does to the mappings it meets. Their entries in the tree stay as they are. */
static void split(struct apply *a, struct smri_bind_op *op, const struct gpuva_op_map *map)
{
	struct smr_split s;
	struct gpuva_op *step;

	smr_split_begin(&s, a->q->vm, &a->txn.view, op->req.addr, op->req.range, map);
	s.is_gone = is_gone;
	while ((step = smr_split_next(&s))) {
		const struct gpuva_op_unmap *unmap = &step->unmap;

		if (step->op == GPUVA_OP_REMAP) {
			unmap = step->remap.unmap;
			if (step->remap.prev)
				op->prev = new_remainder(a, op, step->remap.prev, unmap->va);
			if (step->remap.next)
				op->next = new_remainder(a, op, step->remap.next, unmap->va);
		}
		smr_gpuva_spare(unmap->va);
		smri_bind_note_removed(a->job, op, unmap->va, unmap->keep);
	}
}

static void store(struct apply *a, const struct smri_bind_op *op)
{
	struct mt_credits *credits = a->job->credits ? a->job->credits : &a->q->credits;
	uint64_t first = op->req.addr, last = op->req.addr + (op->req.range - 1);
	struct smr_edges edges = { op->prev, op->next };
	struct gpuvm *vm = a->q->vm;
	int err;

	/* Nothing is there, and there is nothing to put there. */
	if (!op->map && !op->removed.head)
		return;
	vm->markers -= (unsigned long)smr_gpuvm_markers_under(vm, &a->txn.view, first, last);
	err = smr_txn_store_credit(&a->txn, first, last, op->map, edges, credits);
	smr_assert(!err);
	(void)err;
	a->job->stores--;
}

static void apply_map(struct apply *a, struct smri_bind_op *op)
{
	struct gpuva_op_map map = { { op->req.addr, op->req.range },
				    { op->req.obj, op->req.offset } };

	split(a, op, &map);
	op->map = new_va(a, op, &map);
	link_va(op->map, op->pair, NULL, op->req.flags);
	store(a, op);
}

static void apply_unmap(struct apply *a, struct smri_bind_op *op)
{
	split(a, op, NULL);
	store(a, op);
}

/*
 * Returns the first mapping that no earlier BIND_UNMAP_ALL of the job has met; those before it are
 * gone.
 */
static struct gpuva *first_unhidden(const struct gpuvm_bo *pair)
{
	const struct gpuvm_list *head = &pair->list.gpuva, *link = head;
	struct gpuva *va = NULL, *before;

	if (pair->hides == 0)
		return gpuvm_bo_first_va(pair);
	for (; link->prev != head; link = link->prev, va = before) {
		before = smr_list_entry(link->prev, struct gpuva, gem.entry);
		if (smri_bind_va_of(before)->born < pair->hidden_at)
			break;
	}
	return va;
}

static void apply_unmap_all(struct apply *a, struct smri_bind_op *op)
{
	struct gpuvm_object *obj = op->req.obj;
	struct gpuva *va;

	a->unmaps_all = true;
	gpuvm_object_lock(obj);
	op->pair = gpuvm_bo_find(a->q->vm, obj);
	if (op->pair) {
		for (va = first_unhidden(op->pair); va; va = gpuvm_bo_next_va(op->pair, va))
			if (!is_gone(va, NULL))
				smri_bind_note_removed(a->job, op, va, false);
		op->pair->hides++;
		op->pair->hidden_at = op->stamp;
	}
	gpuvm_object_unlock(obj);
}

static void apply_op(struct apply *a, struct smri_bind_op *op)
{
	op->stamp = ++a->q->stamp;
	switch (op->req.type) {
	case BIND_MAP:
		apply_map(a, op);
		break;
	case BIND_UNMAP:
		apply_unmap(a, op);
		break;
	case BIND_UNMAP_ALL:
		apply_unmap_all(a, op);
		break;
	case BIND_PREFETCH:
		break;
	}
}

static void hide_all(struct smri_bind_job *job)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &job->ops)
	{
		if (op->req.type != BIND_UNMAP_ALL || !op->pair)
			continue;
		gpuvm_object_lock(op->req.obj);
		smr_gpuvm_bo_hide(op->pair);
		op->pair->hides--;
		gpuvm_object_unlock(op->req.obj);
	}
}

static void erase_all(struct gpuvm_queues *q, const struct smri_bind_job *job)
{
	const struct smri_bind_op *op;

	smri_bind_for_each(op, &job->ops)
	{
		if (op->req.type == BIND_UNMAP_ALL)
			smri_bind_erase_all(q, &op->removed);
	}
}

/* Applies the job's operations to the VM. */
static void apply(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct apply a = { .q = q, .job = job };
	struct gpuvm *vm = q->vm;
	struct smri_bind_op *op;

	gpuvm_lock(vm);
	mt_txn_begin(&a.txn, &vm->tree);
	smri_bind_for_each(op, &job->ops) apply_op(&a, op);
	if (a.unmaps_all)
		hide_all(job);
	mt_txn_commit(&a.txn);
	if (a.unmaps_all)
		erase_all(q, job);
	smr_gpuvm_count(vm, job->vas_added, job->vas_removed);
	gpuvm_unlock(vm);
}

/* ---- The whole ---- */

void smri_bind_signal(struct fence *f, struct timeline *tl, uint64_t value, int error)
{
	/* A fence that is signalled already, or a value that is reached, stays as it is. */
	if (f)
		(void)fence_signal_error(f, error);
	else
		(void)timeline_signal_error(tl, value, error);
}

static void signal_out(struct smri_bind_job *job)
{
	struct smri_bind_sync *out;

	if (job->done)
		smri_bind_signal(job->done, NULL, 0, job->error);
	smri_bind_for_each(out, &job->out)
		smri_bind_signal(out->fence, out->timeline, out->value, job->error);
}

/*
 * Announces the job's stores, and counts the wait if there was one. CONTEXT: no lock, no section.
 */
static void announce(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct mt_credits *credits = job->credits ? job->credits : &q->credits;

	if (job->stores == 0 || !smr_credits_begin(credits, job->stores))
		return;
	mt_lock_acquire(&q->lock);
	q->stats.grace_waits++;
	mt_lock_release(&q->lock);
}

void smri_bind_section_begin(struct gpuvm_queues *q)
{
	fence_begin_signalling();
	if (q->ops && q->ops->run_begin)
		q->ops->run_begin(q->vm, q->priv);
}

void smri_bind_section_end(struct gpuvm_queues *q)
{
	if (q->ops && q->ops->run_end)
		q->ops->run_end(q->vm, q->priv);
	fence_end_signalling();
}

void smri_bind_run(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	if (!job->cancel)
		announce(q, job);
	smri_bind_section_begin(q);
	job->error = -ECANCELED;
	if (!job->cancel) {
		apply(q, job);
		job->error = smri_bind_run_steps(q, job);
	}
	signal_out(job);
	smri_bind_section_end(q);
	if (!job->cancel)
		smri_bind_sweep_deferred(q);
}
