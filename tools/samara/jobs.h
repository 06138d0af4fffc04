/* SPDX-License-Identifier: MIT */
/*
 * Turns a trace into jobs for a GPU VM, with all that they must result in. Each operation except a
 * load is one job:
 *
 *   map      BIND_MAP
 *   unmap    BIND_UNMAP
 *   protect  BIND_MAP, with the new flags, of each piece in the range that has other flags
 *   move     BIND_UNMAP of the new range, BIND_MAP of the pieces there, BIND_UNMAP of the old
 *            range; in place: BIND_UNMAP of what is cut off, or BIND_MAP of the mapping that grows
 *
 * Pieces are those that the model has at this point of the trace, so a job must find the addresses
 * it touches as the jobs before it left them. Jobs that touch no address in common may run in any
 * order, or at once: that changes neither what addresses hold nor where mappings end. So the order
 * to be kept is: a job runs after the last earlier job that touched each of its addresses.
 *
 * Jobs are dealt to lanes in turns; order.h says what that means. Other work that touches addresses
 * can take part, in lanes of its own.
 */
#ifndef SAMARA_TOOL_JOBS_H
#define SAMARA_TOOL_JOBS_H

#include "mapped.h"
#include "order.h"
#include "probes.h"

struct job {
	uint32_t op; /* in the trace */
	uint32_t nr_ops;
	size_t ops;         /* index of its first bind operation */
	size_t pieces;      /* index of the first piece mapped in its ranges afterwards */
	uint32_t nr_pieces; /* in the first range */
	uint32_t nr_more;   /* in the second range of a move */
	uint32_t load;      /* the first of its loads, plus 1; 0: none */
	uint32_t item;      /* in the order of all work */
};

/*
 * A look-up that the trace has recorded. It belongs to the last earlier job that touched the
 * address: until the next job that does, this is the answer.
 */
struct load {
	uint64_t addr;
	struct content content;
	uint32_t op;
	uint32_t next; /* of the same job, plus 1; 0: the last */
};

struct jobs {
	const struct trace *trace;
	struct vm_objects objects;
	struct job *job;
	size_t nr;
	struct bind_op *ops;
	size_t nr_ops;
	struct as_mapping *pieces; /* empty unless asked for */
	size_t nr_pieces;
	struct load *loads;
	size_t nr_loads;
	size_t peak;        /* mappings, after any job */
	unsigned int lanes; /* lanes that jobs are dealt to */
	struct order order;
};

struct jobs_options {
	const char *name;         /* of the trace, for messages */
	unsigned int lanes;       /* for jobs */
	unsigned int other_lanes; /* more lanes, for other work */
	bool pieces;              /* note what is mapped in each job's ranges afterwards */
	struct probes *probes;    /* set to what to expect; NULL: none */
	/*
	 * For other work: called after each job, whose item is the newest, with the model as it is
	 * then. May be NULL.
	 */
	int (*on_job)(void *arg, uint32_t job, const struct trace_op *op,
		      const struct address_space *model);
	void *arg;
	struct sg_pool *frames; /* memory for the objects; NULL: they have none */
};

/*
 * Works out everything. Returns EXIT_OK; or EXIT_FAILED after a message that names the line, and
 * there is nothing to destroy.
 */
int jobs_init(struct jobs *jobs, const struct trace *trace, const struct jobs_options *options);
void jobs_destroy(struct jobs *jobs);

/*
 * Calls @fn for each range that the job touches: that of the operation, the new one of a move, and
 * those of its bind operations. They may overlap. Stops at the first result that is not 0 and
 * returns it.
 */
int jobs_ranges(const struct jobs *jobs, size_t job,
		int (*fn)(void *arg, uint64_t first, uint64_t last), void *arg);

/*
 * Checks that the VM has in the job's ranges what must be there after it, as vm_check_range() does.
 * Needs the pieces.
 */
int jobs_check(const struct jobs *jobs, size_t job, struct gpuvm *vm, char *why, size_t size);

/* Returns the line of the trace that job @job comes from. */
uint32_t jobs_line(const struct jobs *jobs, size_t job);

#endif
