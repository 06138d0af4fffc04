/* SPDX-License-Identifier: MIT */
/* A program that uses only Samara's installed headers and samara.pc. */
#include <samara/maple_tree.h>
#include <samara/version.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	static int thing;
	DEFINE_MTREE(tree);
	unsigned long index = 0;
	void *entry;
	int seen = 0;

	if (strcmp(samara_version(), SAMARA_VERSION_STRING) != 0)
		return 1;
	if (mtree_store_range(&tree, 10, 19, &thing, GFP_KERNEL))
		return 2;
	if (mtree_load(&tree, 15) != &thing || mtree_load(&tree, 20))
		return 3;
	mt_for_each(&tree, entry, index, ~0UL)
		seen += entry == &thing;
	mtree_destroy(&tree);
	if (seen != 1)
		return 4;
	puts(samara_version());
	return 0;
}
