/* SPDX-License-Identifier: MIT */
/*
 * Objects, and pairs: a pair joins a VM and an object that it maps.
 *
 *   list          of what                                                   lock
 *   object.pairs  every pair of the object, at most one for each VM         object
 *   pair.gpuva    the mappings linked to the pair, in the order of linking  object
 *   vm.extobj     pairs whose object has a resv of its own                  list, or the VM's resv
 *   vm.evict      pairs whose object is to be made resident again           list, or the VM's resv
 *
 * A pair dies with its last reference. That is dropped under the object's lock, and in the same
 * critical section the pair leaves the object's list, so a thread that finds it there can take a
 * reference. On the VM's two lists it may stay a moment longer; walks of these take a reference
 * only if there is one left. Its memory stays for a grace period, for readers that have found one
 * of its mappings and ask whether that is gone.
 *
 * The epoch of a pair. A queue's job may unmap everything of an object at one moment, though there
 * are many mappings, and taking each out of the tree is a store of its own. So the pair counts such
 * moments, a mapping notes at linking how many there have been, and one that is behind its pair is
 * gone.
 */
#include "base/rcu.h"
#include "base/ref.h"
#include "gpuvm/vm_lists.h"
#include "gpuvm/object.h"
#include "lock/check.h"
#include "mem/heap.h"

/* ---- Objects ---- */

void gpuvm_object_init(struct gpuvm_object *obj, uint64_t size, struct gpuvm_resv *resv,
		       void (*free)(struct gpuvm_object *obj))
{
	obj->refs = 1;
	obj->size = size;
	obj->resv = resv ? resv : &obj->own_resv;
	gpuvm_resv_init(&obj->own_resv);
	smr_lock_init(&obj->lock, SMR_RANK_OBJECT);
	smr_list_init(&obj->pairs);
	obj->free = free;
}

struct gpuvm_object *gpuvm_object_get(struct gpuvm_object *obj)
{
	if (obj)
		smr_ref_get(&obj->refs);
	return obj;
}

void gpuvm_object_put(struct gpuvm_object *obj)
{
	if (!obj || !smr_ref_put(&obj->refs))
		return;
	smr_check_last_put("an object");
	smr_assert(smr_list_empty(&obj->pairs));
	gpuvm_resv_fini(&obj->own_resv);
	if (obj->free)
		obj->free(obj);
}

/* ---- Pairs ---- */

struct gpuvm_bo *gpuvm_bo_create(struct gpuvm *vm, struct gpuvm_object *obj)
{
	struct gpuvm_bo *vm_bo;

	vm_bo = vm->ops->vm_bo_alloc ? vm->ops->vm_bo_alloc() : smr_heap_alloc(sizeof(*vm_bo));
	if (!vm_bo)
		return NULL;
	*vm_bo = (struct gpuvm_bo){ .vm = gpuvm_get(vm), .obj = gpuvm_object_get(obj), .refs = 1 };
	smr_list_init(&vm_bo->list.gpuva);
	smr_list_init(&vm_bo->list.gem);
	smr_list_init(&vm_bo->list.extobj);
	smr_list_init(&vm_bo->list.evict);
	return vm_bo;
}

struct gpuvm_bo *gpuvm_bo_get(struct gpuvm_bo *vm_bo)
{
	if (vm_bo)
		smr_ref_get(&vm_bo->refs);
	return vm_bo;
}

/*
 * What a dead pair keeps in its own space until the grace period is over: there is no VM to ask
 * then.
 */
struct dying {
	struct smr_rcu_head head;
	void (*free)(struct gpuvm_bo *vm_bo);
};

_Static_assert(sizeof(struct dying) <= sizeof(((struct gpuvm_bo *)0)->rcu),
	       "a pair has room for it");

static void free_pair(struct smr_rcu_head *head)
{
	struct dying *dying = container_of(head, struct dying, head);
	struct gpuvm_bo *vm_bo =
		(struct gpuvm_bo *)((char *)dying - offsetof(struct gpuvm_bo, rcu));

	if (dying->free)
		dying->free(vm_bo);
	else
		smr_heap_free(vm_bo);
}

/*
 * Drops a reference. If that was the last, takes the pair off the object's list: true. CONTEXT:
 * HOLDS object lock.
 */
static bool put_locked(struct gpuvm_bo *vm_bo)
{
	if (!smr_ref_put(&vm_bo->refs))
		return false;
	smr_assert(smr_list_empty(&vm_bo->list.gpuva));
	smr_list_remove(&vm_bo->list.gem);
	return true;
}

/*
 * Takes a dead pair off its VM's lists. With GPUVM_RESV_PROTECTED a pair that is on neither, such
 * as one made in vain, does not need the VM's resv: only a thread that has a reference, or finds
 * the pair on its object's list, can put it there. Otherwise the lock is taken in any case, or a
 * walk that is about to take the pair off might still write to it.
 */
static void unlist(struct gpuvm_bo *vm_bo)
{
	struct gpuvm *vm = vm_bo->vm;

	if (gpuvm_resv_protected(vm) && smr_list_empty(&vm_bo->list.extobj) &&
	    smr_list_empty(&vm_bo->list.evict))
		return;
	smri_lists_lock(vm);
	smr_list_remove(&vm_bo->list.extobj);
	smr_list_remove(&vm_bo->list.evict);
	smri_lists_unlock(vm);
}

/* Ends a pair after put_locked(). CONTEXT: may sleep; no object lock held. */
static void destroy(struct gpuvm_bo *vm_bo)
{
	struct dying *dying = (struct dying *)vm_bo->rcu;
	struct gpuvm_object *obj = vm_bo->obj;
	struct gpuvm *vm = vm_bo->vm;

	smr_check_last_put("a pair");
	unlist(vm_bo);
	dying->free = vm->ops->vm_bo_free;
	smr_rcu_call(MT_RCU_BP, &dying->head, free_pair);
	gpuvm_put(vm);
	gpuvm_object_put(obj);
}

bool gpuvm_bo_put(struct gpuvm_bo *vm_bo)
{
	struct gpuvm_object *obj;
	bool last;

	if (!vm_bo || smr_ref_put_unless_last(&vm_bo->refs))
		return false;
	/* No other thread can drop it now, but one may find it on the object's list. */
	obj = vm_bo->obj;
	gpuvm_object_lock(obj);
	last = put_locked(vm_bo);
	gpuvm_object_unlock(obj);
	if (last)
		destroy(vm_bo);
	return last;
}

struct gpuvm_bo *gpuvm_bo_find(struct gpuvm *vm, struct gpuvm_object *obj)
{
	struct gpuvm_list *link;

	smr_assert(mt_lock_held(&obj->lock));
	smr_list_for_each(link, &obj->pairs)
	{
		struct gpuvm_bo *vm_bo = smr_list_entry(link, struct gpuvm_bo, list.gem);

		if (vm_bo->vm == vm)
			return gpuvm_bo_get(vm_bo);
	}
	return NULL;
}

struct gpuvm_bo *gpuvm_bo_obtain_prealloc(struct gpuvm_bo *vm_bo, struct gpuvm_bo **spare)
{
	struct gpuvm_object *obj = vm_bo->obj;
	struct gpuvm_bo *known;

	*spare = NULL;
	gpuvm_object_lock(obj);
	known = gpuvm_bo_find(vm_bo->vm, obj);
	if (!known)
		smr_list_append(&obj->pairs, &vm_bo->list.gem);
	gpuvm_object_unlock(obj);
	if (!known)
		return vm_bo;
	*spare = vm_bo;
	return known;
}

struct gpuvm_bo *gpuvm_bo_obtain(struct gpuvm *vm, struct gpuvm_object *obj)
{
	struct gpuvm_bo *vm_bo, *spare;

	gpuvm_object_lock(obj);
	vm_bo = gpuvm_bo_find(vm, obj);
	gpuvm_object_unlock(obj);
	if (vm_bo)
		return vm_bo;
	vm_bo = gpuvm_bo_create(vm, obj);
	if (!vm_bo)
		return NULL;
	vm_bo = gpuvm_bo_obtain_prealloc(vm_bo, &spare);
	gpuvm_bo_put(spare);
	return vm_bo;
}

/* ---- Mappings of a pair ---- */

void gpuva_link(struct gpuva *va, struct gpuvm_bo *vm_bo)
{
	if (!va->gem.obj)
		return;
	smr_assert(va->gem.obj == vm_bo->obj && mt_lock_held(&vm_bo->obj->lock) && !va->vm_bo);
	va->epoch = smr_load(&vm_bo->epoch, RELAXED);
	smr_store(&va->vm_bo, gpuvm_bo_get(vm_bo), RELAXED);
	smr_list_append(&vm_bo->list.gpuva, &va->gem.entry);
}

void smr_gpuva_unlist(struct gpuva *va)
{
	smr_assert(mt_lock_held(&va->gem.obj->lock));
	smr_list_remove(&va->gem.entry);
}

struct gpuvm_bo *gpuva_unlink_defer(struct gpuva *va)
{
	struct gpuvm_bo *vm_bo = va->vm_bo;

	if (!va->gem.obj || !vm_bo)
		return NULL;
	smr_gpuva_unlist(va);
	smr_store(&va->vm_bo, NULL, RELAXED);
	return vm_bo;
}

void gpuva_unlink(struct gpuva *va)
{
	struct gpuvm_object *obj = va->gem.obj;
	struct gpuvm_bo *vm_bo = gpuva_unlink_defer(va);

	if (!vm_bo || !put_locked(vm_bo))
		return;
	gpuvm_object_unlock(obj);
	destroy(vm_bo);
	gpuvm_object_lock(obj);
}

struct gpuva *gpuvm_bo_next_va(const struct gpuvm_bo *vm_bo, const struct gpuva *va)
{
	const struct gpuvm_list *link = va ? va->gem.entry.next : vm_bo->list.gpuva.next;

	if (link == &vm_bo->list.gpuva)
		return NULL;
	return smr_list_entry(link, struct gpuva, gem.entry);
}

struct gpuva *gpuvm_bo_first_va(const struct gpuvm_bo *vm_bo)
{
	return gpuvm_bo_next_va(vm_bo, NULL);
}

void smr_gpuvm_bo_hide(struct gpuvm_bo *vm_bo)
{
	smr_assert(mt_lock_held(&vm_bo->obj->lock));
	/* ORDER epoch: see base/order.h. PARTNER smr_gpuva_is_gone(). */
	smr_store(&vm_bo->epoch, vm_bo->epoch + 1, ORDER(epoch, release));
}
