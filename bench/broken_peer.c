/* SPDX-License-Identifier: MIT */
/*
 * A peer that takes the place of Linux's tree and is wrong now and then, as BENCH_BROKEN says, so
 * that a test can see whether the benchmark notices:
 *
 *   tree     there is none
 *   store    a store does nothing
 *   load     a look-up finds nothing
 *   stale    a look-up finds what is stored somewhere else
 *   erase    an erasure returns the entry but leaves it there
 *   iterate  an iteration leaves out the last entry
 *   sum      an iteration sees another entry in place of one
 *   gap      a search finds a place behind the one it should find
 */
#include "peers/linux_mode.h"
#include <samara/maple_tree.h>
#include <stdlib.h>
#include <string.h>

void *linux_make(enum linux_mode mode);
void linux_free(void *tree);
int linux_store(void *tree, unsigned long first, unsigned long last, void *entry);
void *linux_load(void *tree, unsigned long key);
void *linux_erase(void *tree, unsigned long key);
unsigned long linux_iterate(void *tree, unsigned long *sum);
unsigned long linux_gap(void *tree, unsigned long size, unsigned long min, unsigned long max,
			int highest);
unsigned long linux_bytes(void);
void linux_settle(void);

/* Whether this call of @how goes wrong. About one in a hundred does, the first of them early. */
static bool broken(const char *how)
{
	const char *what = getenv("BENCH_BROKEN");
	static unsigned int calls;

	return what && !strcmp(what, how) && ++calls % 97 == 50;
}

static bool broken_always(const char *how)
{
	const char *what = getenv("BENCH_BROKEN");

	return what && !strcmp(what, how);
}

void *linux_make(enum linux_mode mode)
{
	struct maple_tree *mt = broken_always("tree") ? NULL : malloc(sizeof(*mt));

	if (mt)
		mt_init_flags(mt,
			      mode == LINUX_PLAIN ? 0 : MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	return mt;
}

void linux_free(void *tree)
{
	mtree_destroy(tree);
	free(tree);
}

int linux_store(void *tree, unsigned long first, unsigned long last, void *entry)
{
	if (broken("store"))
		return 0;
	return mtree_store_range(tree, first, last, entry, GFP_KERNEL);
}

void *linux_load(void *tree, unsigned long key)
{
	unsigned long at = 0;

	if (broken("load"))
		return NULL;
	return broken("stale") ? mt_find(tree, &at, ULONG_MAX) : mtree_load(tree, key);
}

void *linux_erase(void *tree, unsigned long key)
{
	return broken("erase") ? mtree_load(tree, key) : mtree_erase(tree, key);
}

unsigned long linux_iterate(void *tree, unsigned long *sum)
{
	MA_STATE(mas, tree, 0, 0);
	unsigned long count = 0, last = 0;
	void *entry;

	*sum = 0;
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		last = (unsigned long)entry ^ mas.index;
		*sum += last;
		count++;
	}
	mas_unlock(&mas);
	if (broken_always("iterate")) {
		*sum -= last;
		count--;
	}
	if (broken_always("sum"))
		(*sum)++;
	return count;
}

unsigned long linux_gap(void *tree, unsigned long size, unsigned long min, unsigned long max,
			int highest)
{
	MA_STATE(mas, tree, 0, 0);
	int err;

	mas_lock(&mas);
	err = highest ? mas_empty_area_rev(&mas, min, max, size)
		      : mas_empty_area(&mas, min, max, size);
	mas_unlock(&mas);
	if (err)
		return ULONG_MAX;
	return broken("gap") ? mas.index + 1 : mas.index;
}

unsigned long linux_bytes(void)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mt_mem_default(), &stats);
	return stats.nodes_used * MT_NODE_SIZE;
}

void linux_settle(void)
{
	mt_mem_barrier(mt_mem_default());
}
