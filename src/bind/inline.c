/* SPDX-License-Identifier: MIT */
/*
 * Unmaps that the submitter runs itself, because there is no memory to make a job of them, and
 * nothing is outstanding that could give any back. They cut nothing, so no mapping is made, and
 * each mapping that goes is at worst replaced by an empty marker: nothing is needed but the stack.
 * Readers without a lock see the mappings go one by one, except that an unmap of all of an object
 * takes effect at one moment, as in a run.
 */
#include "bind/bind_internal.h"

#include "base/park.h"
#include "gpuvm/change.h"
#include "gpuvm/object.h"
#include "gpuvm/split.h"

#include <errno.h>

/* A job on the stack, which no queue has seen. */
struct run {
	struct gpuvm_queues *q;
	const struct bind_job *of;
	struct smri_bind_job job;
	struct smri_bind_op ops[SMRI_BIND_INLINE_OPS];
};

static void begin(struct run *r)
{
	smr_pool_list_init(&r->job.ops);
	for (unsigned int i = 0; i < r->of->nr_ops; i++)
		smr_pool_list_add(&r->job.ops, &r->ops[i].obj);
	(void)smri_bind_set_ops(r->q, &r->job, r->of->ops);
}

static bool may_block(const struct bind_job *job)
{
	return !(job->flags & BIND_NONBLOCK);
}

/* A wait for an in-fence, on the waiter's stack. */
struct waited {
	struct smri_bind_wait wait;
	struct fence_cb cb;
	struct fence *fence;
	const struct bind_queue *queue;
};

static void in_signaled(struct fence *f, struct fence_cb *cb)
{
	struct gpuvm_queues *q = container_of(cb, struct waited, cb)->queue->vm;

	(void)f;
	mt_lock_acquire(&q->lock);
	smri_bind_wake_waiters(q);
	mt_lock_release(&q->lock);
}

static bool need_not_wait(struct gpuvm_queues *q, struct smri_bind_wait *w)
{
	const struct waited *waited = container_of(w, struct waited, wait);

	(void)q;
	return fence_is_signaled(waited->fence) || smri_bind_refuses(waited->queue);
}

/*
 * Waits until @f is signalled, or the queue takes no more jobs: a thread that closes the VM waits
 * for this submit. 0, -ENOENT, -EINTR.
 */
static int wait_for_fence(const struct bind_queue *queue, struct fence *f)
{
	struct waited w = { .wait.is_over = need_not_wait, .fence = f, .queue = queue };
	struct gpuvm_queues *q = queue->vm;
	int err;

	if (fence_add_callback(f, &w.cb, in_signaled))
		return 0;
	mt_lock_acquire(&q->lock);
	err = smri_bind_wait(q, &w.wait, SMR_NEVER);
	if (!err && !fence_is_signaled(f))
		err = -ENOENT;
	mt_lock_release(&q->lock);
	(void)fence_remove_callback(f, &w.cb);
	return err;
}

static int wait_for_in_fences(const struct bind_queue *queue, const struct bind_job *job)
{
	int err = 0;

	for (unsigned int i = 0; i < job->nr_in && !err; i++) {
		struct fence *f = smri_bind_in_get(&job->in[i]);

		if (!f)
			return -ENOMEM;
		if (may_block(job) || fence_is_signaled(f))
			err = wait_for_fence(queue, f);
		else
			err = -ENOMEM;
		smri_bind_in_put(&job->in[i], f);
	}
	return err;
}

static bool is_taken(const struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	return q->turn[duty].listed || q->turn[duty].busy;
}

/*
 * Waits for another thread's turn to end. With no jobs outstanding that is soon, unless a callback
 * of the driver's or another submit's job holds it up. 0; -EINTR; -ENOMEM: with BIND_NONBLOCK, if
 * it may be held up.
 */
static int wait_for_turn(struct gpuvm_queues *q, const struct bind_job *job)
{
	if (may_block(job))
		return smri_bind_sleep(q);
	if (q->slow_clean)
		return -ENOMEM;
	(void)smri_bind_sleep(q);
	return 0;
}

/*
 * Becomes the cleaner, so that no later job is over before this one, and the runner.
 * SMRI_BIND_RETRY: there is a job to wait for after all.
 */
static int own_vm(struct bind_queue *queue, const struct bind_job *job)
{
	struct gpuvm_queues *q = queue->vm;
	int err = 0;

	mt_lock_acquire(&q->lock);
	while (!err && q->stats.jobs == 0 &&
	       (is_taken(q, SMRI_BIND_CLEAN) || is_taken(q, SMRI_BIND_RUN)))
		err = wait_for_turn(q, job);
	if (!err && smri_bind_refuses(queue))
		err = -ENOENT;
	else if (!err && q->stats.jobs > 0)
		err = SMRI_BIND_RETRY;
	if (!err) {
		smri_bind_own(q, SMRI_BIND_CLEAN);
		smri_bind_own(q, SMRI_BIND_RUN);
		q->slow_clean = true;
		queue->submitted++; /* its place is before those submitted meanwhile */
	}
	mt_lock_release(&q->lock);
	return err;
}

/* The operations of a job that precede one of them. */
struct before {
	const struct bind_op *ops;
	unsigned int nr;
};

static bool takes(const struct bind_op *req, const struct gpuva *va)
{
	if (req->type == BIND_UNMAP_ALL)
		return req->obj == va->gem.obj;
	return req->addr <= va->va.addr && req->addr + (req->range - 1) >= smr_va_last(va);
}

/*
 * Returns true if one of the operations takes @va out as a whole. None of them takes only a part of
 * it: cuts() has been called for each before.
 */
static bool is_gone(const struct gpuva *va, void *arg)
{
	const struct before *before = arg;

	for (unsigned int i = 0; i < before->nr; i++)
		if (takes(&before->ops[i], va))
			return true;
	return false;
}

/* Returns true if operation @index must cut a mapping, given that none before it must. */
static bool cuts(struct gpuvm *vm, const struct bind_job *job, unsigned int index)
{
	struct before before = { job->ops, index };
	const struct bind_op *req = &job->ops[index];
	struct smr_split s;
	struct gpuva_op *op;
	bool cut = false;

	smr_split_begin(&s, vm, &vm->tree, req->addr, req->range, NULL);
	s.is_gone = is_gone;
	s.gone_arg = &before;
	while (!cut && (op = smr_split_next(&s)))
		cut = op->op == GPUVA_OP_REMAP;
	return cut;
}

static void take_range(struct run *r, struct smri_bind_op *op)
{
	struct gpuvm *vm = r->q->vm;
	struct smr_split s;
	struct gpuva *va;

	smr_split_begin(&s, vm, &vm->tree, op->req.addr, op->req.range, NULL);
	while ((va = smr_split_next_va(&s))) {
		smri_bind_note_removed(&r->job, op, va, false);
		smri_bind_erase(r->q, va);
	}
}

/* Takes all of an object out. What earlier operations have taken out is still on its list. */
static void take_object(struct run *r, struct smri_bind_op *op)
{
	struct gpuvm_object *obj = op->req.obj;
	struct gpuva *va;

	gpuvm_object_lock(obj);
	op->pair = gpuvm_bo_find(r->q->vm, obj);
	if (op->pair) {
		gpuvm_bo_for_each_va(va, op->pair)
		{
			if (!smri_bind_va_of(va)->gone)
				smri_bind_note_removed(&r->job, op, va, false);
		}
		smr_gpuvm_bo_hide(op->pair);
	}
	gpuvm_object_unlock(obj);
	smri_bind_erase_all(r->q, &op->removed);
}

/* Applies the operations: 0, or -ENOMEM, and nothing has changed. */
static int apply(struct run *r)
{
	struct gpuvm *vm = r->q->vm;
	struct smri_bind_op *op;
	bool cut = false;

	gpuvm_lock(vm);
	for (unsigned int i = 0; i < r->of->nr_ops && !cut; i++)
		cut = r->of->ops[i].type == BIND_UNMAP && cuts(vm, r->of, i);
	smri_bind_for_each(op, &r->job.ops)
	{
		if (cut)
			break;
		if (op->req.type == BIND_UNMAP)
			take_range(r, op);
		else
			take_object(r, op);
	}
	smr_gpuvm_count(vm, 0, r->job.vas_removed);
	gpuvm_unlock(vm);
	return cut ? -ENOMEM : 0;
}

static void signal_out(const struct bind_job *job, int error)
{
	for (unsigned int i = 0; i < job->nr_out; i++)
		smri_bind_signal(job->out[i].fence, job->out[i].timeline, job->out[i].value, error);
}

/* Runs the job and returns its result; if *@applied is false: why it has not run. */
static int run(struct run *r, bool *applied)
{
	struct gpuvm_queues *q = r->q;
	int err;

	smri_bind_section_begin(q);
	err = apply(r);
	*applied = !err;
	if (!err) {
		err = smri_bind_run_steps(q, &r->job);
		signal_out(r->of, err);
	}
	smri_bind_section_end(q);
	return err;
}

/* CONTEXT: the cleaner, and the runner, which it ceases to be before it may block. */
static void end(struct run *r, struct bind_queue *queue, bool applied, int err)
{
	struct gpuvm_queues *q = r->q;
	struct smr_pool_list removed;
	struct smri_bind_op *op;

	smr_pool_list_init(&removed);
	smri_bind_for_each(op, &r->job.ops) smr_pool_list_move(&removed, &op->removed);
	mt_lock_acquire(&q->lock);
	smri_bind_disown(q, SMRI_BIND_RUN);
	mt_lock_release(&q->lock);
	smri_bind_sweep(q, &removed);
	smr_pool_retire(&q->pool[SMRI_BIND_VAS], &removed);
	mt_lock_acquire(&q->lock);
	queue->finished++;
	if (applied) {
		q->stats.submitted++;
		q->stats.unmaps_inline++;
		q->stats.completed += !err;
		q->stats.failed += err != 0;
		q->stats.vas_live -= r->job.vas_removed;
	}
	q->slow_clean = false;
	smri_bind_disown(q, SMRI_BIND_CLEAN);
	mt_lock_release(&q->lock);
}

/* A failed step is the job's error, of which only a caller that waits for the job is told. */
static int result(struct bind_job *job, bool applied, int err)
{
	if (!applied)
		return err;
	return job->flags & BIND_SYNC ? smri_bind_sync_result(job, err) : 0;
}

int smri_bind_inline(struct bind_queue *queue, struct bind_job *job)
{
	struct run r = { .q = queue->vm, .of = job };
	bool applied = false;
	int err;

	if (job->nr_ops > SMRI_BIND_INLINE_OPS)
		return -ENOMEM;
	begin(&r);
	err = wait_for_in_fences(queue, job);
	if (!err)
		err = smri_bind_prepare(r.q, &r.job, &job->bad_op);
	if (!err)
		err = own_vm(queue, job);
	if (!err) {
		err = run(&r, &applied);
		end(&r, queue, applied, err);
	}
	smri_bind_finish(r.q, &r.job);
	smri_bind_put_ops(r.q, &r.job);
	return result(job, applied, err);
}
