/* SPDX-License-Identifier: MIT */
/* What the files of this layer share. queue.c explains it. */
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

/* What precedes a mapping of ours. */
struct smri_bind_va {
	struct smr_pool_obj obj; /* in a job's list of mappings reserved, or removed */
	/*
	 * GUARD the VM's runner: stamp of the operation that made it; the request continues it; it
	 * has been removed
	 */
	unsigned long born : 62, keep : 1, gone : 1;
	struct gpuva va; /* bind_config.va_size bytes */
};

smr_inline struct smri_bind_va *smri_bind_va_of(const struct gpuva *va)
{
	return container_of((struct gpuva *)(uintptr_t)va, struct smri_bind_va, va);
}

/* An in-fence, whose callback it is, or what an out-fence is to signal. */
struct smri_bind_sync {
	struct smr_pool_obj obj;
	struct fence_cb cb;
	struct fence *fence;
	struct timeline *timeline; /* of an out-fence */
	uint64_t value;            /* of a timeline; where an in-fence is its, for bind_vm_dump() */
	struct smri_bind_job *job;
};

/* One operation of a job, and in its run what it has come to. */
struct smri_bind_op {
	struct smr_pool_obj obj;
	struct bind_op req;
	struct gpuvm_bo
		*pair; /* of req.obj, with a reference; BIND_UNMAP_ALL: found when it runs */
	struct gpuvm_bo *spare; /* made at submit, of no use if there was a pair already */
	void *cookie;
	unsigned long stamp;
	struct smr_pool_list removed; /* mappings, in the order of their steps */
	struct smri_bind_op *change;  /* the next one that has removed something */
	struct smri_bind_va *ahead;   /* of removed: what a prefetch before it has not passed */
	struct gpuva *map, *prev,
		*next; /* prev is left of the first one removed, next of the last */
};

struct smri_bind_load {
	unsigned long jobs, ops, growth; /* growth: live mappings that may come */
	size_t bytes;
};

/*
 * Who waits for one thing, on his own stack. He sleeps on a word that changes when that has come,
 * and for nothing else that goes on in the VM: so he sleeps once, and a signal handler that runs
 * meanwhile ends the sleep. GUARD VM's lock.
 */
struct smri_bind_wait {
	struct gpuvm_list link; /* among those of the VM, until it has come */
	/* Has it come? May take it for him, and is then not asked again. CONTEXT: HOLDS q->lock. */
	bool (*over)(struct gpuvm_queues *q, struct smri_bind_wait *w);
	unsigned int word; /* a futex; 1: it has */
};

/* Who waits for a BIND_SYNC job. GUARD VM's lock. */
struct smri_bind_waiter {
	struct smri_bind_wait wait;
	struct smri_bind_waiter **noted; /* by the job, or who cleans up after it: to be told */
	bool over;
	int error;
};

struct smri_bind_job {
	struct smr_pool_obj obj; /* in its queue */
	struct bind_queue *queue;
	struct smr_pool_list ops, vas, in, out;
	struct fence *done;              /* in the resv of objects it maps, or NULL */
	struct mt_credits *credits;      /* of its own, or NULL: the VM's */
	struct smri_bind_waiter *waiter; /* GUARD lock */
	struct smri_bind_load load;
	unsigned int stores;       /* credits it holds */
	unsigned int nr_vas;       /* mappings it had reserved */
	unsigned int prepared;     /* operations that the driver has prepared */
	unsigned int waits;        /* GUARD lock: in-fences to come */
	unsigned long more, fewer; /* mappings that its run has made and removed */
	int error;
	bool committed; /* GUARD lock */
	bool cancel;    /* decided when it is begun */
};

/* The kinds of records, of which each VM has pools. */
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

/* Each begins with its struct smr_pool_obj, by which it is in @list. */
#define smri_bind_for_each(record, list)                        \
	for ((record) = (void *)(list)->head; (record) != NULL; \
	     (record) = (void *)(record)->obj.next)

enum {
	SMRI_BIND_SPARE_SYNCS = 4, /* in- and out-fences that an unmap on the spare can have */
	SMRI_BIND_INLINE_OPS = 16, /* unmaps that a submitter can run itself */
};

/* Answers between the files of this layer, beside 0 and a negative errno. */
enum {
	SMRI_BIND_ALONE = 1,  /* nothing is outstanding that could bring memory back */
	SMRI_BIND_RETRY = 2,  /* something is, now */
	SMRI_BIND_OTHERS = 3, /* no memory for what jobs that are over do not bring back */
};

/*
 * What a callback of the driver has answered. A fence takes nothing else for an error, and would
 * not be signalled.
 */
smr_inline int smri_bind_answer(int err)
{
	bool good = err <= 0 && err >= -SMR_MAX_ERRNO;

	smr_assert(good);
	return good ? err : -EINVAL;
}

/* ---- Queues and VMs ---- */

/* What there is to do for a VM; one thread at a time does either. */
enum smri_bind_duty {
	SMRI_BIND_RUN,
	SMRI_BIND_CLEAN,
	SMRI_BIND_DUTIES,
};

struct smri_bind_turn {
	struct gpuvm_queues *next; /* GUARD workers' lock: in their list */
	bool listed;               /* GUARD lock: waits for a worker */
	bool busy;                 /* GUARD lock: somebody is at it */
	unsigned int claims;       /* GUARD lock: of others who wait for it, without a worker */
};

struct bind_queue {
	struct gpuvm_list link;  /* GUARD lock: among the VM's queues */
	struct gpuvm_list ready; /* GUARD lock: its first job can run */
	struct gpuvm_queues *vm;
	struct smr_pool_list jobs;         /* GUARD lock: not begun */
	unsigned long submitted, finished; /* GUARD lock */
	bool canceled;                     /* GUARD lock */
	char name[32];
};

struct gpuvm_queues {
	struct gpuvm_queues_head head; /* what the layer below knows of us */
	struct gpuvm *vm;
	struct bind_workers *workers;
	const struct bind_ops *ops;
	void *priv;
	/*
	 * 0: no bound; growth: of all live mappings, not 0 at the strict level, ULONG_MAX where the
	 * VM has no room for more
	 */
	struct smri_bind_load max;
	bool shared_workers;
	/* Of all jobs that have not got their own, and the spare's; strict level: and one more. */
	struct mt_credits credits;
	struct smr_pool pool[SMRI_BIND_KINDS];
	unsigned long stamp; /* GUARD the runner */
	/* GUARD the runner: where a clean-up had to leave markers; first > last: nowhere */
	uint64_t left_first, left_last;

	struct mt_lock lock; /* RANK bind */
	struct gpuvm_list queues, ready;
	struct smri_bind_turn turn[SMRI_BIND_DUTIES];
	struct smr_pool_list over; /* GUARD lock: jobs that have run, to be cleaned up */
	bool closed, canceled;     /* GUARD lock */
	bool banned;               /* GUARD writes: lock; relaxed */
	bool expired;              /* GUARD lock: the pool of mappings has expired ones */
	bool lingers;              /* GUARD lock: the cleaner may take as long as callbacks do */
	unsigned int event;        /* GUARD lock; a futex: something is over */
	unsigned int sleepers;     /* GUARD lock: on event */
	struct gpuvm_list waits;   /* GUARD lock: struct smri_bind_wait, longest first */
	struct smri_bind_load charged; /* GUARD lock: by jobs accepted, and submits under way */
	/* What one unmap needs at most, or less, kept for when there is no memory. GUARD lock. */
	struct smri_bind_parts spare;
	struct bind_stats stats; /* GUARD lock */
};

/* Does the VM take no jobs or queues any more? CONTEXT, of these two: HOLDS q->lock. */
smr_inline bool smri_bind_vm_refuses(const struct gpuvm_queues *q)
{
	return q->closed || q->banned;
}

/* Does the queue take no jobs any more? */
smr_inline bool smri_bind_refuses(const struct bind_queue *queue)
{
	return queue->canceled || smri_bind_vm_refuses(queue->vm);
}

/* Will its jobs be cancelled rather than run? CONTEXT: HOLDS q->lock. */
smr_inline bool smri_bind_cancels(const struct bind_queue *queue)
{
	return queue->canceled || queue->vm->canceled || queue->vm->banned;
}

/* ---- worker.c ---- */

/*
 * A worker is to call smri_bind_work(@q, @duty). @wake: unless the caller is one, and about to look
 * for something to do. CONTEXT: HOLDS q->lock. Any section.
 */
void smri_bind_enlist(struct gpuvm_queues *q, enum smri_bind_duty duty, bool wake);
/* The pool that all VMs share that have not named one, and back. NULL: no memory or threads. */
struct bind_workers *smri_bind_workers_get(void);
void smri_bind_workers_put(void);

/* ---- queue.c ---- */

/*
 * Looks again whether the queue's first job can run, and calls for a worker. CONTEXT: HOLDS
 * q->lock. Any section.
 */
void smri_bind_look(struct bind_queue *queue);
/* The same for all of a VM's queues. */
void smri_bind_look_all(struct gpuvm_queues *q);
/* Calls for a worker, if there is something to do and nobody does it. The same CONTEXT. */
void smri_bind_call(struct gpuvm_queues *q, enum smri_bind_duty duty);
/* One turn: runs some jobs, or cleans up after some. CONTEXT: a worker. */
void smri_bind_work(struct gpuvm_queues *q, enum smri_bind_duty duty);
/*
 * Becomes the runner (the cleaner) of @q; or no longer is. Who is both has become the cleaner
 * first. CONTEXT: HOLDS q->lock; own may sleep, without it meanwhile.
 */
void smri_bind_own(struct gpuvm_queues *q, enum smri_bind_duty duty);
void smri_bind_disown(struct gpuvm_queues *q, enum smri_bind_duty duty);
/*
 * Tells that something is over: who sleeps in smri_bind_sleep(), and of those in smri_bind_wait()
 * the ones for whom it has come. CONTEXT: HOLDS q->lock.
 */
void smri_bind_tell(struct gpuvm_queues *q);
/*
 * Lets go of q->lock and sleeps until smri_bind_tell() finds w->over, to @deadline (of smr_now())
 * at most; retakes it. 0: it has come; -EINTR, -ETIMEDOUT: it has not.
 */
int smri_bind_wait(struct gpuvm_queues *q, struct smri_bind_wait *w, uint64_t deadline);
/*
 * Likewise until anything at all is over. For those who then look for themselves whether it is what
 * they wait for, and let go of the lock to do so: a signal that comes while they look is not
 * noticed.
 */
int smri_bind_sleep(struct gpuvm_queues *q, uint64_t deadline);
/* The same, and goes on sleeping when signals arrive. */
void smri_bind_sleep_on(struct gpuvm_queues *q);

/*
 * For the checker. The caller may wait for clean-ups; it begins to clean up, and has done so.
 * CONTEXT: does not hold q->lock.
 */
void smri_bind_may_wait(const struct gpuvm_queues *q);
void smri_bind_clean_begins(const struct gpuvm_queues *q);
void smri_bind_clean_ends(const struct gpuvm_queues *q);

/* ---- submit.c, job.c ---- */

/* What a job of these operations needs, from their kinds alone. */
struct smri_bind_need {
	struct smri_bind_load load;
	unsigned long nr[SMRI_BIND_KINDS];
	unsigned int stores;
	bool unmaps_only; /* of ranges or of objects; or there is no operation */
	bool maps_object;
};

void smri_bind_need(const struct gpuvm_queues *q, const struct bind_job *job,
		    struct smri_bind_need *need);
/* Gives up @load, which was charged. CONTEXT: HOLDS q->lock. */
void smri_bind_uncharge(struct gpuvm_queues *q, const struct smri_bind_load *load);

/* What the submitter of a BIND_SYNC job that was accepted is told. */
smr_inline int smri_bind_result(struct bind_job *job, int err)
{
	if (err)
		job->bad_op = UINT_MAX;
	return err;
}

/*
 * Gets all of it: the job, or NULL and *@err; SMRI_BIND_OTHERS: of a job that maps, say, the pair.
 * CONTEXT: may block.
 */
struct smri_bind_job *smri_bind_job_new(struct gpuvm_queues *q, const struct bind_job *job,
					const struct smri_bind_need *need, int *err);
/* The same out of the spare, for unmaps: NULL if it has not got as much. Asks for no memory. */
struct smri_bind_job *smri_bind_job_spare(struct gpuvm_queues *q, const struct bind_job *job,
					  const struct smri_bind_need *need);
/* Gives everything back that is still the job's, and the job. CONTEXT: may block. */
void smri_bind_job_free(struct gpuvm_queues *q, struct smri_bind_job *job);
/* The same of a job that nothing waits for yet, and what timelines have got by it, made of @of. */
void smri_bind_job_refuse(struct gpuvm_queues *q, struct smri_bind_job *job,
			  const struct bind_job *of);
/* The fence of an in-fence, or of a timeline's value: NULL when there is no memory. */
struct fence *smri_bind_in_get(const struct bind_sync *in);
/*
 * Gives @f back that smri_bind_in_get() has got, and nobody waits for any more. A timeline would
 * else keep it until the value is reached.
 */
void smri_bind_in_put(const struct bind_sync *in, struct fence *f);
/*
 * The driver's part of @job's operations: 0, or its error, and *@bad_op is the one that it refuses.
 * All that have been prepared are to be finished.
 */
int smri_bind_prepare(struct gpuvm_queues *q, struct smri_bind_job *job, unsigned int *bad_op);
void smri_bind_finish(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Makes @j's records operations @ops: 0 or -ENOMEM, which unmaps are never short of. */
int smri_bind_set_ops(struct gpuvm_queues *q, struct smri_bind_job *j, const struct bind_op *ops);
/* Gives back what they refer to, whether all are set or not. */
void smri_bind_put_ops(struct gpuvm_queues *q, struct smri_bind_job *j);
void smri_bind_put_pair(struct gpuvm_queues *q, struct gpuvm_bo *pair);
void smri_bind_parts_init(struct smri_bind_parts *parts);
/* Gives all of it back: first to the spare, as far as that lacks it. CONTEXT: may block. */
void smri_bind_parts_put(struct gpuvm_queues *q, struct smri_bind_parts *parts);
/* Makes the spare whole again: 0 or -ENOMEM. CONTEXT: may block. */
int smri_bind_refill(struct gpuvm_queues *q);

/* ---- run.c ---- */

/*
 * Runs @job, or cancels it, up to its out-fences; then takes out markers that had to be left, if
 * there is memory again. CONTEXT: the runner; opens a signalling section.
 */
void smri_bind_run(struct gpuvm_queues *q, struct smri_bind_job *job);

/* Around what leads up to signalling. */
void smri_bind_section_begin(struct gpuvm_queues *q);
void smri_bind_section_end(struct gpuvm_queues *q);
/* Signals @f, or else @value of @tl. */
void smri_bind_signal(struct fence *f, struct timeline *tl, uint64_t value, int error);

/* ---- steps.c ---- */

/*
 * What is left of a run once the operations' records say what these came to, but for its fences. An
 * error is a step's. CONTEXT: the section.
 */
int smri_bind_carry_out(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Takes what was removed off the objects' lists. CONTEXT: any section. */
void smri_bind_unlist(struct smr_pool_list *removed);

/* ---- sweep.c ---- */

/*
 * Takes @va out of the tree, or leaves an empty marker in its place. CONTEXT: HOLDS the VM's lock.
 * Any section.
 */
void smri_bind_erase(struct gpuvm_queues *q, struct gpuva *va);
/*
 * The same for all that is left in the tree of mappings that are @removed, whose pairs have been
 * hidden; neighbours go in one store. CONTEXT: HOLDS the VM's lock; the runner. Any section.
 */
void smri_bind_erase_all(struct gpuvm_queues *q, const struct smr_pool_list *removed);
/*
 * Takes out the markers that are left of what was @removed, as far as there is memory, at the
 * strict level all. What it has to leave is for smri_bind_sweep_left(). CONTEXT: the cleaner, and
 * not the runner, which it becomes for moments; may block.
 */
void smri_bind_sweep(struct gpuvm_queues *q, const struct smr_pool_list *removed);
/*
 * Takes out what clean-ups had to leave, with free nodes alone, until a job is ready to run: then
 * the rest waits for the end of that run. CONTEXT: the runner.
 */
void smri_bind_sweep_left(struct gpuvm_queues *q);

/* ---- inline.c ---- */

/*
 * Runs @job, of unmaps that cut nothing or of nothing, on the submitter's thread, where it waits
 * for its in-fences, unless it has BIND_NONBLOCK. What bind_queue_submit() is to return (-ENOMEM:
 * one has to cut, or there are too many); or SMRI_BIND_RETRY.
 */
int smri_bind_inline(struct bind_queue *queue, struct bind_job *job);

/* ---- clean.c ---- */

/* A job, made of @of, that was not accepted: everything back. CONTEXT: may block. */
void smri_bind_undo(struct gpuvm_queues *q, struct smri_bind_job *job, const struct bind_job *of);

/* After the run. CONTEXT: the cleaner; may block. */
void smri_bind_clean(struct gpuvm_queues *q, struct smri_bind_job *job);
/* Ends the mappings that no reader sees any more. CONTEXT: the cleaner; may block. */
void smri_bind_drain(struct gpuvm_queues *q);

#endif
