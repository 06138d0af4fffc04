/* SPDX-License-Identifier: MIT */
/*
 * The run of a job. But for what comes before it (its stores are announced, which may wait for a
 * grace period) and after it (markers are swept) it is within a signalling section: nothing there
 * allocates, frees, waits for anything but locks under which nobody does, or fails for want of
 * anything.
 *
 *   apply    under the VM's lock, all operations in one transaction: what each removes, makes and
 *            leaves over is noted in its record
 *   steps    the driver's, without a lock, from these notes
 *   unlist   what was removed leaves the objects' lists
 *   signal   the out-fences
 *
 * An object's list holds what a driver has to look after when the object's memory moves. So a new
 * mapping is on it before its step is called, and an old one until its step is over: in between
 * both are, and whoever moves the object invalidates both. Flags are carried to what is left of a
 * mapping under the same hold of the object's lock that puts it on the list, or an invalidation
 * could be lost.
 *
 * BIND_UNMAP_ALL removes any number of mappings, of which each may take a store. So the pair's
 * epoch is moved on, which hides them all from readers at once, right before the transaction is
 * committed, and then they are taken out, before the VM's lock is let go of: neighbours in one
 * store, with nodes that happen to be free, or else each is replaced by an empty marker, one slot
 * (sweep.c). The job's own later operations pass them over meanwhile because of `gone`. Where one
 * of these has overwritten a part, the rest is in pieces that still name the mapping, and go
 * likewise. New mappings of the pair get the epoch to come, and those that other operations take
 * out are spared: a reader may have found one of them a moment ago.
 */
#include "bind/bind_internal.h"

#include "gpuvm/change.h"
#include "gpuvm/object.h"
#include "gpuvm/split.h"
#include "tree/credits.h"

#include <errno.h>

/* ---- Apply ---- */

struct apply {
	struct gpuvm_queues *q;
	struct smri_bind_job *job;
	struct mt_txn txn;
	unsigned long in, out; /* mappings */
	bool unmaps_all;
};

static bool is_gone(const struct gpuva *va, void *arg)
{
	(void)arg;
	return smri_bind_va_of(va)->gone;
}

/* A mapping out of the job's list, for @op. */
static struct gpuva *new_va(struct apply *a, const struct smri_bind_op *op,
			    const struct gpuva_op_map *map)
{
	struct smri_bind_va *v = smr_pool_get(&a->job->vas);

	smr_assert(v);
	v->born = op->stamp;
	v->va.vm = a->q->vm;
	gpuva_init_from_op(&v->va, map);
	a->in++;
	return &v->va;
}

/* Puts @va on its object's list, with the flags of @old, or @flags. */
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

static struct gpuva *rest_of(struct apply *a, const struct smri_bind_op *op,
			     const struct gpuva_op_map *part, const struct gpuva *old)
{
	struct gpuva *va = new_va(a, op, part);

	link_va(va, old->vm_bo, old, 0);
	return va;
}

static void note_removed(struct apply *a, struct smri_bind_op *op, const struct gpuva *va,
			 bool keep)
{
	struct smri_bind_va *v = smri_bind_va_of(va);

	v->gone = 1;
	v->keep = keep;
	smr_pool_list_add(&op->removed, &v->obj);
	a->out++;
}

/* Notes what @op does to the mappings it meets. Their entries stay as they are. */
static void split(struct apply *a, struct smri_bind_op *op, const struct gpuva_op_map *map)
{
	struct smr_split s;
	struct gpuva_op *step;

	smr_split_begin(&s, a->q->vm, &a->txn.view, op->req.addr, op->req.range, map);
	s.gone = is_gone;
	while ((step = smr_split_next(&s))) {
		const struct gpuva_op_unmap *unmap = &step->unmap;

		if (step->op == GPUVA_OP_REMAP) {
			unmap = step->remap.unmap;
			if (step->remap.prev)
				op->prev = rest_of(a, op, step->remap.prev, unmap->va);
			if (step->remap.next)
				op->next = rest_of(a, op, step->remap.next, unmap->va);
		}
		smr_gpuva_spare(unmap->va);
		note_removed(a, op, unmap->va, unmap->keep);
	}
}

static void store(struct apply *a, const struct smri_bind_op *op)
{
	struct mt_credits *credits = a->job->credits ? a->job->credits : &a->q->credits;
	uint64_t first = op->req.addr, last = op->req.addr + (op->req.range - 1);
	struct smr_edges edges = { op->prev, op->next };
	struct gpuvm *vm = a->q->vm;
	int err;

	/* Nothing there, and nothing to put there. */
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

static void apply_unmap_all(struct apply *a, struct smri_bind_op *op)
{
	struct gpuvm_object *obj = op->req.obj;
	struct gpuva *va;

	a->unmaps_all = true;
	gpuvm_object_lock(obj);
	op->pair = gpuvm_bo_find(a->q->vm, obj);
	if (op->pair) {
		gpuvm_bo_for_each_va(va, op->pair)
		{
			if (!is_gone(va, NULL))
				note_removed(a, op, va, false);
		}
		op->pair->hides++;
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

/* What becomes of the VM. */
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
	smr_gpuvm_count(vm, a.in, a.out);
	gpuvm_unlock(vm);
	job->more = a.in;
	job->fewer = a.out;
}

/* ---- Steps ---- */

static int call_step(struct gpuvm_queues *q, const struct bind_step *step)
{
	return q->ops && q->ops->step ? smri_bind_answer(q->ops->step(q->vm, step, q->priv)) : 0;
}

/* The step of an unmap that cuts nothing. */
static int step_unmap(struct gpuvm_queues *q, struct smri_bind_va *v, unsigned int index,
		      void *cookie)
{
	struct gpuva_op op = { .op = GPUVA_OP_UNMAP, .unmap = { &v->va, v->keep } };
	struct bind_step step = { .op = &op, .index = index, .cookie = cookie };

	return call_step(q, &step);
}

static struct gpuva_op_map map_of(const struct gpuva *va)
{
	return (struct gpuva_op_map){ { va->va.addr, va->va.range },
				      { va->gem.obj, va->gem.offset } };
}

/* @v was cut: @prev and @next, or one of them, are what is left of it. */
static int step_remap(struct gpuvm_queues *q, struct smri_bind_va *v, struct gpuva *prev,
		      struct gpuva *next, unsigned int index, void *cookie)
{
	struct gpuva_op_map left, right;
	struct gpuva_op_unmap unmap = { &v->va, v->keep };
	struct gpuva_op op = { .op = GPUVA_OP_REMAP, .remap = { .unmap = &unmap } };
	struct bind_step step = {
		.op = &op, .prev = prev, .next = next, .index = index, .cookie = cookie
	};

	if (prev) {
		left = map_of(prev);
		op.remap.prev = &left;
	}
	if (next) {
		right = map_of(next);
		op.remap.next = &right;
	}
	return call_step(q, &step);
}

static int step_map(struct gpuvm_queues *q, struct gpuva *va, unsigned int index, void *cookie)
{
	struct gpuva_op op = { .op = GPUVA_OP_MAP, .map = map_of(va) };
	struct bind_step step = { .op = &op, .map = va, .index = index, .cookie = cookie };

	return call_step(q, &step);
}

static int steps_of_change(struct gpuvm_queues *q, struct smri_bind_op *op, unsigned int index)
{
	struct smri_bind_va *v;
	int err = 0;

	smri_bind_for_each(v, &op->removed)
	{
		struct gpuva *prev = &v->obj == op->removed.head ? op->prev : NULL;
		struct gpuva *next = !v->obj.next ? op->next : NULL;

		if (err)
			break;
		if (prev || next)
			err = step_remap(q, v, prev, next, index, op->cookie);
		else
			err = step_unmap(q, v, index, op->cookie);
	}
	return !err && op->map ? step_map(q, op->map, index, op->cookie) : err;
}

/* A prefetch, of the VM as it was after its operation. */
struct prefetch {
	struct gpuvm_queues *q;
	const struct smri_bind_op *op;
	uint64_t first, last; /* what is still to be looked at */
	bool looks_back;      /* at what later operations have removed */
};

static bool meets(const struct prefetch *p, const struct smri_bind_va *v)
{
	return v->born <= p->op->stamp && v->va.va.addr <= p->last &&
	       smr_va_last(&v->va) >= p->first;
}

/* The lowest mapping that is in the tree still. */
static struct gpuva *prefetch_in_tree(const struct prefetch *p)
{
	struct gpuvm *vm = p->q->vm;
	uint64_t first = p->first;
	struct gpuva *va = NULL;

	/* Only runners change the tree, so what is found stays. */
	gpuvm_read_lock(vm);
	while (first <= p->last && (va = smr_gpuvm_first(vm, first, p->last))) {
		if (va != &vm->kernel_alloc_node && smri_bind_va_of(va)->born <= p->op->stamp)
			break;
		first = smr_va_last(va) + 1;
		va = NULL;
	}
	gpuvm_read_unlock(vm);
	return va;
}

static struct gpuva *lower(struct gpuva *a, struct gpuva *b)
{
	return !a || (b && b->va.addr < a->va.addr) ? b : a;
}

/*
 * The lowest one that @later has removed. Those of a range are in ascending order, so what is
 * passed once need not be looked at again, nor what lies behind.
 */
static struct gpuva *prefetch_removed(const struct prefetch *p, struct smri_bind_op *later)
{
	bool ascending = later->req.type != BIND_UNMAP_ALL;
	struct gpuva *va = NULL;

	for (struct smri_bind_va *v = later->ahead; v; v = (struct smri_bind_va *)v->obj.next) {
		if (meets(p, v))
			va = lower(va, &v->va);
		if (ascending && (va || v->va.va.addr > p->last))
			break;
		if (ascending)
			later->ahead = (struct smri_bind_va *)v->obj.next;
	}
	return va;
}

static void look_back(struct prefetch *p)
{
	if (p->looks_back)
		return;
	p->looks_back = true;
	for (struct smri_bind_op *later = p->op->change; later; later = later->change)
		later->ahead = (struct smri_bind_va *)later->removed.head;
}

/*
 * The lowest one: in the tree, or removed by a later operation. Where one is in the tree that was
 * there already, nothing has been removed since.
 */
static struct gpuva *prefetch_next(struct prefetch *p)
{
	struct gpuva *va = prefetch_in_tree(p);

	if (va && va->va.addr <= p->first)
		return va;
	look_back(p);
	for (struct smri_bind_op *later = p->op->change; later; later = later->change)
		va = lower(va, prefetch_removed(p, later));
	return va;
}

static int steps_of_prefetch(struct gpuvm_queues *q, struct smri_bind_op *op, unsigned int index)
{
	struct prefetch p = { .q = q, .op = op, .first = op->req.addr };
	struct gpuva *va;
	int err = 0;

	p.last = op->req.addr + (op->req.range - 1);
	while (!err && p.first <= p.last && (va = prefetch_next(&p))) {
		struct gpuva_op prefetch = { .op = GPUVA_OP_PREFETCH, .prefetch = { va } };
		struct bind_step step = { .op = &prefetch, .index = index, .cookie = op->cookie };

		err = call_step(q, &step);
		p.first = smr_va_last(va) + 1;
	}
	return err;
}

/* Prefetches look at these alone, and there may be many of both in a job. */
static void chain_changes(struct smri_bind_job *job)
{
	struct smri_bind_op *op, *before = (struct smri_bind_op *)job->ops.head;

	smri_bind_for_each(op, &job->ops)
	{
		if (!op->removed.head)
			continue;
		for (; before != op; before = (struct smri_bind_op *)before->obj.next)
			before->change = op;
	}
}

static int steps(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	unsigned int index = 0;
	int err = 0;

	chain_changes(job);
	smri_bind_for_each(op, &job->ops)
	{
		if (err)
			break;
		err = op->req.type == BIND_PREFETCH ? steps_of_prefetch(q, op, index)
						    : steps_of_change(q, op, index);
		index++;
	}
	return err;
}

void smri_bind_unlist(struct smr_pool_list *removed)
{
	struct smri_bind_va *v;

	smri_bind_for_each(v, removed)
	{
		struct gpuvm_object *obj = v->va.gem.obj;

		if (!obj)
			continue;
		gpuvm_object_lock(obj);
		smr_gpuva_unlist(&v->va);
		gpuvm_object_unlock(obj);
	}
}

/* ---- The whole ---- */

void smri_bind_signal(struct fence *f, struct timeline *tl, uint64_t value, int error)
{
	/* One that is signalled already, or a value that is reached, stays as it is. */
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

/* Announces the job's stores; counts a wait. CONTEXT: no lock, no section. */
static void announce(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct mt_credits *credits = job->credits ? job->credits : &q->credits;

	if (job->stores == 0 || !smr_credits_begin(credits, job->stores))
		return;
	mt_lock_acquire(&q->lock);
	q->stats.grace_waits++;
	mt_lock_release(&q->lock);
}

int smri_bind_carry_out(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	int err = steps(q, job);

	smri_bind_for_each(op, &job->ops) smri_bind_unlist(&op->removed);
	if (err)
		bind_vm_ban(q->vm);
	return err;
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
		job->error = smri_bind_carry_out(q, job);
	}
	signal_out(job);
	smri_bind_section_end(q);
	if (!job->cancel)
		smri_bind_sweep_left(q);
}
