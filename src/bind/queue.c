/* SPDX-License-Identifier: MIT */
/*
 * Bind queues: what they consist of, and why an accepted job cannot fail.
 *
 *	bind_workers     threads, and a list of VMs that have something to do             worker.c
 *	gpuvm_queues     of one VM: bounds, pools, credits, the spare; the unit of work   vm.c
 *	bind_queue       jobs in the order they were accepted                             here
 *	smri_bind_job    a job, with all that its run may need                            job.c
 *
 *	 job   caller's thread: submit.c
 *	  |      validate, charge, reserve     may fail
 *	  |      enter, publish, arm           cannot
 *	  |    no thread: it waits for its fences, and for the jobs before it
 *	  |    the runner's thread
 *	  |      run, in a section             apply, call steps, signal: run.c
 *	  |    the cleaner's thread: clean.c
 *	  |      clean up                      what is left goes back
 *	  v    limbo: the mappings that were removed, until a grace period is over
 *	drained
 *
 * The VM is the unit of work. A worker takes one off the list, becomes its *runner*, begins a few
 * jobs of it, one after another, and releases it. So jobs of a VM never run concurrently, which
 * makes each of them atomic to the others, and no worker waits for a lock that another holds for
 * long: a callback that blocks holds up one thread and one VM, and nothing else. There is at most
 * one runner (`busy`); a VM with jobs to run has a runner, or is in the list (`listed`), or a
 * thread waits to become its runner.
 *
 * Jobs that have run are left to the *cleaner*, of which there also is at most one: another thread,
 * or the same when it is no longer the runner. It may wait for memory and for any lock, and the
 * threads that could provide these may wait for jobs that are still to run. So the runner never
 * waits for the cleaner, and a thread is found for it whatever cleaners wait for (worker.c). Jobs
 * are cleaned up in the order of their runs, so figures and bounds fall in that order, too. A
 * clean-up that any thread waits for does not wait for a later run either: it gets a thread of its
 * own. Other clean-ups are put off until the runner's turn is over, and are mostly done by the same
 * thread.
 *
 * A submitter that has to run an unmap itself, and bind_vm_close(), become cleaner and runner in
 * the same way. So does the cleaner become the runner for the moments in which it changes the tree,
 * a few entries each time.
 *
 * A job can begin when it is the first of its queue, committed, and all its in-fences are signalled
 * or it is to be cancelled. Whatever may make that true calls smri_bind_update_ready(): a signalled
 * fence, a commit, the end of a job, a cancellation. It puts the queue into the VM's ready list,
 * from which runners take queues in turn.
 *
 * Invariants
 *
 *	1  What a job may use belongs to it from before it is accepted: its list of mappings, its
 *	   pairs, its credits. Nothing takes it away, and the run cannot get more. How much it
 *	   needs follows from the kinds of its operations (job.c).
 *	2  Only the runner changes the tree of a VM with queues, under the VM's lock. So what the
 *	   runner has read stays true while it does not hold the lock, and steps may be called
 *	   without it.
 *	3  A mapping is in one of: a list of a job (reserved), the tree (live), a list of an
 *	   operation that removed it, the pool's limbo. It leaves limbo after a grace period; only
 *	   then is its reference to the pair dropped, so a reader that found it in a read-side
 *	   section may use its object and pair.
 *	4  Between the commit of a submit and the signal no thread waits for memory, or for a thread
 *	   that may wait for memory. The runner does not because of 1, and because all it does
 *	   between two jobs is to choose the next; other threads that become the runner have got
 *	   what they need by then; workers, and threads that signal in-fences, do not because the
 *	   locks below are never held while memory is got or freed.
 *	5  `charged` counts jobs accepted and submits under way; stats.jobs only accepted jobs. Both
 *	   fall when a job has been cleaned up, and threads that wait for room, memory, or the end
 *	   of a job are woken.
 *
 * Lock ordering, outermost first: reservation locks of objects (submit, clean up); the VM's tree;
 * an object's list; a pool's (never in a run); `lock` of the VM's queues; the workers'. Under the
 * last two nothing is called but futexes.
 *
 * The credits of all jobs of a VM are in one holder: so there is one working set, and a credit
 * costs little more than one node. A holder serves one thread at a time, and that is the runner. It
 * announces a job's stores before the section begins, because that may wait for a grace period. A
 * job of more stores than a batch has a strict holder of its own, which never waits.
 *
 * The spare. An unmap that cuts a mapping needs memory, and must not be refused for lack of it. So
 * a VM keeps what one such unmap needs, refills that from what jobs return before anything goes
 * back to the heap, and lets a submitter that finds it gone wait for it. If nothing is outstanding,
 * and so nothing will be returned, the submitter becomes the runner and takes the mappings out one
 * by one, which needs no memory unless one has to be cut (inline.c).
 *
 * The strict level needs none of this: pools keep what there can be at a time, and the tree is one
 * of known size (tree/pledge.h), whose credits can always be had. It stays within that size because
 * a mapping is counted (vas_live, or growth of its job) until it, its pieces and their markers are
 * out of the tree. A job may cut a marker that is still there, as it would have cut the mapping; it
 * is cleaned up after the job that left the marker.
 *
 * Rejected
 *
 * - Cleaning up between two runs, by the runner. The next job's fences would wait for memory, and
 *   for reservation locks, whose holders may wait for these fences.
 * - A worker for each queue. Jobs of two queues of a VM would contend for the VM's lock, and wait
 *   there for each other's steps.
 * - Applying an operation, calling its steps, applying the next. Readers would see half a job, and
 *   steps would be called under the lock.
 * - Epochs for every removal, as BIND_UNMAP_ALL has them. Readers would have to look at the pair of
 *   each mapping for ever. As it is they do so only in VMs with queues, and an epoch is behind only
 *   within one critical section of the VM's lock.
 * - A counted reference from each job to its queue. A queue waits for its jobs before it goes, and
 *   nothing is told after a job's end, so there is nothing to count.
 */
#include "bind/bind_internal.h"

#include "base/park.h"
#include "lock/check.h"
#include "mem/heap.h"

#include <errno.h>
#include <limits.h>
#include <samara/lockcheck.h>
#include <string.h>

enum { JOBS_PER_TURN = 8 };

/* ---- Waking and waiting ---- */

static void wake_waits(struct gpuvm_queues *q)
{
	struct gpuvm_list *link, *next;

	smr_list_for_each_safe(link, next, &q->waits)
	{
		struct smri_bind_wait *w = smr_list_entry(link, struct smri_bind_wait, link);

		if (!w->is_over(q, w))
			continue;
		smr_list_remove(link);
		smr_store(&w->word, 1, RELAXED);
		smr_wake(&w->word, 1);
	}
}

void smri_bind_wake_waiters(struct gpuvm_queues *q)
{
	smr_store(&q->event, q->event + 1, RELAXED);
	if (q->sleepers)
		smr_wake(&q->event, INT_MAX);
	wake_waits(q);
}

int smri_bind_wait(struct gpuvm_queues *q, struct smri_bind_wait *w, uint64_t deadline)
{
	int err = 0;

	if (w->is_over(q, w))
		return 0;
	smr_check_wait_without("jobs of a bind queue", &q->lock);
	smri_bind_kick(q, SMRI_BIND_CLEAN);
	smr_list_append(&q->waits, &w->link);
	w->word = 0;
	while (!w->word && !err) {
		mt_lock_release(&q->lock);
		err = smr_park_until(&w->word, 0, deadline);
		mt_lock_acquire(&q->lock);
	}
	if (w->word) /* perhaps at the last moment */
		return 0;
	smr_list_remove(&w->link);
	return err;
}

int smri_bind_sleep(struct gpuvm_queues *q)
{
	unsigned int event = q->event;
	int err;

	smr_check_wait_without("jobs of a bind queue", &q->lock);
	smri_bind_kick(q, SMRI_BIND_CLEAN);
	q->sleepers++;
	mt_lock_release(&q->lock);
	err = smr_park_until(&q->event, event, SMR_NEVER);
	mt_lock_acquire(&q->lock);
	q->sleepers--;
	/* What it slept for may have come even so. */
	return q->event == event ? err : 0;
}

/*
 * To the lock checker clean-up is a lock: the cleaner holds it while it may call callbacks, and a
 * thread that waits for clean-ups takes it. So the checker sees a callback that waits for its own
 * VM, and a lock that one thread holds while it waits and another takes while it cleans up. There
 * are two classes because clean-ups take the VM's reservation lock in protected mode, and may take
 * none otherwise.
 */
static struct lockcheck_class clean_up = LOCKCHECK_CLASS("clean-up of jobs"),
			      clean_up_protected =
				      LOCKCHECK_CLASS("clean-up of jobs, lists protected");

void smri_bind_check_clean_begin(const struct gpuvm_queues *q)
{
	/* Nested: a callback may wait for another VM. */
	lockcheck_acquire(&q->turn[SMRI_BIND_CLEAN],
			  gpuvm_resv_protected(q->vm) ? &clean_up_protected : &clean_up,
			  LOCKCHECK_NESTED);
}

void smri_bind_check_clean_end(const struct gpuvm_queues *q)
{
	lockcheck_release(&q->turn[SMRI_BIND_CLEAN]);
}

void smri_bind_check_wait(const struct gpuvm_queues *q)
{
	const struct mt_lock *resv = &gpuvm_resv(q->vm)->lock;

	smr_check_wait("jobs of a bind queue");
	smri_bind_check_clean_begin(q);
	smri_bind_check_clean_end(q);
	if (!gpuvm_resv_protected(q->vm))
		return;
	/* The checker may not have seen yet that clean-ups take this one. */
	(void)smr_check_lock(resv, LOCKCHECK_NESTED, 0);
	(void)smr_check_unlock(resv);
}

/* ---- Whose turn it is ---- */

static struct smri_bind_job *first_job(const struct bind_queue *queue)
{
	return (struct smri_bind_job *)queue->jobs.head;
}

static bool can_begin(const struct bind_queue *queue)
{
	const struct smri_bind_job *job = first_job(queue);

	return job && job->committed && (job->in_pending == 0 || smri_bind_cancels(queue));
}

static bool has_work(const struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	return duty == SMRI_BIND_RUN ? !smr_list_empty(&q->ready) : q->to_clean.head || q->expired;
}

/* A thread that has claimed the turn comes first: under load a worker would always be earlier. */
static void kick(struct gpuvm_queues *q, enum smri_bind_duty duty, bool wake)
{
	struct smri_bind_turn *turn = &q->turn[duty];

	if (turn->listed || turn->busy || turn->claims > 0 || !has_work(q, duty))
		return;
	turn->listed = true;
	smri_bind_enlist(q, duty, wake);
}

void smri_bind_kick(struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	kick(q, duty, true);
}

void smri_bind_update_ready(struct bind_queue *queue)
{
	if (can_begin(queue) && smr_list_empty(&queue->ready))
		smr_list_append(&queue->vm->ready, &queue->ready);
	smri_bind_kick(queue->vm, SMRI_BIND_RUN);
}

void smri_bind_update_ready_all(struct gpuvm_queues *q)
{
	struct gpuvm_list *link;

	smr_list_for_each(link, &q->queues)
		smri_bind_update_ready(smr_list_entry(link, struct bind_queue, link));
}

/* Takes the job to begin now off its queue; NULL: none. CONTEXT: HOLDS q->lock. */
static struct smri_bind_job *begin_job(struct gpuvm_queues *q)
{
	struct bind_queue *queue;
	struct smri_bind_job *job;

	if (smr_list_empty(&q->ready))
		return NULL;
	queue = smr_list_entry(q->ready.next, struct bind_queue, ready);
	smr_list_remove(&queue->ready);
	job = smr_pool_get(&queue->jobs);
	job->cancel = smri_bind_cancels(queue);
	return job;
}

void smri_bind_own(struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	struct smri_bind_turn *turn = &q->turn[duty];

	turn->claims++;
	while (turn->listed || turn->busy)
		(void)smri_bind_sleep(q);
	turn->claims--;
	turn->busy = true;
}

void smri_bind_disown(struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	q->turn[duty].busy = false;
	smri_bind_kick(q, duty);
	smri_bind_wake_waiters(q);
}

/* Returns true if any thread waits for something to be over. */
static bool is_awaited(const struct gpuvm_queues *q)
{
	return q->sleepers > 0 || !smr_list_empty(&q->waits);
}

/*
 * Return false if there is nothing to do. CONTEXT, of these two: HOLDS q->lock, but drops it
 * meanwhile.
 */
static bool run_one(struct gpuvm_queues *q)
{
	struct smri_bind_job *job = begin_job(q);

	if (!job)
		return false;
	/*
	 * Another thread cleans up after the jobs before this one if anybody waits for that; a
	 * thread that begins to wait later calls for it itself. Otherwise it can wait until the
	 * turn is over, and this thread does it without waking another.
	 */
	if (is_awaited(q))
		smri_bind_kick(q, SMRI_BIND_CLEAN);
	mt_lock_release(&q->lock);
	smri_bind_run(q, job);
	mt_lock_acquire(&q->lock);
	smr_pool_list_add(&q->to_clean, &job->obj);
	smri_bind_update_ready(job->queue);
	return true;
}

static bool clean_one(struct gpuvm_queues *q)
{
	struct smri_bind_job *job = smr_pool_get(&q->to_clean);
	bool expired = q->expired;

	if (!job && !expired)
		return false;
	q->expired = false;
	q->slow_clean = expired;
	mt_lock_release(&q->lock);
	if (job)
		smri_bind_clean(q, job);
	if (expired)
		smri_bind_release_expired(q);
	mt_lock_acquire(&q->lock);
	q->slow_clean = false;
	return true;
}

void smri_bind_work(struct gpuvm_queues *q, enum smri_bind_duty duty)
{
	bool more = true;

	mt_lock_acquire(&q->lock);
	q->turn[duty].listed = false;
	q->turn[duty].busy = true;
	for (unsigned int i = 0; i < JOBS_PER_TURN && more; i++)
		more = duty == SMRI_BIND_RUN ? run_one(q) : clean_one(q);
	q->turn[duty].busy = false;
	kick(q, SMRI_BIND_RUN, false);
	kick(q, SMRI_BIND_CLEAN, false);
	smri_bind_wake_waiters(q);
	/* From here on the VM may be closed and gone. */
	mt_lock_release(&q->lock);
}

/* ---- Queues ---- */

struct bind_queue *bind_queue_create(struct gpuvm *vm, const char *name, int *err)
{
	struct gpuvm_queues *q = vm->queues;
	struct bind_queue *queue;
	int why = -EINVAL;

	queue = q && name ? smr_heap_alloc(sizeof(*queue)) : NULL;
	if (queue) {
		queue->vm = q;
		strncpy(queue->name, name, sizeof(queue->name) - 1);
		smr_pool_list_init(&queue->jobs);
		smr_list_init(&queue->ready);
		mt_lock_acquire(&q->lock);
		why = smri_bind_vm_refuses(q) ? -ENOENT : 0;
		if (!why)
			smr_list_append(&q->queues, &queue->link);
		mt_lock_release(&q->lock);
	} else if (q && name) {
		why = -ENOMEM;
	}
	if (why) {
		smr_heap_free(queue);
		queue = NULL;
	} else {
		gpuvm_get(vm);
	}
	if (err)
		*err = why;
	return queue;
}

const char *bind_queue_name(const struct bind_queue *q)
{
	return q->name;
}

void bind_queue_cancel(struct bind_queue *queue)
{
	struct gpuvm_queues *q = queue->vm;

	mt_lock_acquire(&q->lock);
	queue->canceled = true;
	smri_bind_update_ready(queue);
	smri_bind_wake_waiters(q); /* submitters that wait for room need not wait any longer */
	mt_lock_release(&q->lock);
}

struct waited {
	struct smri_bind_wait wait;
	const struct bind_queue *queue;
	unsigned long until; /* that many jobs have finished */
};

static bool have_finished(struct gpuvm_queues *q, struct smri_bind_wait *w)
{
	const struct waited *waited = container_of(w, struct waited, wait);

	(void)q;
	return waited->queue->finished >= waited->until;
}

int bind_queue_wait(struct bind_queue *queue, int64_t timeout_ns)
{
	uint64_t deadline = timeout_ns < 0 ? SMR_NEVER : smr_now() + (uint64_t)timeout_ns;
	struct waited w = { .wait.is_over = have_finished, .queue = queue };
	struct gpuvm_queues *q = queue->vm;
	int err;

	if (timeout_ns != 0)
		smri_bind_check_wait(q);
	mt_lock_acquire(&q->lock);
	w.until = queue->submitted;
	if (timeout_ns != 0)
		err = smri_bind_wait(q, &w.wait, deadline);
	else
		err = have_finished(q, &w.wait) ? 0 : -ETIMEDOUT;
	mt_lock_release(&q->lock);
	return err;
}

void bind_queue_destroy(struct bind_queue *queue)
{
	struct gpuvm_queues *q;

	if (!queue)
		return;
	q = queue->vm;
	smri_bind_check_wait(q);
	bind_queue_cancel(queue);
	mt_lock_acquire(&q->lock);
	while (queue->finished < queue->submitted)
		(void)smri_bind_sleep(q);
	smr_assert(smr_list_empty(&queue->ready) && !queue->jobs.head);
	smr_list_remove(&queue->link);
	mt_lock_release(&q->lock);
	gpuvm_put(q->vm);
	smr_heap_free(queue);
}
