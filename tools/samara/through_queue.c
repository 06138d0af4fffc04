/* SPDX-License-Identifier: MIT */
/* Runs a trace through a GPU VM that bind queues drive: see queue_run.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "final.h"
#include "progress.h"
#include "queue_run.h"
#include "samara.h"

/* ---- The main thread ---- */

/* Lets the submitters do all jobs up to @until, and waits until the last is over. */
static void do_jobs(struct queue_run *run, size_t until, struct progress *progress)
{
	double begin = now_seconds();
	struct timespec time;

	pthread_mutex_lock(&run->lock);
	run->idle = 0;
	run->until = until;
	pthread_cond_broadcast(&run->changed);
	while (run->idle < run->lanes) {
		clock_gettime(CLOCK_REALTIME, &time);
		time.tv_sec++;
		pthread_cond_timedwait(&run->changed, &run->lock, &time);
		progress_show(progress, atomic_load(&run->done));
	}
	pthread_mutex_unlock(&run->lock);
	for (unsigned int i = 0; i < run->jobs.lanes; i++)
		while (bind_queue_wait(run->submitters[i].queue, FENCE_FOREVER) == -EINTR)
			; /* a signal handler ran */
	run->result->seconds += now_seconds() - begin;
}

/*
 * Compares everything with the model. CONTEXT: all jobs before @done are over, and no other has
 * begun.
 */
static void compare_all(struct queue_run *run, size_t done)
{
	size_t until = done < run->jobs.nr ? run->jobs.job[done].op : run->trace->count;
	const char *unused = "";
	char why[512] = "";
	int err = 0;

	for (; !err && run->compared < until; run->compared++)
		err = as_apply(&run->model, &run->trace->ops[run->compared], &unused);
	if (!err)
		err = vm_check_all(run->vm, &run->model, why, sizeof(why));
	run->checks++;
	if (err == -EUCLEAN)
		queue_fail(run, done - 1, "after this operation ", why);
	else if (err)
		queue_fail(run, done - 1, "the model: ", strerror(-err));
}

static size_t chunk_end(const struct queue_run *run, size_t done)
{
	const struct run_settings *settings = run->settings;
	size_t left = run->jobs.nr - done, length = left;

	if (settings->check == CHECK_EVERY)
		length = FULL_EVERY;
	else if (settings->check == CHECK_SOME)
		length = settings->check_interval;
	return done + (length < left ? length : left);
}

static void do_all_jobs(struct queue_run *run)
{
	struct progress progress;
	size_t next;

	progress_begin(&progress, run->settings->name, run->jobs.nr);
	for (size_t done = 0; done < run->jobs.nr && !atomic_load(&run->failed); done = next) {
		next = chunk_end(run, done);
		do_jobs(run, next, &progress);
		if (run->settings->check != CHECK_NONE && !atomic_load(&run->failed))
			compare_all(run, next);
	}
	progress_end(&progress);
}

/* ---- Setting up ---- */

/* Starts a thread for each submitter. @started is set to how many were started. */
static int start_threads(struct queue_run *run, unsigned int *started)
{
	for (*started = 0; *started < run->lanes; ++*started) {
		struct submitter *submitter = &run->submitters[*started];
		int err = pthread_create(&submitter->thread, NULL, submitter_main, submitter);

		if (err)
			return -err;
	}
	return 0;
}

static void end_threads(struct queue_run *run, unsigned int started)
{
	pthread_mutex_lock(&run->lock);
	run->stop = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(run->submitters[i].thread, NULL);
}

/* ---- Results ---- */

static void gather_engines(struct queue_run *run)
{
	struct vm_result *vm = &run->result->vm;
	struct sg_engine_stats stats;

	vm->engine_tasks = vm->engine_bytes = vm->engine_faults = vm->engine_refused = 0;
	vm->engine_hits = vm->engine_misses = vm->engine_invalidations = 0;
	for (unsigned int i = run->jobs.lanes; i < run->lanes; i++) {
		sg_engine_stats(run->submitters[i].engine, &stats);
		vm->engine_tasks += stats.jobs;
		vm->engine_bytes += stats.bytes;
		vm->engine_faults += stats.faults;
		vm->engine_refused += stats.errors;
		vm->engine_hits += stats.tlb_hits;
		vm->engine_misses += stats.tlb_misses;
		vm->engine_invalidations += stats.tlb_invalidations;
	}
}

static void gather(struct queue_run *run)
{
	struct vm_result *vm = &run->result->vm;
	struct bind_stats stats;

	bind_vm_stats(run->vm, &stats);
	run->result->live = stats.vas_live;
	run->result->peak = run->jobs.peak;
	vm->jobs = run->jobs.nr;
	vm->ops = run->jobs.nr_ops;
	vm->jobs_peak = stats.jobs_peak;
	vm->bytes_peak = stats.bytes_peak;
	vm->grace_waits = stats.grace_waits;
	vm->blocked = stats.blocked;
	latency_merge(&vm->run, &run->run);
	for (unsigned int i = 0; i < run->jobs.lanes; i++) {
		latency_merge(&vm->submit, &run->submitters[i].submit);
		latency_merge(&vm->finish, &run->submitters[i].finish);
	}
	gather_engines(run);
	if (run->settings->meter)
		meter_read(&vm->meter);
	run->result->checks += run->checks;
}

/* Checks that no run section did anything it must not do. */
static int judge_sections(const struct queue_run *run)
{
	const struct meter *meter = &run->result->vm.meter;
	int status = EXIT_OK;

	if (meter->allocations)
		status = complain("%s: memory was allocated or freed %" PRIu64
				  " times in signalling sections",
				  run->settings->name, meter->allocations);
	if (meter->system_calls)
		status = complain("%s: %" PRIu64
				  " system calls in run sections; the first: number %ld",
				  run->settings->name, meter->system_calls, meter->first_call);
	if (run->not_signalling)
		status = complain("%s: %" PRIu64 " run sections were no signalling sections",
				  run->settings->name, run->not_signalling);
	return status;
}

static int judge(struct queue_run *run)
{
	int status = EXIT_OK;

	if (atomic_load(&run->failed))
		status = complain_at(run->settings->name, jobs_line(&run->jobs, run->failed_job),
				     "%s", run->why);
	status |= crew_judge(run->settings->name, &run->result->readers);
	status |= judge_sections(run);
	if (!status)
		status = final_state(run->settings, "the VM", vm_write_runs, run->vm,
				     &run->result->runs);
	return status;
}

/* ---- All of it ---- */

static int run_threads(struct queue_run *run)
{
	const struct run_settings *settings = run->settings;
	struct faults faults = { run->vm, &run->probes };
	struct crew *faulters = NULL;
	unsigned int started;
	int err = start_threads(run, &started);

	if (!err && settings->readers)
		err = faulters_start(&faulters, &faults, settings->readers, settings->seed);
	if (settings->meter)
		meter_start(fence_in_signalling);
	if (!err)
		do_all_jobs(run);
	if (faulters)
		crew_stop(faulters, &run->result->readers);
	end_threads(run, started);
	return err;
}

/* CONTEXT: the VM is set up. */
static int run_queues(struct queue_run *run)
{
	int status = EXIT_FAILED, err = 0;

	for (unsigned int i = 0; !err && i < run->lanes; i++)
		err = submitter_set_up(&run->submitters[i], run, i);
	if (!err)
		err = run_threads(run);
	if (!err) {
		gather(run);
		status = judge(run);
	} else {
		complain("%s: %s", run->settings->name, strerror(-err));
	}
	for (unsigned int i = 0; i < run->lanes; i++)
		submitter_tear_down(&run->submitters[i]);
	return status;
}

static int run_jobs(struct queue_run *run)
{
	int err = -ENOMEM, status;

	run->submitters = calloc(run->lanes, sizeof(*run->submitters));
	if (run->submitters)
		err = queue_vm_set_up(run);
	if (err) {
		free(run->submitters);
		return complain("%s: %s", run->settings->name, strerror(-err));
	}
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	as_init(&run->model);
	status = run_queues(run);
	as_destroy(&run->model);
	pthread_cond_destroy(&run->changed);
	pthread_mutex_destroy(&run->lock);
	queue_vm_tear_down(run);
	free(run->submitters);
	return status;
}

/* Works out what must happen, and runs it. */
static int make_and_run(struct queue_run *run)
{
	const struct run_settings *settings = run->settings;
	struct jobs_options options = {
		.name = settings->name,
		.lanes = settings->submitters,
		.other_lanes = settings->engines,
		.pieces = settings->check == CHECK_EVERY,
		.probes = settings->readers ? &run->probes : NULL,
		.on_job = settings->engines ? gpu_work_add : NULL,
		.arg = &run->work,
		.frames = settings->engines ? &run->device.frames : NULL,
	};
	int status = jobs_init(&run->jobs, run->trace, &options);

	if (status)
		return status;
	status = run_jobs(run);
	jobs_destroy(&run->jobs);
	return status;
}

static int no_memory(const struct run_settings *settings)
{
	return complain("%s: %s", settings->name, strerror(ENOMEM));
}

static int with_engines(struct queue_run *run)
{
	const struct run_settings *settings = run->settings;
	const struct trace_header *header = &run->trace->header;
	int status;

	if (!settings->engines)
		return make_and_run(run);
	if (header->page % SG_PAGE || header->va_first < SG_PAGE || header->va_last >= SG_VA_END)
		return complain(
			"%s: for engines the header's page must be a multiple of 4 KiB, and its "
			"va within 1000-%" PRIx64,
			settings->name, SG_VA_END - 1);
	sg_device_init(&run->device);
	if (gpu_work_init(&run->work, &run->jobs, settings->submitters, settings->engines))
		status = no_memory(settings);
	else
		status = make_and_run(run);
	gpu_work_destroy(&run->work);
	sg_device_fini(&run->device);
	return status;
}

int run_through_queue(const struct trace *trace, const struct run_settings *settings,
		      struct run_result *result)
{
	struct queue_run *run = calloc(1, sizeof(*run));
	int status;

	if (!run)
		return no_memory(settings);
	run->trace = trace;
	run->settings = settings;
	run->result = result;
	run->lanes = settings->submitters + settings->engines;
	if (!settings->readers)
		status = with_engines(run);
	else if (probes_init(&run->probes, trace, MAX_PROBES, false))
		status = no_memory(settings);
	else
		status = with_engines(run);
	if (settings->readers)
		probes_destroy(&run->probes);
	free(run);
	return status;
}
