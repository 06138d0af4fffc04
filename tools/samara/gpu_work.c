/* SPDX-License-Identifier: MIT */
#include "gpu_work.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "array.h"

#define JOBS_PER_TASK 4
#define MAX_PAGES 16384 /* that are written to, of 4 KiB each */
#define NO_PAGE UINT64_MAX

int gpu_work_init(struct gpu_work *work, struct jobs *jobs, unsigned int lane, unsigned int engines)
{
	*work = (struct gpu_work){
		.jobs = jobs,
		.lane = lane,
		.engines = engines,
		.random = UINT64_C(0x9e3779b97f4a7c15),
	};
	mt_init(&work->known);
	work->pages = calloc(MAX_PAGES, sizeof(*work->pages));
	return work->pages ? 0 : -ENOMEM;
}

void gpu_work_destroy(struct gpu_work *work)
{
	mtree_destroy(&work->known);
	free(work->pages);
	free(work->tasks);
	work->pages = NULL;
	work->tasks = NULL;
}

static uint64_t next_random(struct gpu_work *work)
{
	work->random ^= work->random << 13;
	work->random ^= work->random >> 7;
	work->random ^= work->random << 17;
	return work->random;
}

/* ---- Memory ---- */

/*
 * Returns a number for the memory at the page of @addr as the model maps it, or NO_PAGE if
 * nothing is mapped there or the page is not to be used.
 */
static uint64_t memory_at(const struct gpu_work *work, const struct address_space *model,
			  uint64_t addr)
{
	struct content content = content_expected(model, addr);
	const struct vm_object *object;
	uint64_t offset, number;

	if (!content.mapped)
		return NO_PAGE;
	object = (const struct vm_object *)vm_objects_find(&work->jobs->objects, content.object);
	offset = content.object ? content.offset : addr;
	number = (uint64_t)(object - work->jobs->objects.object);
	if (number >= 1u << 15 || offset >= SG_VA_END)
		return NO_PAGE;
	return number * (SG_VA_END / SG_PAGE) + offset / SG_PAGE;
}

/* Returns the page for @memory, adding one if there is none and there is room; otherwise NULL. */
static struct gpu_page *page_of(struct gpu_work *work, uint64_t memory)
{
	void *entry = mtree_load(&work->known, memory);

	if (entry)
		return &work->pages[xa_to_value(entry)];
	if (work->nr_pages == MAX_PAGES ||
	    mtree_store(&work->known, memory, xa_mk_value(work->nr_pages), GFP_KERNEL))
		return NULL;
	work->pages[work->nr_pages].memory = memory;
	return &work->pages[work->nr_pages++];
}

/*
 * Returns a page whose contents are known and which is still mapped where it was when it was
 * written; NULL: none was found.
 */
static const struct gpu_page *known_page(struct gpu_work *work, const struct address_space *model)
{
	for (unsigned int tries = 0; work->nr_pages && tries < 4; tries++) {
		const struct gpu_page *page =
			&work->pages[(next_random(work) >> 8) % work->nr_pages];

		if (memory_at(work, model, page->addr) == page->memory)
			return page;
	}
	return NULL;
}

/* ---- Tasks ---- */

static void add_cmd(struct gpu_task *task, enum sg_cmd_type type, uint64_t dst, uint64_t src,
		    uint64_t value)
{
	struct sg_cmd *cmd = &task->cmds[task->nr_cmds++];

	*cmd = (struct sg_cmd){ .type = type, .dst = dst, .src = src, .len = SG_PAGE };
	if (type == SG_FILL)
		cmd->pattern = value;
	else
		cmd->sum = value;
}

static uint64_t sum_of_pattern(uint64_t pattern)
{
	unsigned char bytes[SG_PAGE];

	sg_fill(bytes, sizeof(bytes), pattern);
	return sg_checksum(0, bytes, sizeof(bytes));
}

/* Fills @page, at @page->addr, or copies @from to it, and reads it back. */
static void write_page(struct gpu_work *work, struct gpu_task *task, struct gpu_page *page,
		       const struct gpu_page *from)
{
	uint64_t pattern = next_random(work);

	if (from) {
		add_cmd(task, SG_VERIFY, 0, from->addr, from->sum);
		add_cmd(task, SG_COPY, page->addr, from->addr, 0);
		page->sum = from->sum;
	} else {
		add_cmd(task, SG_FILL, page->addr, 0, pattern);
		page->sum = sum_of_pattern(pattern);
	}
	add_cmd(task, SG_VERIFY, 0, page->addr, page->sum);
}

static void depend(struct gpu_work *work, uint64_t addr, uint64_t memory)
{
	order_depend(&work->jobs->order, ORDER_ADDRESSES, addr, addr + SG_PAGE - 1);
	if (memory != NO_PAGE)
		order_depend(&work->jobs->order, ORDER_MEMORY, memory, memory);
}

static int touch(struct gpu_work *work, uint64_t addr, uint64_t memory)
{
	int err = order_touch(&work->jobs->order, ORDER_ADDRESSES, addr, addr + SG_PAGE - 1);

	if (!err && memory != NO_PAGE)
		err = order_touch(&work->jobs->order, ORDER_MEMORY, memory, memory);
	return err;
}

static int new_task(struct gpu_work *work, uint32_t job, struct gpu_task **task)
{
	struct gpu_task *tasks = array_extend(work->tasks, work->nr, sizeof(*tasks));

	if (!tasks)
		return -ENOMEM;
	work->tasks = tasks;
	*task = &tasks[work->nr];
	**task = (struct gpu_task){ .jobs_before = job + 1 };
	return order_add(&work->jobs->order,
			 work->lane + (unsigned int)(work->nr++ % work->engines), &(*task)->item);
}

/* Adds a read at @addr, where nothing is mapped any more. */
static int add_fault(struct gpu_work *work, uint32_t job, uint64_t addr)
{
	struct gpu_task *task;
	int err = new_task(work, job, &task);

	if (err)
		return err;
	task->faults = true;
	add_cmd(task, SG_CHECKSUM, 0, addr, 0);
	depend(work, addr, NO_PAGE);
	return touch(work, addr, NO_PAGE);
}

static int add_write(struct gpu_work *work, uint32_t job, uint64_t addr, uint64_t memory,
		     const struct gpu_page *from)
{
	struct gpu_page *page = page_of(work, memory);
	struct gpu_task *task;
	int err;

	if (!page)
		return 0;
	if (from == page)
		from = NULL;
	err = new_task(work, job, &task);
	if (err)
		return err;
	page->addr = addr;
	write_page(work, task, page, from);
	depend(work, addr, memory);
	if (from)
		depend(work, from->addr, from->memory);
	err = touch(work, addr, memory);
	if (!err && from)
		err = touch(work, from->addr, from->memory);
	return err;
}

int gpu_work_add(void *arg, uint32_t job, const struct trace_op *op,
		 const struct address_space *model)
{
	struct gpu_work *work = arg;
	const struct gpu_page *from = NULL;
	uint64_t addr = op->addr, memory;

	if (job % JOBS_PER_TASK || addr >= SG_VA_END)
		return 0;
	memory = memory_at(work, model, addr);
	if (memory == NO_PAGE && !as_at(model, addr))
		return add_fault(work, job, addr);
	if (memory == NO_PAGE)
		return 0;
	if (next_random(work) >> 63)
		from = known_page(work, model);
	return add_write(work, job, addr, memory, from);
}

/* ---- Afterwards ---- */

int gpu_task_check(const struct gpu_task *task, char *why, size_t size)
{
	for (unsigned int i = 0; i < task->nr_cmds; i++) {
		const struct sg_cmd *cmd = &task->cmds[i];
		uint64_t addr = cmd->type == SG_FILL ? cmd->dst : cmd->src;

		if (task->faults && cmd->error != -EFAULT)
			snprintf(why, size, "an engine found something mapped at %" PRIx64, addr);
		else if (!task->faults && cmd->error == -EFAULT)
			snprintf(why, size, "an engine found nothing mapped at %" PRIx64,
				 cmd->fault);
		else if (!task->faults && cmd->error)
			snprintf(why, size, "an engine found wrong contents at %" PRIx64, addr);
		else
			continue;
		return -EUCLEAN;
	}
	return 0;
}
