/* SPDX-License-Identifier: MIT */
/*
 * Submits jobs: validate, reserve, commit, in this order. Whatever can fail does so before the job
 * is in its queue, and is then undone. From there on nothing can fail.
 *
 *	validate   the request alone
 *	charge     room below the VM's bounds: may wait
 *	reserve    records, mappings, pairs, credits; the driver's part; slots in the reservation
 *	           locks of objects, which stay locked from here on
 *	enter      into the queue, if VM and queue still take jobs
 *	publish    pairs onto their objects' lists, the job's fence into the reservation locks;
 *	           these are released
 *	arm        callbacks of in-fences; the job may begin
 */
#include "bind/bind_internal.h"

#include "base/park.h"
#include "gpuvm/split.h"
#include "lock/check.h"
#include "mem/heap.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* ---- Validate ---- */

/* A prefetch may cover any range: it meets whatever is there. */
static int check_prefetch(const struct bind_op *op)
{
	unsigned long end;

	return op->range > 0 && smr_checked_add(op->addr, op->range, &end) ? 0 : -EINVAL;
}

static int check_op(const struct gpuvm *vm, const struct bind_op *op)
{
	if (op->type != BIND_MAP && (op->flags || op->offset))
		return -EINVAL;
	switch (op->type) {
	case BIND_MAP:
		if ((op->flags & GPUVA_SPARSE) && (op->obj || op->offset))
			return -EINVAL;
		break;
	case BIND_UNMAP:
		if (op->obj)
			return -EINVAL;
		break;
	case BIND_PREFETCH:
		return op->obj ? -EINVAL : check_prefetch(op);
	case BIND_UNMAP_ALL:
		return op->obj && !op->addr && !op->range ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
	return smr_gpuvm_check(vm, op->addr, op->range, op->obj, op->offset);
}

static bool good_syncs(const struct bind_sync *sync, unsigned int nr)
{
	if (nr && !sync)
		return false;
	for (unsigned int i = 0; i < nr; i++)
		if (!sync[i].fence == !sync[i].timeline)
			return false;
	return true;
}

static int validate(const struct gpuvm *vm, struct bind_job *job)
{
	job->bad_op = job->nr_ops;
	if (bind_vm_is_banned(vm)) /* every submit is then told so */
		return -ENOENT;
	if (job->flags & ~(unsigned int)(BIND_SYNC | BIND_NONBLOCK))
		return -EINVAL;
	if ((job->flags & BIND_SYNC) && (job->nr_in || job->nr_out))
		return -EINVAL;
	if ((job->nr_ops && !job->ops) || job->nr_ops > INT_MAX / GPUVM_MAP_CHANGES ||
	    job->nr_in > INT_MAX || job->nr_out > INT_MAX || !good_syncs(job->in, job->nr_in) ||
	    !good_syncs(job->out, job->nr_out))
		return -EINVAL;
	for (unsigned int i = 0; i < job->nr_ops; i++) {
		if (!check_op(vm, &job->ops[i]))
			continue;
		job->bad_op = i;
		return -EINVAL;
	}
	return 0;
}

/* ---- Charge ---- */

static bool fits(unsigned long now, unsigned long more, unsigned long max)
{
	return max == 0 || (now <= max && more <= max - now);
}

static bool has_room(const struct gpuvm_queues *q, const struct smri_bind_load *load)
{
	const struct smri_bind_load *now = &q->charged;

	return now->jobs == 0 ||
	       (fits(now->jobs, 1, q->max.jobs) && fits(now->ops, load->ops, q->max.ops) &&
		fits(now->bytes, load->bytes, q->max.bytes));
}

/* Returns true if the job could take the live mappings beyond their limit. */
static bool too_many_vas(const struct gpuvm_queues *q, const struct smri_bind_load *load)
{
	return !fits(q->stats.vas_live + q->charged.growth, load->growth, q->max.growth);
}

static int try_charge(const struct bind_queue *queue, const struct smri_bind_load *load, bool wait)
{
	const struct gpuvm_queues *q = queue->vm;

	if (smri_bind_refuses(queue))
		return -ENOENT;
	if (too_many_vas(q, load) || (q->max.growth && load->ops > q->max.ops))
		return -ENOSPC;
	if (has_room(q, load))
		return 0;
	return wait ? -EAGAIN : -ENOSPC;
}

struct charge {
	struct smri_bind_wait wait;
	const struct bind_queue *queue;
	const struct smri_bind_load *load;
	bool waits;
	int err; /* the result, once the wait is over */
};

static void add(struct smri_bind_load *sum, const struct smri_bind_load *part)
{
	sum->jobs += part->jobs;
	sum->ops += part->ops;
	sum->growth += part->growth;
	sum->bytes += part->bytes;
}

static void subtract(struct smri_bind_load *sum, const struct smri_bind_load *part)
{
	sum->jobs -= part->jobs;
	sum->ops -= part->ops;
	sum->growth -= part->growth;
	sum->bytes -= part->bytes;
}

/*
 * Takes room at once if there is some, for a sleeping waiter too: by the time the waiter is awake
 * the room may be gone.
 */
static bool take_room(struct gpuvm_queues *q, struct smri_bind_wait *w)
{
	struct charge *c = container_of(w, struct charge, wait);

	c->err = try_charge(c->queue, c->load, c->waits);
	if (!c->err)
		add(&q->charged, c->load);
	return c->err != -EAGAIN;
}

static int charge(const struct bind_queue *queue, const struct smri_bind_load *load, bool wait)
{
	struct charge c = {
		.wait.is_over = take_room, .queue = queue, .load = load, .waits = wait
	};
	struct gpuvm_queues *q = queue->vm;
	int err = 0;

	mt_lock_acquire(&q->lock);
	if (!take_room(q, &c.wait)) {
		q->stats.blocked++;
		err = smri_bind_wait(q, &c.wait, SMR_NEVER);
	}
	if (c.err == -ENOSPC) /* the next time there may be room */
		smri_bind_kick(q, SMRI_BIND_CLEAN);
	mt_lock_release(&q->lock);
	return err ? err : c.err;
}

void smri_bind_uncharge(struct gpuvm_queues *q, const struct smri_bind_load *load)
{
	subtract(&q->charged, load);
	smri_bind_wake_waiters(q);
}

static void uncharge(struct gpuvm_queues *q, const struct smri_bind_load *load)
{
	mt_lock_acquire(&q->lock);
	smri_bind_uncharge(q, load);
	mt_lock_release(&q->lock);
}

/* ---- Reserve ---- */

/* Returns true if a thread is at work that may give memory back. */
static bool has_busy_turn(const struct gpuvm_queues *q)
{
	return q->turn[SMRI_BIND_RUN].busy || q->turn[SMRI_BIND_CLEAN].busy;
}

/*
 * Waits until something is over that was not when @event was read. 0: try again; SMRI_BIND_IDLE:
 * nothing is outstanding that could give memory back; -ENOENT, -EINTR.
 */
static int wait_for_memory(struct bind_queue *queue, unsigned int event)
{
	struct gpuvm_queues *q = queue->vm;
	/* Limbo does not count if it waits for the caller itself, which is a reader. */
	bool limbo = smr_pool_count(&q->pool[SMRI_BIND_VAS]).limbo > 0 &&
		     !smr_check_waits_for_itself(mt_rcu_flavor(&q->vm->tree));
	int err = 0;

	mt_lock_acquire(&q->lock);
	if (smri_bind_refuses(queue))
		err = -ENOENT;
	else if (q->event == event && q->stats.jobs == 0 && !limbo && !has_busy_turn(q))
		err = SMRI_BIND_IDLE;
	else if (q->event == event)
		err = smri_bind_sleep(q);
	mt_lock_release(&q->lock);
	return err;
}

/*
 * For a caller that does not wait: SMRI_BIND_IDLE if no job is outstanding, whatever is in limbo;
 * otherwise -ENOMEM.
 */
static int check_idle(struct gpuvm_queues *q)
{
	int err;

	mt_lock_acquire(&q->lock);
	err = q->stats.jobs == 0 ? SMRI_BIND_IDLE : -ENOMEM;
	smri_bind_kick(q, SMRI_BIND_CLEAN);
	mt_lock_release(&q->lock);
	return err;
}

/*
 * Returns the job with all it needs. NULL: *@err; SMRI_BIND_IDLE: unmaps that the caller must run.
 */
static struct smri_bind_job *reserve(struct bind_queue *queue, const struct bind_job *job,
				     const struct smri_bind_need *need, int *err)
{
	struct gpuvm_queues *q = queue->vm;
	bool waits = !(job->flags & BIND_NONBLOCK);
	struct smri_bind_job *j = NULL;
	unsigned int event;

	do {
		mt_lock_acquire(&q->lock);
		event = q->event;
		mt_lock_release(&q->lock);
		*err = need->unmaps_only ? 0 : smri_bind_refill(q);
		if (!*err)
			j = smri_bind_job_new(q, job, need, err);
		if (!j && *err == -ENOMEM)
			j = smri_bind_job_spare(q, job, need);
		if (j)
			*err = 0;
		else if (*err == -ENOMEM && (need->unmaps_only || q->max.growth))
			*err = waits ? wait_for_memory(queue, event) : check_idle(q);
	} while (!j && !*err);
	if ((*err == SMRI_BIND_IDLE && !need->unmaps_only) || *err == SMRI_BIND_NO_HEAP)
		*err = -ENOMEM;
	return j;
}

int smri_bind_prepare(struct gpuvm_queues *q, struct smri_bind_job *j, unsigned int *bad_op)
{
	struct smri_bind_op *op;
	int err = 0;

	if (!q->ops || !q->ops->prepare)
		return 0;
	smri_bind_for_each(op, &j->ops)
	{
		err = smri_bind_driver_result(
			q->ops->prepare(q->vm, &op->req, &op->cookie, q->priv));
		if (err) {
			*bad_op = j->prepared;
			break;
		}
		j->prepared++;
	}
	return err;
}

/* ---- Reservation locks ---- */

enum { FEW = 8 };

/* The reservation locks of the objects that a job maps, each once. */
struct resvs {
	struct gpuvm_resv **resv, *few[FEW];
	unsigned int nr;
	struct gpuvm_resv *lists; /* the VM's, if taken for its lists alone; or NULL */
};

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct gpuvm_resv *const *)a;
	uintptr_t y = (uintptr_t) * (struct gpuvm_resv *const *)b;

	return (x > y) - (x < y);
}

static void add_resv(struct resvs *r, struct gpuvm_resv *resv)
{
	if (r->nr == 0 || r->resv[r->nr - 1] != resv)
		r->resv[r->nr++] = resv;
}

static int collect_resvs(struct gpuvm_queues *q, struct smri_bind_job *j, struct resvs *r)
{
	struct smri_bind_op *op;
	unsigned int nr = 0;

	r->nr = 0;
	r->lists = NULL;
	r->resv = j->ops.nr < FEW ? r->few : smr_heap_alloc((j->ops.nr + 1) * sizeof(*r->resv));
	if (!r->resv)
		return -ENOMEM;
	/* Pairs of external objects are put on a list that this lock then protects. */
	if (gpuvm_resv_protected(q->vm))
		add_resv(r, r->lists = gpuvm_resv(q->vm));
	smri_bind_for_each(op, &j->ops)
	{
		if (op->req.type != BIND_MAP || !op->req.obj)
			continue;
		add_resv(r, op->req.obj->resv);
		if (r->lists == op->req.obj->resv)
			r->lists = NULL;
	}
	qsort(r->resv, r->nr, sizeof(*r->resv), by_address);
	for (unsigned int i = 0; i < r->nr; i++)
		if (i == 0 || r->resv[i] != r->resv[nr - 1])
			r->resv[nr++] = r->resv[i];
	r->nr = nr;
	return 0;
}

static void unlock_but(struct resvs *r, unsigned int nr, unsigned int first)
{
	for (unsigned int i = 0; i < nr; i++)
		if (i != first)
			gpuvm_resv_unlock(r->resv[i]);
	gpuvm_resv_unlock(r->resv[first]);
}

/*
 * Waits for lock number @first and tries the others, because gpuvm_exec_lock() takes them in any
 * order. Returns the number of one that another thread has, with none locked; r->nr: all are
 * locked.
 */
static unsigned int try_resvs(struct resvs *r, unsigned int first)
{
	unsigned int i;

	gpuvm_resv_lock(r->resv[first]);
	for (i = 0; i < r->nr; i++) {
		if (i == first || gpuvm_resv_trylock(r->resv[i]))
			continue;
		unlock_but(r, i, first);
		return i;
	}
	return i;
}

static void unlock_resvs(struct resvs *r)
{
	if (r->nr > 0)
		unlock_but(r, r->nr, 0);
	if (r->resv != r->few)
		smr_heap_free(r->resv);
}

/* Locks them all, with a slot for the job's fence in each: 0; or -ENOMEM, with none locked. */
static int lock_resvs(struct gpuvm_queues *q, struct smri_bind_job *j, struct resvs *r)
{
	unsigned int first = 0;
	int err;

	r->nr = 0;
	r->resv = r->few;
	if (!j->done)
		return 0;
	err = collect_resvs(q, j, r);
	if (err)
		return err;
	do
		first = try_resvs(r, first);
	while (first < r->nr);
	for (unsigned int i = 0; i < r->nr && !err; i++)
		if (r->resv[i] != r->lists)
			err = gpuvm_resv_reserve(r->resv[i], 1);
	if (err)
		unlock_resvs(r);
	return err;
}

/* ---- Commit ---- */

static void raise_to(unsigned long *peak, unsigned long now)
{
	if (now > *peak)
		*peak = now;
}

/* Puts the job into the queue, where it may not begin yet: 0 or -ENOENT. */
static int enter(struct bind_queue *queue, struct smri_bind_job *j)
{
	struct gpuvm_queues *q = queue->vm;
	struct bind_stats *stats = &q->stats;
	int err = 0;

	mt_lock_acquire(&q->lock);
	if (smri_bind_refuses(queue)) {
		err = -ENOENT;
	} else {
		j->queue = queue;
		j->in_pending = (unsigned int)j->in.nr;
		smr_pool_list_add(&queue->jobs, &j->obj);
		queue->submitted++;
		stats->submitted++;
		stats->jobs++;
		stats->ops += j->load.ops;
		stats->bytes += j->load.bytes;
		stats->vas_reserved += j->nr_vas;
		raise_to(&stats->jobs_peak, stats->jobs);
		raise_to(&stats->bytes_peak, stats->bytes);
	}
	mt_lock_release(&q->lock);
	return err;
}

/*
 * Publishes the job's pairs and its fence. Pairs that other threads have published meanwhile take
 * the place of the job's own, which it keeps to put later.
 */
static void publish(struct smri_bind_job *j, struct resvs *r)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &j->ops)
	{
		if (op->spare)
			op->pair = gpuvm_bo_obtain_prealloc(op->spare, &op->spare);
		if (op->pair)
			gpuvm_bo_extobj_add(op->pair);
	}
	for (unsigned int i = 0; i < r->nr; i++)
		if (r->resv[i] != r->lists)
			gpuvm_resv_add(r->resv[i], j->done, GPUVM_USAGE_BOOKKEEP);
}

/*
 * Called by the thread that signals. Once the lock is released the job may be over. CONTEXT: any
 * section.
 */
static void in_signaled(struct fence *f, struct fence_cb *cb)
{
	struct smri_bind_sync *sync = container_of(cb, struct smri_bind_sync, cb);
	struct bind_queue *queue = sync->job->queue;
	struct gpuvm_queues *q = queue->vm;

	(void)f;
	mt_lock_acquire(&q->lock);
	if (--sync->job->in_pending == 0)
		smri_bind_update_ready(queue);
	mt_lock_release(&q->lock);
}

/* From here on the job may begin, and end, at any time. */
static void arm(struct bind_queue *queue, struct smri_bind_job *j)
{
	struct gpuvm_queues *q = queue->vm;
	struct smri_bind_sync *in;
	unsigned int over = 0;

	smri_bind_for_each(in, &j->in)
		over += fence_add_callback(in->fence, &in->cb, in_signaled) != 0;
	mt_lock_acquire(&q->lock);
	j->in_pending -= over;
	j->committed = true;
	smri_bind_update_ready(queue);
	mt_lock_release(&q->lock);
}

static int commit(struct bind_queue *queue, struct smri_bind_job *j)
{
	struct gpuvm_queues *q = queue->vm;
	struct resvs resvs;
	int err = lock_resvs(q, j, &resvs);

	if (err)
		return err;
	err = enter(queue, j);
	if (!err)
		publish(j, &resvs);
	unlock_resvs(&resvs);
	if (!err)
		arm(queue, j);
	return err;
}

/* ---- The whole ---- */

static bool is_over(struct gpuvm_queues *q, struct smri_bind_wait *w)
{
	(void)q;
	return container_of(w, struct smri_bind_waiter, wait)->over;
}

/* Returns the result of the job; -EINTR: it runs even so, or has run. */
static int wait_for_job(struct gpuvm_queues *q, struct smri_bind_waiter *w, struct bind_job *job)
{
	int err;

	mt_lock_acquire(&q->lock);
	err = smri_bind_wait(q, &w->wait, SMR_NEVER);
	if (!err)
		err = w->error;
	else
		*w->backlink = NULL;
	mt_lock_release(&q->lock);
	return smri_bind_sync_result(job, err);
}

static int submit(struct bind_queue *queue, struct bind_job *job, struct smri_bind_need *need)
{
	struct gpuvm_queues *q = queue->vm;
	struct smri_bind_waiter waiter = { .wait.is_over = is_over };
	struct smri_bind_job *j;
	int err;

	j = reserve(queue, job, need, &err);
	if (!j)
		return err;
	if (job->flags & BIND_SYNC) {
		waiter.backlink = &j->waiter;
		j->waiter = &waiter;
	}
	err = smri_bind_prepare(q, j, &job->bad_op);
	if (!err)
		err = commit(queue, j);
	if (err) {
		smri_bind_undo(q, j, job);
		return err;
	}
	need->load = (struct smri_bind_load){ 0 }; /* the job's to give back */
	return job->flags & BIND_SYNC ? wait_for_job(q, &waiter, job) : 0;
}

/* Returns true if the submit may wait: for its own clean-up, or for room or memory from others. */
static bool may_wait(const struct gpuvm_queues *q, const struct bind_job *job,
		     const struct smri_bind_need *need)
{
	const struct smri_bind_load *max = &q->max;
	bool bounded = max->jobs || max->ops || max->bytes || max->growth;

	return (job->flags & BIND_SYNC) ||
	       (!(job->flags & BIND_NONBLOCK) && (bounded || need->unmaps_only));
}

int bind_queue_submit(struct bind_queue *queue, struct bind_job *job)
{
	struct gpuvm_queues *q = queue->vm;
	struct smri_bind_need need;
	int err = validate(q->vm, job);

	if (err)
		return err;
	smri_bind_need(q, job, &need);
	if (may_wait(q, job, &need))
		smri_bind_check_wait(q);
	err = charge(queue, &need.load, !(job->flags & BIND_NONBLOCK));
	if (err)
		return err;
	do {
		err = submit(queue, job, &need);
		if (err == SMRI_BIND_IDLE)
			err = smri_bind_inline(queue, job);
	} while (err == SMRI_BIND_RETRY);
	if (need.load.jobs)
		uncharge(q, &need.load);
	return err;
}
