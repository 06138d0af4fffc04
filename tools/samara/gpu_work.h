/* SPDX-License-Identifier: MIT */
/*
 * Work for the engines of the software GPU, made of a trace beforehand. After every so many jobs
 * there is a task: pages that are mapped at this point of the trace are filled, copied and read
 * back, where they are mapped; or a page that has just been unmapped is read, which must fault.
 * Memory keeps what was written to it, through whatever address, until something else is written,
 * so it is known what must be found: a translation that is outdated, or in force too early, or
 * wrong, reads something else.
 *
 * Tasks take part in the order of all work (order.h): by the addresses they use, so that no bind
 * changes what is mapped there too early or too late, and by the memory, for two addresses may lead
 * to the same.
 */
#ifndef SAMARA_TOOL_GPU_WORK_H
#define SAMARA_TOOL_GPU_WORK_H

#include <samara/maple_tree.h>

#include "jobs.h"
#include "softgpu.h"

struct gpu_task {
	uint32_t item;   /* in the order of all work */
	uint32_t behind; /* so many jobs come before it in the trace */
	bool faults;     /* the command must find nothing mapped */
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
	size_t nr, room;
	struct gpu_page *pages;
	size_t nr_pages;
	struct maple_tree known; /* memory: its number in pages */
	uint64_t random;         /* state, never 0 */
};

/* Before @jobs are made. 0 or -ENOMEM; in either case to be destroyed. */
int gpu_work_init(struct gpu_work *work, struct jobs *jobs, unsigned int lane,
		  unsigned int engines);
void gpu_work_destroy(struct gpu_work *work);

/* For jobs_options.behind, with the work as @arg: adds a task if it is time to. 0 or -ENOMEM. */
int gpu_work_add(void *arg, uint32_t job, const struct trace_op *op,
		 const struct address_space *model);

/*
 * After the task: 0, or -EUCLEAN and in @why of @size bytes what it found wrong.
 */
int gpu_task_check(const struct gpu_task *task, char *why, size_t size);

#endif
