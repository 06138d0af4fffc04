/* SPDX-License-Identifier: MIT */
/*
 * What a waiting job costs in a large VM, counted by what the C allocator and the arena have handed
 * out.
 */
#include "base/atomic.h"
#include "base/sanitizer.h"
#include "support/bind_toy.h"
#include "support/env.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPS = 64, AT_MOST = 2048 };

static struct bind_toy bt;

#define need(cond)                                                                             \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			fprintf(stderr, "bind_bytes: %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                                               \
		}                                                                              \
	} while (0)

/* Makes mappings of a page each with gaps between them, in mixed order. */
static void fill(struct bind_queue *q, unsigned long mappings)
{
	struct bind_op ops[OPS];
	struct bind_job job = { .ops = ops };

	for (unsigned long i = 0; i < mappings; i++) {
		unsigned long at = i * 7919 % mappings;

		ops[job.nr_ops++] = (struct bind_op){ BIND_MAP,        0,       at << 13, 1UL << 12,
						      &bt.toy.objs[0], at << 12 };
		if (job.nr_ops < OPS && i + 1 < mappings)
			continue;
		need(bind_queue_submit(q, &job) == 0);
		job.nr_ops = 0;
	}
	need(bind_queue_wait(q, FENCE_FOREVER) == 0);
}

/* ---- What the C allocator has given out ---- */

static size_t given; /* GUARD relaxed: read while no other thread allocates */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

/* Includes a word for the allocator itself. */
static size_t size_of(void *p)
{
	return p ? malloc_usable_size(p) + sizeof(size_t) : 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = __real_calloc(n, size);

	smr_add(&given, size_of(p), RELAXED);
	return p;
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	void *p = __real_aligned_alloc(align, size);

	smr_add(&given, size_of(p), RELAXED);
	return p;
}

void __wrap_free(void *p)
{
	smr_sub(&given, size_of(p), RELAXED);
	__real_free(p);
}

static size_t bytes_held(void)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mt_mem_default(), &stats);
	return smr_load(&given, RELAXED) + stats.nodes_pledged * MT_NODE_SIZE;
}

int main(void)
{
	static const struct toy_config config = { .range = 1UL << 47 };
	unsigned long mappings = env_ops(200000), jobs;
	struct bind_queue *q;
	struct fence *in = fence_create();
	struct bind_sync wait = { .fence = in };
	struct bind_job job = { .nr_ops = 1, .nr_in = 1, .in = &wait };
	struct bind_stats stats;
	size_t before, each;

	if (mappings > 1000000)
		mappings = 1000000;
	jobs = mappings / 10;
	bind_toy_init(&bt, &config, NULL);
	q = bind_queue_create(&bt.toy.vm, "bytes", NULL);
	fill(q, mappings);
	before = bytes_held();
	for (unsigned long i = 0; i < jobs; i++) {
		struct bind_op op = { BIND_MAP,        0, i * 7919 % mappings << 13, 1UL << 13,
				      &bt.toy.objs[1], i };

		job.ops = &op;
		need(bind_queue_submit(q, &job) == 0);
	}
	each = (bytes_held() - before) / jobs;
	bind_vm_stats(&bt.toy.vm, &stats);
	need(stats.jobs == jobs);
	printf("%lu mappings, %lu jobs of one map and one in-fence: %zu bytes each, %zu by the VM's own "
	       "figures\n",
	       mappings, jobs, each, stats.bytes / stats.jobs);
#if !SMR_ASAN && !SMR_TSAN
	need(each <= AT_MOST);
#endif
	fence_signal(in);
	need(bind_queue_wait(q, FENCE_FOREVER) == 0);
	bind_queue_destroy(q);
	fence_put(in);
	need(bind_toy_destroy(&bt));
	return 0;
}
