/* SPDX-License-Identifier: MIT */
/* Memory that waits for jobs: whatever reclaims memory for the library may wait for any of them. */
#include "bind_dry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * Whatever reclaims memory may wait for any accepted job, and so may the heap and a page source.
 * Here they do, once, when a worker asks for memory: for the job that signals @out, which could not
 * begin before.
 */
static struct {
	pthread_t tester;
	struct fence *in, *out;
	bool heap, pages;           /* atomic: which of them waits */
	bool refuses;               /* atomic: the page source has nothing */
	unsigned int asked, vainly; /* atomic */
} memory;

static void reclaim(bool *does)
{
	if (!__atomic_load_n(does, __ATOMIC_SEQ_CST) ||
	    pthread_equal(pthread_self(), memory.tester))
		return;
	__atomic_store_n(does, false, __ATOMIC_SEQ_CST);
	fence_signal(memory.in);
	if (fence_wait(memory.out, BIND_TOY_PATIENCE))
		__atomic_fetch_add(&memory.vainly, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&memory.asked, 1, __ATOMIC_SEQ_CST);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	reclaim(&memory.heap);
	return __real_calloc(n, size);
}

static void *map_pages(void *ctx, size_t size, size_t align)
{
	(void)ctx;
	reclaim(&memory.pages);
	return __atomic_load_n(&memory.refuses, __ATOMIC_SEQ_CST) ? NULL
								  : aligned_alloc(align, size);
}

static void unmap_pages(void *ctx, void *pages, size_t size)
{
	(void)ctx;
	(void)size;
	free(pages);
}

/* A VM with such memory; the job that is waited for is in queue @p. */
struct thirst {
	struct mt_mem *mem;
	struct bind_queue *q, *p;
	struct fence *in;
};

static void begin_thirst(struct thirst *t)
{
	static const struct mt_mem_ops ops = { map_pages, unmap_pages, NULL };
	struct toy_config config = { .range = 0x10000 };

	memset(&memory, 0, sizeof(memory));
	memory.tester = pthread_self();
	memory.in = fence_create();
	memory.out = fence_create();
	t->mem = config.mem = mt_mem_create(0, &ops);
	assert_non_null(t->mem);
	t->q = begin_with(&config, NULL);
	t->p = another();
	t->in = fence_create();
	assert_int_equal(submit(t->p, "", memory.in, memory.out), 0);
}

static void end_thirst(struct thirst *t)
{
	settle_all(t->q);
	assert_int_equal(memory.asked, 1);
	assert_int_equal(memory.vainly, 0);
	settle_all(t->p);
	bind_queue_destroy(t->p);
	end(t->q);
	mt_mem_destroy(t->mem);
	fence_put(t->in);
	fence_put(memory.in);
	fence_put(memory.out);
}

/* The spare is filled after a run, and filling it may take any time. */
static void the_spare_may_wait_for_jobs(void **state)
{
	struct thirst t;

	(void)state;
	begin_thirst(&t);
	assert_int_equal(submit(t.q, "map 10+10=A@0", NULL, NULL), 0);
	settle_all(t.q);
	memfault_none();
	assert_int_equal(submit(t.q, "unmap 14+4", t.in, NULL), 0);
	assert_null(
		t.q->vm->spare.list[SMRI_BIND_VAS].head); /* nor will the job leave any of these */
	memfault_ok();
	__atomic_store_n(&memory.heap, true, __ATOMIC_SEQ_CST);
	fence_signal(t.in);
	end_thirst(&t);
}

/* Maps, in turn, two of A with a gap between them and one of B: unmapping the two takes a node. */
static void map_by_turns(struct bind_queue *q, unsigned int from, unsigned int nr)
{
	char text[4096];
	size_t len = 0;

	for (unsigned int i = 0; i < nr; i++)
		len += (size_t)sprintf(text + len, "%smap %x+1=A@0; map %x+1=A@0; map %x+1=B@0",
				       i ? "; " : "", from + 4 * i, from + 4 * i + 2,
				       from + 4 * i + 3);
	assert_int_equal(submit(q, text, NULL, NULL), 0);
}

/* Uses up the arena to the last node. */
static void use_up(struct mt_credits *credits)
{
	__atomic_store_n(&memory.refuses, true, __ATOMIC_SEQ_CST);
	for (unsigned long nr = 4096; nr; nr /= 2)
		while (!mt_credits_reserve(credits, nr, GFP_KERNEL))
			;
	__atomic_store_n(&memory.refuses, false, __ATOMIC_SEQ_CST);
}

/* The markers of a BIND_UNMAP_ALL, which take memory to clear, do not hold up other jobs either. */
static void sweeping_may_wait_for_jobs(void **state)
{
	struct mt_credits credits;
	struct maple_tree other;
	unsigned long left;
	struct thirst t;

	(void)state;
	begin_thirst(&t);
	mt_init(&other);
	assert_int_equal(mt_set_mem(&other, t.mem), 0);
	mt_credits_init(&credits, &other, MT_CREDITS_STRICT);
	for (unsigned int i = 0; i < 10; i++)
		map_by_turns(t.q, 0x100 * i, 50);
	settle_all(t.q);
	left = t.q->vm->credits.left;
	assert_int_equal(submit(t.q, "unmap_all A", t.in, NULL), 0);
	use_up(&credits);
	__atomic_store_n(&memory.pages, true, __ATOMIC_SEQ_CST);
	gpuvm_read_lock(&bt.toy.vm); /* no node comes back */
	fence_signal(t.in);
	while (__atomic_load_n(&memory.asked, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	gpuvm_read_unlock(&bt.toy.vm);
	settle_all(t.q);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(t.q->vm->credits.left, left); /* those used for that are back */
	mt_credits_release(&credits);
	mtree_destroy(&other);
	end_thirst(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_spare_may_wait_for_jobs),
		cmocka_unit_test(sweeping_may_wait_for_jobs),
	};

	return cmocka_run_group_tests_name("bind_reclaim", tests, NULL, NULL);
}
