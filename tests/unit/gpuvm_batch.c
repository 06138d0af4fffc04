/* SPDX-License-Identifier: MIT */
/*
 * Steps that do something else than asked while the changes of earlier steps are still gathered:
 * those are stored first, then this step's change is made, and in the end the VM is as if each had
 * been a change of its own.
 */
#include "support/cm.h"

#include "lock/section.h"
#include "mem/take.h"
#include "support/gpuvm_toy.h"
#include "support/memfault.h"
#include "support/treecheck.h"

#include <errno.h>

static struct toy toy;

static void set_up(void)
{
	struct toy_config config = { .range = 0x1000 };

	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
}

static void tear_down(void)
{
	char why[WHY_SIZE];

	if (!tree_sound(&toy.vm.tree, why))
		fail_msg("%s", why);
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

static void expect_vm(const char *mappings)
{
	char text[1024];

	toy_dump(&toy, text, sizeof(text));
	assert_string_equal(text, mappings);
}

/* Only @fn carries out steps. */
static void step_by(void (*fn)(struct toy *toy, const struct gpuva_op *op))
{
	toy.watch = fn;
	toy.apply = false;
}

/* Whether readers without the lock find something at @addr. */
static bool is_mapped(uint64_t addr)
{
	return mtree_load(&toy.vm.tree, addr) != NULL;
}

/* ---- Unmaps ---- */

static struct gpuva *far_off; /* found beforehand: a look-up in a step changes what is gathered */

/* In the second step removes another mapping, far from the request, and then the step's own. */
static void unmap_another(struct toy *t, const struct gpuva_op *op)
{
	struct gpuva_op far = { .op = GPUVA_OP_UNMAP };

	if (t->steps == 1) {
		far.unmap.va = far_off;
		assert_int_equal(toy_apply(t, &far), 0);
		assert_false(is_mapped(0x18));
		assert_true(is_mapped(0x28));
		assert_false(is_mapped(0x58));
	}
	assert_int_equal(toy_apply(t, op), 0);
	if (t->steps > 0)
		assert_false(is_mapped(op->unmap.va->va.addr)); /* no longer gathered */
}

static void another_mapping_goes(void **state)
{
	(void)state;
	set_up();
	assert_int_equal(toy_insert(&toy, 0x10, 0x10, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x20, 0x10, 1, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x30, 0x10, 2, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x40, 8, 3, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x50, 0x10, 4, 0), 0);
	far_off = gpuvm_find(&toy.vm, 0x50);
	step_by(unmap_another);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 0x30), 0);
	assert_int_equal(toy.steps, 3);
	expect_vm("[40+8=D@0]");
	assert_int_equal(toy.vm.nr_vas, 1);
	assert_int_equal(toy.vm.refs, 3);
	tear_down();
}

/* In the second step all objects that are still mapped get locked, and no others. */
static void lock_what_is_mapped(struct toy *t, const struct gpuva_op *op)
{
	struct gpuvm_exec exec = { .vm = &t->vm };

	assert_int_equal(toy_apply(t, op), 0);
	if (t->steps != 1)
		return;
	assert_int_equal(gpuvm_exec_lock_range(&exec, 0, 0x1000), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(gpuvm_resv_is_held(t->objs[i].resv), i >= 2);
	gpuvm_exec_unlock(&exec);
}

static void objects_are_locked_in_a_step(void **state)
{
	struct toy_config config = { .range = 0x1000, .external = true };

	(void)state;
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	for (int i = 0; i < 4; i++)
		assert_int_equal(toy_insert(&toy, 0x10 + 0x10 * (uint64_t)i, 0x10, i, 0), 0);
	step_by(lock_what_is_mapped);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 0x30), 0);
	assert_int_equal(toy.steps, 3);
	expect_vm("[40+10=D@0]");
	tear_down();
}

/* In the second step there is a hole where the first mappings were. */
static void find_a_hole(struct toy *t, const struct gpuva_op *op)
{
	uint64_t addr = 77;

	assert_int_equal(toy_apply(t, op), 0);
	if (t->steps != 1)
		return;
	assert_int_equal(gpuvm_find_hole(&t->vm, &addr, 0x20, 0, 0x10, 0x40, GPUVM_HOLE_LOW), 0);
	assert_int_equal(addr, 0x10);
}

static void a_hole_amid_the_walk(void **state)
{
	(void)state;
	set_up();
	for (uint64_t i = 1; i < 4; i++)
		assert_int_equal(toy_insert(&toy, 0x10 * i, 0x10, -1, 0), 0);
	step_by(find_a_hole);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 0x30), 0);
	assert_int_equal(toy.steps, 3);
	expect_vm("[]");
	tear_down();
}

/* ---- Remaps ---- */

/* Keeps less than it could, so the remap is one of the driver's own. */
static void keep_less(struct toy *t, const struct gpuva_op *op)
{
	struct gpuva_op_map prev = *op->remap.prev;
	struct gpuva_op mine = { .op = GPUVA_OP_REMAP, .remap = op->remap };

	prev.va.range -= 2;
	mine.remap.prev = &prev;
	assert_int_equal(toy_apply(t, &mine), 0);
	assert_true(is_mapped(0x15));
	assert_false(is_mapped(0x16));
	assert_false(is_mapped(0x1f));
	assert_true(is_mapped(0x20));
}

static void a_remap_of_the_drivers_own(void **state)
{
	(void)state;
	set_up();
	assert_int_equal(toy_insert(&toy, 0x10, 0x20, 0, 0), 0);
	step_by(keep_less);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x18, 8), 0);
	expect_vm("[10+6=A@0 20+10=A@10]");
	assert_int_equal(toy.vm.nr_vas, 2);
	tear_down();
}

/* ---- Walks within walks ---- */

static struct toy outside; /* the toy in whose step @toy's walk begins */

static void take_all_out_of_the_outer_vm(struct toy *t, const struct gpuva_op *op)
{
	assert_int_equal(toy_apply(t, op), 0);
	toy_clear(&outside);
}

static void walk_in_a_step(struct toy *t, const struct gpuva_op *op)
{
	unsigned int refs = t->vm.refs;

	assert_int_equal(toy_apply(t, op), 0);
	step_by(take_all_out_of_the_outer_vm);
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x10, 8, NULL, 0), 0);
	assert_int_equal(t->vm.refs, refs);
}

/* References to a VM are counted at the end of its own walk, whatever walks it contains. */
static void another_vm_takes_out_what_a_walk_put_in(void **state)
{
	struct toy_config config = { .range = 0x1000 };

	(void)state;
	assert_int_equal(toy_init(&outside, &config), 0);
	set_up();
	mtree_lock_nested(&outside.vm.tree, 1);
	assert_int_equal(toy_insert(&outside, 0x10, 0x30, -1, 0), 0);
	outside.watch = walk_in_a_step;
	outside.apply = false;
	assert_int_equal(gpuvm_sm_unmap(&outside.vm, &outside, 0x20, 0x10), 0);
	assert_int_equal(outside.vm.refs, 1);
	assert_int_equal(outside.vm.nr_vas, 0);
	mtree_unlock(&outside.vm.tree);
	expect_vm("[10+8=-@0]");
	tear_down();
	assert_true(toy_destroy(&outside));
}

/* ---- Reserving in a step ---- */

static struct gpuva rests[2];
static char external_lock;

/* Gathered changes are stored before credits are reserved, which would make that cost more. */
static int reserve_after_a_remap(struct gpuva_op *op, void *vm)
{
	struct maple_tree *tree = &((struct gpuvm *)vm)->tree;

	assert_int_equal(gpuva_remap(&rests[0], &rests[1], &op->remap), 0);
	assert_non_null(mtree_load(tree, 0x28));
	assert_int_equal(gpuvm_reserve(vm, 1), 0);
	assert_null(mtree_load(tree, 0x28));
	return 0;
}

static int unreserve_after_a_remap(struct gpuva_op *op, void *vm)
{
	struct maple_tree *tree = &((struct gpuvm *)vm)->tree;

	assert_int_equal(gpuva_remap(&rests[0], &rests[1], &op->remap), 0);
	gpuvm_unreserve(vm);
	assert_null(mtree_load(tree, 0x28));
	return 0;
}

static int no_step(struct gpuva_op *op, void *vm)
{
	(void)op;
	(void)vm;
	return -EIO;
}

static void nothing_to_free(struct gpuvm *vm)
{
	(void)vm;
}

static void cut_with(int (*remap)(struct gpuva_op *op, void *vm))
{
	struct gpuvm_ops ops = { .vm_free = nothing_to_free,
				 .sm_step_map = no_step,
				 .sm_step_unmap = no_step,
				 .sm_step_remap = remap };
	struct gpuvm_object *resv = gpuvm_resv_object_alloc(NULL);
	struct gpuva whole = { .vm_bo = NULL };
	struct gpuvm vm;

	assert_non_null(resv);
	assert_int_equal(gpuvm_init(&vm, "test", 0, NULL, resv, 0, 0x1000, 0, 0, &ops), 0);
	assert_int_equal(gpuvm_set_lock(&vm, &external_lock, NULL), 0);
	gpuva_init(&whole, 0x10, 0x30, NULL, 0);
	assert_int_equal(gpuva_insert(&vm, &whole), 0);
	assert_int_equal(gpuvm_sm_unmap(&vm, &vm, 0x20, 0x10), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_ptr_equal(gpuvm_find(&vm, 0x10 + 0x20 * i), &rests[i]);
		gpuva_remove(&rests[i]);
	}
	gpuvm_unreserve(&vm);
	gpuvm_put(&vm);
	gpuvm_object_put(resv);
}

static void reserved_in_a_step(void **state)
{
	(void)state;
	cut_with(reserve_after_a_remap);
	cut_with(unreserve_after_a_remap);
}

/* ---- Maps ---- */

/* Maps the requested range in two halves. */
static void map_halves(struct toy *t, const struct gpuva_op *op)
{
	struct gpuva_op half = *op;

	if (op->op != GPUVA_OP_MAP) {
		assert_int_equal(toy_apply(t, op), 0);
		return;
	}
	half.map.va.range /= 2;
	assert_int_equal(toy_apply(t, &half), 0);
	assert_true(is_mapped(0x1f));
	assert_false(is_mapped(0x20));
	half.map.va.addr += half.map.va.range;
	half.map.gem.offset += half.map.va.range;
	assert_int_equal(toy_apply(t, &half), 0);
}

static void a_map_in_halves(void **state)
{
	(void)state;
	set_up();
	assert_int_equal(toy_insert(&toy, 0x10, 0x10, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x20, 0x10, 1, 0), 0);
	step_by(map_halves);
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x14, 0x18, &toy.objs[2], 0), 0);
	expect_vm("[10+4=A@0 14+c=C@0 20+c=C@c 2c+4=B@c]");
	assert_int_equal(toy.vm.nr_vas, 4);
	tear_down();
}

/* ---- Memory ---- */

/* Cuts the middle one of @n mappings in a section, failing one allocation after another. */
static void cut_one_of(unsigned long n)
{
	uint64_t mid = 8 * (n / 2);
	char before[1024];
	int err = -ENOMEM;

	set_up();
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(toy_insert(&toy, 8 * i, 4, 0, 8 * i), 0);
	toy_dump(&toy, before, sizeof(before));
	gpuvm_unlock(&toy.vm);
	assert_int_equal(gpuvm_reserve(&toy.vm, 20), 0);
	gpuvm_lock(&toy.vm);
	for (unsigned long nth = 1; err; nth++) {
		smr_section_enter("test");
		memfault_nth(nth);
		err = gpuvm_sm_unmap(&toy.vm, &toy, mid + 1, 1);
		memfault_ok();
		smr_section_leave();
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		expect_vm(before);
		assert_int_equal(toy.vm.nr_vas, n);
		assert_int_equal(mt_check(&toy.vm.tree, NULL, 0), 0);
	}
	assert_int_equal(toy.vm.nr_vas, n + 1);
	assert_int_equal(gpuvm_find(&toy.vm, mid)->va.range, 1);
	assert_null(gpuvm_find(&toy.vm, mid + 1));
	assert_int_equal(gpuvm_find(&toy.vm, mid + 2)->va.range, 2);
	assert_int_equal(gpuvm_reserved(&toy.vm), 20);
	gpuvm_unlock(&toy.vm);
	gpuvm_unreserve(&toy.vm);
	gpuvm_lock(&toy.vm);
	tear_down();
}

/*
 * Credits that others have reserved and not begun are not for this walk, and what backs them grows
 * with the tree: so the walk does not gather, and each change is paid for in full before it is
 * made.
 */
static void beside_what_is_reserved(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 48; n++)
		cut_one_of(n);
}

/* If a map stays within a leaf, it takes only the node taken before the first step. */
static void a_map_takes_one_node(void **state)
{
	struct mt_mem *mem = mt_mem_create(MT_CHUNK_SIZE, NULL);
	struct toy_config config = { .range = 0x1000, .mem = mem };
	struct smr_nodes hoard = { NULL, 0 };

	(void)state;
	assert_non_null(mem);
	assert_int_equal(toy_init(&toy, &config), 0);
	gpuvm_lock(&toy.vm);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(toy_insert(&toy, 0x20 * i, 0x10, 0, 0), 0);
	mt_mem_barrier(mem);
	while (!smr_mem_take(mem, &hoard, 1, GFP_ATOMIC | __GFP_NOWARN))
		;
	assert_int_equal(mt_mem_set_reserve(mem, 0), 0);
	smr_mem_give(mem, smr_nodes_pop(&hoard));
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x64, 8, &toy.objs[1], 0), 0);
	assert_int_equal(toy.vm.nr_vas, 14);
	smr_mem_give_list(mem, &hoard);
	tear_down();
	mt_mem_destroy(mem);
}

/* ---- No memory midway ---- */

/* Unmaps need none: the gathered mappings become markers, beside one that was there. */
static void unmaps_run_dry(void **state)
{
	uint64_t at = 0x20;

	(void)state;
	set_up();
	for (uint64_t i = 1; i < 16; i++)
		assert_int_equal(toy_insert(&toy, 0x10 * i, 0x10, -1, 0), 0);
	memfault_none();
	for (; toy.vm.markers == 0; at += 0x10) {
		struct gpuva *va = gpuvm_find(&toy.vm, at);

		gpuva_remove(va);
		toy_bury(&toy, va);
	}
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, at), 0);
	memfault_ok();
	/* The first mapping's, the one from before, and the last mapping's. */
	assert_int_equal(toy.vm.markers, 3);
	assert_true(toy_markers_counted(&toy.vm));
	assert_true(gpuvm_interval_empty(&toy.vm, 0x10, at));
	assert_int_equal(toy.vm.nr_vas, 15 - at / 0x10);
	assert_int_equal(gpuvm_sweep(&toy.vm), 0);
	assert_int_equal(toy.vm.markers, 0);
	tear_down();
}

/* A look-up sees what earlier steps did, and what is inserted in its place stays. */
static void fill_what_went(struct toy *t, const struct gpuva_op *op)
{
	assert_int_equal(toy_apply(t, op), 0);
	if (t->steps != 1)
		return;
	assert_true(is_mapped(0x18));
	assert_null(gpuvm_find(&t->vm, 0x18));
	assert_false(mtree_load(&t->vm.tree, 0x18));
	assert_int_equal(t->vm.markers, 2);
	assert_int_equal(toy_insert(t, 0x10, 0x10, -1, 0), 0);
}

static void dry_amid_the_walk(void **state)
{
	(void)state;
	set_up();
	for (uint64_t i = 1; i < 4; i++)
		assert_int_equal(toy_insert(&toy, 0x10 * i, 0x10, -1, 8 * i), 0);
	step_by(fill_what_went);
	memfault_none();
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 0x30), 0);
	memfault_ok();
	expect_vm("[10+10=-@0]");
	assert_int_equal(toy.vm.nr_vas, 1);
	assert_true(toy_markers_counted(&toy.vm));
	tear_down();
}

/* The map gets no memory; what was unmapped for it stays unmapped. */
static void map_without_memory(struct toy *t, const struct gpuva_op *op)
{
	struct gpuva *va;

	if (op->op != GPUVA_OP_MAP) {
		assert_int_equal(toy_apply(t, op), 0);
		return;
	}
	va = toy_new_va(t);
	assert_true(is_mapped(0x18));
	assert_int_equal(gpuva_map(&t->vm, va, &op->map), -ENOMEM);
	toy_bury(t, va);
	assert_false(is_mapped(0x18));
	assert_false(is_mapped(0x28));
}

static void a_map_runs_dry(void **state)
{
	(void)state;
	for (unsigned int by_itself = 0; by_itself < 2; by_itself++) {
		set_up();
		for (uint64_t i = 1; i < 4; i++)
			assert_int_equal(toy_insert(&toy, 0x10 * i, 0x10, -1, 8 * i), 0);
		if (by_itself)
			step_by(map_without_memory);
		memfault_none();
		assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x10, 0x20, NULL, 0),
				 by_itself ? 0 : -ENOMEM);
		memfault_ok();
		expect_vm("[30+10=-@18]");
		assert_int_equal(toy.vm.nr_vas, 1);
		assert_int_equal(toy.vm.markers, 2);
		assert_true(toy_markers_counted(&toy.vm));
		toy.watch = NULL;
		toy.apply = true;
		assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0x10, 0x20, NULL, 0), 0);
		expect_vm("[10+20=-@0 30+10=-@18]");
		assert_int_equal(toy.vm.markers, 0);
		tear_down();
	}
}

/* A remap may wait for memory, but not in a section; without memory nothing is cut. */
static void a_remap_runs_dry(void **state)
{
	(void)state;
	set_up();
	for (uint64_t i = 1; i < 4; i++)
		assert_int_equal(toy_insert(&toy, 0x10 * i, 0x10, -1, 8 * i), 0);
	memfault_none();
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x18, 4), -ENOMEM);
	expect_vm("[10+10=-@8 20+10=-@10 30+10=-@18]");
	memfault_nowait();
	smr_section_enter("test");
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 0x28), -ENOMEM);
	smr_section_leave();
	expect_vm("[30+10=-@18]");
	assert_int_equal(toy.vm.markers, 2);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x30, 8), 0);
	memfault_ok();
	expect_vm("[38+8=-@20]");
	assert_int_equal(toy.vm.nr_vas, 1);
	assert_true(toy_markers_counted(&toy.vm));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_mapping_goes),
		cmocka_unit_test(objects_are_locked_in_a_step),
		cmocka_unit_test(a_hole_amid_the_walk),
		cmocka_unit_test(a_remap_of_the_drivers_own),
		cmocka_unit_test(a_map_in_halves),
		cmocka_unit_test(beside_what_is_reserved),
		cmocka_unit_test(a_map_takes_one_node),
		cmocka_unit_test(another_vm_takes_out_what_a_walk_put_in),
		cmocka_unit_test(reserved_in_a_step),
		cmocka_unit_test(unmaps_run_dry),
		cmocka_unit_test(dry_amid_the_walk),
		cmocka_unit_test(a_map_runs_dry),
		cmocka_unit_test(a_remap_runs_dry),
	};

	return cmocka_run_group_tests_name("gpuvm_batch", tests, NULL, NULL);
}
