/* SPDX-License-Identifier: MIT */
/*
 * Translate many addresses in one call: look-ups that wait for memory side by side take a fraction
 * of the time.
 */
#include "expect.h"
#include <samara/maple_tree.h>

enum { MAPPINGS = 100000, FAULTS = 1000, PAGE = 4096 };

int main(void)
{
	static unsigned long address[FAULTS];
	static void *mapping[FAULTS];
	DEFINE_MTREE(mt);

	for (unsigned long i = 0; i < MAPPINGS; i++)
		EXPECT(mtree_store_range(&mt, 4 * i * PAGE, (4 * i + 1) * PAGE - 1, xa_mk_value(i),
					 GFP_KERNEL) == 0);

	/* In any order. Every other address lies behind its mapping. */
	for (unsigned long i = 0; i < FAULTS; i++)
		address[i] = 4 * (i * 7919 % MAPPINGS) * PAGE + (i % 2 ? PAGE : 123);
	mtree_load_batch(&mt, address, mapping, FAULTS);
	for (unsigned long i = 0; i < FAULTS; i++)
		EXPECT(mapping[i] == (i % 2 ? NULL : xa_mk_value(i * 7919 % MAPPINGS)));

	mtree_destroy(&mt);
	return 0;
}
