/* SPDX-License-Identifier: MIT */
/* Shared by the files of the bind layer. queue.c explains the design. */
#ifndef SMR_BIND_INTERNAL_H
#define SMR_BIND_INTERNAL_H

#include "base/base.h"
#include "base/atomic.h"
#include "gpuvm/list.h"
#include "gpuvm/queues.h"
#include "mem/pool.h"

#include <errno.h>
#include <samara/bind_queue.h>

/* ---- Records ---- */

/* What precedes each mapping of ours. */
struct smri_bind_va {
	struct smr_pool_obj obj; /* in a job's list of reserved or removed mappings */
	/*
	 * GUARD the VM's runner: born: stamp of the operation that made it; keep: the request
	 * continues it; gone: it has been removed
	 */
	unsigned long born : 62, keep : 1, gone : 1;
	struct gpuva va; /* bind_config.va_size bytes */
};

smr_inline struct smri_bind_va *smri_bind_va_of(const struct gpuva *va)
{
	return container_of((struct gpuva *)(uintptr_t)va, struct smri_bind_va, va);
}

/* An in-fence with its callback, or what a job signals: an out-fence, or a timeline's value. */
struct smri_bind_sync {
	struct smr_pool_obj obj;
	struct fence_cb cb;
	struct fence *fence;
	struct timeline *timeline; /* of an out-fence */
	uint64_t value;            /* of a timeline; in an in-fence only bind_vm_dump() reads it */
	struct smri_bind_job *job;
};

/* One operation of a job, with notes of what its run has done. */
struct smri_bind_op {
	struct smr_pool_obj obj;
	struct bind_op req;
	struct gpuvm_bo
		*pair; /* of req.obj, with a reference; BIND_UNMAP_ALL: found when it runs */
	struct gpuvm_bo *spare; /* made at submit; after commit only if another pair came first */
	void *cookie;
	unsigned long stamp;
	struct smr_pool_list removed;     /* mappings, in the order of their steps */
	struct smri_bind_op *next_change; /* the next operation that has removed something */
	struct smri_bind_va *prefetch_at; /* of removed: the first that a prefetch has not passed */
	struct gpuva *map, *prev,
		*next; /* prev: what is left of the first one removed; next: of the last */
};

struct smri_bind_load {
	unsigned long jobs, ops, growth; /* growth: live mappings that may be added */
	size_t bytes;
};

/*
 * A thread that waits for one thing, on its own stack. It sleeps on a word of its own, which
 * changes when that has come, whatever else goes on in the VM: so it sleeps once, and a signal
 * handler that runs meanwhile ends the sleep. GUARD q->lock.
 */
struct smri_bind_wait {
	struct gpuvm_list link; /* in the VM's list, until it has come */
	/*
	 * Returns true if it has come. May take it for the waiter, and is then not called again.
	 * CONTEXT: HOLDS q->lock.
	 */
	bool (*is_over)(struct gpuvm_queues *q, struct smri_bind_wait *w);
	unsigned int word; /* a futex; 1: it has come */
};

/* A submitter that waits for its BIND_SYNC job. GUARD q->lock. */
struct smri_bind_waiter {
	struct smri_bind_wait wait;
	struct smri_bind_waiter **backlink; /* where the job, or its clean-up, points to this */
	bool over;
	int error;
};

struct smri_bind_job {
	struct smr_pool_obj obj; /* in its queue */
	struct bind_queue *queue;
	struct smr_pool_list ops, vas, in, out;
	struct fence *done;              /* in the reservation locks of objects it maps, or NULL */
	struct mt_credits *credits;      /* its own; NULL: it uses the VM's */
	struct smri_bind_waiter *waiter; /* GUARD lock */
	struct smri_bind_load load;
	unsigned int stores;                  /* credits it holds */
	unsigned int nr_vas;                  /* mappings reserved at submit */
	unsigned int prepared;                /* operations that the driver has prepared */
	unsigned int in_pending;              /* GUARD lock: in-fences not signalled yet */
	unsigned long vas_added, vas_removed; /* mappings that its run has made and removed */
	int error;
	bool committed; /* GUARD lock */
	bool cancel;    /* decided when it begins */
};

/* The kinds of records; each VM has a pool of each. */
enum smri_bind_kind {
	SMRI_BIND_JOBS,
	SMRI_BIND_OPS,
	SMRI_BIND_VAS,
	SMRI_BIND_SYNCS,
	SMRI_BIND_KINDS,
};

/* What jobs are made of. */
struct smri_bind_parts {
	struct smr_pool_list list[SMRI_BIND_KINDS];
	unsigned long credits;
};

/* Each record begins with a struct smr_pool_obj, which links it into @list. */
#define smri_bind_for_each(record, list)                        \
	for ((record) = (void *)(list)->head; (record) != NULL; \
	     (record) = (void *)(record)->obj.next)

enum {
	SMRI_BIND_SPARE_SYNCS = 4, /* in- and out-fences of a job that the spare has records for */
	SMRI_BIND_INLINE_OPS = 16, /* operations of a job that its submitter can run itself */
};

/* Results passed between the files of this layer, besides 0 and a negative errno. */
enum {
	SMRI_BIND_IDLE = 1,    /* nothing is outstanding that could give memory back */
	SMRI_BIND_RETRY = 2,   /* something is outstanding now */
	SMRI_BIND_NO_HEAP = 3, /* no memory for what finished jobs do not give back */
};

/*
 * Returns a driver callback's result @err, or -EINVAL if it is neither 0 nor an errno: a fence
 * would not accept it as an error, and would not be signalled.
 */
smr_inline int smri_bind_driver_result(int err)
{
	bool good = err <= 0 && err >= -SMR_MAX_ERRNO;

	smr_assert(good);
	return good ? err : -EINVAL;
}

/* ---- Queues and VMs ---- */

/* The duties of a VM; at most one thread at a time performs each. */
enum smri_bind_duty {
	SMRI_BIND_RUN,
	SMRI_BIND_CLEAN,
	SMRI_BIND_DUTIES,
};

struct smri_bind_turn {
	struct gpuvm_queues *next; /* GUARD workers' lock: in their list */
	bool listed;               /* GUARD lock: waits in the list for a worker */
	bool busy;                 /* GUARD lock: a thread performs it */
	unsigned int claims;       /* GUARD lock: threads in smri_bind_own() that wait for it */
};

struct bind_queue {
	struct gpuvm_list link;  /* GUARD lock: among the VM's queues */
	struct gpuvm_list ready; /* GUARD lock: in the VM's ready list, if the first job can run */
	struct gpuvm_queues *vm;
	struct smr_pool_list jobs;         /* GUARD lock: those not begun */
	unsigned long submitted, finished; /* GUARD lock */
	bool canceled;                     /* GUARD lock */
	char name[32];
};

struct gpuvm_queues {
	struct gpuvm_queues_head head; /* what the layer below knows of this */
	struct gpuvm *vm;
	struct bind_workers *workers;
	const struct bind_ops *ops;
	void *priv;
	/*
	 * 0: no bound. growth: the limit of live mappings, 0 except at the strict level; ULONG_MAX
	 * if the VM has no room for more than the limit
	 */
	struct smri_bind_load max;
	bool shared_workers;
	/* For all jobs without their own, and the spare; at the strict level one more. */
	struct mt_credits credits;
	struct smr_pool pool[SMRI_BIND_KINDS];
	unsigned long stamp; /* GUARD the runner */
	/* GUARD the runner: where clean-ups had to leave markers; first > last: nowhere */
	uint64_t deferred_first, deferred_last;

	struct mt_lock lock; /* RANK bind */
	struct gpuvm_list queues, ready;
	struct smri_bind_turn turn[SMRI_BIND_DUTIES];
	struct smr_pool_list to_clean; /* GUARD lock: jobs that have run, to be cleaned up */
	bool closed, canceled;         /* GUARD lock */
	bool banned;                   /* GUARD writes: lock; reads: relaxed */
	bool expired;                  /* GUARD lock: the pool of mappings has expired ones */
	bool slow_clean;         /* GUARD lock: the cleaner may take as long as callbacks do */
	unsigned int event;      /* GUARD lock; a futex: changes when something is over */
	unsigned int sleepers;   /* GUARD lock: threads that sleep on event */
	struct gpuvm_list waits; /* GUARD lock: struct smri_bind_wait, longest wait first */
	struct smri_bind_load charged; /* GUARD lock: for jobs accepted, and submits under way */
	/*
	 * The most one unmap can need, less what is in use, for when memory runs out. GUARD lock.
	 */
	struct smri_bind_parts spare;
	struct bind_stats stats; /* GUARD lock */
};

/* Returns true if the VM takes no more jobs or queues. CONTEXT, of these two: HOLDS q->lock. */
smr_inline bool smri_bind_vm_refuses(const struct gpuvm_queues *q)
{
	return q->closed || q->banned;
}

/* Returns true if the queue takes no more jobs. */
smr_inline bool smri_bind_refuses(const struct bind_queue *queue)
{
	return queue->canceled || smri_bind_vm_refuses(queue->vm);
}

/* Returns true if the queue's jobs are to be cancelled rather than run. CONTEXT: HOLDS q->lock. */
smr_inline bool smri_bind_cancels(const struct bind_queue *queue)
{
	return queue->canceled || queue->vm->canceled || queue->vm->banned;
}

/* ---- worker.c ---- */

/*
 * Queues @q for a worker, which will call smri_bind_work(@q, @duty). @wake: false if the caller is
 * a worker that is about to look for something to do. CONTEXT: HOLDS q->lock. Any section.
 */
void smri_bind_enlist(struct gpuvm_queues *q, enum smri_bind_duty duty, bool wake);
/*
 * Get and put the workers shared by all VMs that have not named any. NULL: no memory or threads.
 */
struct bind_workers *smri_bind_workers_get(void);
void smri_bind_workers_put(void);

/* ---- queue.c ---- */

/*
 * Puts the queue into the VM's ready list if its first job can run, and calls for a worker.
 * CONTEXT: HOLDS q->lock. Any section.
 */
void smri_bind_update_ready(struct bind_queue *queue);
/* The same for all of a VM's queues. */
void smri_bind_update_ready_all(struct gpuvm_queues *q);
/* Calls for a worker if there is work that no thread has taken on. The same CONTEXT. */
void smri_bind_kick(struct gpuvm_queues *q, enum smri_bind_duty duty);
/* One turn: runs some jobs, or cleans up after some. CONTEXT: a worker. */
void smri_bind_work(struct gpuvm_queues *q, enum smri_bind_duty duty);
/*
 * Make the caller the runner (or the cleaner) of @q, and end that. To be both, become the cleaner
 * first. CONTEXT: HOLDS q->lock; own may sleep, and then drops it meanwhile.
 */
void smri_bind_own(struct gpuvm_queues *q, enum smri_bind_duty duty);
void smri_bind_disown(struct gpuvm_queues *q, enum smri_bind_duty duty);
/*
 * Call when something is over: wakes all threads in smri_bind_sleep(), and of those in
 * smri_bind_wait() the ones whose wait is over. CONTEXT: HOLDS q->lock.
 */
void smri_bind_wake_waiters(struct gpuvm_queues *q);
/*
 * Releases q->lock and sleeps until smri_bind_wake_waiters() finds w->is_over() true, but not past
 * @deadline (of smr_now()); retakes the lock. 0: it has come; -EINTR, -ETIMEDOUT: it has not.
 */
int smri_bind_wait(struct gpuvm_queues *q, struct smri_bind_wait *w, uint64_t deadline);
/*
 * The same until anything at all is over, without a deadline. For callers that then check for
 * themselves whether it is what they wait for, and release the lock to do so: a signal that comes
 * while they check is not noticed.
 */
int smri_bind_sleep(struct gpuvm_queues *q);

/*
 * Tell the lock checker that the caller may wait for clean-ups; begins to clean up; has cleaned up.
 * CONTEXT: does not hold q->lock.
 */
void smri_bind_check_wait(const struct gpuvm_queues *q);
void smri_bind_check_clean_begin(const struct gpuvm_queues *q);
void smri_bind_check_clean_end(const struct gpuvm_queues *q);

/* ---- submit.c, job.c ---- */

/*
 * What a job needs: it follows from the kinds of its operations alone, except that load.bytes says
 * how much memory that takes in the tree as it is now.
 */
struct smri_bind_need {
	struct smri_bind_load load;
	unsigned long nr[SMRI_BIND_KINDS];
	unsigned int stores;
	bool unmaps_only; /* of ranges or of objects; or there is no operation */
	bool maps_object;
};

/* CONTEXT: TAKES the VM's lock. */
void smri_bind_need(const struct gpuvm_queues *q, const struct bind_job *job,
		    struct smri_bind_need *need);
/* Gives back @load, which was charged. CONTEXT: HOLDS q->lock. */
void smri_bind_uncharge(struct gpuvm_queues *q, const struct smri_bind_load *load);

/* Returns what the submitter of an accepted BIND_SYNC job is told. */
smr_inline int smri_bind_sync_result(struct bind_job *job, int err)
{
	if (err)
		job->bad_op = UINT_MAX;
	return err;
}

/*
 * Makes a job with all it needs. NULL: *@err says why; SMRI_BIND_NO_HEAP: a job that does not only
 * unmap lacks memory for something other than records and the VM's credits, such as a pair.
 * CONTEXT: may block.
 */
struct smri_bind_job *smri_bind_job_new(struct gpuvm_queues *q, const struct bind_job *job,
					const struct smri_bind_need *need, int *err);
/*
 * The same from the spare, for unmaps. Allocates nothing but the fence of a timeline's value. NULL:
 * the spare has too little, or there is no memory for that fence.
 */
struct smri_bind_job *smri_bind_job_spare(struct gpuvm_queues *q, const struct bind_job *job,
					  const struct smri_bind_need *need);
/* Gives back everything that the job still has, and the job. CONTEXT: may block. */
void smri_bind_job_free(struct gpuvm_queues *q, struct smri_bind_job *job);
/* The same for a job made from @of that nothing waits for yet; timelines forget its fences, too. */
void smri_bind_job_refuse(struct gpuvm_queues *q, struct smri_bind_job *job,
			  const struct bind_job *of);
/* Gets @in's fence, or the one of its timeline's value. NULL: no memory. */
struct fence *smri_bind_in_get(const struct bind_sync *in);
/*
 * Puts @f, from smri_bind_in_get(), if no job is to wait for it after all. A timeline would
 * otherwise keep it until the value is reached.
 */
void smri_bind_in_put(const struct bind_sync *in, struct fence *f);
/*
 * Has the driver prepare @job's operations: 0, or its error, with the operation that it refuses in
 * *@bad_op. All that have been prepared must be finished.
 */
int smri_bind_prepare(struct gpuvm_queues *q, struct smri_bind_job *job, unsigned int *bad_op);
void smri_bind_finish(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Sets @j's records to the operations @ops: 0 or -ENOMEM, which unmaps never get. */
int smri_bind_set_ops(struct gpuvm_queues *q, struct smri_bind_job *j, const struct bind_op *ops);
/* Puts what the operations refer to, whether or not all are set. */
void smri_bind_put_ops(struct gpuvm_queues *q, struct smri_bind_job *j);
void smri_bind_put_pair(struct gpuvm_queues *q, struct gpuvm_bo *pair);
void smri_bind_parts_init(struct smri_bind_parts *parts);
/* Gives @parts back: to the spare what it lacks, to the pools the rest. CONTEXT: may block. */
void smri_bind_parts_put(struct gpuvm_queues *q, struct smri_bind_parts *parts);
/* Makes the spare complete again: 0 or -ENOMEM. CONTEXT: may block. */
int smri_bind_refill(struct gpuvm_queues *q);

/* ---- run.c ---- */

/*
 * Runs or cancels @job, and signals its out-fences; then takes out markers that had to be left, if
 * there is memory again. CONTEXT: the runner; opens a signalling section.
 */
void smri_bind_run(struct gpuvm_queues *q, struct smri_bind_job *job);

/* Notes that @op of @job removes @va; @keep: what it requests continues the mapping. */
void smri_bind_note_removed(struct smri_bind_job *job, struct smri_bind_op *op,
			    const struct gpuva *va, bool keep);
/* Open and close a run's section, and call the driver's run_begin and run_end in it. */
void smri_bind_section_begin(struct gpuvm_queues *q);
void smri_bind_section_end(struct gpuvm_queues *q);
/* Signals @f or, if that is NULL, @value of @tl. */
void smri_bind_signal(struct fence *f, struct timeline *tl, uint64_t value, int error);

/* ---- steps.c ---- */

/*
 * Calls the steps of an applied job, from the notes in its operations, and unlists what they have
 * removed. Returns 0, or the error of a step. CONTEXT: the run's section.
 */
int smri_bind_run_steps(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Takes the mappings @removed off their objects' lists. CONTEXT: any section. */
void smri_bind_unlist(struct smr_pool_list *removed);

/* ---- sweep.c ---- */

/*
 * Takes @va out of the tree, or leaves an empty marker in its place. CONTEXT: HOLDS the VM's lock.
 * Any section.
 */
void smri_bind_erase(struct gpuvm_queues *q, struct gpuva *va);
/*
 * The same for all that is left in the tree of the mappings @removed, which their pairs hide;
 * neighbours go in one store. CONTEXT: HOLDS the VM's lock; the runner. Any section.
 */
void smri_bind_erase_all(struct gpuvm_queues *q, const struct smr_pool_list *removed);
/*
 * Takes out the markers left by the mappings @removed: all at the strict level, otherwise as far as
 * there is memory; the others are left to smri_bind_sweep_deferred(). CONTEXT: the cleaner, and not
 * the runner, which it becomes for moments; may block.
 */
void smri_bind_sweep(struct gpuvm_queues *q, const struct smr_pool_list *removed);
/*
 * Takes out what clean-ups had to leave, with free nodes alone, until a job is ready to run; the
 * rest then waits for the end of that job's run. CONTEXT: the runner.
 */
void smri_bind_sweep_deferred(struct gpuvm_queues *q);

/* ---- inline.c ---- */

/*
 * Runs @job, which has only unmaps that cut nothing or no operations, on the submitter's thread.
 * Waits there for the in-fences, unless the job has BIND_NONBLOCK. Returns what bind_queue_submit()
 * must return (-ENOMEM: an unmap must cut, or there are too many), or SMRI_BIND_RETRY.
 */
int smri_bind_inline(struct bind_queue *queue, struct bind_job *job);

/* ---- clean.c ---- */

/* Gives back everything of a job, made from @of, that was not accepted. CONTEXT: may block. */
void smri_bind_undo(struct gpuvm_queues *q, struct smri_bind_job *job, const struct bind_job *of);

/* Cleans up after the run of @job. CONTEXT: the cleaner; may block. */
void smri_bind_clean(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Releases the mappings that no reader sees any more. CONTEXT: the cleaner; may block. */
void smri_bind_release_expired(struct gpuvm_queues *q);

#endif
