/* SPDX-License-Identifier: MIT */
/*
 * Engines: threads that run commands on GPU addresses.
 *
 * A job is accepted together with all that it can need: a copy of what it waits for, and frames for
 * the pages that it may be the first to write to. It waits for its in-fences, and from then until
 * its out-fences are signalled it is in a signalling section: translations come from the TLB, from
 * the page tables, or, on a fault, from the VM without a lock. None of these allocates.
 */
#include "engine.h"
#include <errno.h>
#include <stdlib.h>

/*
 * Tables that an engine keeps ready for faults. Without one a fault is still answered, but the
 * translation is not entered.
 */
#define SPARE_TABLES (2 * SG_LEVELS)

/* An accepted job. */
struct exec {
	struct exec *next;
	struct sg_cmd *cmds;
	unsigned int nr_cmds, nr_in, nr_out;
	struct sg_reserve frames;
	/* What to wait for, all turned into fences, then what to signal. Holds references. */
	struct bind_sync sync[];
};

/* ---- Jobs ---- */

static void free_exec(struct sg_engine *e, struct exec *x)
{
	for (unsigned int i = 0; i < x->nr_in + x->nr_out; i++) {
		fence_put(x->sync[i].fence);
		timeline_put(x->sync[i].timeline);
	}
	sg_pool_release(&e->vm->dev->frames, &x->frames);
	free(x);
}

/*
 * Publishes the figures before the fence is signalled: a thread that saw the signal may read them.
 */
static void publish_stats(struct sg_engine *e)
{
	e->now.jobs++;
	e->now.tlb_hits = e->tlb.hits;
	e->now.tlb_misses = e->tlb.misses;
	e->now.tlb_invalidations = e->tlb.invalidations;
	pthread_mutex_lock(&e->mutex);
	e->stats = e->now;
	pthread_mutex_unlock(&e->mutex);
}

static void signal_out(const struct exec *x, int error)
{
	for (unsigned int i = 0; i < x->nr_out; i++) {
		const struct bind_sync *out = &x->sync[x->nr_in + i];

		if (out->fence)
			(void)fence_signal_error(out->fence, error);
		else
			(void)timeline_signal_error(out->timeline, out->value, error);
	}
}

static void run(struct sg_engine *e, struct exec *x)
{
	int error = 0;

	for (unsigned int i = 0; i < x->nr_in; i++)
		while (fence_wait(x->sync[i].fence, FENCE_FOREVER))
			; /* a signal handler ran */
	if (e->tables.nr < SPARE_TABLES)
		(void)sg_pool_reserve(&e->vm->dev->tables, &e->tables, SPARE_TABLES - e->tables.nr);

	fence_begin_signalling();
	for (unsigned int i = 0; i < x->nr_cmds; i++) {
		sg_cmd_run(e, &x->cmds[i], &x->frames);
		if (!error)
			error = x->cmds[i].error;
	}
	publish_stats(e);
	signal_out(x, error);
	fence_end_signalling();

	free_exec(e, x);
}

/* Returns the next job, or NULL if there will be none. */
static struct exec *next(struct sg_engine *e)
{
	struct exec *x;

	pthread_mutex_lock(&e->mutex);
	while (!e->first && !e->stop)
		pthread_cond_wait(&e->more, &e->mutex);
	x = e->first;
	if (x) {
		e->first = x->next;
		if (!e->first)
			e->last = &e->first;
	}
	pthread_mutex_unlock(&e->mutex);
	return x;
}

static void *work(void *arg)
{
	struct sg_engine *e = arg;
	struct exec *x;

	while ((x = next(e)))
		run(e, x);
	sg_pool_release(&e->vm->dev->tables, &e->tables);
	return NULL;
}

/* ---- Submission ---- */

static bool in_space(uint64_t addr, uint64_t len)
{
	return len <= SG_VA_END && addr <= SG_VA_END - len;
}

static bool valid(const struct sg_cmd *cmd)
{
	return (cmd->dst | cmd->src | cmd->len) % 8 == 0 &&
	       (!sg_reads(cmd) || in_space(cmd->src, cmd->len)) &&
	       (!sg_writes(cmd) || in_space(cmd->dst, cmd->len));
}

/*
 * Counts the blocks that the commands may put into objects at most; -EINVAL if they must not be
 * run.
 */
static int count_blocks(const struct sg_job *job, unsigned long *blocks)
{
	unsigned long pages = 0;

	for (unsigned int i = 0; i < job->nr_cmds; i++) {
		const struct sg_cmd *cmd = &job->cmds[i];

		if (!valid(cmd))
			return -EINVAL;
		if (sg_writes(cmd) && cmd->len)
			pages += (cmd->dst % SG_PAGE + cmd->len + SG_PAGE - 1) / SG_PAGE;
		if (pages > SG_JOB_PAGES)
			return -EINVAL;
	}
	*blocks = pages * SG_BLOCKS_PER_PAGE;
	return 0;
}

static int take_syncs(struct exec *x, const struct sg_job *job)
{
	for (unsigned int i = 0; i < job->nr_in; i++) {
		const struct bind_sync *in = &job->in[i];
		struct fence *f = in->fence ? fence_get(in->fence)
					    : timeline_fence(in->timeline, in->value);

		if (!f)
			return -ENOMEM;
		x->sync[i].fence = f;
	}
	for (unsigned int i = 0; i < job->nr_out; i++) {
		const struct bind_sync *out = &job->out[i];

		x->sync[x->nr_in + i] = (struct bind_sync){ .fence = fence_get(out->fence),
							    .timeline = timeline_get(out->timeline),
							    .value = out->value };
	}
	return 0;
}

static int make_exec(struct sg_engine *e, const struct sg_job *job, unsigned long blocks,
		     struct exec **made)
{
	struct exec *x =
		calloc(1, sizeof(*x) + (job->nr_in + (size_t)job->nr_out) * sizeof(x->sync[0]));
	int err;

	if (!x)
		return -ENOMEM;
	x->cmds = job->cmds;
	x->nr_cmds = job->nr_cmds;
	x->nr_in = job->nr_in;
	x->nr_out = job->nr_out;
	err = take_syncs(x, job);
	if (!err)
		err = sg_pool_reserve(&e->vm->dev->frames, &x->frames, blocks);
	if (err)
		free_exec(e, x);
	else
		*made = x;
	return err;
}

int sg_engine_submit(struct sg_engine *e, const struct sg_job *job)
{
	unsigned long blocks;
	struct exec *x;
	int err;

	err = count_blocks(job, &blocks);
	if (!err)
		err = make_exec(e, job, blocks, &x);
	if (err)
		return err;
	pthread_mutex_lock(&e->mutex);
	*e->last = x;
	e->last = &x->next;
	pthread_cond_signal(&e->more);
	pthread_mutex_unlock(&e->mutex);
	return 0;
}

/* ---- Lifetime ---- */

static void free_engine(struct sg_engine *e)
{
	pthread_cond_destroy(&e->more);
	pthread_mutex_destroy(&e->mutex);
	free(e);
}

struct sg_engine *sg_engine_create(struct sg_vm *vm)
{
	struct sg_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->vm = vm;
	e->last = &e->first;
	pthread_mutex_init(&e->mutex, NULL);
	pthread_cond_init(&e->more, NULL);
	if (pthread_create(&e->thread, NULL, work, e)) {
		free_engine(e);
		return NULL;
	}
	return e;
}

void sg_engine_destroy(struct sg_engine *e)
{
	pthread_mutex_lock(&e->mutex);
	e->stop = true;
	pthread_cond_signal(&e->more);
	pthread_mutex_unlock(&e->mutex);
	pthread_join(e->thread, NULL);
	free_engine(e);
}

void sg_engine_stats(struct sg_engine *e, struct sg_engine_stats *stats)
{
	pthread_mutex_lock(&e->mutex);
	*stats = e->stats;
	pthread_mutex_unlock(&e->mutex);
}
