/* SPDX-License-Identifier: MIT */
/* The lists of external and of evicted pairs: see vm_lists.h. */
#include "gpuvm/vm_lists.h"
#include "base/ref.h"

void smri_lists_lock(struct gpuvm *vm)
{
	if (gpuvm_resv_protected(vm))
		gpuvm_resv_assert_held(vm);
	else
		mt_lock_acquire(&vm->list_lock);
}

void smri_lists_unlock(struct gpuvm *vm)
{
	if (!gpuvm_resv_protected(vm))
		mt_lock_release(&vm->list_lock);
}

static void add_once(struct gpuvm_list *head, struct gpuvm_list *link)
{
	if (smr_list_empty(link))
		smr_list_append(head, link);
}

void smri_evict_add(struct gpuvm_bo *vm_bo)
{
	add_once(&vm_bo->vm->evict.list, &vm_bo->list.evict);
}

void gpuvm_bo_extobj_add(struct gpuvm_bo *vm_bo)
{
	struct gpuvm *vm = vm_bo->vm;

	smri_lists_lock(vm);
	if (gpuvm_is_extobj(vm, vm_bo->obj))
		add_once(&vm->extobj.list, &vm_bo->list.extobj);
	smri_lists_unlock(vm);
}

void gpuvm_bo_evict(struct gpuvm_bo *vm_bo, bool evict)
{
	struct gpuvm *vm = vm_bo->vm;

	smr_assert(gpuvm_resv_is_held(vm_bo->obj->resv));
	vm_bo->evicted = evict;
	/* The mover of an external object does not hold the lock of every VM that maps it. */
	if (gpuvm_resv_protected(vm) && gpuvm_is_extobj(vm, vm_bo->obj))
		return;
	smri_lists_lock(vm);
	if (evict)
		smri_evict_add(vm_bo);
	else
		smr_list_remove(&vm_bo->list.evict);
	smri_lists_unlock(vm);
}

void gpuvm_bo_gem_evict(struct gpuvm_object *obj, bool evict)
{
	struct gpuvm_list *link;

	smr_assert(gpuvm_resv_is_held(obj->resv));
	gpuvm_object_lock(obj);
	smr_list_for_each(link, &obj->pairs)
		gpuvm_bo_evict(smr_list_entry(link, struct gpuvm_bo, list.gem), evict);
	gpuvm_object_unlock(obj);
}

/* ---- Walks ---- */

static struct gpuvm_list *head_of(struct smri_walk *w)
{
	return w->evict ? &w->vm->evict.list : &w->vm->extobj.list;
}

static bool *iterating(struct smri_walk *w)
{
	return w->evict ? &w->vm->evict.iterating : &w->vm->extobj.iterating;
}

static struct gpuvm_bo *pair_of(const struct smri_walk *w, struct gpuvm_list *link)
{
	return w->evict ? smr_list_entry(link, struct gpuvm_bo, list.evict)
			: smr_list_entry(link, struct gpuvm_bo, list.extobj);
}

void smri_walk_begin(struct smri_walk *w, struct gpuvm *vm, bool evict)
{
	*w = (struct smri_walk){ .vm = vm, .evict = evict };
	smr_list_init(&w->passed);
	smri_lists_lock(vm);
	smr_assert(!*iterating(w));
	*iterating(w) = true;
	smri_lists_unlock(vm);
}

struct gpuvm_bo *smri_walk_next(struct smri_walk *w)
{
	struct gpuvm_bo *before = w->vm_bo, *vm_bo;
	struct gpuvm_list *head = head_of(w), *link;

	w->vm_bo = NULL;
	smri_lists_lock(w->vm);
	while (!w->vm_bo && !smr_list_empty(head)) {
		link = head->next;
		vm_bo = pair_of(w, link);
		smr_list_remove(link);
		/* A pair without references is about to leave the list by itself. */
		if (!smr_ref_try_get(&vm_bo->refs))
			continue;
		smr_list_append(&w->passed, link);
		w->vm_bo = vm_bo;
	}
	smri_lists_unlock(w->vm);
	gpuvm_bo_put(before);
	return w->vm_bo;
}

void smri_walk_end(struct smri_walk *w)
{
	smri_lists_lock(w->vm);
	smr_list_prepend_all(head_of(w), &w->passed);
	*iterating(w) = false;
	smri_lists_unlock(w->vm);
	gpuvm_bo_put(w->vm_bo);
}
