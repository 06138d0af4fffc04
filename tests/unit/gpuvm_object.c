/* SPDX-License-Identifier: MIT */
/*
 * Pairs: how many there are, what counts them, what is linked to them, and the lists of external
 * and evicted ones.
 */
#include "support/child.h"
#include "support/cm.h"

#include "gpuvm/object.h"
#include "support/gpuvm_toy.h"
#include "support/memfault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct toy toy;

static void set_up(unsigned int flags, bool external)
{
	struct toy_config config = { .range = 0x1000, .flags = flags, .external = external };

	assert_int_equal(toy_init(&toy, &config), 0);
}

static void one_pair(void **state)
{
	struct gpuvm_bo *a, *b, *spare;
	struct gpuvm_object *obj = &toy.objs[0];

	(void)state;
	set_up(0, false);
	memfault_none();
	assert_null(gpuvm_bo_create(&toy.vm, obj));
	assert_null(gpuvm_bo_obtain(&toy.vm, obj));
	memfault_ok();
	assert_int_equal(obj->refs, 1);
	a = gpuvm_bo_obtain(&toy.vm, obj);
	assert_int_equal(toy.vm.refs, 2);
	assert_int_equal(obj->refs, 2);
	assert_ptr_equal(gpuvm_bo_obtain(&toy.vm, obj), a);
	assert_int_equal(a->refs, 2);
	b = gpuvm_bo_create(&toy.vm, obj);
	assert_ptr_equal(gpuvm_bo_obtain_prealloc(b, &spare), a);
	assert_ptr_equal(spare, b);
	assert_true(gpuvm_bo_put(spare));
	assert_false(gpuvm_bo_put(a));
	assert_false(gpuvm_bo_put(a));
	assert_true(gpuvm_bo_put(a));
	assert_false(gpuvm_bo_put(NULL));
	gpuvm_object_lock(obj);
	assert_null(gpuvm_bo_find(&toy.vm, obj));
	gpuvm_object_unlock(obj);
	a = gpuvm_bo_create(&toy.vm, obj);
	assert_ptr_equal(gpuvm_bo_obtain_prealloc(a, &spare), a);
	assert_null(spare);
	assert_true(gpuvm_bo_put(a));
	assert_true(toy_destroy(&toy));
}

/* ---- Another thread comes first: simulated ---- */

static struct gpuvm_bo *first_there;
static unsigned int pairs_allocated;

static struct gpuvm_bo *alloc_after_another(void)
{
	if (pairs_allocated++ == 0)
		first_there = gpuvm_bo_obtain(&toy.vm, &toy.objs[0]);
	return malloc(sizeof(struct gpuvm_bo));
}

static void free_allocated(struct gpuvm_bo *vm_bo)
{
	free(vm_bo);
}

/* A pair allocated in vain is on no list, so it can be put without what protects the lists. */
static void spare_pairs(void **state)
{
	static struct gpuvm_ops racing;
	struct gpuvm_bo *pair;

	(void)state;
	for (unsigned int flags = 0; flags <= GPUVM_RESV_PROTECTED; flags++) {
		set_up(flags, true);
		racing = toy_ops;
		racing.vm_bo_alloc = alloc_after_another;
		racing.vm_bo_free = free_allocated;
		toy.vm.ops = &racing;
		pairs_allocated = 0;
		pair = gpuvm_bo_obtain(&toy.vm, &toy.objs[0]);
		assert_int_equal(pairs_allocated, 2);
		assert_ptr_equal(pair, first_there);
		assert_int_equal(pair->refs, 2);
		assert_int_equal(toy.vm.refs, 2);
		assert_int_equal(toy.objs[0].refs, 2);
		/* The spare pair has not been listed either. */
		assert_false(gpuvm_bo_put(pair));
		assert_true(gpuvm_bo_put(pair));
		assert_true(toy_destroy(&toy));
	}
}

static unsigned int pairs_freed;

static void free_counted(struct gpuvm_bo *vm_bo)
{
	free(vm_bo);
	__atomic_fetch_add(&pairs_freed, 1, __ATOMIC_SEQ_CST);
}

static struct gpuvm_bo *alloc_pair(void)
{
	return malloc(sizeof(struct gpuvm_bo));
}

/* A reader may have found the pair through a mapping. */
static void pairs_outlive_readers(void **state)
{
	static struct gpuvm_ops counting;
	struct gpuvm_bo *pair;

	(void)state;
	set_up(0, false);
	counting = toy_ops;
	counting.vm_bo_alloc = alloc_pair;
	counting.vm_bo_free = free_counted;
	toy.vm.ops = &counting;
	pairs_freed = 0;
	pair = gpuvm_bo_obtain(&toy.vm, &toy.objs[0]);
	gpuvm_read_lock(&toy.vm);
	assert_true(gpuvm_bo_put(pair));
	assert_int_equal(__atomic_load_n(&pairs_freed, __ATOMIC_SEQ_CST), 0);
	assert_ptr_equal(pair->obj, &toy.objs[0]);
	gpuvm_read_unlock(&toy.vm);
	gpuvm_synchronize(&toy.vm);
	while (__atomic_load_n(&pairs_freed, __ATOMIC_SEQ_CST) == 0)
		usleep(100);
	assert_true(toy_destroy(&toy));
}

static void links(void **state)
{
	struct gpuvm_object *obj = &toy.objs[1];
	struct gpuva *va[3], *at, *next;
	struct gpuvm_bo *pair;
	unsigned int n = 0;

	(void)state;
	set_up(0, false);
	pair = gpuvm_bo_obtain(&toy.vm, obj);
	gpuvm_object_lock(obj);
	for (uint64_t i = 0; i < 3; i++) {
		va[i] = toy_new_va(&toy);
		gpuva_init(va[i], 0x20 - i, 1, obj, 0);
		gpuva_link(va[i], pair);
		assert_ptr_equal(va[i]->vm_bo, pair);
	}
	/* In the order of linking; one may be unlinked during the walk. */
	gpuvm_bo_for_each_va_safe(at, next, pair)
	{
		assert_ptr_equal(at, va[n++]);
		if (n == 2)
			gpuva_unlink(at);
	}
	assert_int_equal(n, 3);
	assert_null(va[1]->vm_bo);
	gpuva_unlink(va[1]);
	assert_null(gpuva_unlink_defer(va[1]));
	assert_int_equal(pair->refs, 3);
	gpuvm_object_unlock(obj);
	gpuvm_bo_put(pair);
	gpuvm_object_lock(obj);
	assert_ptr_equal(gpuva_unlink_defer(va[0]), pair);
	/* The lock is dropped while the pair dies, and held again. */
	gpuvm_object_unlock(obj);
	assert_false(gpuvm_bo_put(pair));
	gpuvm_object_lock(obj);
	gpuva_unlink(va[2]);
	assert_true(mt_lock_held(&obj->lock));
	assert_int_equal(obj->refs, 1);
	gpuvm_object_unlock(obj);
	/* A mapping without an object has nothing to link. */
	gpuva_init(va[0], 0, 1, NULL, 0);
	gpuva_link(va[0], NULL);
	gpuva_unlink(va[0]);
	for (unsigned int i = 0; i < 3; i++)
		toy_bury(&toy, va[i]);
	assert_true(toy_destroy(&toy));
}

static unsigned int on_list(const struct gpuvm_list *head)
{
	unsigned int n = 0;

	for (const struct gpuvm_list *link = head->next; link != head; link = link->next)
		n++;
	return n;
}

static void external(void **state)
{
	struct gpuvm_bo *local, *shared;

	(void)state;
	set_up(0, true);
	toy.objs[0].resv = toy.r_obj.resv;
	local = gpuvm_bo_obtain(&toy.vm, &toy.objs[0]);
	shared = gpuvm_bo_obtain(&toy.vm, &toy.objs[1]);
	assert_false(gpuvm_is_extobj(&toy.vm, NULL));
	assert_false(gpuvm_is_extobj(&toy.vm, &toy.objs[0]));
	assert_true(gpuvm_is_extobj(&toy.vm, &toy.objs[1]));
	gpuvm_bo_extobj_add(local);
	gpuvm_bo_extobj_add(shared);
	gpuvm_bo_extobj_add(shared);
	assert_int_equal(on_list(&toy.vm.extobj.list), 1);
	gpuvm_bo_put(shared);
	assert_int_equal(on_list(&toy.vm.extobj.list), 0);
	gpuvm_bo_put(local);
	assert_true(toy_destroy(&toy));
}

static struct gpuvm_bo *order[8];
static unsigned int validated;
static int fail_at = -1;
static bool leave_evicted;

static int validate(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec)
{
	(void)exec;
	if (fail_at == (int)validated)
		return -EIO;
	order[validated++] = vm_bo;
	if (!leave_evicted)
		gpuvm_bo_evict(vm_bo, false);
	return 0;
}

/* Three pairs, the first ones local; all locks held. */
static struct gpuvm_exec exec;
static struct gpuvm_bo *pairs[3];
static struct gpuvm_ops ops;

static void set_up_local_pairs(unsigned int flags, unsigned int nr_local)
{
	set_up(flags, true);
	ops = toy_ops;
	ops.vm_bo_validate = validate;
	toy.vm.ops = &ops;
	for (unsigned int i = 0; i < nr_local; i++)
		toy.objs[i].resv = toy.r_obj.resv;
	for (unsigned int i = 0; i < 3; i++)
		pairs[i] = gpuvm_bo_obtain(&toy.vm, &toy.objs[i]);
	gpuvm_resv_lock(toy.r_obj.resv);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_extobj_add(pairs[i]);
	gpuvm_resv_unlock(toy.r_obj.resv);
	exec = (struct gpuvm_exec){ .vm = &toy.vm };
	validated = 0;
	fail_at = -1;
	leave_evicted = false;
}

static void set_up_pairs(unsigned int flags)
{
	set_up_local_pairs(flags, 1);
}

static void tear_down_pairs(void)
{
	gpuvm_resv_lock(toy.r_obj.resv);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_put(pairs[i]);
	gpuvm_resv_unlock(toy.r_obj.resv);
	assert_true(toy_destroy(&toy));
}

static void evict_all(bool evict)
{
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_gem_evict(&toy.objs[i], evict);
	gpuvm_exec_unlock(&exec);
}

static void validate_stops_and_goes_on(unsigned int flags)
{
	set_up_pairs(flags);
	evict_all(true);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(on_list(&toy.vm.evict.list), 3);
	fail_at = 1;
	assert_int_equal(gpuvm_exec_validate(&exec), -EIO);
	assert_int_equal(on_list(&toy.vm.evict.list), 2);
	fail_at = -1;
	leave_evicted = true;
	/* Pairs still evicted stay, in the same order. */
	assert_int_equal(gpuvm_validate(&toy.vm, &exec), 0);
	assert_int_equal(on_list(&toy.vm.evict.list), 2);
	leave_evicted = false;
	assert_int_equal(gpuvm_validate(&toy.vm, &exec), 0);
	assert_int_equal(on_list(&toy.vm.evict.list), 0);
	assert_ptr_equal(order[0], pairs[0]);
	assert_int_equal(validated, 5 - 0);
	toy.vm.ops = &toy_ops;
	assert_int_equal(gpuvm_validate(&toy.vm, &exec), -EOPNOTSUPP);
	gpuvm_exec_unlock(&exec);
	tear_down_pairs();
}

/*
 * Expects @first, @second and @third, up to the first NULL, on the list of evicted pairs in this
 * order.
 */
static void expect_evicted(struct gpuvm_bo *first, struct gpuvm_bo *second, struct gpuvm_bo *third)
{
	struct gpuvm_bo *expected[] = { first, second, third };
	const struct gpuvm_list *link = &toy.vm.evict.list;

	for (unsigned int i = 0; i < 3 && expected[i]; i++) {
		assert_true(on_list(&toy.vm.evict.list) > i);
		link = link->next;
		assert_ptr_equal(link, &expected[i]->list.evict);
	}
	assert_ptr_equal(link->next, &toy.vm.evict.list);
}

/* An error leaves the pairs before it, the failing one and those behind it where they were. */
static void validate_keeps_the_order(unsigned int flags)
{
	set_up_pairs(flags);
	evict_all(true);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	leave_evicted = true;
	for (fail_at = 0; fail_at < 3; fail_at++) {
		validated = 0;
		assert_int_equal(gpuvm_validate(&toy.vm, &exec), -EIO);
		assert_int_equal(validated, fail_at);
		expect_evicted(pairs[0], pairs[1], pairs[2]);
	}
	gpuvm_exec_unlock(&exec);
	tear_down_pairs();
}

static void failed_validation(void **state)
{
	(void)state;
	validate_keeps_the_order(0);
	validate_keeps_the_order(GPUVM_RESV_PROTECTED);
}

/* Makes all resident at once. A walk that returned to a pair that left the list would never end. */
static int validate_all(struct gpuvm_bo *vm_bo, struct gpuvm_exec *transaction)
{
	(void)vm_bo;
	(void)transaction;
	if (++validated > 8)
		return -ELOOP;
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_evict(pairs[i], false);
	return 0;
}

static void others_made_resident(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= GPUVM_RESV_PROTECTED; flags++) {
		set_up_local_pairs(flags, 3);
		ops.vm_bo_validate = validate_all;
		evict_all(true);
		assert_int_equal(gpuvm_exec_lock(&exec), 0);
		expect_evicted(pairs[0], pairs[1], pairs[2]);
		assert_int_equal(gpuvm_validate(&toy.vm, &exec), 0);
		assert_int_equal(validated, 1);
		expect_evicted(NULL, NULL, NULL);
		gpuvm_exec_unlock(&exec);
		tear_down_pairs();
	}
}

/* The first call drops its own pair and the next on the list. */
static int validate_and_put(struct gpuvm_bo *vm_bo, struct gpuvm_exec *transaction)
{
	(void)transaction;
	if (++validated > 8)
		return -ELOOP;
	gpuvm_bo_evict(vm_bo, false);
	for (unsigned int i = 0; validated == 1 && i < 2; i++) {
		gpuvm_bo_put(pairs[i]);
		pairs[i] = NULL;
	}
	return 0;
}

static void pairs_dropped(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= GPUVM_RESV_PROTECTED; flags++) {
		set_up_pairs(flags);
		ops.vm_bo_validate = validate_and_put;
		evict_all(true);
		assert_int_equal(gpuvm_exec_lock(&exec), 0);
		assert_int_equal(gpuvm_validate(&toy.vm, &exec), 0);
		assert_int_equal(validated, 2);
		assert_false(pairs[2]->evicted);
		expect_evicted(NULL, NULL, NULL);
		assert_int_equal(on_list(&toy.vm.extobj.list), 1);
		gpuvm_exec_unlock(&exec);
		assert_int_equal(toy.vm.refs, 2);
		tear_down_pairs();
	}
}

static int validate_locked(void *locked)
{
	if (locked && gpuvm_exec_lock(&exec))
		return 1;
	return gpuvm_validate(&toy.vm, &exec) != 0;
}

/*
 * Validating an unlocked VM is caught: its evicted pairs are not passed over as pairs that came
 * unlocked.
 */
static void validating_an_unlocked_vm_is_caught(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= GPUVM_RESV_PROTECTED; flags++) {
		set_up_pairs(flags);
		ops.vm_bo_validate = validate_and_put;
		assert_true(child_aborts(validate_locked, NULL));
		assert_false(child_aborts(validate_locked, &toy));
		tear_down_pairs();
	}
}

static void evict_default(void **state)
{
	(void)state;
	set_up_pairs(0);
	evict_all(true);
	assert_int_equal(on_list(&toy.vm.evict.list), 3);
	evict_all(true);
	assert_int_equal(on_list(&toy.vm.evict.list), 3);
	evict_all(false);
	assert_int_equal(on_list(&toy.vm.evict.list), 0);
	tear_down_pairs();
}

static void evict_protected(void **state)
{
	(void)state;
	set_up_pairs(GPUVM_RESV_PROTECTED);
	evict_all(true);
	/* External pairs join when the VM is next locked, and leave when it is validated. */
	assert_int_equal(on_list(&toy.vm.evict.list), 1);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(on_list(&toy.vm.evict.list), 3);
	for (unsigned int i = 0; i < 3; i++)
		gpuvm_bo_evict(pairs[i], false);
	assert_int_equal(on_list(&toy.vm.evict.list), 2);
	assert_int_equal(gpuvm_validate(&toy.vm, &exec), 0);
	assert_int_equal(on_list(&toy.vm.evict.list), 0);
	gpuvm_exec_unlock(&exec);
	tear_down_pairs();
}

/* One of the external objects cannot be locked: then none is, and none has joined the evicted. */
static void locking_stops_protected(void **state)
{
	(void)state;
	set_up_pairs(GPUVM_RESV_PROTECTED);
	evict_all(true);
	gpuvm_resv_lock(toy.objs[1].resv);
	assert_int_equal(gpuvm_exec_lock(&exec), -EALREADY);
	assert_int_equal(exec.nr, 0);
	assert_false(gpuvm_resv_held(&toy.vm));
	assert_true(gpuvm_resv_is_held(toy.objs[1].resv));
	assert_false(gpuvm_resv_is_held(toy.objs[2].resv));
	assert_int_equal(on_list(&toy.vm.evict.list), 1);
	gpuvm_resv_unlock(toy.objs[1].resv);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(exec.nr, 3);
	assert_int_equal(on_list(&toy.vm.evict.list), 3);
	gpuvm_exec_unlock(&exec);
	tear_down_pairs();
}

static void validate_default(void **state)
{
	(void)state;
	validate_stops_and_goes_on(0);
}

static void validate_protected(void **state)
{
	(void)state;
	validate_stops_and_goes_on(GPUVM_RESV_PROTECTED);
}

/*
 * A pair whose last reference is gone stays on the lists until the thread that dropped it removes
 * it. Locking the VM at this moment skips the pair. (The moment is simulated.)
 */
static void dying_pairs_are_passed_over(void **state)
{
	(void)state;
	set_up_pairs(0);
	evict_all(true);
	pairs[1]->refs = 0;
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(exec.nr, 2); /* the VM with the first; the third */
	assert_false(gpuvm_resv_is_held(toy.objs[1].resv));
	assert_true(gpuvm_resv_is_held(toy.objs[2].resv));
	assert_int_equal(gpuvm_exec_validate(&exec), 0);
	assert_int_equal(validated, 2);
	assert_int_equal(pairs[1]->refs, 0);
	assert_true(pairs[1]->evicted);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(on_list(&toy.vm.extobj.list), 1);
	pairs[1]->refs = 1;
	tear_down_pairs();
}

static void *bring_another(void *unused)
{
	struct gpuvm_object *obj = &toy.objs[3];
	struct gpuvm_bo *vm_bo = gpuvm_bo_obtain(&toy.vm, obj);

	gpuvm_bo_extobj_add(vm_bo);
	gpuvm_resv_lock(obj->resv);
	gpuvm_bo_evict(vm_bo, true);
	gpuvm_resv_unlock(obj->resv);
	(void)unused;
	return vm_bo;
}

/* A pair that is not locked, because it came later. */
static void unlocked_pairs_are_passed_over(void **state)
{
	pthread_t other;
	void *last;

	(void)state;
	set_up_pairs(0);
	evict_all(true);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(pthread_create(&other, NULL, bring_another, NULL), 0);
	assert_int_equal(pthread_join(other, &last), 0);
	assert_int_equal(gpuvm_exec_validate(&exec), 0);
	assert_int_equal(validated, 3);
	assert_int_equal(on_list(&toy.vm.evict.list), 1);
	gpuvm_exec_unlock(&exec);
	assert_int_equal(gpuvm_exec_lock(&exec), 0);
	assert_int_equal(gpuvm_exec_validate(&exec), 0);
	assert_ptr_equal(order[3], last);
	assert_int_equal(on_list(&toy.vm.evict.list), 0);
	gpuvm_exec_unlock(&exec);
	gpuvm_bo_put(last);
	tear_down_pairs();
}

/* With queues, mappings linked before the pair moved on are gone for every look-up. */
static void hiding(void **state)
{
	struct gpuvm_bo *pair;
	uint64_t addr;

	(void)state;
	set_up(0, false);
	pair = gpuvm_bo_obtain(&toy.vm, &toy.objs[0]);
	pair->epoch = UINT32_MAX;
	gpuvm_lock(&toy.vm);
	assert_int_equal(toy_insert(&toy, 0x10, 8, 0, 0), 0);
	assert_int_equal(toy_insert(&toy, 0x20, 8, 1, 0), 0);
	gpuvm_object_lock(&toy.objs[0]);
	smr_gpuvm_bo_hide(pair);
	gpuvm_object_unlock(&toy.objs[0]);
	assert_int_equal(toy_insert(&toy, 0x30, 8, 0, 0), 0);
	assert_non_null(gpuvm_find(&toy.vm, 0x10));
	toy.vm.queues = (struct gpuvm_queues *)&toy;
	assert_null(gpuvm_find(&toy.vm, 0x10));
	assert_null(gpuva_find(&toy.vm, 0x10, 8));
	assert_null(gpuva_find_prev(&toy.vm, 0x18));
	assert_null(gpuva_find_next(&toy.vm, 0x10));
	assert_true(gpuvm_interval_empty(&toy.vm, 0, 0x20));
	assert_int_equal(gpuva_find_first(&toy.vm, 0, 0x1000)->va.addr, 0x20);
	assert_int_equal(gpuvm_first_va(&toy.vm, 0, 0x1000)->va.addr, 0x20);
	assert_int_equal(gpuvm_find(&toy.vm, 0x30)->va.addr, 0x30);
	assert_int_equal(gpuvm_find_hole(&toy.vm, &addr, 0x10, 0, 0, 0x1000, GPUVM_HOLE_LOW), 0);
	toy.vm.queues = NULL;
	gpuvm_unlock(&toy.vm);
	gpuvm_bo_put(pair);
	assert_true(toy_destroy(&toy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: it forks, and there are no other threads yet. */
		cmocka_unit_test(validating_an_unlocked_vm_is_caught),
		cmocka_unit_test(one_pair),
		cmocka_unit_test(spare_pairs),
		cmocka_unit_test(pairs_outlive_readers),
		cmocka_unit_test(links),
		cmocka_unit_test(external),
		cmocka_unit_test(evict_default),
		cmocka_unit_test(evict_protected),
		cmocka_unit_test(locking_stops_protected),
		cmocka_unit_test(validate_default),
		cmocka_unit_test(validate_protected),
		cmocka_unit_test(failed_validation),
		cmocka_unit_test(others_made_resident),
		cmocka_unit_test(pairs_dropped),
		cmocka_unit_test(dying_pairs_are_passed_over),
		cmocka_unit_test(unlocked_pairs_are_passed_over),
		cmocka_unit_test(hiding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
