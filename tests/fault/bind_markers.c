/* SPDX-License-Identifier: MIT */
/* Markers: what an unmap leaves if it has no memory to clear the tree, and when they go. */
#include "bind_dry.h"

static bool markers_counted(void)
{
	bool good;

	gpuvm_lock(&bt.toy.vm);
	good = toy_markers_counted(&bt.toy.vm);
	gpuvm_unlock(&bt.toy.vm);
	return good;
}

enum { MARKED = 300 };

static void map_many(struct bind_queue *q, unsigned int obj, bool downwards)
{
	for (unsigned int i = 0; i < MARKED; i++) {
		uint64_t addr = 0x20 * (downwards ? MARKED - 1 - i : i) + 0x10 * obj;
		struct bind_op op = { BIND_MAP, 0, addr, 8, &bt.toy.objs[obj], 0 };
		struct bind_job job = { .ops = &op, .nr_ops = 1 };

		assert_int_equal(bind_queue_submit(q, &job), 0);
	}
	settle_all(q);
}

/*
 * Makes a VM with mappings of B and, between them, the markers of A, unmapped without any memory.
 */
static struct bind_queue *begin_with_markers_of(bool downwards)
{
	static const struct toy_config config = { .range = 0x20 * (MARKED + 1) };
	struct bind_queue *q = begin_with(&config, NULL);
	struct fence *in = fence_create();

	map_many(q, 0, downwards);
	map_many(q, 1, false);
	assert_int_equal(submit(q, "unmap_all A", in, NULL), 0);
	memfault_none();
	fence_signal(in);
	settle_all(q);
	assert_int_equal(stats().vas_live, MARKED);
	assert_true(bt.toy.vm.markers > 10);
	assert_true(markers_counted());
	fence_put(in);
	return q;
}

static struct bind_queue *begin_with_markers(void)
{
	return begin_with_markers_of(false);
}

static uint64_t lowest_marker(void)
{
	MA_STATE(mas, &bt.toy.vm.tree, 0, 0);
	void *entry;

	gpuvm_lock(&bt.toy.vm);
	do
		entry = mas_find(&mas, ULONG_MAX);
	while (entry && !xa_is_zero(entry));
	gpuvm_unlock(&bt.toy.vm);
	assert_non_null(entry);
	assert_int_equal(mas.last - mas.index, 7);
	return mas.index;
}

static void submit_at(struct bind_queue *q, const char *what, uint64_t addr, unsigned int range)
{
	char text[64];

	sprintf(text, "%s %lx+%x", what, (unsigned long)addr, range);
	assert_int_equal(submit(q, text, NULL, NULL), 0);
	settle_all(q);
	assert_true(markers_counted());
}

/* Stores over markers: the markers are gone, and no longer counted. */
static void markers_go_with_what_comes_over_them(void **state)
{
	struct bind_queue *q = begin_with_markers();
	uint64_t addr = lowest_marker();

	(void)state;
	memfault_nowait(); /* memory for jobs; for sweeping only a slot now and then */
	submit_at(q, "sparse", addr + 2, 3); /* two parts of the marker remain */
	submit_at(q, "sparse", addr, 1);     /* the first of them becomes shorter */
	submit_at(q, "sparse", addr, 8);
	submit_at(q, "unmap", addr, 8);
	submit_at(q, "unmap", 0, bt.toy.vm.mm_range);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(stats().vas_live, 0);
	end(q);
}

/* Markers that clean-up had no memory for are swept after a run that finds some again. */
static void markers_go_when_there_is_memory(void **state)
{
	struct bind_queue *q = begin_with_markers();
	unsigned long markers = bt.toy.vm.markers;

	(void)state;
	memfault_nowait();
	submit_at(q, "prefetch", 0, 1);
	assert_int_equal(bt.toy.vm.markers, markers); /* clearing the first takes a node */
	memfault_ok();
	submit_at(q, "prefetch", 0, 1);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(stats().vas_live, MARKED);
	end(q);
}

/* Whichever marker is made last: it need not be the highest. */
static void markers_of_an_object_mapped_downwards(void **state)
{
	struct bind_queue *q = begin_with_markers_of(true);

	(void)state;
	memfault_ok();
	submit_at(q, "prefetch", 0, 1);
	assert_int_equal(bt.toy.vm.markers, 0);
	assert_int_equal(stats().vas_live, MARKED);
	end(q);
}

/* Markers from the time before the VM had queues. */
static void markers_of_a_vm_without_queues(void **state)
{
	static const struct toy_config config = { .range = 0x1000 };
	struct bind_config c = { .size = sizeof(c) };
	struct toy toy;

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(toy_insert(&toy, 0x20 * i, 0x10, -1, 0), 0);
	memfault_none();
	toy_clear(&toy);
	assert_true(toy.vm.markers > 0);
	gpuvm_unlock(&toy.vm);
	assert_int_equal(bind_vm_init(&toy.vm, &c), -ENOMEM);
	memfault_ok();
	assert_int_equal(bind_vm_init(&toy.vm, &c), 0);
	assert_int_equal(toy.vm.markers, 0);
	assert_int_equal(bind_vm_close(&toy.vm, BIND_DRAIN), 0);
	assert_true(toy_destroy(&toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(markers_go_with_what_comes_over_them),
		cmocka_unit_test(markers_go_when_there_is_memory),
		cmocka_unit_test(markers_of_an_object_mapped_downwards),
		cmocka_unit_test(markers_of_a_vm_without_queues),
	};

	return cmocka_run_group_tests_name("bind_markers", tests, NULL, NULL);
}
