/* SPDX-License-Identifier: MIT */
/*
 * Lists of operations: walking them, a user's own operations and pairs, and the failure of each
 * allocation.
 */
#include "support/cm.h"

#include "support/gpuvm_toy.h"
#include "support/memfault.h"
#include "base/hooks.h"
#include "lock/section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct toy toy;
static struct gpuvm_ops ops;
static int live_ops, live_pairs;

struct my_op {
	struct gpuva_op op;
	char more[32];
};

static struct gpuva_op *op_alloc(void)
{
	struct my_op *op = malloc(sizeof(*op));

	memset(op, 0xa5, sizeof(*op));
	live_ops++;
	return &op->op;
}

static void op_free(struct gpuva_op *op)
{
	assert_int_equal(((struct my_op *)op)->more[31], (char)0xa5);
	live_ops--;
	free(op);
}

struct my_pair {
	struct gpuvm_bo vm_bo;
	char more[16];
};

static struct gpuvm_bo *pair_alloc(void)
{
	struct my_pair *pair = malloc(sizeof(*pair));

	memset(pair, 0x5a, sizeof(*pair));
	__atomic_add_fetch(&live_pairs, 1, __ATOMIC_RELAXED);
	return &pair->vm_bo;
}

static void pair_free(struct gpuvm_bo *vm_bo)
{
	free(vm_bo);
	__atomic_sub_fetch(&live_pairs, 1, __ATOMIC_RELEASE);
}

static void set_up(bool own)
{
	struct toy_config config = { .range = 0x1000 };

	assert_int_equal(toy_init(&toy, &config), 0);
	ops = toy_ops;
	if (own) {
		ops.op_alloc = op_alloc;
		ops.op_free = op_free;
		ops.vm_bo_alloc = pair_alloc;
		ops.vm_bo_free = pair_free;
	}
	toy.vm.ops = &ops;
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0x10, 0x10, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x20, 0x10, 1, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x30, 0x10, 0, 0x20), 0);
}

static void tear_down(void)
{
	gpuvm_unlock(&toy.vm);
	assert_true(toy_destroy(&toy));
}

static void walking(void **state)
{
	struct gpuva_ops *list;
	struct gpuva_op *op, *next;
	unsigned int n = 0;
	uint64_t start, range;
	int err = 1;

	(void)state;
	set_up(false);
	list = gpuvm_sm_map_ops_create(&toy.vm, 0x18, 0x20, &toy.objs[2], 0, &err);
	assert_non_null(list);
	assert_int_equal(err, 0);
	gpuva_for_each_op(op, list) n = 10 * n + op->op;
	assert_int_equal(n, 1210); /* remap, unmap, remap, map */
	n = 0;
	gpuva_for_each_op_reverse(op, list) n = 10 * n + op->op;
	assert_int_equal(n, 121);
	op = gpuva_prev_op(list, gpuva_last_op(list));
	n = 0;
	gpuva_for_each_op_from_reverse(op, list) n++;
	assert_int_equal(n, 3);
	op = gpuva_first_op(list);
	gpuva_op_remap_to_unmap_range(&op->remap, &start, &range);
	assert_int_equal(start, 0x18);
	assert_int_equal(range, 8);
	gpuva_op_remap_to_unmap_range(&op->remap, NULL, NULL);
	gpuva_for_each_op_safe(op, next, list) assert_int_equal(toy_apply(&toy, op), 0);
	gpuva_ops_free(&toy.vm, list);
	gpuva_ops_free(&toy.vm, NULL);
	assert_null(gpuvm_sm_map_ops_create(&toy.vm, 0, 0, NULL, 0, NULL));
	assert_null(gpuvm_sm_unmap_ops_create(&toy.vm, 0x1000, 1, &err));
	assert_int_equal(err, -EINVAL);
	tear_down();
}

static struct gpuva_ops *create(int kind, int *err)
{
	struct gpuvm_object *obj = &toy.objs[0];
	struct gpuva_ops *list;
	struct gpuvm_bo *pair;

	switch (kind) {
	case 0:
		return gpuvm_sm_map_ops_create(&toy.vm, 0x14, 0x28, obj, 4, err);
	case 1:
		return gpuvm_sm_unmap_ops_create(&toy.vm, 0x14, 4, err);
	case 2:
		return gpuvm_prefetch_ops_create(&toy.vm, 0, UINT64_MAX, err);
	default:
		gpuvm_object_lock(obj);
		pair = gpuvm_bo_find(&toy.vm, obj);
		list = gpuvm_bo_unmap_ops_create(pair, err);
		gpuvm_object_unlock(obj);
		gpuvm_bo_put(pair);
		return list;
	}
}

static void each_allocation(void **state)
{
	static const unsigned int operations[] = { 4, 1, 3, 2 };
	struct gpuva_ops *list;
	struct gpuva_op *op;
	unsigned int n;
	int err;

	(void)state;
	set_up(false);
	for (int kind = 0; kind < 4; kind++) {
		for (unsigned long nth = 1;; nth++) {
			memfault_nth(nth);
			list = create(kind, &err);
			if (list)
				break;
			assert_int_equal(err, -ENOMEM);
		}
		memfault_ok();
		n = 0;
		gpuva_for_each_op(op, list) n++;
		assert_int_equal(n, operations[kind]);
		gpuva_ops_free(&toy.vm, list);
	}
	tear_down();
}

static void own_operations_and_pairs(void **state)
{
	struct gpuva_ops *list;
	int err;

	(void)state;
	set_up(true);
	assert_int_equal(live_pairs, 2);
	for (int kind = 0; kind < 4; kind++) {
		list = create(kind, &err);
		assert_non_null(list);
		assert_true(live_ops > 0);
		gpuva_ops_free(&toy.vm, list);
		assert_int_equal(live_ops, 0);
	}
	tear_down();
	/* Pairs are freed after a grace period, when the VM may be gone. */
	while (__atomic_load_n(&live_pairs, __ATOMIC_ACQUIRE) > 0)
		;
}

/* Object A's two mappings; the first is linked, or unlinked, at the @at-th request for memory. */
static struct {
	struct gpuva *va[2];
	struct gpuvm_bo *pair;
	unsigned int at;
	bool links;
} amid;

static void is_asked(void *arg)
{
	struct gpuvm_object *obj = &toy.objs[0];

	(void)arg;
	assert_false(mt_lock_held(&obj->lock));
	if (amid.at == 0 || --amid.at > 0)
		return;
	gpuvm_object_lock(obj);
	if (amid.links)
		gpuva_link(amid.va[0], amid.pair);
	else
		gpuvm_bo_put(gpuva_unlink_defer(amid.va[0]));
	gpuvm_object_unlock(obj);
}

static void sections_take_the_objects_lock(void)
{
	smr_section_enter("test");
	gpuvm_object_lock(&toy.objs[0]);
	gpuvm_object_unlock(&toy.objs[0]);
	smr_section_leave();
}

/* The lock checker reports what is freed under the lock. */
static void a_pairs_list_is_allocated_without_its_lock(void **state)
{
	struct gpuva_ops *list;
	struct gpuva_op *op;
	int err;

	(void)state;
	set_up(false);
	sections_take_the_objects_lock();
	amid.va[0] = gpuva_find(&toy.vm, 0x10, 0x10);
	amid.va[1] = gpuva_find(&toy.vm, 0x30, 0x10);
	amid.pair = gpuvm_bo_get(amid.va[0]->vm_bo);
	for (unsigned int i = 0; i < 4; i++) {
		amid.links = i & 1;
		amid.at = amid.links ? 2 : 2 + i / 2; /* for the first operation, or the last */
		smr_hook_set_alloc(is_asked, NULL);
		list = create(3, &err);
		smr_hook_reset();
		assert_non_null(list);
		assert_int_equal(amid.at, 0);
		op = gpuva_first_op(list);
		assert_ptr_equal(op->unmap.va, amid.va[1]);
		op = gpuva_next_op(list, op);
		assert_int_equal(op != NULL, amid.links);
		if (op)
			assert_ptr_equal(op->unmap.va, amid.va[0]);
		gpuva_ops_free(&toy.vm, list);
	}
	for (unsigned int nth = 1; nth < 4; nth++) {
		memfault_nth(nth);
		assert_null(create(3, &err));
		assert_int_equal(err, -ENOMEM);
	}
	memfault_ok();
	gpuvm_bo_put(amid.pair);
	tear_down();
}

/* With a list, each operation is a change of its own. */
static void a_remap_without_memory(void **state)
{
	const char *before = "[10+10=A@0 20+10=B@0 30+10=A@20]";
	struct gpuva_ops *list;
	char text[256];
	int err;

	(void)state;
	set_up(false);
	list = gpuvm_sm_unmap_ops_create(&toy.vm, 0x24, 4, &err);
	assert_non_null(list);
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int refs = toy.vm.refs;
		bool in_section = i > 0; /* no waiting for memory there */

		if (in_section) {
			memfault_nowait();
			smr_section_enter("test");
		} else {
			memfault_none();
		}
		assert_int_equal(toy_apply_list(&toy, list), -ENOMEM);
		if (in_section)
			smr_section_leave();
		memfault_ok();
		toy_dump(&toy, text, sizeof(text));
		assert_string_equal(text, before);
		assert_int_equal(toy.vm.nr_vas, 3);
		assert_int_equal(toy.vm.refs, refs);
		assert_int_equal(mt_check(&toy.vm.tree, NULL, 0), 0);
	}
	assert_int_equal(toy_apply_list(&toy, list), 0);
	toy_dump(&toy, text, sizeof(text));
	assert_string_equal(text, "[10+10=A@0 20+4=B@0 28+8=B@8 30+10=A@20]");
	gpuva_ops_free(&toy.vm, list);
	tear_down();
}

static void missing_steps(void **state)
{
	(void)state;
	set_up(false);
	ops.sm_step_map = NULL;
	assert_int_equal(gpuvm_sm_map(&toy.vm, &toy, 0, 1, NULL, 0), -EINVAL);
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 4), 0);
	ops.sm_step_remap = NULL;
	assert_int_equal(gpuvm_sm_unmap(&toy.vm, &toy, 0x10, 4), -EINVAL);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walking),
		cmocka_unit_test(each_allocation),
		cmocka_unit_test(own_operations_and_pairs),
		cmocka_unit_test(a_pairs_list_is_allocated_without_its_lock),
		cmocka_unit_test(a_remap_without_memory),
		cmocka_unit_test(missing_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
