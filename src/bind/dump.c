/* SPDX-License-Identifier: MIT */
/*
 * Prints what is outstanding. A thread that signals fences takes the lock of the queues, so nothing
 * is printed or allocated under it: what to say of each job is noted first, and printed afterwards.
 */
#include "bind/bind_internal.h"

#include "base/hooks.h"
#include "base/thread.h"
#include "mem/heap.h"

#include <inttypes.h>
#include <string.h>

/* A job that has not begun. */
struct note {
	char queue[sizeof(((struct bind_queue *)0)->name)];
	unsigned long ops;
	unsigned int in_pending; /* in-fences not signalled yet */
	const void *fence;       /* one of them; NULL: it is being signalled */
	uint64_t value;          /* of the timeline whose fence that is; else 0 */
	bool first;              /* the first of its queue */
	bool accepted, cancel;
};

struct notes {
	struct note *note;
	unsigned long room, nr;
	struct bind_stats stats;
	unsigned long to_clean, waiting; /* jobs to be cleaned up; threads */
	bool running, cleaning, banned, closed;
	bool lacking; /* there was no memory for notes */
};

static void note_fence(struct note *note, const struct smri_bind_job *job)
{
	const struct smri_bind_sync *in;

	smri_bind_for_each(in, &job->in)
	{
		if (fence_is_signaled(in->fence))
			continue;
		note->fence = in->fence;
		note->value = in->value;
		return;
	}
}

/* CONTEXT, of these three: HOLDS q->lock. */
static void note_job(struct notes *notes, const struct bind_queue *queue,
		     const struct smri_bind_job *job)
{
	struct note *note = &notes->note[notes->nr++];

	memcpy(note->queue, queue->name, sizeof(note->queue));
	note->ops = job->load.ops;
	note->in_pending = job->in_pending;
	note->first = &job->obj == queue->jobs.head;
	note->accepted = job->committed;
	note->cancel = smri_bind_cancels(queue);
	if (job->in_pending > 0)
		note_fence(note, job);
}

static void note_queues(struct notes *notes, const struct gpuvm_queues *q)
{
	const struct smri_bind_job *job;
	struct gpuvm_list *link;

	if (notes->lacking)
		return;
	smr_list_for_each(link, &q->queues)
	{
		const struct bind_queue *queue = smr_list_entry(link, struct bind_queue, link);

		smri_bind_for_each(job, &queue->jobs) note_job(notes, queue, job);
	}
}

static void note_vm(struct notes *notes, const struct gpuvm_queues *q)
{
	bool gone = q->closed && q->stats.jobs == 0; /* the closing thread keeps both turns */
	const struct gpuvm_list *link;

	notes->stats = q->stats;
	notes->to_clean = q->to_clean.nr;
	notes->running = q->turn[SMRI_BIND_RUN].busy && !gone;
	notes->cleaning = q->turn[SMRI_BIND_CLEAN].busy && !gone;
	notes->banned = q->banned;
	notes->closed = q->closed;
	notes->waiting = q->sleepers;
	smr_list_for_each(link, &q->waits) notes->waiting++;
}

/*
 * Makes room for notes of all jobs, including those that come while it does so; if there is no
 * memory, for none. CONTEXT: takes q->lock, and returns with it held.
 */
static void make_room(struct notes *notes, struct gpuvm_queues *q)
{
	mt_lock_acquire(&q->lock);
	while (q->stats.jobs > notes->room) {
		notes->room = q->stats.jobs + q->stats.jobs / 4;
		mt_lock_release(&q->lock);
		smr_heap_free(notes->note);
		notes->note = smr_heap_alloc(notes->room * sizeof(*notes->note));
		smr_hook_at(SMR_HOOK_ROOM);
		mt_lock_acquire(&q->lock);
		notes->lacking = !notes->note;
		if (notes->lacking)
			return;
	}
}

static void put_wait(const struct note *note, FILE *out)
{
	if (!note->fence)
		fputs("waits for a fence that is being signalled", out);
	else if (note->value)
		fprintf(out, "waits for value %" PRIu64 " of a timeline, fence %p", note->value,
			note->fence);
	else
		fprintf(out, "waits for fence %p", note->fence);
	if (note->in_pending > 1)
		fprintf(out, " and %u more", note->in_pending - 1);
}

static void put_note(const struct note *note, FILE *out)
{
	fprintf(out, "  queue %s: operations %lu, ", note->queue, note->ops);
	if (!note->accepted)
		fputs("being submitted", out);
	else if (note->cancel)
		fputs("to be cancelled", out);
	else if (note->in_pending > 0)
		put_wait(note, out);
	else
		fputs(note->first ? "can begin" : "waits for the job before it", out);
	fputc('\n', out);
}

static void put_notes(const struct gpuvm *vm, const struct notes *notes, FILE *out)
{
	fprintf(out, "bind queues of %s: jobs %lu, bytes %zu, to be cleaned up %lu", vm->name,
		notes->stats.jobs, notes->stats.bytes, notes->to_clean);
	fprintf(out, ", threads waiting %lu", notes->waiting);
	fputs(notes->running ? ", a run under way" : "", out);
	fputs(notes->cleaning ? ", a clean-up under way" : "", out);
	fputs(notes->banned ? ", banned" : "", out);
	fputs(notes->closed ? ", closed" : "", out);
	fputs(notes->lacking ? ", no memory for a list of the jobs\n" : "\n", out);
	for (unsigned long i = 0; i < notes->nr; i++)
		put_note(&notes->note[i], out);
}

void bind_vm_dump(struct gpuvm *vm, FILE *out)
{
	struct gpuvm_queues *q = vm->queues;
	struct notes notes = { .note = NULL };
	int cancel;

	if (!q) {
		fprintf(out, "bind queues of %s: none\n", vm->name);
		return;
	}
	make_room(&notes, q);
	note_vm(&notes, q);
	note_queues(&notes, q);
	mt_lock_release(&q->lock);
	cancel = smr_cancel_off();
	put_notes(vm, &notes, out);
	smr_cancel_restore(cancel);
	smr_heap_free(notes.note);
}
