/* SPDX-License-Identifier: MIT */
/*
 * An address space without memory tells readers the truth. Its stores are made to fail, and checks
 * stand in for readers where these could come between.
 */
#include "support/cm.h"

#include "space_bed.h"
#include <errno.h>

static unsigned int fail_at; /* which store from now on fails, once; 0: none */
static unsigned int cancelled;
static bool dead; /* a reader found a dead mapping in the tree */

int __real_mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp);
int __wrap_mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp);
void __real_history_cancel(struct history *of, uint64_t step, uint64_t first, uint64_t last);
void __wrap_history_cancel(struct history *of, uint64_t step, uint64_t first, uint64_t last);

int __wrap_mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	if (fail_at && --fail_at == 0)
		return -ENOMEM;
	return __real_mas_store_gfp(mas, entry, gfp);
}

/* Looks at @addr, where something is mapped, as a reader would. */
static void look(uint64_t addr)
{
	uint64_t finished = history_finished(&history), death;
	const struct mapping *mapping = mtree_load(&space.tree, addr);

	death = mapping ? atomic_load(&mapping->death) : 1;
	dead |= death && death <= finished;
}

/* The step is over and the writer has gone no further. It holds the lock, so no assertion here. */
void __wrap_history_cancel(struct history *of, uint64_t step, uint64_t first, uint64_t last)
{
	__real_history_cancel(of, step, first, last);
	cancelled++;
	look(first);
}

static int begin(void **state)
{
	const struct trace_op op = { .verb = TRACE_MAP,
				     .addr = 0x10000,
				     .length = 0x4000,
				     .object = 3,
				     .flags = TRACE_READ };

	(void)state;
	fail_at = cancelled = 0;
	dead = false;
	space_bed_make(&op);
	return 0;
}

/* Unmaps from the middle, with the @nth store failing. */
static void unmap_without_memory(unsigned int nth)
{
	const struct trace_op op = { .verb = TRACE_UNMAP, .addr = 0x11000, .length = 0x1000 };
	const char *why = "";

	fail_at = nth;
	assert_int_equal(space_apply(&space, &op, &why), -ENOMEM);
	assert_int_equal(cancelled, 1);
	for (uint64_t addr = 0x10000; addr < 0x14000; addr += 0x1000)
		look(addr);
	assert_false(dead);
}

static void no_memory_for_a_rest(void **state)
{
	(void)state;
	unmap_without_memory(1);
}

static void no_memory_for_the_other_rest(void **state)
{
	(void)state;
	unmap_without_memory(2);
}

static void no_memory_for_the_change(void **state)
{
	(void)state;
	unmap_without_memory(3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_memory_for_a_rest, begin, space_bed_free),
		cmocka_unit_test_setup_teardown(no_memory_for_the_other_rest, begin,
						space_bed_free),
		cmocka_unit_test_setup_teardown(no_memory_for_the_change, begin, space_bed_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
