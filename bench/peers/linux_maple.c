/* SPDX-License-Identifier: MIT */
/*
 * Linux's maple tree behind a few plain functions. scripts/get-linux-peer compiles this file, on
 * the user's machine and outside the repository, together with the sources of Debian's linux-source
 * package; the result is a plugin that samara-bench loads if it is there (peers/linux.c).
 *
 * The node allocator is the fastest stand-in for the kernel's slab that is still simple: a free
 * list over 2 MiB chunks advised to huge pages, private to the thread that builds trees. Nodes that
 * the call_rcu thread frees come back through a shared list, taken over whole when the private one
 * is empty.
 *
 * In the kernel call_rcu() is a few instructions. That of liburcu, with the thread that it wakes,
 * takes a third of the time of an erasure and a store, so here nodes are freed by hundreds, after
 * the building thread has waited for a grace period. LINUX_CALL_RCU leaves the freeing to liburcu,
 * as do programs that compile the tree unmodified.
 */
#include "linux_mode.h"
#include "generated/bit-length.h"
#include "generated/autoconf.h"
#include "shared.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <linux/types.h>
#include <linux/init.h>

static bool in_batches;          /* of the tree that is being changed */
static struct rcu_head *retired; /* linked through the field that call_rcu() uses */
static unsigned int nr_retired;

static void retire(struct rcu_head *head, void (*free_node)(struct rcu_head *head))
{
	if (!in_batches) {
		call_rcu(head, free_node);
		return;
	}
	head->func = free_node;
	head->next.next = (struct cds_wfcq_node *)retired;
	retired = head;
	nr_retired++;
}

#undef call_rcu
#define call_rcu retire
#include "../../../lib/maple_tree.c"

#define EXPORT __attribute__((visibility("default")))
#define NODE_SIZE 256
#define CHUNK_SIZE (2 << 20)

struct kmem_cache {
	unsigned int size;
};

struct free_node {
	struct free_node *next;
};

static __thread struct free_node *own;
static struct free_node *returned;
static pthread_t builder;
/* Nodes that the builder has taken less those it gave back, and nodes that others gave back. */
static unsigned long taken, given_by_others;

static struct free_node *cut_chunk(void)
{
	char *chunk = aligned_alloc(CHUNK_SIZE, CHUNK_SIZE);
	struct free_node *list = NULL;

	if (!chunk)
		return NULL;
	madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE);
	for (long at = CHUNK_SIZE - NODE_SIZE; at >= 0; at -= NODE_SIZE) {
		struct free_node *node = (struct free_node *)(chunk + at);

		node->next = list;
		list = node;
	}
	return list;
}

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, int gfp)
{
	struct free_node *node = own;

	if (!node)
		node = __atomic_exchange_n(&returned, NULL, __ATOMIC_ACQUIRE);
	if (!node)
		node = cut_chunk();
	if (!node)
		return NULL;
	own = node->next;
	taken++;
	if (gfp & __GFP_ZERO)
		memset(node, 0, NODE_SIZE);
	return node;
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	struct free_node *node = object;

	if (pthread_equal(pthread_self(), builder)) {
		node->next = own;
		own = node;
		taken--;
		return;
	}
	__atomic_fetch_add(&given_by_others, 1, __ATOMIC_RELAXED);
	node->next = __atomic_load_n(&returned, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&returned, &node->next, node, 1, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **list)
{
	while (n--)
		kmem_cache_free(cache, list[n]);
}

int kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **list)
{
	for (size_t i = 0; i < n; i++)
		list[i] = kmem_cache_alloc_lru(cache, NULL, gfp);
	return n;
}

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size, unsigned int align,
				     unsigned int flags, void (*ctor)(void *))
{
	struct kmem_cache *cache = malloc(sizeof(*cache));

	cache->size = size;
	return cache;
}

#define BATCH 256

struct tree {
	struct maple_tree mt;
	enum linux_mode mode;
};

static void free_retired(void)
{
	struct rcu_head *head = retired, *next;

	retired = NULL;
	nr_retired = 0;
	synchronize_rcu();
	for (; head; head = next) {
		next = (struct rcu_head *)head->next.next;
		head->func(head);
	}
}

/* Call before and after each change of a tree. */
static void begin(const struct tree *t)
{
	in_batches = t->mode == LINUX_RCU;
}

static void end(void)
{
	if (nr_retired >= BATCH)
		free_retired();
}

/*
 * The thread that makes the first tree must make, change and free all others too. It must be
 * registered with liburcu-memb, as must every thread that reads; the program does that, since other
 * peers may need the same.
 */
EXPORT void *linux_make(enum linux_mode mode)
{
	static int ready;
	struct tree *t = malloc(sizeof(*t));

	if (!ready++) {
		builder = pthread_self();
		maple_tree_init();
	}
	t->mode = mode;
	mt_init_flags(&t->mt, mode == LINUX_PLAIN ? 0 : MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	return t;
}

/* Waits until all that was replaced so far is freed. */
EXPORT void linux_settle(void)
{
	free_retired();
	rcu_barrier();
}

EXPORT void linux_free(void *tree)
{
	begin(tree);
	mtree_destroy(tree);
	linux_settle();
	free(tree);
}

EXPORT int linux_store(void *tree, unsigned long first, unsigned long last, void *entry)
{
	int err;

	begin(tree);
	err = mtree_store_range(tree, first, last, entry, GFP_KERNEL);
	end();
	return err;
}

EXPORT void *linux_load(void *mt, unsigned long key)
{
	return mtree_load(mt, key);
}

EXPORT void *linux_erase(void *tree, unsigned long key)
{
	void *entry;

	begin(tree);
	entry = mtree_erase(tree, key);
	end();
	return entry;
}

EXPORT unsigned long linux_iterate(void *mt, unsigned long *sum)
{
	unsigned long count = 0, total = 0;
	void *entry;
	MA_STATE(mas, mt, 0, 0);

	rcu_read_lock();
	mas_for_each(&mas, entry, ULONG_MAX) {
		total += (unsigned long)entry ^ mas.index;
		count++;
	}
	rcu_read_unlock();
	*sum = total;
	return count;
}

/* Returns the lowest or highest place for @size keys in [min..max]; ULONG_MAX: none. */
EXPORT unsigned long linux_gap(void *mt, unsigned long size, unsigned long min, unsigned long max,
			       int highest)
{
	int err;
	MA_STATE(mas, mt, 0, 0);

	mas_lock(&mas);
	err = highest ? mas_empty_area_rev(&mas, min, max, size)
		      : mas_empty_area(&mas, min, max, size);
	mas_unlock(&mas);
	return err ? ULONG_MAX : mas.index;
}

EXPORT unsigned long linux_bytes(void)
{
	return (taken - __atomic_load_n(&given_by_others, __ATOMIC_RELAXED)) * NODE_SIZE;
}
