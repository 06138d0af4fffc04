/* SPDX-License-Identifier: MIT */
/* The threads that submit jobs to bind queues and tasks to engines: see queue_run.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_run.h"

#define ENGINE_TASKS 16 /* in flight, of each engine */

/* ---- What is in flight ---- */

/* Waits until the job or task in @slot, if any, is over, and frees the slot. */
static void clear_slot(struct submitter *submitter, struct slot *slot)
{
	if (!slot->fence)
		return;
	while (fence_wait(slot->fence, FENCE_FOREVER) == -EINTR)
		;
	/* The wait may have ended before the callback has. */
	fence_remove_callback(slot->fence, &slot->callback);
	latency_add(&submitter->finish, fence_timestamp(slot->fence) - slot->begin);
	fence_put(slot->fence);
	slot->fence = NULL;
}

static const struct order_item *item_of(const struct submitter *submitter, uint32_t item)
{
	return &submitter->run->jobs.order.items[item];
}

/*
 * Returns the slot for @item, which is job or task number @job, with a fence that calls @fn; NULL:
 * no memory.
 */
static struct slot *take_slot(struct submitter *submitter, uint32_t item, size_t job, fence_fn fn)
{
	struct slot *slot = &submitter->slots[item_of(submitter, item)->seq % submitter->nr_slots];

	clear_slot(submitter, slot);
	slot->run = submitter->run;
	slot->job = job;
	slot->fence = fence_create();
	if (!slot->fence)
		return NULL;
	fence_add_callback(slot->fence, &slot->callback, fn);
	return slot;
}

/* Frees a slot whose job or task was not accepted. */
static void drop_slot(struct slot *slot)
{
	fence_remove_callback(slot->fence, &slot->callback);
	fence_put(slot->fence);
	slot->fence = NULL;
}

/* Lists what @item waits for: values of the other lanes' timelines. */
static unsigned int find_in_fences(struct submitter *submitter, uint32_t item)
{
	struct queue_run *run = submitter->run;
	unsigned int nr = 0;

	for (unsigned int lane = 0; lane < run->lanes; lane++) {
		uint64_t value = order_after(&run->jobs.order, item, lane);
		struct timeline *timeline = run->submitters[lane].timeline;

		if (lane != submitter->lane && value > timeline_value(timeline))
			submitter->in[nr++] = (struct bind_sync){ .timeline = timeline,
								  .value = value };
	}
	return nr;
}

/* Lists what @item signals: the slot's fence and, if there are other lanes, the timeline. */
static unsigned int find_out_fences(struct submitter *submitter, uint32_t item,
				    const struct slot *slot, struct bind_sync out[2])
{
	out[0] = (struct bind_sync){ .fence = slot->fence };
	out[1] = (struct bind_sync){ .timeline = submitter->timeline,
				     .value = item_of(submitter, item)->seq };
	return submitter->run->lanes > 1 ? 2 : 1;
}

/* ---- A job ---- */

static int submit_job(struct submitter *submitter, size_t at)
{
	struct queue_run *run = submitter->run;
	const struct job *job = &run->jobs.job[at];
	struct slot *slot = take_slot(submitter, job->item, at, queue_job_done);
	struct bind_sync out[2];
	struct bind_job request = {
		.ops = run->jobs.ops + job->ops,
		.nr_ops = job->nr_ops,
		.in = submitter->in,
		.out = out,
	};
	int err;

	if (!slot)
		return -ENOMEM;
	request.nr_in = find_in_fences(submitter, job->item);
	request.nr_out = find_out_fences(submitter, job->item, slot, out);
	slot->begin = latency_now();
	do
		err = bind_queue_submit(submitter->queue, &request);
	while (err == -EINTR);
	latency_add(&submitter->submit, latency_now() - slot->begin);
	if (err)
		drop_slot(slot);
	return err;
}

/* Submits the submitter's share of the jobs before @until. */
static void submit_jobs(struct submitter *submitter, size_t until)
{
	struct queue_run *run = submitter->run;

	for (; submitter->next < until && !atomic_load(&run->failed);
	     submitter->next += run->jobs.lanes) {
		int err = submit_job(submitter, submitter->next);

		if (err)
			queue_fail(run, submitter->next, "cannot submit: ", strerror(-err));
	}
}

/* ---- A task of an engine ---- */

static int submit_task(struct submitter *submitter, size_t at)
{
	struct gpu_task *task = &submitter->run->work.tasks[at];
	struct slot *slot = take_slot(submitter, task->item, at, queue_task_done);
	struct bind_sync out[2];
	struct sg_job request = {
		.cmds = task->cmds,
		.nr_cmds = task->nr_cmds,
		.in = submitter->in,
		.out = out,
	};
	int err;

	if (!slot)
		return -ENOMEM;
	request.nr_in = find_in_fences(submitter, task->item);
	request.nr_out = find_out_fences(submitter, task->item, slot, out);
	err = sg_engine_submit(submitter->engine, &request);
	if (err)
		drop_slot(slot);
	return err;
}

/* Submits the engine's share of the tasks among the jobs before @until. */
static void submit_tasks(struct submitter *submitter, size_t until)
{
	struct queue_run *run = submitter->run;
	const struct gpu_work *work = &run->work;

	for (; submitter->next < work->nr && work->tasks[submitter->next].jobs_before <= until &&
	       !atomic_load(&run->failed);
	     submitter->next += work->engines) {
		int err = submit_task(submitter, submitter->next);

		if (err)
			queue_fail(run, work->tasks[submitter->next].jobs_before - 1,
				   "cannot submit to an engine: ", strerror(-err));
	}
}

/* ---- The thread ---- */

static void submit_share(struct submitter *submitter, size_t until)
{
	if (submitter->engine)
		submit_tasks(submitter, until);
	else
		submit_jobs(submitter, until);
	/*
	 * Do not let others wait for ever for jobs that will not come. Nor may a job run without
	 * the ones before it, or readers would see what should never be there.
	 */
	if (atomic_load(&submitter->run->failed)) {
		bind_vm_ban(submitter->run->vm);
		timeline_signal_error(submitter->timeline, UINT64_MAX, -ECANCELED);
	}
	for (unsigned int i = 0; i < submitter->nr_slots; i++)
		clear_slot(submitter, &submitter->slots[i]);
}

void *submitter_main(void *arg)
{
	struct submitter *submitter = arg;
	struct queue_run *run = submitter->run;
	size_t done = 0, until;

	pthread_mutex_lock(&run->lock);
	for (;;) {
		while (run->until == done && !run->stop)
			pthread_cond_wait(&run->changed, &run->lock);
		if (run->stop)
			break;
		until = run->until;
		pthread_mutex_unlock(&run->lock);
		submit_share(submitter, until);
		done = until;
		pthread_mutex_lock(&run->lock);
		run->idle++;
		pthread_cond_broadcast(&run->changed);
	}
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

/* ---- Setting up ---- */

/* Returns a lane's share of what may be in flight; engines do not count. */
static unsigned int room_of(const struct queue_run *run, unsigned int lane)
{
	return lane < run->jobs.lanes ? run->settings->in_flight / run->jobs.lanes : ENGINE_TASKS;
}

int submitter_set_up(struct submitter *submitter, struct queue_run *run, unsigned int lane)
{
	char name[32];
	int err;

	snprintf(name, sizeof(name), "lane %u", lane);
	submitter->run = run;
	submitter->lane = lane;
	submitter->next = lane < run->jobs.lanes ? lane : lane - run->jobs.lanes;
	submitter->nr_slots = room_of(run, lane);
	submitter->slots = calloc(submitter->nr_slots, sizeof(*submitter->slots));
	submitter->in = calloc(run->lanes, sizeof(*submitter->in));
	submitter->timeline = timeline_create(name, 0);
	if (!submitter->slots || !submitter->in || !submitter->timeline)
		return -ENOMEM;
	if (lane >= run->jobs.lanes) {
		submitter->engine = sg_engine_create(run->gpu);
		return submitter->engine ? 0 : -ENOMEM;
	}
	submitter->queue = bind_queue_create(run->vm, name, &err);
	return submitter->queue ? 0 : err;
}

void submitter_tear_down(struct submitter *submitter)
{
	if (submitter->engine)
		sg_engine_destroy(submitter->engine);
	bind_queue_destroy(submitter->queue);
	timeline_put(submitter->timeline);
	free(submitter->in);
	free(submitter->slots);
}
