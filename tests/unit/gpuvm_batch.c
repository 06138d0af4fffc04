/* SPDX-License-Identifier: MIT */
/*
 * Steps that do something else than they are asked to, while what the steps before have done is
 * still gathered: that is stored first, then theirs is done, and in the end the VM is as if each
 * had been a change of its own.
 */
#include "support/cm.h"

#include "lock/section.h"
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

/* Steps are carried out by @fn alone. */
static void step_by(void (*fn)(struct toy *toy, const struct gpuva_op *op))
{
	toy.watch = fn;
	toy.apply = false;
}

/* What readers without the lock see at @addr. */
static bool is_mapped(uint64_t addr)
{
	return mtree_load(&toy.vm.tree, addr) != NULL;
}

/* ---- Unmaps ---- */

static struct gpuva
	*far_off; /* found beforehand: to ask for it in a step changes what is gathered */

/* In the second step another mapping goes, far from the request, and then the one it is about. */
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
		assert_false(is_mapped(op->unmap.va->va.addr)); /* from then on at once */
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

/* ---- Remaps ---- */

/* Keeps less than it might, so the remap is one of the driver's own. */
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

/* ---- Maps ---- */

/* Maps what is wanted in two halves. */
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

/* Cuts the middle one of @n mappings in a section, with one allocation after the other refused. */
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
 * What others have reserved and not begun is not for this walk, and grows with the tree: so it
 * does not gather, and each change is paid for in full before it is made.
 */
static void beside_what_is_reserved(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 48; n++)
		cut_one_of(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_mapping_goes),
		cmocka_unit_test(a_remap_of_the_drivers_own),
		cmocka_unit_test(a_map_in_halves),
		cmocka_unit_test(beside_what_is_reserved),
	};

	return cmocka_run_group_tests_name("gpuvm_batch", tests, NULL, NULL);
}
