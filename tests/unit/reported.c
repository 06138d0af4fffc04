/* SPDX-License-Identifier: MIT */
#include "reported.h"
#include "lock/check_internal.h"

#include <dlfcn.h>
#include <pthread.h>

struct reported seen;

void note(const struct lockcheck_report *report, void *arg)
{
	(void)arg;
	seen.nr++;
	seen.rule = report->rule;
	snprintf(seen.name, sizeof(seen.name), "%s", report->name);
	snprintf(seen.sentence, sizeof(seen.sentence), "%s", report->sentence);
	for (unsigned int s = 0; s < 2; s++) {
		assert_non_null(report->stack[s].caption);
		assert_true(report->stack[s].nr <= REPORTED_FRAMES);
		seen.frames[s] = report->stack[s].nr;
		if (seen.frames[s])
			memcpy(seen.frame[s], report->stack[s].frames,
			       seen.frames[s] * sizeof(void *));
	}
	snprintf(seen.other, sizeof(seen.other), "%s", report->stack[1].caption);
}

int begin(void **state)
{
	(void)state;
	smr_check_forget();
	lockcheck_set_handler(note, NULL);
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static bool stack_names(unsigned int s, const char *function)
{
	Dl_info info;

	for (unsigned int i = 0; i < seen.frames[s]; i++)
		if (dladdr((char *)seen.frame[s][i] - 1, &info) && info.dli_sname &&
		    strcmp(info.dli_sname, function) == 0)
			return true;
	return false;
}

void expect(enum lockcheck_rule rule, const char *here, const char *other)
{
	if (seen.nr != 1 || seen.rule != rule)
		fail_msg("%u reports, the last: %s: %s", seen.nr, seen.name, seen.sentence);
	if (!stack_names(0, here))
		fail_msg("%s does not name %s", seen.name, here);
	if (other ? !stack_names(1, other) : seen.frames[1] != 0)
		fail_msg("%s: the other stack does not name %s", seen.name,
			 other ? other : "nothing");
	memset(&seen, 0, sizeof(seen));
}

void expect_nothing(void)
{
	if (seen.nr)
		fail_msg("%s: %s", seen.name, seen.sentence);
}

void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- Functions that the stacks must name ---- */

struct lockcheck_class class_a = LOCKCHECK_CLASS("a"), class_b = LOCKCHECK_CLASS("b"),
		       class_c = LOCKCHECK_CLASS("c"), class_d = LOCKCHECK_CLASS("d"),
		       class_e = LOCKCHECK_CLASS("e");
char a, a2, b, c, d, e;

NAMED takes(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	lockcheck_acquire(lock, lock_class, flags);
}

NAMED takes_again(const void *lock, struct lockcheck_class *lock_class, unsigned int flags)
{
	lockcheck_acquire(lock, lock_class, flags);
}

NAMED lets_go(const void *lock)
{
	lockcheck_release(lock);
}

NAMED locks(struct maple_tree *mt)
{
	mtree_lock(mt);
}

NAMED unlocks(struct maple_tree *mt)
{
	mtree_unlock(mt);
}

NAMED begins(void)
{
	lockcheck_section_begin("test");
}

NAMED allocates(void)
{
	lockcheck_alloc("a thing");
}

NAMED waits(void)
{
	lockcheck_wait("a fence");
}

NAMED stores(struct ma_state *mas, gfp_t gfp)
{
	assert_int_equal(mas_store_gfp(mas, xa_mk_value(ENTRY), gfp), 0);
}

NAMED steps(struct ma_state *mas)
{
	assert_ptr_equal(mas_next(mas, ULONG_MAX), xa_mk_value(ENTRY));
}

NAMED reads(struct maple_tree *mt)
{
	mt_rcu_read_lock(mt);
}

NAMED reads_again(struct maple_tree *mt)
{
	mt_rcu_read_lock(mt);
}

NAMED reads_no_more(struct maple_tree *mt)
{
	mt_rcu_read_unlock(mt);
}

NAMED ends(void)
{
	lockcheck_section_end();
}

NAMED preallocates(struct ma_state *mas)
{
	assert_int_equal(mas_preallocate(mas, xa_mk_value(1), GFP_KERNEL), 0);
	mas_destroy(mas);
}

static smr_noinline void take(const void *lock, enum smr_lock_rank rank)
{
	smri_check_take(lock, rank, 0, smr_check_frame());
}

NAMED takes_rank(const void *lock, enum smr_lock_rank rank)
{
	take(lock, rank);
}

NAMED locks_again(struct maple_tree *mt)
{
	mtree_lock(mt);
}

NAMED locks_nested(struct maple_tree *mt)
{
	mtree_lock_nested(mt, 1);
}

NAMED waits_for_readers(void)
{
	mt_mem_barrier(mt_mem_default());
}

NAMED destroys(struct mt_mem *mem)
{
	mt_mem_destroy(mem);
	__asm__ volatile("");
}

NAMED synchronizes(struct maple_tree *mt)
{
	mt_rcu_synchronize(mt);
	__asm__ volatile("");
}

NAMED waits_for_grace(enum mt_rcu_flavor flavor)
{
	smr_check_grace(flavor);
	__asm__ volatile("");
}

NAMED waits_for_fence(struct fence *fence)
{
	assert_int_equal(fence_wait(fence, 1), -ETIMEDOUT);
}

NAMED waits_forever(struct fence *fence)
{
	assert_int_equal(fence_wait(fence, FENCE_FOREVER), 0);
}

NAMED stores_on_credit(struct mt_credits *credits, unsigned long key)
{
	assert_int_equal(mtree_store_range_credit(credits, key, key, xa_mk_value(1)), 0);
}

NAMED stores_in_txn(struct mt_txn *txn, struct mt_credits *credits, unsigned long key)
{
	assert_int_equal(mt_txn_store_credit(txn, key, key + 1, xa_mk_value(1), credits), 0);
}

NAMED synchronizes_vm(const struct gpuvm *vm)
{
	gpuvm_synchronize(vm);
}

NAMED puts_object(struct gpuvm_object *obj)
{
	gpuvm_object_put(obj);
	__asm__ volatile("");
}

NAMED puts_pair(struct gpuvm_bo *pair)
{
	gpuvm_bo_put(pair);
	__asm__ volatile("");
}

NAMED puts_vm(struct gpuvm *vm)
{
	gpuvm_put(vm);
	__asm__ volatile("");
}

NAMED unlinks(struct gpuva *va)
{
	struct gpuvm_object *obj = va->gem.obj;

	gpuvm_object_lock(obj);
	gpuva_unlink(va);
	gpuvm_object_unlock(obj);
}

NAMED finds(struct ma_state *mas)
{
	assert_non_null(mas_find(mas, ULONG_MAX));
}

void nest(const void *outer, struct lockcheck_class *outer_class, const void *inner,
	  struct lockcheck_class *inner_class)
{
	takes(outer, outer_class, 0);
	takes_again(inner, inner_class, 0);
	lets_go(inner);
	lets_go(outer);
}

void fill(struct maple_tree *mt)
{
	for (unsigned long i = 0; i < 200; i++)
		assert_int_equal(
			mtree_store_range(mt, 10 * i, 10 * i + 4, xa_mk_value(ENTRY), GFP_KERNEL),
			0);
}
