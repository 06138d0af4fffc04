/* SPDX-License-Identifier: MIT */
/*
 * Runs a trace through a GPU VM that the tool drives, as a driver with synchronous binds would:
 * each job is a few calls of gpuvm_sm_map() and gpuvm_sm_unmap() under the VM's lock, whose steps
 * are carried out at once. Removed mappings are freed after a grace period, since faults are
 * answered without a lock.
 */
#include <errno.h>
#include <samara/gpuvm.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "final.h"
#include "jobs.h"
#include "progress.h"
#include "reclaim.h"
#include "samara.h"

#define CHUNK 4096 /* jobs between two updates of the progress bar */

struct run {
	const struct trace *trace;
	const struct run_settings *settings;
	struct run_result *result;
	struct jobs jobs;
	struct probes probes;
	struct gpuvm vm;
	struct gpuvm_object *r_obj;
	struct reclaimer reclaimer;
	struct vm_mapping *gone;    /* removed by the current walk, the last one first */
	struct address_space model; /* as after the last job compared */
	size_t compared;            /* operations of the trace applied to the model */
	size_t live;
	unsigned int flags; /* of the current bind operation */
	size_t at;          /* the current job */
};

/* ---- The VM's side ---- */

static void vm_free(struct gpuvm *vm)
{
	(void)vm;
}

/* Returns NULL without memory. */
static struct gpuva *new_mapping(unsigned int flags)
{
	struct vm_mapping *mapping = calloc(1, sizeof(*mapping));

	if (!mapping)
		return NULL;
	mapping->va.flags = flags;
	return &mapping->va;
}

static void free_mapping(void *va)
{
	struct vm_mapping *mapping = va;

	atomic_store_explicit(&mapping->stale, true, memory_order_relaxed);
	free(mapping);
}

/*
 * Removes a mapping that is out of the VM from its object's list. Readers may find it until the
 * walk that has taken it out is over; its grace period begins then (retire()).
 */
static void set_aside(struct run *run, struct gpuva *va)
{
	struct vm_mapping *mapping = (struct vm_mapping *)va;
	struct gpuvm_object *obj = va->gem.obj;

	if (obj) {
		gpuvm_object_lock(obj);
		gpuva_unlink(va);
		gpuvm_object_unlock(obj);
	}
	run->live--;
	mapping->next_gone = run->gone;
	run->gone = mapping;
}

/* Retires what has been set aside. CONTEXT: not within a walk. */
static void retire(struct run *run)
{
	struct vm_mapping *mapping;

	while ((mapping = run->gone)) {
		run->gone = mapping->next_gone;
		reclaimer_retire(&run->reclaimer, mapping);
	}
}

static void link_to(struct run *run, struct gpuva *va, struct gpuvm_bo *pair)
{
	run->live++;
	if (!pair)
		return;
	gpuvm_object_lock(pair->obj);
	gpuva_link(va, pair);
	gpuvm_object_unlock(pair->obj);
}

static int step_map(struct gpuva_op *op, void *priv)
{
	struct run *run = priv;
	struct gpuva *va = new_mapping(run->flags);
	struct gpuvm_bo *pair = NULL;
	int err = va ? 0 : -ENOMEM;

	if (!err && op->map.gem.obj) {
		pair = gpuvm_bo_obtain(&run->vm, op->map.gem.obj);
		err = pair ? 0 : -ENOMEM;
	}
	if (!err)
		err = gpuva_map(&run->vm, va, &op->map);
	if (!err)
		link_to(run, va, pair);
	else
		free(va);
	gpuvm_bo_put(pair);
	return err;
}

static int step_remap(struct gpuva_op *op, void *priv)
{
	struct run *run = priv;
	struct gpuva *old = op->remap.unmap->va;
	struct gpuva *prev = op->remap.prev ? new_mapping(old->flags) : NULL;
	struct gpuva *next = op->remap.next ? new_mapping(old->flags) : NULL;
	int err = -ENOMEM;

	if (!op->remap.prev == !prev && !op->remap.next == !next)
		err = gpuva_remap(prev, next, &op->remap);
	if (err) {
		free(prev);
		free(next);
		return err;
	}
	/* Before the old one drops its reference to the pair. */
	if (prev)
		link_to(run, prev, old->vm_bo);
	if (next)
		link_to(run, next, old->vm_bo);
	set_aside(run, old);
	return 0;
}

static int step_unmap(struct gpuva_op *op, void *priv)
{
	struct gpuva *va = op->unmap.va;

	gpuva_unmap(&op->unmap);
	set_aside(priv, va);
	return 0;
}

static const struct gpuvm_ops vm_ops = {
	.vm_free = vm_free,
	.sm_step_map = step_map,
	.sm_step_remap = step_remap,
	.sm_step_unmap = step_unmap,
};

static int set_up_vm(struct run *run)
{
	int err = -ENOMEM;

	run->r_obj = gpuvm_resv_object_alloc(NULL);
	if (run->r_obj)
		err = gpuvm_init(&run->vm, run->settings->name, 0, NULL, run->r_obj, 0, UINT64_MAX,
				 0, 0, &vm_ops);
	if (err) {
		gpuvm_object_put(run->r_obj);
		return complain("%s: %s", run->settings->name, strerror(-err));
	}
	gpuvm_set_align(&run->vm, run->trace->header.page);
	reclaimer_init(&run->reclaimer, true, free_mapping);
	return EXIT_OK;
}

static void tear_down_vm(struct run *run)
{
	struct gpuva *va, *next;

	gpuvm_lock(&run->vm);
	gpuvm_for_each_va_safe(va, next, &run->vm)
	{
		gpuva_remove(va);
		set_aside(run, va);
	}
	retire(run);
	gpuvm_unlock(&run->vm);
	reclaimer_finish(&run->reclaimer);
	gpuvm_put(&run->vm);
	gpuvm_object_put(run->r_obj);
}

/* ---- Jobs ---- */

static int apply_ops(struct run *run, const struct job *job)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < job->nr_ops; i++) {
		const struct bind_op *op = &run->jobs.ops[job->ops + i];

		run->flags = op->flags;
		if (op->type == BIND_MAP)
			err = gpuvm_sm_map(&run->vm, run, op->addr, op->range, op->obj, op->offset);
		else
			err = gpuvm_sm_unmap(&run->vm, run, op->addr, op->range);
		retire(run);
	}
	return err;
}

static int job_is_done(void *arg, uint64_t first, uint64_t last)
{
	struct run *run = arg;

	probes_done(&run->probes, (uint32_t)run->at, first, last);
	return 0;
}

/*
 * Does the look-ups that the trace has after job @at, before the next that touches their addresses.
 */
static int answer_loads(struct run *run)
{
	uint32_t next = run->jobs.job[run->at].load;
	int status = EXIT_OK;

	gpuvm_read_lock(&run->vm);
	while (next && !status) {
		const struct load *load = &run->jobs.loads[next - 1];
		struct content is = content_read(gpuvm_find(&run->vm, load->addr), load->addr);

		if (!content_equal(&is, &load->content))
			status = complain_at(run->settings->name, run->trace->ops[load->op].line,
					     "the VM's answer to this load is wrong");
		next = load->next;
	}
	gpuvm_read_unlock(&run->vm);
	return status;
}

static int do_job(struct run *run, size_t at)
{
	struct vm_result *vm = &run->result->vm;
	uint64_t begin = latency_now(), end;
	int err, status;

	run->at = at;
	gpuvm_lock(&run->vm);
	err = apply_ops(run, &run->jobs.job[at]);
	if (!err && run->settings->readers)
		jobs_ranges(&run->jobs, at, job_is_done, run);
	gpuvm_unlock(&run->vm);
	end = latency_now();
	latency_add(&vm->run, end - begin);
	if (err)
		return complain_at(run->settings->name, jobs_line(&run->jobs, at), "%s",
				   strerror(-err));
	status = answer_loads(run);
	run->result->seconds += (double)(latency_now() - begin) * 1e-9;
	return status;
}

/* ---- Checks ---- */

/* Reports that job @job left the VM other than it should have: @why says how. */
static int differs(const struct run *run, size_t job, const char *why)
{
	return complain_at(run->settings->name, jobs_line(&run->jobs, job),
			   "after this operation %s", why);
}

static int compare_all(struct run *run, size_t done)
{
	size_t until = done < run->jobs.nr ? run->jobs.job[done].op : run->trace->count;
	char why[512] = "";
	const char *unused = "";
	int err = 0;

	for (; !err && run->compared < until; run->compared++)
		err = as_apply(&run->model, &run->trace->ops[run->compared], &unused);
	if (err)
		return complain("%s: %s", run->settings->name, strerror(-err));
	run->result->checks++;
	if (!vm_check_all(&run->vm, &run->model, why, sizeof(why)))
		return EXIT_OK;
	return differs(run, done - 1, why);
}

static int check_after(struct run *run, size_t done)
{
	const struct run_settings *settings = run->settings;
	bool all = done == run->jobs.nr && settings->check != CHECK_NONE;
	char why[512] = "";

	if (settings->check == CHECK_EVERY) {
		run->result->checks++;
		if (jobs_check(&run->jobs, done - 1, &run->vm, why, sizeof(why)))
			return differs(run, done - 1, why);
		all |= done % FULL_EVERY == 0;
	} else if (settings->check == CHECK_SOME) {
		all |= done % settings->check_interval == 0;
	}
	return all ? compare_all(run, done) : EXIT_OK;
}

static int do_jobs(struct run *run)
{
	struct progress progress;
	int status = EXIT_OK;

	progress_begin(&progress, run->settings->name, run->jobs.nr);
	for (size_t done = 1; !status && done <= run->jobs.nr; done++) {
		status = do_job(run, done - 1);
		if (!status)
			status = check_after(run, done);
		if (done % CHUNK == 0)
			progress_show(&progress, done);
	}
	progress_end(&progress);
	return status;
}

/* ---- All of it ---- */

static int with_readers(struct run *run)
{
	const struct run_settings *settings = run->settings;
	struct reader_counts *counts = &run->result->readers;
	struct faults faults = { &run->vm, &run->probes };
	struct crew *faulters;
	int err, status;

	if (!settings->readers)
		return do_jobs(run);
	err = faulters_start(&faulters, &faults, settings->readers, settings->seed);
	if (err)
		return complain("cannot start %u readers: %s", settings->readers, strerror(-err));
	status = do_jobs(run);
	crew_stop(faulters, counts);
	return crew_judge(settings->name, counts) == EXIT_OK ? status : EXIT_FAILED;
}

static int run_jobs(struct run *run)
{
	int status = set_up_vm(run);

	if (status)
		return status;
	as_init(&run->model);
	status = with_readers(run);
	run->result->live = run->live;
	run->result->peak = run->jobs.peak;
	run->result->vm.jobs = run->jobs.nr;
	run->result->vm.ops = run->jobs.nr_ops;
	if (!status)
		status = final_state(run->settings, "the VM", vm_write_runs, &run->vm,
				     &run->result->runs);
	as_destroy(&run->model);
	tear_down_vm(run);
	return status;
}

int run_through_gpuvm(const struct trace *trace, const struct run_settings *settings,
		      struct run_result *result)
{
	struct run run = { .trace = trace, .settings = settings, .result = result };
	struct jobs_options options = {
		.name = settings->name,
		.lanes = 1,
		.pieces = settings->check == CHECK_EVERY,
	};
	int status;

	if (settings->readers) {
		options.probes = &run.probes;
		if (probes_init(&run.probes, trace, MAX_PROBES, true))
			return complain("%s: %s", settings->name, strerror(ENOMEM));
	}
	status = jobs_init(&run.jobs, trace, &options);
	if (!status) {
		status = run_jobs(&run);
		jobs_destroy(&run.jobs);
	}
	if (settings->readers)
		probes_destroy(&run.probes);
	return status;
}
