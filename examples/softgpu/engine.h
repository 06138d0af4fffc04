/* SPDX-License-Identifier: MIT */
/* The inside of an engine, shared by engine.c and command.c. */
#ifndef SOFTGPU_ENGINE_H
#define SOFTGPU_ENGINE_H

#include "softgpu.h"

struct exec;

struct sg_engine {
	struct sg_vm *vm;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	struct exec *first, **last;   /* GUARD mutex */
	bool stop;                    /* GUARD mutex */
	struct sg_engine_stats stats; /* GUARD mutex */
	/* The rest is used by the engine's thread alone. */
	struct sg_tlb tlb;
	struct sg_reserve tables;
	struct sg_engine_stats now;
};

/* Whether @cmd writes to memory. */
static inline bool sg_writes(const struct sg_cmd *cmd)
{
	return cmd->type == SG_FILL || cmd->type == SG_COPY;
}

/* Whether @cmd reads memory. */
static inline bool sg_reads(const struct sg_cmd *cmd)
{
	return cmd->type != SG_FILL;
}

/*
 * Runs a command, with @frames for new pages. CONTEXT: the engine's thread, in a signalling
 * section.
 */
void sg_cmd_run(struct sg_engine *e, struct sg_cmd *cmd, struct sg_reserve *frames);

#endif
