/* SPDX-License-Identifier: MIT */
/* The program in README.md. */
#include <samara/maple_tree.h>
#include <stdio.h>

struct region {
	const char *name;
} text = { "text" }, heap = { "heap" }, stack = { "stack" };

int main(void)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);
	unsigned long at, index = 0;
	struct region *r;

	if (mtree_store_range(&mt, 0x10000, 0x1ffff, &text, GFP_KERNEL) ||
	    mtree_store_range(&mt, 0x40000, 0x4ffff, &heap, GFP_KERNEL) ||
	    mtree_alloc_range(&mt, &at, &stack, 0x8000, 0x10000, 0xfffff, GFP_KERNEL))
		return 1;
	r = mtree_load(&mt, 0x12345);
	printf("0x12345 belongs to %s, the stack is at 0x%lx\n", r->name, at);
	mt_for_each(&mt, r, index, ULONG_MAX)
		printf("%s ends at 0x%lx\n", r->name, index - 1);
	mtree_destroy(&mt);
	return 0;
}
