/* SPDX-License-Identifier: MIT */
/* Every public macro with arguments, some within others: their expansions must not warn either. */
#include <samara/bind_queue.h>
#include <samara/credits.h>
#include <samara/fence.h>
#include <samara/gpuvm.h>
#include <samara/lockcheck.h>
#include <samara/maple_tree.h>
#include <samara/txn.h>
#include <samara/version.h>

static DEFINE_MTREE(tree);
static struct mt_lock lock = MT_LOCK_INIT;
static struct lockcheck_class lock_class = LOCKCHECK_CLASS("macros");
static struct maple_tree external = MTREE_INIT_EXT(external, MT_FLAGS_LOCK_EXTERN, lock);

static void locks(void)
{
	struct maple_tree local = MTREE_INIT(local, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &local, 1, ULONG_MAX);
	unsigned long flags;

	mt_on_stack(local);
	mt_set_external_lock(&external, &lock);
	lockcheck_acquire(&lock, &lock_class, 0);
	mtree_lock(&tree);
	mtree_lock_nested(&local, 1);
	mtree_unlock(&local);
	mas_lock_nested(&mas, 1);
	mas_unlock(&mas);
	mtree_unlock(&tree);
	mas_lock(&mas);
	mas_unlock(&mas);
	mas_lock_irqsave(&mas, flags);
	mas_unlock_irqrestore(&mas, flags);
}

static void loops(void)
{
	MA_STATE(outer, &tree, 0, 0);
	MA_STATE(inner, &tree, 0, 0);
	unsigned long index = 0;
	void *entry, *other;

	mas_for_each(&outer, entry, ULONG_MAX) {
		mas_for_each(&inner, other, outer.index)
			mas_set(&outer, inner.last);
	}
	mas_for_each_rev(&outer, entry, 0) {
		mas_for_each_rev(&inner, other, outer.index)
			mas_set(&outer, inner.index);
	}
	mt_for_each(&tree, entry, index, ULONG_MAX)
		mas_set(&outer, index);
}

/* They are private, but code written for Linux uses them. */
static bool fields(const struct ma_state *mas)
{
	return !mas->node && mas->min <= mas->max && !mas->alloc && !mas->depth && !mas->offset &&
	       !mas->mas_flags && !mas->end && !mas->store_type;
}

static bool assertions(void)
{
	MA_STATE(mas, &tree, 0, 0);
	struct {
		struct ma_state *mas;
	} wr = { &mas };
	bool held = mt_write_lock_is_held(&tree);

	MT_WARN_ON(&tree, 0);
	MAS_WARN_ON(&mas, mas_walk(&mas) == MA_ERROR(-1));
	MT_BUG_ON(&tree, MT_WARN_ON(&tree, held));
	MAS_BUG_ON(&mas, MAS_WARN_ON(&mas, held) && MT_WARN_ON(&tree, held));
	MAS_WR_BUG_ON(&wr, held);
	return MAS_WR_WARN_ON(&wr, held) || MAS_WARN_ON(&mas, !held) || fields(&mas);
}

static int gpuvm_loops(struct gpuvm *vm, struct gpuvm_bo *pair)
{
	struct gpuva *va, *next;
	int n = 0;

	gpuvm_for_each_va_range(va, vm, 0, 1) gpuvm_bo_for_each_va(next, pair) n++;
	gpuvm_for_each_va_range_safe(va, next, vm, 0, 1) n++;
	gpuvm_for_each_va(va, vm) n++;
	gpuvm_for_each_va_safe(va, next, vm) n++;
	gpuvm_bo_for_each_va_safe(va, next, pair) n++;
	return n;
}

static int op_loops(struct gpuva_ops *ops)
{
	struct gpuva_op *op, *next;
	int n = 0;

	gpuva_for_each_op(op, ops) n++;
	gpuva_for_each_op_safe(op, next, ops) n++;
	gpuva_for_each_op_reverse(op, ops) n++;
	op = gpuva_last_op(ops);
	gpuva_for_each_op_from_reverse(op, ops) n++;
	return n;
}

/* It is compiled only. */
int main(void)
{
	locks();
	loops();
	return gpuvm_loops(NULL, NULL) + op_loops(NULL) + assertions();
}
