/* SPDX-License-Identifier: MIT */
/* What is done in the run sections of bind queues: see queue_run.h. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "queue_run.h"

void queue_fail(struct queue_run *run, size_t job, const char *what, const char *why)
{
	if (atomic_exchange(&run->failed, true))
		return;
	run->failed_job = job;
	snprintf(run->why, sizeof(run->why), "%s%s", what, why);
}

/* ---- The queues' calls ---- */

static void run_begin(struct gpuvm *vm, void *priv)
{
	struct queue_run *run = priv;

	(void)vm;
	run->not_signalling += !fence_in_signalling();
	run->section_excluded = 0;
	run->section_begin = latency_now();
	if (run->settings->meter)
		meter_enter();
}

static void run_end(struct gpuvm *vm, void *priv)
{
	struct queue_run *run = priv;

	(void)vm;
	if (run->settings->meter)
		meter_leave();
	latency_add(&run->run, latency_now() - run->section_begin - run->section_excluded);
}

static void va_release(struct gpuva *va, void *priv)
{
	(void)priv;
	atomic_store_explicit(&((struct vm_mapping *)va)->stale, true, memory_order_relaxed);
}

const struct bind_ops queue_section_ops = {
	.run_begin = run_begin,
	.run_end = run_end,
	.va_release = va_release,
};

/* ---- A job is done ---- */

static void answer_loads(struct queue_run *run, size_t job)
{
	uint32_t next = run->jobs.job[job].load;
	char has[128], why[200];

	gpuvm_read_lock(run->vm);
	while (next) {
		const struct load *load = &run->jobs.loads[next - 1];
		struct content is = content_read(gpuvm_find(run->vm, load->addr), load->addr);

		if (!content_equal(&is, &load->content)) {
			snprintf(why, sizeof(why), "%s at %" PRIx64,
				 content_text(&is, has, sizeof(has)), load->addr);
			queue_fail(run, job, "a load after this operation found ", why);
		}
		next = load->next;
	}
	gpuvm_read_unlock(run->vm);
}

static int move_probes(void *arg, uint64_t first, uint64_t last)
{
	struct slot *slot = arg;

	probes_done(&slot->run->probes, (uint32_t)slot->job, first, last);
	return 0;
}

static struct slot *slot_of(struct fence_cb *callback)
{
	return (struct slot *)((char *)callback - offsetof(struct slot, callback));
}

void queue_job_done(struct fence *fence, struct fence_cb *callback)
{
	struct slot *slot = slot_of(callback);
	struct queue_run *run = slot->run;
	uint64_t begin = latency_now();
	int err = fence_error(fence);
	char why[512];

	if (err) {
		queue_fail(run, slot->job, "the job failed: ", strerror(-err));
		return;
	}
	if (run->settings->check == CHECK_EVERY) {
		atomic_fetch_add_explicit(&run->checks, 1, memory_order_relaxed);
		if (jobs_check(&run->jobs, slot->job, run->vm, why, sizeof(why)))
			queue_fail(run, slot->job, "after this operation ", why);
	}
	answer_loads(run, slot->job);
	if (run->settings->readers)
		jobs_ranges(&run->jobs, slot->job, move_probes, slot);
	atomic_fetch_add_explicit(&run->done, 1, memory_order_relaxed);
	run->section_excluded += latency_now() - begin;
}

void queue_task_done(struct fence *fence, struct fence_cb *callback)
{
	struct slot *slot = slot_of(callback);
	const struct gpu_task *task = &slot->run->work.tasks[slot->job];
	char why[256];

	(void)fence;
	if (gpu_task_check(task, why, sizeof(why)))
		queue_fail(slot->run, task->jobs_before - 1, "after this operation ", why);
}
