/* SPDX-License-Identifier: MIT */
/* VMs: what they accept at creation, what they count, and memory for changes. */
#include "support/child.h"
#include "support/cm.h"

#include "base/hooks.h"
#include "gpuvm/change.h"
#include "support/gpuvm_toy.h"
#include "support/memfault.h"
#include "lock/section.h"

#include <errno.h>
#include <stdlib.h>

static struct toy toy;

static void set_up(const struct toy_config *config)
{
	assert_int_equal(toy_init(&toy, config), 0);
	gpuvm_lock(&toy.vm);
}

static void tear_down(void)
{
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

static void no_op(struct gpuvm *vm)
{
	(void)vm;
}

static void init_refuses(void **state)
{
	static const struct gpuvm_ops none, ops = { .vm_free = no_op };
	struct gpuvm_object *obj = gpuvm_resv_object_alloc(NULL);
	struct gpuvm vm;

	(void)state;
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 0, 1, 0, 0, NULL), -EINVAL);
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 0, 1, 0, 0, &none), -EINVAL);
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 2, UINT64_MAX, 0, 0, &ops), -EINVAL);
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 0, 1, UINT64_MAX, 1, &ops), -EINVAL);
	memfault_none();
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 0, 8, 4, 4, &ops), -ENOMEM);
	assert_null(gpuvm_resv_object_alloc(NULL));
	memfault_ok();
	assert_int_equal(obj->refs, 1);
	/* The largest there is. */
	assert_int_equal(gpuvm_init(&vm, NULL, 0, NULL, obj, 0, UINT64_MAX, 5, 1, &ops), 0);
	assert_string_equal(vm.name, "unknown");
	assert_int_equal(obj->refs, 2);
	assert_true(gpuvm_range_valid(&vm, UINT64_MAX - 1, 1));
	assert_false(gpuvm_range_valid(&vm, UINT64_MAX, 1));
	assert_false(gpuvm_range_valid(&vm, 0, 0));
	gpuvm_put(&vm);
	gpuvm_object_put(obj);
	gpuvm_put(NULL);
	gpuvm_object_put(NULL);
}

/* A VM and its r_obj, to which the VM has the only reference. */
struct both {
	struct gpuvm vm;
	struct gpuvm_object r_obj;
};

static struct gpuvm_object *r_obj_gone;
static unsigned int both_freed;

static void note_gone(struct gpuvm_object *obj)
{
	r_obj_gone = obj;
}

static void free_both(struct gpuvm *vm)
{
	struct both *both = (struct both *)vm;

	both_freed += r_obj_gone == &both->r_obj;
	free(both);
}

static void r_obj_goes_before_the_vm(void **state)
{
	static const struct gpuvm_ops ops = { .vm_free = free_both };
	struct both *both = malloc(sizeof(*both));

	(void)state;
	assert_non_null(both);
	gpuvm_object_init(&both->r_obj, 0, NULL, note_gone);
	assert_int_equal(gpuvm_init(&both->vm, NULL, 0, NULL, &both->r_obj, 0, 8, 4, 4, &ops), 0);
	gpuvm_object_put(&both->r_obj);
	assert_null(r_obj_gone);
	gpuvm_put(&both->vm);
	assert_int_equal(both_freed, 1);
}

static unsigned long pledged(void)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mt_mem_default(), &stats);
	return stats.nodes_pledged;
}

static void a_reserve_goes_with_the_vm(void **state)
{
	unsigned long before = pledged();

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	gpuvm_unlock(&toy.vm);
	assert_int_equal(gpuvm_reserve(&toy.vm, 10), 0);
	assert_true(pledged() > before);
	assert_true(toy_destroy(&toy));
	assert_int_equal(pledged(), before);
}

static void settings(void **state)
{
	struct mt_mem *mem = mt_mem_create(0, NULL);
	struct mt_mem_stats stats;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000, .reserve_start = 0x800, .reserve_range = 8 });
	gpuvm_unlock(&toy.vm);
	assert_int_equal(gpuvm_set_align(&toy.vm, 0), -EINVAL);
	assert_int_equal(gpuvm_set_align(&toy.vm, 12), -EINVAL);
	assert_int_equal(gpuvm_set_align(&toy.vm, 4), 0);
	assert_int_equal(gpuvm_set_mem(&toy.vm, mem), 0);
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 6, 4, 0, 0), -EINVAL);
	assert_int_equal(toy_insert(&toy, 4, 6, 0, 0), -EINVAL);
	assert_int_equal(toy_insert(&toy, 4, 4, 0, 2), -EINVAL);
	assert_int_equal(toy_insert(&toy, 4, 4, 0, 8), 0);
	assert_int_equal(toy_insert(&toy, 0x7fc, 8, 0, 0), -EINVAL);
	assert_int_equal(toy_insert(&toy, 0x7fc, 4, 0, 0), 0);
	mt_mem_stats(mem, &stats);
	assert_true(stats.nodes_used > 0);
	assert_int_equal(gpuvm_set_align(&toy.vm, 1), -EBUSY);
	assert_int_equal(gpuvm_set_mem(&toy.vm, NULL), -EBUSY);
	assert_int_equal(gpuvm_set_lock(&toy.vm, &toy, NULL), -EBUSY);
	tear_down();
	mt_mem_destroy(mem);
}

static bool own_held;

static bool held(void *lock)
{
	return *(bool *)lock;
}

static void own_lock(void **state)
{
	static const struct gpuvm_ops ops = { .vm_free = no_op };
	struct gpuvm_object *obj = gpuvm_resv_object_alloc(NULL);
	struct gpuva va = { .flags = 0 };
	struct gpuvm vm;

	(void)state;
	assert_int_equal(gpuvm_init(&vm, "own", 0, NULL, obj, 0, 100, 0, 0, &ops), 0);
	assert_int_equal(gpuvm_set_lock(&vm, &own_held, held), 0);
	assert_int_equal(gpuvm_set_mem(&vm, mt_mem_default()), 0);
	assert_false(gpuvm_is_locked(&vm));
	own_held = true;
	assert_true(gpuvm_is_locked(&vm));
	assert_int_equal(gpuvm_reserve(&vm, 2), 0);
	gpuvm_begin(&vm, 2);
	gpuva_init(&va, 3, 4, NULL, 0);
	assert_int_equal(gpuva_insert(&vm, &va), 0);
	assert_int_equal(gpuvm_reserved(&vm), 1);
	assert_ptr_equal(gpuvm_find(&vm, 6), &va);
	gpuva_remove(&va);
	gpuvm_unreserve(&vm);
	own_held = false;
	gpuvm_put(&vm);
	gpuvm_object_put(obj);
}

static void counts(void **state)
{
	struct gpuva *va;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	assert_int_equal(toy_insert(&toy, 0, 8, 0, 0), 0);
	/*
	 * References to the VM: its creator's, the mapping's and the pair's; to the object: one
	 * more for the pair.
	 */
	assert_int_equal(toy.vm.refs, 3);
	assert_int_equal(toy.objs[0].refs, 2);
	assert_int_equal(toy.vm.nr_vas, 1);
	va = gpuvm_find(&toy.vm, 0);
	assert_int_equal(va->vm_bo->refs, 1);
	assert_int_equal(toy_insert(&toy, 8, 8, 0, 8), 0);
	assert_int_equal(va->vm_bo->refs, 2);
	assert_int_equal(toy.vm.refs, 4);
	/* Cut in two: one more mapping, no new pair. */
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 2, 2), 0);
	assert_int_equal(toy.vm.refs, 5);
	assert_int_equal(gpuvm_find(&toy.vm, 0)->vm_bo->refs, 3);
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0, 16, toy_obj(&toy, 1), 0), 0);
	assert_int_equal(toy.vm.refs, 3);
	assert_int_equal(toy.objs[0].refs, 1);
	assert_int_equal(toy.objs[1].refs, 2);
	tear_down();
}

static void nobody_has_no_references(void **state)
{
	(void)state;
	assert_null(gpuvm_get(NULL));
	assert_null(gpuvm_object_get(NULL));
	assert_null(gpuvm_bo_get(NULL));
	gpuvm_put(NULL);
	gpuvm_object_put(NULL);
	assert_false(gpuvm_bo_put(NULL));
}

static void failed_insert_changes_nothing(void **state)
{
	struct gpuva *va;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	toy.objs[0].size = 16;
	va = toy_new_va(&toy);
	gpuva_init(va, 4, 4, &toy.objs[0], 13);
	assert_int_equal(gpuva_insert(&toy.vm, va), -EINVAL);
	va->gem.offset = UINT64_MAX;
	assert_int_equal(gpuva_insert(&toy.vm, va), -EINVAL);
	va->gem.offset = 12;
	memfault_none();
	assert_int_equal(gpuva_insert(&toy.vm, va), -ENOMEM);
	memfault_nowait();
	smr_section_enter("test");
	assert_int_equal(gpuva_insert(&toy.vm, va), -ENOMEM);
	smr_section_leave();
	assert_null(va->vm);
	assert_int_equal(toy.vm.refs, 1);
	/* Outside a section the insert waits for memory, with the lock kept. */
	memfault_on_unlock(NULL, NULL);
	assert_int_equal(gpuva_insert(&toy.vm, va), 0);
	memfault_ok();
	assert_int_equal(gpuva_insert(&toy.vm, va), -EEXIST);
	gpuva_remove(va);
	toy_bury(&toy, va);
	assert_int_equal(toy.vm.refs, 1);
	tear_down();
}

static void failed_remap_changes_nothing(void **state)
{
	struct gpuva_op_map before = { .va = { 4, 2 } }, behind = { .va = { 7, 1 } };
	struct gpuva_op_unmap unmap = { .keep = false };
	struct gpuva_op_remap op = { .prev = &before, .next = &behind, .unmap = &unmap };
	struct gpuva *prev, *next;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	assert_int_equal(toy_insert(&toy, 4, 4, 0, 0), 0);
	unmap.va = gpuvm_find(&toy.vm, 4);
	prev = toy_new_va(&toy);
	next = toy_new_va(&toy);
	memfault_none();
	assert_int_equal(gpuva_remap(prev, next, &op), -ENOMEM);
	memfault_ok();
	assert_true(!prev->vm && !next->vm);
	assert_ptr_equal(gpuvm_find(&toy.vm, 6), unmap.va);
	assert_int_equal(gpuva_remap(prev, next, &op), 0);
	assert_true(prev->vm == &toy.vm && next->vm == &toy.vm);
	gpuva_remove(prev);
	gpuva_remove(next);
	gpuvm_object_lock(&toy.objs[0]);
	gpuva_unlink(unmap.va);
	gpuvm_object_unlock(&toy.objs[0]);
	toy_bury(&toy, unmap.va);
	toy_bury(&toy, prev);
	toy_bury(&toy, next);
	tear_down();
}

static void removal_without_memory(void **state)
{
	char text[256];
	uint64_t addr;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x100 });
	for (uint64_t i = 0; i < 0x80; i++)
		assert_int_equal(toy_insert(&toy, 2 * i, 2, 0, 2 * i), 0);
	memfault_none();
	smr_section_enter("test");
	for (uint64_t i = 8; i < 0x78; i++) {
		struct gpuva *va = gpuva_find(&toy.vm, 2 * i, 2);

		gpuva_remove(va);
		assert_null(gpuvm_find(&toy.vm, 2 * i));
		assert_null(gpuva_find_first(&toy.vm, 2 * i, 2));
		gpuvm_object_lock(va->gem.obj);
		gpuva_unlink(va);
		gpuvm_object_unlock(va->gem.obj);
		toy_bury(&toy, va);
	}
	smr_section_leave();
	/* Every fourth one, beside a gap in as many pieces as possible. */
	assert_int_equal(toy.vm.markers, 0x1c);
	assert_true(gpuvm_interval_empty(&toy.vm, 0x10, 0xe0));
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0xe0, 0, 0, 0x100, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x10);
	assert_int_equal(gpuvm_sweep(&toy.vm), -ENOMEM);
	memfault_ok();
	/* One is removed by a change over it, the others when they are swept. */
	assert_true(toy_markers_counted(&toy.vm));
	assert_int_equal(toy_insert(&toy, 0x11, 2, 1, 0), 0);
	assert_true(toy_markers_counted(&toy.vm));
	assert_int_equal(gpuvm_sweep(&toy.vm), 0);
	assert_int_equal(toy.vm.markers, 0);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0, 0x10), 0);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0xf0, 0x10), 0);
	toy_dump(&toy, text, sizeof(text));
	assert_string_equal(text, "[11+2=B@0]");
	tear_down();
}

static void reserve(void **state)
{
	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	gpuvm_unlock(&toy.vm);
	memfault_none();
	assert_int_equal(gpuvm_reserve(&toy.vm, 4), -ENOMEM);
	memfault_ok();
	assert_int_equal(gpuvm_reserved(&toy.vm), 0);
	assert_int_equal(gpuvm_reserve(&toy.vm, 0), 0);
	assert_int_equal(gpuvm_reserve(&toy.vm, 4), 0);
	assert_int_equal(gpuvm_reserved(&toy.vm), 4);
	/* Credits that are not begun are not used. */
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0, 16, -1, 0), 0);
	assert_int_equal(gpuvm_reserved(&toy.vm), 4);
	gpuvm_unlock(&toy.vm);
	gpuvm_begin(&toy.vm, 100);
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 16, 16, -1, 0), 0);
	assert_int_equal(gpuvm_reserved(&toy.vm), 3);
	/* Three steps, one change. */
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 8, 16, NULL, 0), 0);
	assert_int_equal(toy.vm.nr_vas, 3);
	assert_int_equal(gpuvm_reserved(&toy.vm), 2);
	gpuvm_unlock(&toy.vm);
	gpuvm_unreserve(&toy.vm);
	assert_int_equal(gpuvm_reserved(&toy.vm), 0);
	gpuvm_lock(&toy.vm);
	tear_down();
}

static void holes(void **state)
{
	uint64_t addr = 77;

	(void)state;
	set_up(&(struct toy_config){
		.start = 0x10, .range = 0xf0, .reserve_start = 0x80, .reserve_range = 0x10 });
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0, 0, 0, 1, GPUVM_HOLE_LOW), -EINVAL);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 1, 3, 0, 1, GPUVM_HOLE_LOW), -EINVAL);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x71, 0, 0, 0x1000, GPUVM_HOLE_HIGH),
			 -ENOSPC);
	assert_int_equal(addr, 77);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x10, 0, 0, UINT64_MAX, GPUVM_HOLE_LOW),
			 0);
	assert_int_equal(addr, 0x10);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x11, 0x20, 0, 0x1000, GPUVM_HOLE_HIGH),
			 0);
	assert_int_equal(addr, 0xe0);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x40, 0x40, 0x50, 0x1000, GPUVM_HOLE_LOW),
			 0);
	assert_int_equal(addr, 0xc0);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x40, 0, 0x60, 0xa0, GPUVM_HOLE_LOW),
			 -ENOSPC);
	tear_down();
}

/* A gap may be large enough but for the alignment: the search goes on, up or down. */
static void holes_that_are_aligned(void **state)
{
	static const struct {
		uint64_t size, align, start, end;
		enum gpuvm_hole where;
		uint64_t found; /* 0: none */
	} want[] = {
		{ 0x30, 0x40, 0x48, 0x100, GPUVM_HOLE_LOW, 0xc0 },
		{ 0x20, 0x40, 0x00, 0xc0, GPUVM_HOLE_HIGH, 0x40 },
		/* No gap has an aligned hole. */
		{ 0x40, 0x80, 0x00, 0x100, GPUVM_HOLE_LOW, 0 },
		{ 0x40, 0x80, 0x00, 0x100, GPUVM_HOLE_HIGH, 0 },
		/* Too little is left behind, or before, the last gap without one. */
		{ 0x40, 0x80, 0x00, 0xa0, GPUVM_HOLE_LOW, 0 },
		{ 0x40, 0x80, 0x60, 0x100, GPUVM_HOLE_HIGH, 0 },
		/* The limits lie outside, or leave less than the size. */
		{ 0x10, 0, 0x200, 0x100, GPUVM_HOLE_LOW, 0 },
		{ 0x10, 0, 0, 0, GPUVM_HOLE_LOW, 0 },
		{ 0x10, 0, 0x20, 0x2f, GPUVM_HOLE_HIGH, 0 },
		/* Just the size. */
		{ 0x10, 0, 0x20, 0x30, GPUVM_HOLE_LOW, 0x20 },
		{ 0x10, 0, 0x20, 0x30, GPUVM_HOLE_HIGH, 0x20 },
		/* A hole of one unit, and a gap without an aligned one. */
		{ 1, 0x20, 0x61, 0x100, GPUVM_HOLE_LOW, 0xa0 },
		{ 1, 0x20, 0x10, 0xa0, GPUVM_HOLE_HIGH, 0x60 },
	};
	uint64_t addr;

	(void)state;
	set_up(&(struct toy_config){
		.start = 0x10, .range = 0xf0, .reserve_start = 0x80, .reserve_range = 0x10 });
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
		addr = 0;
		assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, want[i].size, want[i].align,
						 want[i].start, want[i].end, want[i].where),
				 want[i].found ? 0 : -ENOSPC);
		assert_int_equal(addr, want[i].found);
	}
	tear_down();
}

/* Gaps without a multiple of the alignment are passed over, up to the end of the numbers. */
static void holes_at_rare_multiples(void **state)
{
	const uint64_t half = UINT64_C(1) << 63;
	const struct {
		uint64_t size, align, start, end;
		enum gpuvm_hole where;
		uint64_t found; /* 0: none */
	} want[] = {
		{ 4, 0x100, 0, 0x400, GPUVM_HOLE_LOW, 0 },
		{ 4, 0x100, 0, 0x400, GPUVM_HOLE_HIGH, 0 },
		{ 4, 0x100, 0, half, GPUVM_HOLE_LOW, 0x400 },
		{ 8, 8, 0x20, 0x400, GPUVM_HOLE_LOW, 0x28 },
		{ 0xc, 4, 0, 0x400, GPUVM_HOLE_HIGH, 0x204 },
		/* No multiple is left above, or below. */
		{ 4, half, 1, UINT64_MAX, GPUVM_HOLE_LOW, 0 },
		{ 0x10, 0x20, 0, 0x20, GPUVM_HOLE_HIGH, 0 },
	};
	uint64_t addr;

	(void)state;
	set_up(&(struct toy_config){
		.range = UINT64_MAX, .reserve_start = half - 8, .reserve_range = 16 });
	for (uint64_t at = 0; at < 0x400; at += at ? 0x10 : 0x20)
		assert_int_equal(toy_insert(&toy, at, at == 0x200 ? 1 : 8, -1, 0), 0);
	assert_int_equal(toy_insert(&toy, UINT64_MAX - 0x100, 8, -1, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(want); i++) {
		addr = 0;
		assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, want[i].size, want[i].align,
						 want[i].start, want[i].end, want[i].where),
				 want[i].found ? 0 : -ENOSPC);
		assert_int_equal(addr, want[i].found);
	}
	tear_down();
}

/* Without memory to sweep them, markers are looked through, as far as the limits go. */
static void holes_beside_markers(void **state)
{
	uint64_t addr = 77, i;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x100 });
	for (i = 0; i < 0x10; i++)
		assert_int_equal(toy_insert(&toy, 8 * i, 8, -1, 0), 0);
	memfault_none();
	for (i = 2; toy.vm.markers == 0; i++) {
		struct gpuva *va = gpuvm_find(&toy.vm, 8 * i);

		gpuva_remove(va);
		toy_bury(&toy, va);
	}
	/* From 0x10 to 8 * i all is free. */
	assert_int_equal(
		gpuvm_find_hole(&toy.vm, &addr, 8 * i - 0x10 + 1, 0, 0, 0x80, GPUVM_HOLE_LOW),
		-ENOSPC);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 8 * i - 0x10, 0, 0, 0x80, GPUVM_HOLE_HIGH),
			 0);
	assert_int_equal(addr, 0x10);
	addr = 77;
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 1, 0, 8, 0x11, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x10);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x71, 0, 0, 0x100, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x80);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x10, 0, 0, 0x100, GPUVM_HOLE_HIGH), 0);
	assert_int_equal(addr, 0xf0);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x10, 0, 0, 0x100, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x10);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x81, 0, 0, 0x100, GPUVM_HOLE_LOW),
			 -ENOSPC);
	assert_int_equal(toy.vm.markers, 1);
	memfault_ok();
	/* A VM with queues does not ask for memory. */
	toy.vm.queues = (struct gpuvm_queues *)&toy;
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x71, 0, 0, 0x100, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x80);
	assert_int_equal(toy.vm.markers, 1);
	toy.vm.queues = NULL;
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x71, 0, 0, 0x100, GPUVM_HOLE_LOW), 0);
	assert_int_equal(toy.vm.markers, 0);
	tear_down();
}

/* Maps over a marker and what lies behind it, right after a look-up has passed that. */
static void map_over(enum smr_hook_point point, void *at)
{
	uint64_t addr = *(const uint64_t *)at;

	if (point != SMR_HOOK_PASSED)
		return;
	smr_hook_reset();
	for (uint64_t old = addr + 8; old < addr + 24; old += 8) {
		struct gpuva *va = gpuvm_find(&toy.vm, old);

		gpuva_remove(va);
		toy_bury(&toy, va);
	}
	assert_int_equal(toy_insert(&toy, addr, 24, -1, 0), 0);
}

static void nothing_new_is_passed_over(void **state)
{
	uint64_t at = 0x800;
	struct gpuva *va;

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	for (uint64_t i = 0; i < 0x1000; i += 8)
		assert_int_equal(toy_insert(&toy, i, 8, -1, 0), 0);
	/* As if it could not be removed for want of memory. */
	va = gpuvm_find(&toy.vm, at);
	smr_gpuvm_leave_marker(&toy.vm, at, at + 7);
	smr_gpuvm_count(&toy.vm, 0, 1);
	toy_bury(&toy, va);
	assert_null(gpuvm_find(&toy.vm, at));
	smr_hook_set_point(map_over, &at);
	va = gpuva_find_first(&toy.vm, at, 24);
	assert_non_null(va);
	assert_ptr_equal(va, gpuvm_find(&toy.vm, at));
	assert_int_equal(toy.vm.markers, 0);
	tear_down();
}

/* ---- Misuse */

static void insert_some(void)
{
	struct gpuva *va = toy_new_va(&toy);

	gpuva_init(va, 10, 10, NULL, 0);
	(void)gpuva_insert(&toy.vm, va);
}

static void remove_some(void)
{
	gpuva_remove(gpuva_find_first(&toy.vm, 0, 0x1000));
}

static void map_some(void)
{
	(void)gpuvm_sm_map(&toy.vm, &toy, 10, 10, NULL, 0);
}

static void unmap_some(void)
{
	(void)gpuvm_sm_unmap(&toy.vm, &toy, 10, 10);
}

struct mistake {
	void (*change)(void);
	bool queues;
};

static int make_mistake(void *arg)
{
	const struct mistake *m = arg;

	gpuvm_lock(&toy.vm);
	toy.vm.queues = m->queues ? arg : NULL;
	m->change();
	return 0;
}

/* If bind queues drive the VM, nothing else may change it. */
static void changes_beside_queues_are_caught(void **state)
{
	static void (*const change[])(void) = { insert_some, remove_some, map_some, unmap_some };

	(void)state;
	set_up(&(struct toy_config){ .range = 0x1000 });
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x40, 0x10, NULL, 0), 0);
	gpuvm_unlock(&toy.vm); /* a child is another thread */
	for (unsigned int i = 0; i < ARRAY_SIZE(change); i++) {
		assert_true(child_aborts(make_mistake, &(struct mistake){ change[i], true }));
		assert_false(child_aborts(make_mistake, &(struct mistake){ change[i], false }));
	}
	gpuvm_lock(&toy.vm);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses),
		cmocka_unit_test(r_obj_goes_before_the_vm),
		cmocka_unit_test(a_reserve_goes_with_the_vm),
		cmocka_unit_test(settings),
		cmocka_unit_test(own_lock),
		cmocka_unit_test(counts),
		cmocka_unit_test(nobody_has_no_references),
		cmocka_unit_test(failed_insert_changes_nothing),
		cmocka_unit_test(failed_remap_changes_nothing),
		cmocka_unit_test(removal_without_memory),
		cmocka_unit_test(reserve),
		cmocka_unit_test(holes),
		cmocka_unit_test(holes_that_are_aligned),
		cmocka_unit_test(holes_at_rare_multiples),
		cmocka_unit_test(holes_beside_markers),
		cmocka_unit_test(nothing_new_is_passed_over),
		cmocka_unit_test(changes_beside_queues_are_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
