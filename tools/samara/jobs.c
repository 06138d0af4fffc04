/* SPDX-License-Identifier: MIT */
#include "jobs.h"

#include <errno.h>
#include <samara/maple_tree.h>
#include <stdlib.h>
#include <string.h>

#include "samara.h"

struct maker {
	struct jobs *jobs;
	const struct jobs_options *options;
	struct address_space model;
	struct maple_tree bound; /* for each address: the number of the last job that touched it */
};

/* Makes room for one more element in @array, which has @nr and room for *@room. NULL: no memory. */
static void *extend(void *array, size_t nr, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 1024;

	if (nr < *room)
		return array;
	array = realloc(array, more * size);
	if (array)
		*room = more;
	return array;
}

/* ---- Bind operations ---- */

static int add_op(struct maker *maker, const struct bind_op *op)
{
	struct jobs *jobs = maker->jobs;
	struct bind_op *ops = extend(jobs->ops, jobs->nr_ops, &jobs->room_ops, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	jobs->ops = ops;
	ops[jobs->nr_ops++] = *op;
	jobs->job[jobs->nr].nr_ops++;
	return 0;
}

static int add_unmap(struct maker *maker, uint64_t first, uint64_t last)
{
	struct bind_op op = { .type = BIND_UNMAP, .addr = first, .range = last - first + 1 };

	return add_op(maker, &op);
}

static int add_map(struct maker *maker, const struct as_mapping *what)
{
	struct bind_op op = {
		.type = BIND_MAP,
		.flags = flags_to_va(what->flags),
		.addr = what->first,
		.range = what->last - what->first + 1,
		.obj = vm_objects_find(&maker->jobs->objects, what->object),
		.offset = what->object ? what->offset : what->first,
	};

	return add_op(maker, &op);
}

/* Calls @fn for each piece that the model has in [first..last], cut at its ends. */
static int for_pieces(struct maker *maker, uint64_t first, uint64_t last,
		      int (*fn)(struct maker *maker, const struct as_mapping *piece))
{
	const struct as_mapping *at;
	struct as_mapping piece;
	struct as_pos pos;
	int err = 0;

	for (at = as_from(&maker->model, first, &pos); !err && at && at->first <= last;
	     at = as_next(&maker->model, &pos)) {
		piece = *at;
		as_clip(&piece, first, last);
		err = fn(maker, &piece);
	}
	return err;
}

static const struct trace_op *op_of(const struct jobs *jobs, size_t job)
{
	return &jobs->trace->ops[jobs->job[job].op];
}

static int protect_piece(struct maker *maker, const struct as_mapping *piece)
{
	struct as_mapping what = *piece;

	what.flags = op_of(maker->jobs, maker->jobs->nr)->flags;
	return what.flags == piece->flags ? 0 : add_map(maker, &what);
}

/* CONTEXT: @op has been applied to the model already. */
static int add_move(struct maker *maker, const struct trace_op *op)
{
	uint64_t old_last = trace_op_last(op), new_last = op->new_addr + (op->new_length - 1);
	int err;

	if (op->addr == op->new_addr && op->new_length < op->length)
		return add_unmap(maker, new_last + 1, old_last);
	if (op->addr == op->new_addr && op->new_length == op->length)
		return 0;
	if (op->addr == op->new_addr)
		return add_map(maker, as_at(&maker->model, new_last));
	err = add_unmap(maker, op->new_addr, new_last);
	if (!err)
		err = for_pieces(maker, op->new_addr, new_last, add_map);
	return err ? err : add_unmap(maker, op->addr, old_last);
}

/* Adds the bind operations of @op, which is applied to the model, too. */
static int add_ops(struct maker *maker, const struct trace_op *op, const char **why)
{
	struct as_mapping what = { op->addr, trace_op_last(op), op->object, op->offset, op->flags };
	int err = 0;

	if (op->verb == TRACE_PROTECT)
		err = for_pieces(maker, op->addr, trace_op_last(op), protect_piece);
	if (!err)
		err = as_apply(&maker->model, op, why);
	if (err)
		return err;
	if (op->verb == TRACE_MAP)
		return add_map(maker, &what);
	if (op->verb == TRACE_UNMAP)
		return add_unmap(maker, what.first, what.last);
	return op->verb == TRACE_MOVE ? add_move(maker, op) : 0;
}

/* ---- Expected results ---- */

static int add_piece(struct maker *maker, const struct as_mapping *piece)
{
	struct jobs *jobs = maker->jobs;
	struct as_mapping *pieces = extend(jobs->pieces, jobs->nr_pieces, &jobs->room_pieces,
					   sizeof(*pieces));

	if (!pieces)
		return -ENOMEM;
	jobs->pieces = pieces;
	pieces[jobs->nr_pieces++] = *piece;
	return 0;
}

static int add_pieces(struct maker *maker, const struct trace_op *op)
{
	struct jobs *jobs = maker->jobs;
	struct job *job = &jobs->job[jobs->nr];
	int err = for_pieces(maker, op->addr, trace_op_last(op), add_piece);

	job->nr_pieces = (uint32_t)(jobs->nr_pieces - job->pieces);
	if (err || op->verb != TRACE_MOVE)
		return err;
	err = for_pieces(maker, op->new_addr, op->new_addr + (op->new_length - 1), add_piece);
	job->nr_more = (uint32_t)(jobs->nr_pieces - job->pieces) - job->nr_pieces;
	return err;
}

/* ---- Order ---- */

static int depend(void *arg, uint64_t first, uint64_t last)
{
	struct maker *maker = arg;

	order_depend(&maker->jobs->order, ORDER_ADDRESSES, first, last);
	return 0;
}

static int touch(void *arg, uint64_t first, uint64_t last)
{
	struct maker *maker = arg;
	size_t job = maker->jobs->nr;

	if (maker->options->probes &&
	    probes_expect(maker->options->probes, (uint32_t)job, first, last, &maker->model))
		return -ENOMEM;
	if (order_touch(&maker->jobs->order, ORDER_ADDRESSES, first, last))
		return -ENOMEM;
	return mtree_store_range(&maker->bound, first, last, xa_mk_value(job), GFP_KERNEL);
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

static int add_job(struct maker *maker, uint32_t op, const char **why)
{
	struct jobs *jobs = maker->jobs;
	struct job *job = &jobs->job[jobs->nr];
	int err;

	*job = (struct job){ .op = op, .ops = jobs->nr_ops, .pieces = jobs->nr_pieces };
	err = order_add(&jobs->order, (unsigned int)(jobs->nr % jobs->lanes), &job->item);
	if (!err)
		err = add_ops(maker, &jobs->trace->ops[op], why);
	if (!err && jobs_ranges(jobs, jobs->nr, refuse_top, NULL)) {
		*why = "the last byte of the 64-bit address space cannot be mapped in a VM";
		err = -EINVAL;
	}
	if (!err && maker->options->frames && beyond_objects(jobs, job)) {
		*why = "maps beyond offset ffffffffffff, the last of the software GPU's objects";
		err = -EINVAL;
	}
	if (!err && maker->options->pieces)
		err = add_pieces(maker, &jobs->trace->ops[op]);
	if (!err)
		err = jobs_ranges(jobs, jobs->nr, depend, maker);
	if (!err)
		err = jobs_ranges(jobs, jobs->nr, touch, maker);
	if (!err && maker->options->behind)
		err = maker->options->behind(maker->options->arg, (uint32_t)jobs->nr,
					     &jobs->trace->ops[op], &maker->model);
	if (maker->model.count > jobs->peak)
		jobs->peak = maker->model.count;
	jobs->nr++;
	return err;
}

static int add_load(struct maker *maker, uint32_t op, const char **why)
{
	struct jobs *jobs = maker->jobs;
	uint64_t addr = jobs->trace->ops[op].addr;
	struct load *load = &jobs->loads[jobs->nr_loads];
	int err = as_apply(&maker->model, &jobs->trace->ops[op], why);
	struct job *job;

	if (err)
		return err;
	job = &jobs->job[xa_to_value(mtree_load(&maker->bound, addr))];
	*load = (struct load){ addr, content_expected(&maker->model, addr), op, job->load };
	job->load = (uint32_t)++jobs->nr_loads;
	return 0;
}

static int make(struct maker *maker)
{
	const struct trace *trace = maker->jobs->trace;
	const char *why = "";

	for (uint32_t i = 0; i < trace->count; i++) {
		const struct trace_op *op = &trace->ops[i];
		int err = op->verb == TRACE_LOAD ? add_load(maker, i, &why)
						 : add_job(maker, i, &why);

		if (err)
			return complain_at(maker->options->name, op->line, "%s",
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
	struct maker maker = { .jobs = jobs, .options = options };
	int status;

	*jobs = (struct jobs){ .trace = trace, .lanes = options->lanes };
	if (order_init(&jobs->order, options->lanes + options->others) ||
	    trace->count > UINT32_MAX / 2 || make_room(jobs, options->frames)) {
		jobs_destroy(jobs);
		return complain("%s: %s", options->name, strerror(ENOMEM));
	}
	as_init(&maker.model);
	mt_init(&maker.bound);
	status = make(&maker);
	mtree_destroy(&maker.bound);
	as_destroy(&maker.model);
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
	int err = mapped_check(vm, op->addr, trace_op_last(op), pieces, done->nr_pieces, why, size);

	if (err || op->verb != TRACE_MOVE)
		return err;
	return mapped_check(vm, op->new_addr, op->new_addr + (op->new_length - 1),
			    pieces + done->nr_pieces, done->nr_more, why, size);
}

uint32_t jobs_line(const struct jobs *jobs, size_t job)
{
	return op_of(jobs, job)->line;
}
