/* SPDX-License-Identifier: MIT */
/*
 * Trees for gdb to look at. What is in each goes to standard output as mt-dump prints it (except
 * for what gdb says of pointers), and gdb stops in ready().
 */
#include <samara/maple_tree.h>
#include <stdio.h>

struct region {
	int number;
};

struct region low = { 1 }, high = { 2 };

struct maple_tree empty = MTREE_INIT(empty, 0);
struct maple_tree single = MTREE_INIT(single, 0);
struct maple_tree few = MTREE_INIT(few, MT_FLAGS_ALLOC_RANGE);
struct maple_tree pages = MTREE_INIT(pages, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
struct maple_tree bytes = MTREE_INIT(bytes, 0);
struct maple_tree wide = MTREE_INIT(wide, 0);
struct maple_tree alike = MTREE_INIT(alike, MT_FLAGS_USE_RCU);
struct maple_tree whole = MTREE_INIT(whole, 0);

static void store(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry)
{
	if (mtree_store_range(mt, first, last, entry, GFP_KERNEL))
		perror("store");
}

/* Stores mappings of @size keys, one every @apart keys, and erases every third one again. */
static void fill(struct maple_tree *mt, unsigned long apart, unsigned long size)
{
	for (unsigned long i = 0; i < 1000; i++)
		store(mt, i * apart, i * apart + size - 1, xa_mk_value(i));
	for (unsigned long i = 0; i < 1000; i += 3)
		mtree_erase(mt, i * apart);
}

/* Stores entries over gaps that are in pieces. */
static void join(void)
{
	for (unsigned long i = 0; i < 1000; i += 6)
		store(&pages, i * 0x4000 + (i ? -0x3000UL : 0), i * 0x4000 + 0x3fff,
		      xa_mk_value(10000 + i));
}

/* A leaf with a range in pieces, and an entry that looks like the mark of such pieces. */
static void look_alike(void)
{
	for (unsigned long i = 0; i < 10; i++)
		store(&alike, i * 0x4000, i * 0x4000 + 0xfff, xa_mk_value(i));
	mtree_erase(&alike, 0x8000);
	store(&alike, 0x5000, 0xbfff, xa_mk_value(10));
	store(&alike, 0xd000, 0xffff, xa_mk_internal(0x4000 | 257));
}

static void list(const char *name, struct maple_tree *mt)
{
	MA_STATE(mas, mt, 0, 0);
	void *entry;

	printf("%s\n", name);
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		printf("%lx-%lx: ", mas.index, mas.last);
		if (xa_is_value(entry))
			printf("value %lx\n", xa_to_value(entry));
		else if (xa_is_zero(entry))
			printf("zero\n");
		else if (xa_is_internal(entry))
			printf("internal %lu\n", xa_to_internal(entry));
		else
			printf("%p\n", entry);
	}
	mas_unlock(&mas);
}

void ready(void);

__attribute__((noinline)) void ready(void)
{
	__asm__ volatile("" ::: "memory");
}

int main(void)
{
	store(&single, 0, 0, &low);
	store(&few, 0x1000, 0x1fff, &low);
	store(&few, 0x2000, 0x2fff, XA_ZERO_ENTRY);
	store(&few, 0x3000, 0x3fff, xa_mk_internal(5000));
	store(&few, 0xfffffffffffff000, ULONG_MAX, &high);
	fill(&pages, 0x4000, 0x1000);
	join();
	fill(&bytes, 0x1000001, 0x11);
	fill(&wide, 0x1003123456789b, 0x11);
	look_alike();
	store(&whole, 0, ULONG_MAX, &low);
	list("empty", &empty);
	list("single", &single);
	list("few", &few);
	list("pages", &pages);
	list("bytes", &bytes);
	list("wide", &wide);
	list("alike", &alike);
	list("whole", &whole);
	fflush(stdout);
	mtree_lock(&few);
	ready();
	mtree_unlock(&few);
	return 0;
}
