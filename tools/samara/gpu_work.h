/* SPDX-License-Identifier: MIT */
/*
 * Makes work for the engines of the software GPU from a trace, in advance. After every so many jobs
 * there is a task: pages that are mapped at this point of the trace are filled, copied and read
 * back at their addresses; or a page that has just been unmapped is read, which must fault. Memory
 * keeps what was written to it, through whatever address, until it is overwritten, so it is known
 * what a read must find: a translation that is outdated, in force too early, or wrong reads
 * something else.
 *
 * Tasks take part in the order of all work (order.h): by the addresses they use, so that no bind
 * changes what is mapped there too early or too late, and by the memory, since two addresses may
 * lead to the same.
 */
#ifndef SAMARA_TOOL_GPU_WORK_H
#define SAMARA_TOOL_GPU_WORK_H

#include <samara/maple_tree.h>

#include "jobs.h"
#include "softgpu.h"

struct gpu_task {
	uint32_t item;        /* in the order of all work */
	uint32_t jobs_before; /* the number of jobs before it in the trace */
	bool faults;          /* the command must find nothing mapped */
	unsigned int nr_cmds;
	struct sg_cmd cmds[3];
};

/* A page that has been written to. */
struct gpu_page {
	uint64_t addr;   /* where it was mapped then */
	uint64_t memory; /* which page of which object it is */
	uint64_t sum;
};

struct gpu_work {
	struct jobs *jobs;
	unsigned int lane, engines; /* lanes [lane..lane + engines) are the engines' */
	struct gpu_task *tasks;
	size_t nr;
	struct gpu_page *pages;
	size_t nr_pages;
	struct maple_tree known; /* from memory to its number in pages */
	uint64_t random;         /* state, never 0 */
};

/* CONTEXT: before @jobs are made. Returns 0 or -ENOMEM; in either case to be destroyed. */
int gpu_work_init(struct gpu_work *work, struct jobs *jobs, unsigned int lane,
		  unsigned int engines);
void gpu_work_destroy(struct gpu_work *work);

/*
 * For jobs_options.on_job, with the work as @arg: adds a task if one is due. Returns 0 or -ENOMEM.
 */
int gpu_work_add(void *arg, uint32_t job, const struct trace_op *op,
		 const struct address_space *model);

/* Checks a task that has run. Returns 0, or -EUCLEAN with the fault in @why of @size bytes. */
int gpu_task_check(const struct gpu_task *task, char *why, size_t size);

#endif
