/* SPDX-License-Identifier: MIT */
/*
 * What a job's run tells the driver, without a lock, from the notes made when the job was applied:
 * the steps of each operation in turn, and what a prefetch meets. CONTEXT: a signalling section.
 */
#include "bind/bind_internal.h"

#include "gpuvm/object.h"
#include "gpuvm/vm.h"

static int call_step(struct gpuvm_queues *q, const struct bind_step *step)
{
	return q->ops && q->ops->step ? smri_bind_driver_result(q->ops->step(q->vm, step, q->priv))
				      : 0;
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

/* A prefetch, which sees the VM as the operations before it have left it. */
struct prefetch {
	struct gpuvm_queues *q;
	const struct smri_bind_op *op;
	uint64_t first, last; /* still to be looked at */
	bool looks_back;      /* at what later operations have removed */
};

static bool meets(const struct prefetch *p, const struct smri_bind_va *v)
{
	return v->born <= p->op->stamp && v->va.va.addr <= p->last &&
	       smr_va_last(&v->va) >= p->first;
}

/* Returns the lowest mapping for the prefetch that is still in the tree. */
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
 * Returns the lowest mapping for the prefetch that @later has removed. An operation on a range
 * removes in ascending order: what is passed once is not looked at again, nor what lies behind the
 * result.
 */
static struct gpuva *prefetch_removed(const struct prefetch *p, struct smri_bind_op *later)
{
	bool ascending = later->req.type != BIND_UNMAP_ALL;
	struct gpuva *va = NULL;

	for (struct smri_bind_va *v = later->prefetch_at; v;
	     v = (struct smri_bind_va *)v->obj.next) {
		if (meets(p, v))
			va = lower(va, &v->va);
		if (ascending && (va || v->va.va.addr > p->last))
			break;
		if (ascending)
			later->prefetch_at = (struct smri_bind_va *)v->obj.next;
	}
	return va;
}

static void look_back(struct prefetch *p)
{
	if (p->looks_back)
		return;
	p->looks_back = true;
	for (struct smri_bind_op *later = p->op->next_change; later; later = later->next_change)
		later->prefetch_at = (struct smri_bind_va *)later->removed.head;
}

/*
 * Returns the lowest mapping for the prefetch: in the tree, or removed by a later operation. If the
 * tree has one at p->first, nothing has been removed there since.
 */
static struct gpuva *prefetch_next(struct prefetch *p)
{
	struct gpuva *va = prefetch_in_tree(p);

	if (va && va->va.addr <= p->first)
		return va;
	look_back(p);
	for (struct smri_bind_op *later = p->op->next_change; later; later = later->next_change)
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

/*
 * Chains the operations that have removed something. Prefetches look at no others, and a job may
 * have many of both.
 */
static void chain_changes(struct smri_bind_job *job)
{
	struct smri_bind_op *op, *before = (struct smri_bind_op *)job->ops.head;

	smri_bind_for_each(op, &job->ops)
	{
		if (!op->removed.head)
			continue;
		for (; before != op; before = (struct smri_bind_op *)before->obj.next)
			before->next_change = op;
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

int smri_bind_run_steps(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	int err = steps(q, job);

	smri_bind_for_each(op, &job->ops) smri_bind_unlist(&op->removed);
	if (err)
		bind_vm_ban(q->vm);
	return err;
}
