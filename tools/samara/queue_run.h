/* SPDX-License-Identifier: MIT */
/*
 * Shared by the parts of a run of a trace through bind queues.
 *
 * Several threads, the submitters, each with a queue of its own, take the jobs in turns (jobs.h:
 * lanes) and submit them, waiting for nothing but room: fences enforce the order. A job signals
 * value seq of its queue's timeline, and waits for the values of the other timelines on which it
 * depends.
 *
 * Every submitter has its own part of --in-flight. If they shared it, one could fill it with jobs
 * that wait for a job for which another submitter has no room. So the earliest job that is not over
 * can always be submitted, and then run. (The VM's bound, too, is --in-flight. It counts jobs until
 * they are cleaned up, for which a submitter may have to wait.)
 *
 * The engines of a software GPU are fed in the same way (gpu_work.h): each is a lane, with a
 * submitter and a timeline.
 *
 *   through_queue.c  sets everything up, hands out the jobs, judges the result
 *   queue_vm.c       the VM, plain or that of the software GPU
 *   queue_submit.c   the submitters
 *   queue_section.c  what is done in the run sections
 */
#ifndef SAMARA_TOOL_QUEUE_RUN_H
#define SAMARA_TOOL_QUEUE_RUN_H

#include <pthread.h>
#include <samara/bind_queue.h>

#include "gpu_work.h"
#include "jobs.h"
#include "run.h"

/* A job in flight, or a task of an engine. */
struct slot {
	struct fence *fence; /* NULL: free */
	struct fence_cb callback;
	struct queue_run *run;
	size_t job;     /* or task */
	uint64_t begin; /* of the submission; the fence has the end, on the same clock */
};

struct submitter {
	pthread_t thread;
	struct queue_run *run;
	unsigned int lane;
	struct bind_queue *queue; /* NULL: feeds an engine */
	struct sg_engine *engine; /* NULL: feeds a queue */
	size_t next;              /* the job or task to be submitted next */
	struct timeline *timeline;
	struct slot *slots; /* a ring; item seq is at seq % nr_slots */
	unsigned int nr_slots;
	struct bind_sync *in; /* scratch space: one for each other lane */
	struct latency submit, finish;
};

struct queue_run {
	const struct trace *trace;
	const struct run_settings *settings;
	struct run_result *result;
	struct jobs jobs;
	struct probes probes;
	struct gpu_work work;
	struct sg_device device;
	struct gpuvm *vm;
	struct gpuvm plain; /* where vm points without a software GPU */
	struct gpuvm_object *r_obj;
	struct sg_vm *gpu;            /* NULL: there is none */
	struct address_space model;   /* as after the last job compared */
	size_t compared;              /* operations of the trace applied to the model */
	struct submitter *submitters; /* one for each lane */
	unsigned int lanes;           /* jobs.lanes queues, then the engines */
	/* Shared by the main thread and the submitters. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t until;      /* GUARD lock: jobs that may be submitted */
	bool stop;         /* GUARD lock */
	unsigned int idle; /* GUARD lock: submitters that have done all jobs up to until */
	/* The run section that is running; there is only one at a time. */
	uint64_t section_begin;
	uint64_t section_excluded; /* spent on checks and loads in it */
	uint64_t not_signalling;   /* sections that were no signalling sections */
	struct latency run;
	_Atomic(uint64_t) checks;
	_Atomic(size_t) done;
	/* The first fault; after it no more is done. */
	atomic_bool failed;
	size_t failed_job;
	char why[600];
};

/* ---- queue_section.c ---- */

/* The calls of the VM's queues; priv is the run. */
extern const struct bind_ops queue_section_ops;
/*
 * The callback of the out-fence of a job, that in its slot. While it runs, and until the other
 * callbacks of the fence have run, the VM stays as the job left it: the same thread runs all of
 * them, and works on no other job of the VM. Here the job is checked, its loads are answered, and
 * the readers' probes are advanced. CONTEXT: a signalling section, so nothing here allocates or
 * waits.
 */
void queue_job_done(struct fence *fence, struct fence_cb *callback);
/* The same for a task of an engine. */
void queue_task_done(struct fence *fence, struct fence_cb *callback);
/*
 * Notes the first fault, that of @job; after it no more is submitted. CONTEXT: any thread, any
 * section.
 */
void queue_fail(struct queue_run *run, size_t job, const char *what, const char *why);

/* ---- queue_vm.c ---- */

/* Returns 0, or a negative errno; then nothing is to be torn down. */
int queue_vm_set_up(struct queue_run *run);
/* CONTEXT: all queues and engines are gone. */
void queue_vm_tear_down(struct queue_run *run);

/* ---- queue_submit.c ---- */

/* Returns 0 or a negative errno; to be torn down in either case, when its thread has ended. */
int submitter_set_up(struct submitter *submitter, struct queue_run *run, unsigned int lane);
void submitter_tear_down(struct submitter *submitter);
/*
 * A submitter's thread: does its share of the jobs up to run->until, again and again, until
 * run->stop.
 */
void *submitter_main(void *submitter);

#endif
