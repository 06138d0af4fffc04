/* SPDX-License-Identifier: MIT */
/* Runs a trace through a tree, and hands on runs through a VM: see run.h. */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "final.h"
#include "progress.h"
#include "readers.h"
#include "samara.h"

#define CHUNK 4096 /* operations between two readings of the clock */

struct run {
	const struct trace *trace;
	const struct run_settings *settings;
	struct run_result *result;
	struct history history;
	struct space space;
	struct address_space model;
	struct crew *readers; /* NULL: none */
};

/* ---- Operations and checks ---- */

static int apply_failed(const struct run *run, const struct trace_op *op, int err, const char *why)
{
	if (err == -EINVAL)
		return complain_at(run->settings->name, op->line, "%s", why);
	return complain_at(run->settings->name, op->line, "%s: %s",
			   trace_verb_name((enum trace_verb)op->verb), strerror(-err));
}

static int apply_to_tree(struct run *run, size_t from, size_t to)
{
	double begin = now_seconds();
	const char *why = "";
	size_t i;
	int err = 0;

	for (i = from; i < to; i++) {
		err = space_apply(&run->space, &run->trace->ops[i], &why);
		if (err)
			break;
	}
	run->result->seconds += now_seconds() - begin;
	return err ? apply_failed(run, &run->trace->ops[i], err, why) : EXIT_OK;
}

static int apply_to_model(struct run *run, size_t from, size_t to)
{
	const char *why = "";

	for (size_t i = from; i < to; i++) {
		int err = as_apply(&run->model, &run->trace->ops[i], &why);

		if (err)
			return apply_failed(run, &run->trace->ops[i], err, why);
	}
	return EXIT_OK;
}

/* Reports a check. @op is the last operation done; @err and @why come from a comparison. */
static int report_check(struct run *run, const struct trace_op *op, int err, const char *why)
{
	run->result->checks++;
	if (!err)
		return EXIT_OK;
	run->space.wrong = true;
	return complain_at(run->settings->name, op->line, "after this operation %s", why);
}

static int check_after(struct run *run, size_t done)
{
	const struct run_settings *settings = run->settings;
	const struct trace_op *op = &run->trace->ops[done - 1];
	bool all = done == run->trace->count;
	char why[512] = "";
	int err, status = EXIT_OK;

	if (settings->check == CHECK_EVERY) {
		err = check_around(&run->space, &run->model, op, why, sizeof(why));
		status = report_check(run, op, err, why);
		all |= done % FULL_EVERY == 0;
	} else if (settings->check == CHECK_SOME) {
		all |= done % settings->check_interval == 0;
	}
	if (status || !all)
		return status;
	err = check_all(&run->space, &run->model, why, sizeof(why));
	return report_check(run, op, err, why);
}

/* ---- Figures ---- */

/*
 * Bytes per mapping mean most when the tree is large, so they are measured again whenever it has
 * grown a bit.
 */
static void sample(struct run *run, bool last)
{
	struct run_result *result = run->result;
	struct mt_stats stats;

	result->height = mt_height(&run->space.tree);
	if (result->height > result->height_max)
		result->height_max = result->height;
	if (!last && run->space.live <= result->sampled_at + result->sampled_at / 8)
		return;
	mtree_lock(&run->space.tree);
	mt_stats(&run->space.tree, &stats);
	mtree_unlock(&run->space.tree);
	result->nodes_built = stats.nodes_built;
	if (run->space.live <= result->sampled_at || !stats.entries)
		return;
	result->sampled_at = run->space.live;
	result->bytes_per_mapping = (double)stats.bytes / (double)stats.entries;
}

/* ---- The loop ---- */

static size_t chunk_end(const struct run *run, size_t done)
{
	const struct run_settings *settings = run->settings;
	size_t left = run->trace->count - done, length = CHUNK;

	if (settings->check == CHECK_EVERY)
		length = 1;
	else if (settings->check == CHECK_SOME &&
		 length > settings->check_interval - done % settings->check_interval)
		length = settings->check_interval - done % settings->check_interval;
	return done + (length < left ? length : left);
}

static int run_operations(struct run *run)
{
	struct progress progress;
	int status = EXIT_OK;
	size_t next;

	progress_begin(&progress, run->settings->name, run->trace->count);
	for (size_t done = 0; !status && done < run->trace->count; done = next) {
		next = chunk_end(run, done);
		status = apply_to_tree(run, done, next);
		if (!status && run->settings->check != CHECK_NONE) {
			status = apply_to_model(run, done, next);
			if (!status)
				status = check_after(run, next);
		}
		if (next / CHUNK != done / CHUNK || next == run->trace->count) {
			sample(run, next == run->trace->count);
			progress_show(&progress, next);
		}
	}
	progress_end(&progress);
	return status;
}

/* ---- The final state ---- */

static int finish(struct run *run)
{
	run->result->live = run->space.live;
	run->result->peak = run->space.peak;
	return final_state(run->settings, "the tree", space_write_runs, &run->space,
			   &run->result->runs);
}

/* ---- Readers ---- */

static int start_readers(struct run *run)
{
	const struct run_settings *settings = run->settings;
	int err = readers_start(&run->readers, &run->space, settings->readers, settings->seed);

	if (!err)
		return EXIT_OK;
	return complain("cannot start %u readers: %s", settings->readers, strerror(-err));
}

static int stop_readers(struct run *run)
{
	struct reader_counts *counts = &run->result->readers;

	crew_stop(run->readers, counts);
	return crew_judge(run->settings->name, counts);
}

static int run_through_tree(const struct trace *trace, const struct run_settings *settings,
			    struct run_result *result)
{
	struct run run = { .trace = trace, .settings = settings, .result = result };
	int status = EXIT_OK, readers_status = EXIT_OK;

	if (settings->readers && history_init(&run.history, trace, MAX_PROBES))
		return complain("%s: %s", settings->name, strerror(ENOMEM));
	space_init(&run.space, settings->rcu, settings->readers ? &run.history : NULL);
	as_init(&run.model);
	if (settings->readers)
		status = start_readers(&run);
	if (!status)
		status = run_operations(&run);
	if (run.readers)
		readers_status = stop_readers(&run);
	if (!status)
		status = finish(&run);
	space_destroy(&run.space);
	as_destroy(&run.model);
	if (settings->readers)
		history_destroy(&run.history);
	return status ? status : readers_status;
}

int run_trace(const struct trace *trace, const struct run_settings *settings,
	      struct run_result *result)
{
	double begin = now_seconds();
	int status = EXIT_FAILED;

	switch (settings->through) {
	case THROUGH_TREE:
		status = run_through_tree(trace, settings, result);
		break;
	case THROUGH_GPUVM:
		status = run_through_gpuvm(trace, settings, result);
		break;
	case THROUGH_QUEUE:
		status = run_through_queue(trace, settings, result);
		break;
	}
	result->wall += now_seconds() - begin;
	return status;
}
