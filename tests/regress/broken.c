/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the tool, breaks the tree as SAMARA_BROKEN says, so that a test can see whether
 * the tool's checks notice:
 *
 *   load   now and then mtree_load() finds nothing where there is something
 *   lost   now and then mas_store_gfp() stores nothing
 *   stale  mtree_load() repeats what it told the thread about that index some calls ago
 *
 * or a GPU VM, or its bind queues:
 *
 *   find       now and then gpuvm_find() finds nothing
 *   other      now and then gpuvm_find() finds the mapping above
 *   kept       now and then gpuvm_sm_unmap() does nothing
 *   dropped    now and then a job is queued without its operations
 *   unordered  jobs do not wait for anything
 *   refused    one job is not accepted, and checks in run sections take some time
 *   released   now and then a mapping of a bind queue is released while a reader holds it
 *   disturbed  each wait for a queue, and every other submission, ends at first as if a signal
 *              handler had run; the program is aborted if a queue is destroyed without another wait
 *   heap       memory is allocated and freed in run sections
 *   kernel     a system call is made there
 *   outside    nobody is told to be in a signalling section
 */
#include <samara/bind_queue.h>
#include <samara/maple_tree.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void *load_function(struct maple_tree *mt, unsigned long index);
typedef int store_function(struct ma_state *mas, void *entry, gfp_t gfp);
typedef struct gpuva *find_function(struct gpuvm *vm, uint64_t addr);
typedef struct gpuva *first_function(struct gpuvm *vm, uint64_t start, uint64_t end);
typedef int unmap_function(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range);
typedef int init_function(struct gpuvm *vm, const struct bind_config *config);
typedef int submit_function(struct bind_queue *q, struct bind_job *job);
typedef int wait_function(struct bind_queue *q, int64_t timeout_ns);
typedef void destroy_function(struct bind_queue *q);
typedef bool inside_function(void);

static bool broken(const char *how)
{
	const char *what = getenv("SAMARA_BROKEN");

	return what && !strcmp(what, how);
}

/* ISO C has no conversion from what dlsym() returns to a function pointer. */
static void find(void *function, const char *name)
{
	void *address = dlsym(RTLD_NEXT, name);

	if (!address)
		abort();
	memcpy(function, &address, sizeof(address));
}

#define REMEMBERED 4096

/* Returns what the thread was told about @index before; the answer is kept for a few calls. */
static void *stale_load(load_function *next, struct maple_tree *mt, unsigned long index)
{
	static _Thread_local struct {
		unsigned long index;
		void *entry;
		unsigned int calls;
	} told[REMEMBERED], *one;

	one = &told[(index >> 8) % REMEMBERED];
	if (one->index != index || one->calls++ % 4 == 0) {
		one->index = index;
		one->calls = 1;
		one->entry = next(mt, index);
	}
	return one->entry;
}

void *mtree_load(struct maple_tree *mt, unsigned long index)
{
	static atomic_uint calls;
	load_function *next;

	find(&next, "mtree_load");
	if (broken("stale"))
		return stale_load(next, mt, index);
	if (atomic_fetch_add(&calls, 1) % 100 == 99 && broken("load"))
		return NULL;
	return next(mt, index);
}

int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	static unsigned int calls;
	store_function *next;

	find(&next, "mas_store_gfp");
	if (broken("lost") && ++calls % 500 == 0)
		return 0;
	return next(mas, entry, gfp);
}

static struct bind_config config_of_vm; /* the last VM's */

int bind_vm_init(struct gpuvm *vm, const struct bind_config *config)
{
	init_function *next;

	find(&next, "bind_vm_init");
	config_of_vm = *config;
	return next(vm, config);
}

struct gpuva *gpuvm_find(struct gpuvm *vm, uint64_t addr)
{
	static atomic_uint calls;
	find_function *next;
	first_function *first;
	struct gpuva *va, *above = NULL;

	find(&next, "gpuvm_find");
	find(&first, "gpuvm_first_va");
	if (atomic_fetch_add(&calls, 1) % 100 != 99)
		return next(vm, addr);
	if (broken("find"))
		return NULL;
	va = next(vm, addr);
	if (va && broken("released"))
		config_of_vm.ops->va_release(va, config_of_vm.priv);
	if (va && broken("other"))
		above = first(vm, va->va.addr + va->va.range, UINT64_MAX);
	return above ? above : va;
}

bool fence_in_signalling(void)
{
	inside_function *next;

	find(&next, "fence_in_signalling");
	return !broken("outside") && next();
}

static atomic_bool refused; /* whether a job has been */

static void take_time(void)
{
	for (volatile unsigned int i = 0; i < 300000; i++)
		;
}

/* The tool's checks call it in run sections. */
struct gpuva *gpuvm_first_va(struct gpuvm *vm, uint64_t start, uint64_t end)
{
	first_function *next;
	void *volatile at;

	find(&next, "gpuvm_first_va");
	if (fence_in_signalling() && broken("heap")) {
		at = malloc(1);
		free(at);
	}
	if (fence_in_signalling() && broken("kernel"))
		syscall(SYS_getppid);
	if (fence_in_signalling() && atomic_load(&refused))
		take_time();
	return next(vm, start, end);
}

int gpuvm_sm_unmap(struct gpuvm *vm, void *priv, uint64_t addr, uint64_t range)
{
	static unsigned int calls;
	unmap_function *next;

	find(&next, "gpuvm_sm_unmap");
	if (broken("kept") && ++calls % 100 == 0)
		return 0;
	return next(vm, priv, addr, range);
}

int bind_queue_submit(struct bind_queue *q, struct bind_job *job)
{
	static atomic_uint calls;
	struct bind_job other = *job;
	submit_function *next;

	find(&next, "bind_queue_submit");
	if (broken("dropped") && atomic_fetch_add(&calls, 1) % 500 == 499)
		other.nr_ops = 0;
	if (broken("unordered"))
		other.nr_in = 0;
	if (broken("disturbed") && atomic_fetch_add(&calls, 1) % 2 == 0)
		return -EINTR;
	if (broken("refused") && atomic_fetch_add(&calls, 1) == 5000) {
		atomic_store(&refused, true);
		return -ENOMEM;
	}
	return next(q, &other);
}

static struct bind_queue *disturbed; /* the queue whose wait has been */

int bind_queue_wait(struct bind_queue *q, int64_t timeout_ns)
{
	wait_function *next;

	find(&next, "bind_queue_wait");
	if (disturbed && disturbed != q)
		abort();
	if (broken("disturbed") && !disturbed) {
		disturbed = q;
		return -EINTR;
	}
	disturbed = NULL;
	return next(q, timeout_ns);
}

void bind_queue_destroy(struct bind_queue *q)
{
	destroy_function *next;

	find(&next, "bind_queue_destroy");
	if (disturbed)
		abort();
	next(q);
}
