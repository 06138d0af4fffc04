/* SPDX-License-Identifier: MIT */
/* VMs: their beginning and end, lock, read side, and reserve of memory. */
#include "base/ref.h"
#include "gpuvm/batch.h"
#include "gpuvm/list.h"
#include "gpuvm/queues.h"
#include "lock/check.h"
#include "mem/heap.h"

#include <errno.h>

/* Users embed these, so their sizes are part of the binary interface. */
_Static_assert(sizeof(struct gpuvm) == 520, "struct gpuvm");
_Static_assert(sizeof(struct gpuvm_object) == 88, "struct gpuvm_object");
_Static_assert(sizeof(struct gpuva) == 72, "struct gpuva");
_Static_assert(sizeof(struct gpuva_op) == 56, "struct gpuva_op");
_Static_assert(sizeof(struct gpuvm_bo) == 128, "struct gpuvm_bo");
_Static_assert(sizeof(struct gpuvm_exec) == 64, "struct gpuvm_exec");

#define TREE_FLAGS (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)

/* Makes @mt a VM's tree, with the reserved region in it: 0 or -ENOMEM. */
static int make_tree(struct maple_tree *mt, struct mt_mem *mem, struct gpuva *reserved)
{
	mt_init_flags(mt, TREE_FLAGS);
	smr_lock_init(&mt->ma_lock, SMR_RANK_VM);
	mt_set_mem(mt, mem);
	if (reserved->va.range == 0)
		return 0;
	return mtree_store_range(mt, reserved->va.addr, smr_va_last(reserved), reserved,
				 GFP_KERNEL);
}

static bool bad_range(uint64_t start, uint64_t range)
{
	unsigned long end;

	return !smr_checked_add(start, range, &end);
}

int gpuvm_init(struct gpuvm *vm, const char *name, unsigned int flags, void *dev,
	       struct gpuvm_object *r_obj, uint64_t start, uint64_t range, uint64_t reserve_start,
	       uint64_t reserve_range, const struct gpuvm_ops *ops)
{
	if (!ops || !ops->vm_free || !r_obj || bad_range(start, range) ||
	    bad_range(reserve_start, reserve_range))
		return -EINVAL;
	*vm = (struct gpuvm){
		.name = name ? name : "unknown",
		.flags = flags,
		.refs = 1,
		.dev = dev,
		.mm_start = start,
		.mm_range = range,
		.align = 1,
		.kernel_alloc_node = { .vm = vm, .va = { reserve_start, reserve_range } },
		.r_obj = r_obj,
		.ops = ops,
	};
	if (make_tree(&vm->tree, NULL, &vm->kernel_alloc_node)) {
		*vm = (struct gpuvm){ .name = NULL };
		return -ENOMEM;
	}
	gpuvm_object_get(r_obj);
	mt_credits_init(&vm->credits, &vm->tree, MT_CREDITS_RECYCLING);
	smr_lock_init(&vm->list_lock, SMR_RANK_VM_LISTS);
	smr_list_init(&vm->extobj.list);
	smr_list_init(&vm->evict.list);
	return 0;
}

int gpuvm_set_align(struct gpuvm *vm, uint64_t align)
{
	if (align == 0 || (align & (align - 1)))
		return -EINVAL;
	if (vm->nr_vas > 0 || vm->queues)
		return -EBUSY;
	vm->align = align;
	return 0;
}

/*
 * Gives a tree that nobody else uses a lock of its own: the user's need not be held, and may be
 * gone.
 */
static void reset_lock(struct maple_tree *mt)
{
	if (!mt_external_lock(mt))
		return;
	mt->ma_flags &= ~(unsigned int)MT_FLAGS_LOCK_MASK;
	smr_lock_init(&mt->ma_lock, SMR_RANK_VM);
}

/* Nobody uses the tree yet, so one with another arena can take its place. */
int gpuvm_set_mem(struct gpuvm *vm, struct mt_mem *mem)
{
	struct maple_tree *mt = &vm->tree, fresh;
	int err;

	if (vm->nr_vas > 0 || mt_credits_left(&vm->credits) > 0 || vm->queues)
		return -EBUSY;
	err = make_tree(&fresh, mem, &vm->kernel_alloc_node);
	if (err)
		return err;
	if (mt_external_lock(mt)) {
		fresh.ma_flags |= MT_FLAGS_LOCK_EXTERN;
		mt_set_external_lock_check(&fresh, mt->ma_external_lock, mt->ma_lock_is_held);
	}
	reset_lock(mt);
	mtree_destroy(mt);
	*mt = fresh;
	vm->markers = 0;
	return 0;
}

int gpuvm_set_lock(struct gpuvm *vm, void *lock, bool (*is_held)(void *lock))
{
	if (vm->nr_vas > 0 || mt_credits_left(&vm->credits) > 0 || vm->queues)
		return -EBUSY;
	vm->tree.ma_flags |= MT_FLAGS_LOCK_EXTERN;
	mt_set_external_lock_check(&vm->tree, lock, is_held);
	return 0;
}

/* ---- References ---- */

struct gpuvm *gpuvm_get(struct gpuvm *vm)
{
	if (vm)
		smr_ref_get(&vm->refs);
	return vm;
}

static struct gpuvm_queues_head *queues_head(struct gpuvm *vm)
{
	return (struct gpuvm_queues_head *)vm->queues;
}

/*
 * Only the reserved region and markers are left in the tree. Nothing is touched after vm_free,
 * which may free r_obj's memory with the VM's.
 */
static void free_vm(struct gpuvm *vm)
{
	smr_check_last_put("a VM");
	smr_assert(vm->nr_vas == 0);
	smr_assert(smr_list_empty(&vm->extobj.list) && smr_list_empty(&vm->evict.list));
	reset_lock(&vm->tree);
	mt_credits_release(&vm->credits);
	mtree_destroy(&vm->tree);
	if (vm->queues)
		queues_head(vm)->free(queues_head(vm));
	gpuvm_object_put(vm->r_obj);
	vm->ops->vm_free(vm);
}

void gpuvm_put(struct gpuvm *vm)
{
	if (vm && smr_ref_put(&vm->refs))
		free_vm(vm);
}

/* ---- The lock, and reading ---- */

void gpuvm_lock(struct gpuvm *vm)
{
	smr_assert(!mt_external_lock(&vm->tree));
	mtree_lock(&vm->tree);
}

void gpuvm_unlock(struct gpuvm *vm)
{
	mtree_unlock(&vm->tree);
}

bool gpuvm_is_locked(const struct gpuvm *vm)
{
	return mt_lock_is_held(&vm->tree);
}

void gpuvm_read_lock(const struct gpuvm *vm)
{
	mt_rcu_read_lock(&vm->tree);
}

void gpuvm_read_unlock(const struct gpuvm *vm)
{
	mt_rcu_read_unlock(&vm->tree);
}

void gpuvm_synchronize(const struct gpuvm *vm)
{
	smr_gpuvm_flush_batch(vm);
	mt_rcu_synchronize(&vm->tree);
}

/* ---- Memory for changes ---- */

int gpuvm_reserve(struct gpuvm *vm, unsigned long nr)
{
	smr_assert(!vm->queues);
	/* While credits are out, a store may need more memory than a walk has secured. */
	smr_gpuvm_flush_batch(vm);
	return nr ? mt_credits_reserve(&vm->credits, nr, GFP_KERNEL) : 0;
}

void gpuvm_begin(struct gpuvm *vm, unsigned long nr)
{
	unsigned long left = mt_credits_left(&vm->credits);

	nr = nr < left ? nr : left;
	mt_credits_begin(&vm->credits, nr < MT_CREDITS_BATCH ? nr : MT_CREDITS_BATCH);
}

void gpuvm_unreserve(struct gpuvm *vm)
{
	smr_gpuvm_flush_batch(vm);
	mt_credits_release(&vm->credits);
}

unsigned long gpuvm_reserved(const struct gpuvm *vm)
{
	return mt_credits_left(&vm->credits);
}

/* ---- The VM's own reservation lock ---- */

void gpuvm_resv_assert_held(const struct gpuvm *vm)
{
	smr_assert(gpuvm_resv_held(vm));
	(void)vm;
}

static void free_dummy(struct gpuvm_object *obj)
{
	smr_heap_free(obj);
}

struct gpuvm_object *gpuvm_resv_object_alloc(void *dev)
{
	struct gpuvm_object *obj = smr_heap_alloc(sizeof(*obj));

	(void)dev;
	if (obj)
		gpuvm_object_init(obj, 0, NULL, free_dummy);
	return obj;
}
