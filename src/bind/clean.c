/* SPDX-License-Identifier: MIT */
/*
 * Cleans up after runs, where sleeping is fine: what was not used goes back; what was removed waits
 * for its readers, and is then released. That may need memory and locks of any kind, and so take
 * any time: jobs run meanwhile, and no fence waits for it. Jobs are cleaned up in the order of
 * their runs.
 */
#include "bind/bind_internal.h"

/* What is kept of a job whose memory has gone back. */
struct outcome {
	struct bind_queue *queue;
	struct smri_bind_waiter *waiter; /* GUARD lock */
	struct smri_bind_load load;
	unsigned int nr_vas, vas_used;
	unsigned long vas_added, vas_removed;
	int error;
	bool cancel;
};

void smri_bind_finish(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;
	unsigned int left = job->prepared;

	if (!q->ops || !q->ops->finish)
		return;
	smri_bind_for_each(op, &job->ops)
	{
		if (left-- == 0)
			break;
		q->ops->finish(q->vm, op->cookie, q->priv);
	}
}

static void retire_removed(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct smri_bind_op *op;

	smri_bind_for_each(op, &job->ops)
	{
		if (op->req.type == BIND_UNMAP_ALL && op->removed.head)
			smri_bind_sweep(q, &op->removed);
		smr_pool_retire(&q->pool[SMRI_BIND_VAS], &op->removed);
	}
}

/* A job may be cancelled before its in-fences are signalled. */
static void drop_callbacks(struct smri_bind_job *job)
{
	struct smri_bind_sync *in;

	if (!job->cancel)
		return;
	smri_bind_for_each(in, &job->in)(void) fence_remove_callback(in->fence, &in->cb);
}

void smri_bind_undo(struct gpuvm_queues *q, struct smri_bind_job *job, const struct bind_job *of)
{
	smri_bind_finish(q, job);
	smri_bind_job_refuse(q, job, of);
}

/* Updates the figures, and what others wait for. CONTEXT: HOLDS q->lock. */
static void account(struct gpuvm_queues *q, const struct outcome *outcome)
{
	struct bind_stats *stats = &q->stats;

	stats->jobs--;
	stats->ops -= outcome->load.ops;
	stats->bytes -= outcome->load.bytes;
	stats->vas_reserved -= outcome->nr_vas;
	stats->vas_used += outcome->vas_used;
	stats->vas_returned += outcome->nr_vas - outcome->vas_used;
	stats->vas_live += outcome->vas_added - outcome->vas_removed;
	if (outcome->cancel)
		stats->canceled++;
	else if (outcome->error)
		stats->failed++;
	else
		stats->completed++;
	outcome->queue->finished++;
	if (outcome->waiter) {
		outcome->waiter->error = outcome->error;
		outcome->waiter->over = true;
	}
	smri_bind_uncharge(q, &outcome->load);
}

/* Takes the waiter off the job, whose memory is about to go. The waiter may still give up. */
static void take_waiter(struct gpuvm_queues *q, struct smri_bind_job *job, struct outcome *outcome)
{
	mt_lock_acquire(&q->lock);
	outcome->waiter = job->waiter;
	if (outcome->waiter)
		outcome->waiter->backlink = &outcome->waiter;
	mt_lock_release(&q->lock);
}

void smri_bind_clean(struct gpuvm_queues *q, struct smri_bind_job *job)
{
	struct outcome outcome = {
		.queue = job->queue,
		.load = job->load,
		.nr_vas = job->nr_vas,
		.vas_used = job->nr_vas - (unsigned int)job->vas.nr,
		.vas_added = job->vas_added,
		.vas_removed = job->vas_removed,
		.error = job->error,
		.cancel = job->cancel,
	};

	smri_bind_check_clean_begin(q);
	drop_callbacks(job);
	take_waiter(q, job, &outcome);
	retire_removed(q, job);
	smri_bind_finish(q, job);
	smri_bind_job_free(q, job);
	(void)smri_bind_refill(q); /* as far as there is memory */
	smri_bind_check_clean_end(q);
	mt_lock_acquire(&q->lock);
	account(q, &outcome);
	mt_lock_release(&q->lock);
}

/* ---- Mappings that readers have let go of ---- */

static void release_va(struct gpuvm_queues *q, struct smri_bind_va *v)
{
	if (q->ops && q->ops->va_release)
		q->ops->va_release(&v->va, q->priv);
	smri_bind_put_pair(q, v->va.vm_bo);
}

void smri_bind_release_expired(struct gpuvm_queues *q)
{
	struct smr_pool *pool = &q->pool[SMRI_BIND_VAS];
	struct smri_bind_parts parts;
	struct smr_pool_list *vas = &parts.list[SMRI_BIND_VAS];
	struct smri_bind_va *v;
	unsigned long nr;

	smri_bind_parts_init(&parts);
	smr_pool_expired(pool, vas);
	nr = vas->nr;
	smri_bind_check_clean_begin(q);
	smri_bind_for_each(v, vas) release_va(q, v);
	smri_bind_parts_put(q, &parts);
	smr_pool_ended(pool, nr);
	(void)smri_bind_refill(q);
	smri_bind_check_clean_end(q);
	mt_lock_acquire(&q->lock);
	smri_bind_wake_waiters(q);
	mt_lock_release(&q->lock);
}
