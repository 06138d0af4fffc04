/* SPDX-License-Identifier: MIT */
#include "jobs.h"

#include <errno.h>
#include <samara/maple_tree.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "samara.h"

struct builder {
	struct jobs *jobs;
	const struct jobs_options *options;
	struct address_space model;
	struct maple_tree last_job; /* for each address: the last job that touched it */
};

/* ---- Bind operations ---- */

static int add_op(struct builder *builder, const struct bind_op *op)
{
	struct jobs *jobs = builder->jobs;
	struct bind_op *ops = array_extend(jobs->ops, jobs->nr_ops, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	jobs->ops = ops;
	ops[jobs->nr_ops++] = *op;
	jobs->job[jobs->nr].nr_ops++;
	return 0;
}

static int add_unmap(struct builder *builder, uint64_t first, uint64_t last)
{
	struct bind_op op = { .type = BIND_UNMAP, .addr = first, .range = last - first + 1 };

	return add_op(builder, &op);
}

static int add_map(struct builder *builder, const struct as_mapping *what)
{
	struct bind_op op = {
		.type = BIND_MAP,
		.flags = flags_to_va(what->flags),
		.addr = what->first,
		.range = what->last - what->first + 1,
		.obj = vm_objects_find(&builder->jobs->objects, what->object),
		.offset = what->object ? what->offset : what->first,
	};

	return add_op(builder, &op);
}

/* Calls @fn for each piece that the model has in [first..last], cut at its ends. */
static int for_pieces(struct builder *builder, uint64_t first, uint64_t last,
		      int (*fn)(struct builder *builder, const struct as_mapping *piece))
{
	const struct as_mapping *at;
	struct as_mapping piece;
	struct as_pos pos;
	int err = 0;

	for (at = as_from(&builder->model, first, &pos); !err && at && at->first <= last;
	     at = as_next(&builder->model, &pos)) {
		piece = *at;
		as_clip(&piece, first, last);
		err = fn(builder, &piece);
	}
	return err;
}

static const struct trace_op *op_of(const struct jobs *jobs, size_t job)
{
	return &jobs->trace->ops[jobs->job[job].op];
}

static int protect_piece(struct builder *builder, const struct as_mapping *piece)
{
	struct as_mapping what = *piece;

	what.flags = op_of(builder->jobs, builder->jobs->nr)->flags;
	return what.flags == piece->flags ? 0 : add_map(builder, &what);
}

/* CONTEXT: @op has been applied to the model already. */
static int add_move(struct builder *builder, const struct trace_op *op)
{
	uint64_t old_last = trace_op_last(op), new_last = op->new_addr + (op->new_length - 1);
	int err;

	if (op->addr == op->new_addr && op->new_length < op->length)
		return add_unmap(builder, new_last + 1, old_last);
	if (op->addr == op->new_addr && op->new_length == op->length)
		return 0;
	if (op->addr == op->new_addr)
		return add_map(builder, as_at(&builder->model, new_last));
	err = add_unmap(builder, op->new_addr, new_last);
	if (!err)
		err = for_pieces(builder, op->new_addr, new_last, add_map);
	return err ? err : add_unmap(builder, op->addr, old_last);
}

/* Adds the bind operations of @op, which is applied to the model, too. */
static int add_ops(struct builder *builder, const struct trace_op *op, const char **why)
{
	struct as_mapping what = { op->addr, trace_op_last(op), op->object, op->offset, op->flags };
	int err = 0;

	if (op->verb == TRACE_PROTECT)
		err = for_pieces(builder, op->addr, trace_op_last(op), protect_piece);
	if (!err)
		err = as_apply(&builder->model, op, why);
	if (err)
		return err;
	if (op->verb == TRACE_MAP)
		return add_map(builder, &what);
	if (op->verb == TRACE_UNMAP)
		return add_unmap(builder, what.first, what.last);
	return op->verb == TRACE_MOVE ? add_move(builder, op) : 0;
}

/* ---- Expected results ---- */

static int add_piece(struct builder *builder, const struct as_mapping *piece)
{
	struct jobs *jobs = builder->jobs;
	struct as_mapping *pieces = array_extend(jobs->pieces, jobs->nr_pieces, sizeof(*pieces));

	if (!pieces)
		return -ENOMEM;
	jobs->pieces = pieces;
	pieces[jobs->nr_pieces++] = *piece;
	return 0;
}

static int add_pieces(struct builder *builder, const struct trace_op *op)
{
	struct jobs *jobs = builder->jobs;
	struct job *job = &jobs->job[jobs->nr];
	int err = for_pieces(builder, op->addr, trace_op_last(op), add_piece);

	job->nr_pieces = (uint32_t)(jobs->nr_pieces - job->pieces);
	if (err || op->verb != TRACE_MOVE)
		return err;
	err = for_pieces(builder, op->new_addr, op->new_addr + (op->new_length - 1), add_piece);
	job->nr_more = (uint32_t)(jobs->nr_pieces - job->pieces) - job->nr_pieces;
	return err;
}

/* ---- Order ---- */

static int depend(void *arg, uint64_t first, uint64_t last)
{
	struct builder *builder = arg;

	order_depend(&builder->jobs->order, ORDER_ADDRESSES, first, last);
	return 0;
}

static int touch(void *arg, uint64_t first, uint64_t last)
{
	struct builder *builder = arg;
	size_t job = builder->jobs->nr;

	if (builder->options->probes &&
	    probes_expect(builder->options->probes, (uint32_t)job, first, last, &builder->model))
		return -ENOMEM;
	if (order_touch(&builder->jobs->order, ORDER_ADDRESSES, first, last))
		return -ENOMEM;
	return mtree_store_range(&builder->last_job, first, last, xa_mk_value(job), GFP_KERNEL);
}

static int refuse_top(void *arg, uint64_t first, uint64_t last)
{
	(void)arg;
	(void)first;
	return last == UINT64_MAX ? -ERANGE : 0;
}

/*
 * Whether job @job maps a part of an object beyond its end. The software GPU's objects end where
 * its addresses do.
 */
static bool beyond_objects(const struct jobs *jobs, const struct job *job)
{
	for (uint32_t i = 0; i < job->nr_ops; i++) {
		const struct bind_op *op = &jobs->ops[job->ops + i];

		if (op->type == BIND_MAP && op->offset > SG_VA_END - op->range)
			return true;
	}
	return false;
}

/* ---- All of it ---- */

static int add_job(struct builder *builder, uint32_t op, const char **why)
{
	struct jobs *jobs = builder->jobs;
	struct job *job = &jobs->job[jobs->nr];
	int err;

	*job = (struct job){ .op = op, .ops = jobs->nr_ops, .pieces = jobs->nr_pieces };
	err = order_add(&jobs->order, (unsigned int)(jobs->nr % jobs->lanes), &job->item);
	if (!err)
		err = add_ops(builder, &jobs->trace->ops[op], why);
	if (!err && jobs_ranges(jobs, jobs->nr, refuse_top, NULL)) {
		*why = "the last byte of the 64-bit address space cannot be mapped in a VM";
		err = -EINVAL;
	}
	if (!err && builder->options->frames && beyond_objects(jobs, job)) {
		*why = "maps beyond offset ffffffffffff, the last of the software GPU's objects";
		err = -EINVAL;
	}
	if (!err && builder->options->pieces)
		err = add_pieces(builder, &jobs->trace->ops[op]);
	if (!err)
		err = jobs_ranges(jobs, jobs->nr, depend, builder);
	if (!err)
		err = jobs_ranges(jobs, jobs->nr, touch, builder);
	if (!err && builder->options->on_job)
		err = builder->options->on_job(builder->options->arg, (uint32_t)jobs->nr,
					       &jobs->trace->ops[op], &builder->model);
	if (builder->model.count > jobs->peak)
		jobs->peak = builder->model.count;
	jobs->nr++;
	return err;
}

static int add_load(struct builder *builder, uint32_t op, const char **why)
{
	struct jobs *jobs = builder->jobs;
	uint64_t addr = jobs->trace->ops[op].addr;
	struct load *load = &jobs->loads[jobs->nr_loads];
	int err = as_apply(&builder->model, &jobs->trace->ops[op], why);
	struct job *job;

	if (err)
		return err;
	job = &jobs->job[xa_to_value(mtree_load(&builder->last_job, addr))];
	*load = (struct load){ addr, content_expected(&builder->model, addr), op, job->load };
	job->load = (uint32_t)++jobs->nr_loads;
	return 0;
}

static int build_jobs(struct builder *builder)
{
	const struct trace *trace = builder->jobs->trace;
	const char *why = "";

	for (uint32_t i = 0; i < trace->count; i++) {
		const struct trace_op *op = &trace->ops[i];
		int err = op->verb == TRACE_LOAD ? add_load(builder, i, &why)
						 : add_job(builder, i, &why);

		if (err)
			return complain_at(builder->options->name, op->line, "%s",
					   err == -EINVAL ? why : strerror(-err));
	}
	return EXIT_OK;
}

/* Allocates the arrays whose size follows from the trace. */
static int make_room(struct jobs *jobs, struct sg_pool *frames)
{
	size_t loads = 0, nr;

	for (size_t i = 0; i < jobs->trace->count; i++)
		loads += jobs->trace->ops[i].verb == TRACE_LOAD;
	nr = jobs->trace->count - loads;
	jobs->job = calloc(nr + 1, sizeof(*jobs->job));
	jobs->loads = calloc(loads + 1, sizeof(*jobs->loads));
	if (!jobs->job || !jobs->loads)
		return -ENOMEM;
	return vm_objects_init(&jobs->objects, jobs->trace, frames);
}

int jobs_init(struct jobs *jobs, const struct trace *trace, const struct jobs_options *options)
{
	struct builder builder = { .jobs = jobs, .options = options };
	int status;

	*jobs = (struct jobs){ .trace = trace, .lanes = options->lanes };
	if (order_init(&jobs->order, options->lanes + options->other_lanes) ||
	    trace->count > UINT32_MAX / 2 || make_room(jobs, options->frames)) {
		jobs_destroy(jobs);
		return complain("%s: %s", options->name, strerror(ENOMEM));
	}
	as_init(&builder.model);
	mt_init(&builder.last_job);
	status = build_jobs(&builder);
	mtree_destroy(&builder.last_job);
	as_destroy(&builder.model);
	if (status)
		jobs_destroy(jobs);
	return status;
}

void jobs_destroy(struct jobs *jobs)
{
	vm_objects_destroy(&jobs->objects);
	free(jobs->job);
	free(jobs->ops);
	free(jobs->pieces);
	free(jobs->loads);
	order_destroy(&jobs->order);
	*jobs = (struct jobs){ .nr = 0 };
}

int jobs_ranges(const struct jobs *jobs, size_t job,
		int (*fn)(void *arg, uint64_t first, uint64_t last), void *arg)
{
	const struct bind_op *ops = jobs->ops + jobs->job[job].ops;
	const struct trace_op *op = op_of(jobs, job);
	int ret = fn(arg, op->addr, trace_op_last(op));

	if (!ret && op->verb == TRACE_MOVE)
		ret = fn(arg, op->new_addr, op->new_addr + (op->new_length - 1));
	for (uint32_t i = 0; !ret && i < jobs->job[job].nr_ops; i++)
		ret = fn(arg, ops[i].addr, ops[i].addr + (ops[i].range - 1));
	return ret;
}

int jobs_check(const struct jobs *jobs, size_t job, struct gpuvm *vm, char *why, size_t size)
{
	const struct job *done = &jobs->job[job];
	const struct as_mapping *pieces = jobs->pieces + done->pieces;
	const struct trace_op *op = op_of(jobs, job);
	int err = vm_check_range(vm, op->addr, trace_op_last(op), pieces, done->nr_pieces, why,
				 size);

	if (err || op->verb != TRACE_MOVE)
		return err;
	return vm_check_range(vm, op->new_addr, op->new_addr + (op->new_length - 1),
			      pieces + done->nr_pieces, done->nr_more, why, size);
}

uint32_t jobs_line(const struct jobs *jobs, size_t job)
{
	return op_of(jobs, job)->line;
}
