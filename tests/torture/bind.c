/* SPDX-License-Identifier: MIT */
/*
 * Submitters, queues, readers and a thread that releases fences, on one VM, for a number of jobs.
 *
 * The model has a cell for each unit of the address space: which object is mapped there, and where
 * in it. It is changed only by the driver's steps, in the order in which they are called, and each
 * step is checked against it first: what is removed must match the cells, must be what the
 * operation asked for, and must be gone completely when the next operation begins. In the end the
 * VM is compared with the cells.
 *
 * Readers. Each pair of submitter and queue has two *twins*, far apart, which all its jobs map anew
 * with the number of the job as the offset, one early in the job and the other late. So a thread
 * that looks at one and then at the other must not find an older job second, whichever it looks at
 * first: that would be half a job. Other look-ups must find a mapping that covers their address, is
 * alive, and is of an object that its pair agrees with.
 *
 * Now and then an allocation fails, somewhere; and anything that the library allocates, frees or
 * asks of the system in a run ends the program.
 *
 * With a million operations or more it is the long test: 300,000 mappings to begin with, and
 * 100,000 jobs outstanding at a time.
 */
#include "support/bind_toy.h"
#include "support/env.h"
#include "support/guard.h"
#include "support/memfault.h"
#include "support/rng.h"

#include "base/hooks.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OBJECTS = 5, QUEUES = 8, MAX_SUBMITTERS = 4, READERS = 2, MAX_OPS = 8, GATES = 64 };
enum { ALIVE = 0x600d600d, ENDED = 0x0dead0ad };
/*
 * SAMARA_TEST_OPS from which on it is the long test, with a job for 12 operations of other tests.
 */
#define LONG 1000000

#define fail_if(cond)                                                                    \
	do {                                                                             \
		if (cond) {                                                              \
			fprintf(stderr, "bind: %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                         \
		}                                                                        \
	} while (0)

#define atomic_get(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define atomic_set(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define atomic_add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

struct params {
	uint64_t cells;     /* of the part that all submitters map into */
	uint64_t jobs;      /* of each submitter */
	unsigned long live; /* mappings at the beginning */
	unsigned long held; /* about how many jobs are kept outstanding */
	unsigned int submitters;
	bool faults;
};

struct cell {
	uint64_t delta;   /* offset - address */
	unsigned int obj; /* + 1; OBJECTS + 1: mapped without an object; 0: nothing */
};

struct job {
	unsigned int refs; /* atomic: the submitter, and each prepared operation */
	unsigned int nr;
	struct bind_op op[MAX_OPS];
};

struct mapping {
	struct gpuva va;    /* first */
	unsigned int state; /* atomic: 0 before its step */
};

static struct params p;
static struct gpuvm vm;
static struct gpuvm_object objs[OBJECTS], r_obj;
static struct bind_queue *queues[QUEUES];
static struct cell *cells;
static uint64_t nr_cells, twins_at, last_twins_at;
static unsigned long vm_freed;

static struct {
	pthread_mutex_t lock;
	struct fence *fence;
} gates[GATES];

static unsigned int submitting, stop;                      /* atomic */
static unsigned long refused, looked, checked, steps_seen; /* atomic */

/* ---- The model. Changed by one run at a time ---- */

static unsigned long mapped_cells[OBJECTS + 2];
static struct job *running; /* the job whose steps are being called */
static unsigned int done;   /* its operations before this one are over */

static unsigned int number_of(const struct gpuvm_object *obj)
{
	return obj ? (unsigned int)(obj - objs) + 1 : OBJECTS + 1;
}

static void set_cells(uint64_t addr, uint64_t range, unsigned int obj, uint64_t delta)
{
	for (uint64_t i = addr; i < addr + range; i++) {
		mapped_cells[cells[i].obj]--;
		mapped_cells[obj]++;
		cells[i] = (struct cell){ obj ? delta : 0, obj };
	}
}

static void expect_cells(uint64_t addr, uint64_t range, unsigned int obj, uint64_t delta)
{
	for (uint64_t i = addr; i < addr + range; i++)
		fail_if(cells[i].obj != obj || (obj && cells[i].delta != delta));
}

static bool within(const struct bind_op *op, uint64_t addr, uint64_t range)
{
	return addr >= op->addr && addr + range <= op->addr + op->range;
}

/* Checks that @va matches the cells, and clears the cells [addr, addr + range). */
static void take_cells(const struct bind_op *op, const struct gpuva *va, uint64_t addr,
		       uint64_t range)
{
	fail_if(op->type == BIND_UNMAP_ALL ? va->gem.obj != op->obj : !within(op, addr, range));
	expect_cells(va->va.addr, va->va.range, number_of(va->gem.obj),
		     va->gem.offset - va->va.addr);
	set_cells(addr, range, 0, 0);
}

/* Checks that the rest of a mapping is unchanged in the cells. */
static void check_rest(const struct gpuva *va)
{
	if (!va)
		return;
	expect_cells(va->va.addr, va->va.range, number_of(va->gem.obj),
		     va->gem.offset - va->va.addr);
	atomic_set(&((struct mapping *)(uintptr_t)va)->state, ALIVE);
}

/* Checks that operation @op, which is over, has left nothing that it should have removed. */
static void check_done(const struct bind_op *op)
{
	if (op->type == BIND_UNMAP)
		expect_cells(op->addr, op->range, 0, 0);
	else if (op->type == BIND_UNMAP_ALL)
		fail_if(mapped_cells[number_of(op->obj)]);
}

static void come_to(struct job *job, unsigned int index)
{
	fail_if(running && running != job);
	fail_if(running && index < done);
	if (!running)
		done = 0;
	running = job;
	for (; done < index; done++)
		if (job->op[done].type != BIND_MAP)
			check_done(&job->op[done]);
}

static void step_map(const struct bind_op *op, struct gpuva *va)
{
	fail_if(va->va.addr != op->addr || va->va.range != op->range || va->gem.obj != op->obj);
	fail_if(va->vm != &vm || (va->gem.obj && va->vm_bo->obj != va->gem.obj));
	expect_cells(op->addr, op->range, 0, 0);
	set_cells(op->addr, op->range, number_of(op->obj), op->offset - op->addr);
	atomic_set(&((struct mapping *)va)->state, ALIVE);
}

static void step_remap(const struct bind_op *op, const struct bind_step *step)
{
	uint64_t start, range;

	gpuva_op_remap_to_unmap_range(&step->op->remap, &start, &range);
	fail_if(!step->op->remap.prev != !step->prev || !step->op->remap.next != !step->next);
	take_cells(op, step->op->remap.unmap->va, start, range);
	check_rest(step->prev);
	check_rest(step->next);
}

static void check_prefetch(const struct bind_op *op, const struct gpuva *va)
{
	fail_if(va->va.addr >= op->addr + op->range || va->va.addr + va->va.range <= op->addr);
	expect_cells(va->va.addr, va->va.range, number_of(va->gem.obj),
		     va->gem.offset - va->va.addr);
}

/* ---- The driver ---- */

static __thread struct job *submitted;

static void put_job(struct job *job)
{
	if (atomic_add(&job->refs, -1) == 0)
		free(job);
}

static int prepare(struct gpuvm *v, const struct bind_op *op, void **cookie, void *priv)
{
	(void)v;
	(void)op;
	(void)priv;
	atomic_add(&submitted->refs, 1);
	*cookie = submitted;
	return 0;
}

static void finish(struct gpuvm *v, void *cookie, void *priv)
{
	(void)v;
	(void)priv;
	put_job(cookie);
}

static int step(struct gpuvm *v, const struct bind_step *step, void *priv)
{
	struct job *job = step->cookie;
	const struct bind_op *op = &job->op[step->index];

	(void)v;
	(void)priv;
	come_to(job, step->index);
	atomic_add(&steps_seen, 1);
	switch (step->op->op) {
	case GPUVA_OP_MAP:
		step_map(op, step->map);
		break;
	case GPUVA_OP_REMAP:
		step_remap(op, step);
		break;
	case GPUVA_OP_UNMAP:
		take_cells(op, step->op->unmap.va, step->op->unmap.va->va.addr,
			   step->op->unmap.va->va.range);
		break;
	case GPUVA_OP_PREFETCH:
		check_prefetch(op, step->op->prefetch.va);
		break;
	}
	return 0;
}

static void run_begin(struct gpuvm *v, void *priv)
{
	(void)v;
	(void)priv;
	fail_if(running);
	(void)guard_thread();
	guard_enter();
}

static void run_end(struct gpuvm *v, void *priv)
{
	(void)v;
	(void)priv;
	if (running)
		come_to(running, running->nr);
	running = NULL;
	guard_leave();
}

static void va_release(struct gpuva *va, void *priv)
{
	struct mapping *m = (struct mapping *)va;

	(void)priv;
	fail_if(atomic_get(&m->state) == ENDED);
	atomic_set(&m->state, ENDED);
}

static const struct bind_ops driver = { prepare, step, finish, run_begin, run_end, va_release };

/* ---- Readers ---- */

static uint64_t version(uint64_t addr)
{
	struct gpuva *va = gpuvm_find(&vm, addr);

	return va ? va->gem.offset : 0;
}

static void look_at_twins(struct rng *rng)
{
	uint64_t which = rng_below(rng, (uint64_t)p.submitters * QUEUES);
	bool first = rng_below(rng, 2);
	uint64_t a, b;

	gpuvm_read_lock(&vm);
	a = version(first ? twins_at + which : last_twins_at + which);
	b = version(first ? last_twins_at + which : twins_at + which);
	gpuvm_read_unlock(&vm);
	fail_if(b < a);
	atomic_add(&checked, a > 0);
}

static void look_anywhere(struct rng *rng)
{
	uint64_t addr = rng_below(rng, nr_cells);
	struct gpuva *va;

	gpuvm_read_lock(&vm);
	va = gpuvm_find(&vm, addr);
	if (va) {
		fail_if(addr < va->va.addr || addr - va->va.addr >= va->va.range);
		fail_if(atomic_get(&((struct mapping *)va)->state) == ENDED);
		fail_if(va->gem.obj && va->vm_bo->obj != va->gem.obj);
		fail_if(va->gem.obj && (va->gem.obj < objs || va->gem.obj >= objs + OBJECTS));
	}
	gpuvm_read_unlock(&vm);
	atomic_add(&looked, va != NULL);
}

static void *reader(void *arg)
{
	struct rng rng = rng_make(env_seed(), 1000 + (uintptr_t)arg);

	while (!atomic_get(&stop)) {
		look_at_twins(&rng);
		look_anywhere(&rng);
	}
	return NULL;
}

/* ---- Fences ---- */

static struct fence *new_fence(void)
{
	struct fence *f;

	while (!(f = fence_create()))
		;
	return f;
}

static struct fence *gate_fence(unsigned int i)
{
	struct fence *f;

	pthread_mutex_lock(&gates[i].lock);
	f = fence_get(gates[i].fence);
	pthread_mutex_unlock(&gates[i].lock);
	return f;
}

static void open_gate(unsigned int i, struct fence *next)
{
	struct fence *f;

	pthread_mutex_lock(&gates[i].lock);
	f = gates[i].fence;
	gates[i].fence = next;
	pthread_mutex_unlock(&gates[i].lock);
	fence_signal_error(f, i % 3 ? 0 : -EIO);
	fence_put(f);
}

static bool enough_held(void)
{
	struct bind_stats s;

	bind_vm_stats(&vm, &s);
	return s.jobs >= p.held || !atomic_get(&submitting);
}

static void *releaser(void *arg)
{
	struct rng rng = rng_make(env_seed(), 2000);

	while (!atomic_get(&stop)) {
		if (enough_held())
			open_gate((unsigned int)rng_below(&rng, GATES), new_fence());
		else
			usleep(200);
	}
	return arg;
}

/* ---- Submitters ---- */

static struct bind_op random_op(struct rng *rng)
{
	uint64_t kind = rng_below(rng, 100), range = 1 + rng_below(rng, 1 + rng_below(rng, 32));
	struct bind_op op = { .addr = rng_below(rng, p.cells - range), .range = range };
	unsigned int obj = (unsigned int)rng_below(rng, OBJECTS);

	if (kind < 55) {
		op.type = BIND_MAP;
		op.obj = &objs[obj];
		/* Some of them continue what is there. */
		op.offset = op.addr + (rng_below(rng, 2) ? 0 : rng_below(rng, 1000));
	} else if (kind < 62) {
		op.type = BIND_MAP;
		op.flags = GPUVA_SPARSE;
	} else if (kind < 90) {
		op.type = BIND_UNMAP;
	} else if (kind < 99 || rng_below(rng, p.live ? 4000 : 1)) {
		op.type = BIND_PREFETCH;
	} else {
		/* Not the object of the twins. */
		op = (struct bind_op){ .type = BIND_UNMAP_ALL, .obj = &objs[obj ? obj : 1] };
	}
	return op;
}

static struct bind_op twin(uint64_t addr, uint64_t number)
{
	return (struct bind_op){ BIND_MAP, 0, addr, 1, &objs[0], number };
}

static struct job *random_job(struct rng *rng, unsigned int which, uint64_t number)
{
	struct job *job = calloc(1, sizeof(*job));
	unsigned int nr = (unsigned int)rng_below(rng, 4);
	bool first = rng_below(rng, 2);

	fail_if(!job);
	job->refs = 1;
	job->op[job->nr++] = twin(first ? twins_at + which : last_twins_at + which, number);
	for (unsigned int i = 0; i < nr; i++)
		job->op[job->nr++] = random_op(rng);
	job->op[job->nr++] = twin(first ? last_twins_at + which : twins_at + which, number);
	return job;
}

/* Returns false if it was refused for lack of memory or room. */
static bool submit_job(struct rng *rng, struct bind_queue *q, struct job *job)
{
	struct fence *in = rng_below(rng, 4) ? NULL
					     : gate_fence((unsigned int)rng_below(rng, GATES));
	struct bind_sync wait = { .fence = in };
	struct bind_job request = {
		.ops = job->op, .nr_ops = job->nr, .nr_in = in != NULL, .in = &wait
	};
	int err;

	if (rng_below(rng, 16) == 0)
		request.flags = BIND_NONBLOCK;
	if (p.faults && rng_below(rng, 20) == 0)
		smr_hook_set_fail_at(1 + rng_below(rng, 30));
	submitted = job;
	err = bind_queue_submit(q, &request);
	fail_if(err && err != -ENOMEM && err != -ENOSPC);
	fence_put(in);
	return !err;
}

static void *submitter(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	uint64_t number[QUEUES] = { 0 };

	for (uint64_t i = 0; i < p.jobs; i++) {
		struct rng rng = rng_make(env_seed(), i * MAX_SUBMITTERS + me);
		unsigned int k = (unsigned int)rng_below(&rng, QUEUES);
		struct job *job = random_job(&rng, me * QUEUES + k, number[k] + 1);

		if (submit_job(&rng, queues[k], job))
			number[k]++;
		else
			atomic_add(&refused, 1);
		put_job(job);
	}
	atomic_add(&submitting, -1);
	return NULL;
}

/* ---- The whole ---- */

static void free_vm(struct gpuvm *v)
{
	(void)v;
	vm_freed++;
}

static const struct gpuvm_ops vm_ops = { .vm_free = free_vm };

static void set_up(void)
{
	struct bind_config config = { .size = sizeof(config),
				      .ops = &driver,
				      .va_size = sizeof(struct mapping) };
	unsigned int twins = p.submitters * QUEUES;

	twins_at = p.cells;
	last_twins_at = 4 * p.cells;
	nr_cells = last_twins_at + twins;
	cells = calloc(nr_cells, sizeof(*cells));
	fail_if(!cells);
	mapped_cells[0] = nr_cells;
	gpuvm_object_init(&r_obj, 0, NULL, NULL);
	fail_if(gpuvm_init(&vm, "torture", 0, NULL, &r_obj, 0, nr_cells, 0, 0, &vm_ops));
	for (unsigned int i = 0; i < OBJECTS; i++)
		gpuvm_object_init(&objs[i], 0, i % 2 ? NULL : r_obj.resv, NULL);
	config.max_jobs = p.held + p.held / 8 + 64;
	config.max_bytes = 4096 * config.max_jobs;
	fail_if(bind_vm_init(&vm, &config));
	for (unsigned int i = 0; i < QUEUES; i++)
		fail_if(!(queues[i] = bind_queue_create(&vm, "torture", NULL)));
	for (unsigned int i = 0; i < GATES; i++) {
		pthread_mutex_init(&gates[i].lock, NULL);
		gates[i].fence = new_fence();
	}
}

/* Maps small mappings, one after the other. */
static void fill(void)
{
	for (unsigned long i = 0; i < p.live; i++) {
		struct job *job = calloc(1, sizeof(*job));
		struct bind_job request = { .ops = job->op, .nr_ops = 1 };

		job->refs = 1;
		job->nr = 1;
		job->op[0] = (struct bind_op){ BIND_MAP, 0, 4 * i, 3, &objs[1 + i % (OBJECTS - 1)],
					       i };
		submitted = job;
		fail_if(bind_queue_submit(queues[i % QUEUES], &request));
		put_job(job);
	}
	for (unsigned int i = 0; i < QUEUES; i++)
		fail_if(bind_queue_wait(queues[i], FENCE_FOREVER));
}

/* Checks that the VM and the cells agree, in both directions. */
static void compare(void)
{
	uint64_t covered = 0, mapped = 0;
	struct gpuva *va;

	gpuvm_lock(&vm);
	gpuvm_for_each_va(va, &vm)
	{
		expect_cells(va->va.addr, va->va.range, number_of(va->gem.obj),
			     va->gem.offset - va->va.addr);
		covered += va->va.range;
	}
	fail_if(!toy_markers_counted(&vm));
	gpuvm_unlock(&vm);
	for (uint64_t i = 0; i < nr_cells; i++)
		mapped += cells[i].obj > 0;
	fail_if(covered != mapped);
}

static void tear_down(struct bind_stats *s)
{
	for (unsigned int i = 0; i < QUEUES; i++)
		fail_if(bind_queue_wait(queues[i], FENCE_FOREVER));
	compare();
	bind_vm_stats(&vm, s);
	fail_if(s->jobs || s->ops || s->bytes || s->vas_reserved);
	fail_if(s->submitted != s->completed || s->vas_live != vm.nr_vas);
	fail_if(bind_vm_close(&vm, BIND_DRAIN));
	for (unsigned int i = 0; i < QUEUES; i++)
		bind_queue_destroy(queues[i]);
	for (unsigned int i = 0; i < OBJECTS; i++) {
		fail_if(objs[i].refs != 1);
		gpuvm_object_put(&objs[i]);
	}
	gpuvm_put(&vm);
	fail_if(vm_freed != 1 || r_obj.refs != 1);
	gpuvm_object_put(&r_obj);
	for (unsigned int i = 0; i < GATES; i++)
		open_gate(i, NULL);
	free(cells);
}

static pthread_t start(void *(*fn)(void *), unsigned int i)
{
	pthread_t thread;

	fail_if(pthread_create(&thread, NULL, fn, (void *)(uintptr_t)i));
	return thread;
}

static void torture(void)
{
	pthread_t submitters[MAX_SUBMITTERS], others[READERS + 1];
	struct bind_stats s;

	set_up();
	fill();
	atomic_set(&submitting, p.submitters);
	for (unsigned int i = 0; i < READERS; i++)
		others[i] = start(reader, i);
	others[READERS] = start(releaser, 0);
	for (unsigned int i = 0; i < p.submitters; i++)
		submitters[i] = start(submitter, i);
	for (unsigned int i = 0; i < p.submitters; i++)
		pthread_join(submitters[i], NULL);
	smr_hook_reset();
	for (unsigned int i = 0; i < QUEUES; i++)
		fail_if(bind_queue_wait(queues[i], FENCE_FOREVER));
	atomic_set(&stop, 1);
	for (unsigned int i = 0; i <= READERS; i++)
		pthread_join(others[i], NULL);
	tear_down(&s);
	printf("%lu jobs (%lu at a time, %zu bytes), %lu refused, %lu steps, %lu waits for a grace period, "
	       "%lu mappings in the end; %lu pairs of twins and %lu mappings looked at\n",
	       s.submitted, s.jobs_peak, s.bytes_peak, refused, steps_seen, s.grace_waits,
	       s.vas_live, checked, looked);
	fail_if(s.submitted == 0 || checked == 0);
}

/* May be called in a signal handler. */
static void asked_for(const char *what)
{
	fprintf(stderr, "bind: in a run: %s\n", what);
	abort();
}

int main(void)
{
	uint64_t jobs = env_ops(30000);

	guard_begin();
	guard_set_fault(asked_for);
	if (jobs >= LONG)
		p = (struct params){ .cells = 1 << 21,
				     .jobs = jobs / 50,
				     .live = 300000,
				     .held = 100000,
				     .submitters = MAX_SUBMITTERS };
	else
		p = (struct params){ .cells = 1 << 10,
				     .jobs = jobs / 3,
				     .held = 200,
				     .submitters = 3,
				     .faults = true };
	torture();
	return 0;
}
