/* SPDX-License-Identifier: MIT */
/*
 * Takes many reservation locks without a lock ordering among them.
 *
 * A transaction waits only for its first lock; it tries all others. One that another thread has is
 * *contended*: the transaction releases everything, waits for that one with nothing held, and
 * begins again with it held. So no transaction ever waits while it holds a lock, and there can be
 * no deadlock. Locks are told apart by resv, since objects may share one.
 */
#include "gpuvm/batch.h"
#include "gpuvm/vm_lists.h"
#include "lock/mutex.h"
#include "mem/heap.h"

#include <errno.h>
#include <string.h>

/*
 * For the library's own use between the parts of a transaction: a lock is contended, begin again.
 */
enum { CONTENDED = -EDEADLK };

/* ---- Locks held ---- */

static int make_room(struct gpuvm_exec *exec)
{
	unsigned int room = exec->room ? 2 * exec->room : 8;
	struct gpuvm_object **locked;

	if (exec->nr < exec->room)
		return 0;
	if (room < exec->room)
		return -ENOMEM;
	locked = smr_heap_alloc(room * sizeof(struct gpuvm_object *));
	if (!locked)
		return -ENOMEM;
	if (exec->nr > 0)
		memcpy(locked, exec->locked, exec->nr * sizeof(struct gpuvm_object *));
	smr_heap_free(exec->locked);
	exec->locked = locked;
	exec->room = room;
	return 0;
}

/* Puts no object before all are unlocked: the last put frees it, which may take locks. */
static void unlock_all(struct gpuvm_exec *exec)
{
	for (unsigned int i = exec->nr; i > 0; i--)
		gpuvm_resv_unlock(exec->locked[i - 1]->resv);
	while (exec->nr > 0)
		gpuvm_object_put(exec->locked[--exec->nr]);
}

/* Waits for a lock while holding none. */
static int wait_for(struct gpuvm_exec *exec, struct gpuvm_object *obj)
{
	if (exec->flags & GPUVM_EXEC_INTERRUPTIBLE)
		return smr_lock_acquire_intr(&obj->resv->lock);
	gpuvm_resv_lock(obj->resv);
	return 0;
}

/*
 * Returns true if a lock is contended and has not been waited for. One that has been is the first
 * of those locked.
 */
static bool is_contended(const struct gpuvm_exec *exec)
{
	return exec->contended && (exec->nr == 0 || exec->locked[0] != exec->contended);
}

static int lock_obj(struct gpuvm_exec *exec, struct gpuvm_object *obj)
{
	int err;

	if (is_contended(exec))
		return CONTENDED;
	if (exec->contended && exec->contended->resv == obj->resv) {
		/* Asked for at last. */
		exec->contended = NULL;
		return 0;
	}
	if (gpuvm_resv_is_held(obj->resv))
		return exec->flags & GPUVM_EXEC_IGNORE_DUPLICATES ? 0 : -EALREADY;
	err = make_room(exec);
	if (err)
		return err;
	if (!gpuvm_resv_trylock(obj->resv)) {
		if (exec->nr > 0) {
			exec->contended = gpuvm_object_get(obj);
			return CONTENDED;
		}
		err = wait_for(exec, obj);
		if (err)
			return err;
	}
	exec->locked[exec->nr++] = gpuvm_object_get(obj);
	return 0;
}

int gpuvm_exec_prepare_obj(struct gpuvm_exec *exec, struct gpuvm_object *obj, unsigned int nr)
{
	int err = lock_obj(exec, obj);

	return err || nr == 0 ? err : gpuvm_resv_reserve(obj->resv, nr);
}

/* ---- Parts of a transaction ---- */

int gpuvm_prepare_vm(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr)
{
	return gpuvm_exec_prepare_obj(exec, vm->r_obj, nr);
}

/*
 * Under the VM's resv the list does not change. External pairs that have been evicted join the list
 * of evicted pairs.
 */
static int prepare_protected(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr)
{
	struct gpuvm_list *link;
	int err;

	gpuvm_resv_assert_held(vm);
	smr_list_for_each(link, &vm->extobj.list)
	{
		struct gpuvm_bo *vm_bo = smr_list_entry(link, struct gpuvm_bo, list.extobj);

		err = gpuvm_exec_prepare_obj(exec, vm_bo->obj, nr);
		if (err)
			return err;
		if (vm_bo->evicted)
			smri_evict_add(vm_bo);
	}
	return 0;
}

int gpuvm_prepare_objects(struct gpuvm *vm, struct gpuvm_exec *exec, unsigned int nr)
{
	struct gpuvm_bo *vm_bo;
	struct smri_walk walk;
	int err = 0;

	if (gpuvm_resv_protected(vm))
		return prepare_protected(vm, exec, nr);
	smri_walk_begin(&walk, vm, false);
	while (!err && (vm_bo = smri_walk_next(&walk)) != NULL)
		err = gpuvm_exec_prepare_obj(exec, vm_bo->obj, nr);
	smri_walk_end(&walk);
	return err;
}

int gpuvm_prepare_range(struct gpuvm *vm, struct gpuvm_exec *exec, uint64_t addr, uint64_t range,
			unsigned int nr)
{
	struct smr_split s;
	const struct gpuva *va;
	unsigned long last;
	int err = 0;

	smr_assert(gpuvm_is_locked(vm));
	if (!smr_clamp_range(addr, range, &last))
		return 0;
	smr_gpuvm_flush_batch(vm);
	smr_split_begin(&s, vm, &vm->tree, addr, last - addr + 1, NULL);
	while (!err && (va = smr_split_next_va(&s)) != NULL)
		if (va->gem.obj)
			err = gpuvm_exec_prepare_obj(exec, va->gem.obj, nr);
	return err;
}

/* ---- Transactions ---- */

/* What a transaction must lock. */
struct want {
	struct gpuvm_object *const *objs;
	unsigned int nr;
	uint64_t addr, range; /* if there is a range, only that */
};

static int lock_wanted(struct gpuvm_exec *exec, const struct want *want)
{
	int err;

	if (want->range > 0)
		return gpuvm_prepare_range(exec->vm, exec, want->addr, want->range,
					   exec->num_fences);
	err = gpuvm_prepare_vm(exec->vm, exec, exec->num_fences);
	if (!err)
		err = gpuvm_prepare_objects(exec->vm, exec, exec->num_fences);
	for (unsigned int i = 0; !err && i < want->nr; i++)
		err = gpuvm_exec_prepare_obj(exec, want->objs[i], exec->num_fences);
	if (!err && exec->extra.fn)
		err = exec->extra.fn(exec);
	return err;
}

/* Releases everything and takes what was contended. Its reference becomes that of a locked one. */
static int begin_again(struct gpuvm_exec *exec)
{
	struct gpuvm_object *obj = exec->contended;
	int err;

	unlock_all(exec);
	err = wait_for(exec, obj);
	if (err) {
		exec->contended = NULL;
		gpuvm_object_put(obj);
		return err;
	}
	exec->locked[exec->nr++] = obj;
	return 0;
}

/*
 * Releases what has been waited for and was then not asked for again, such as an external object
 * whose pair has gone meanwhile. It has no slots, so it must not count as locked. The reference may
 * be the last, and is kept until nothing is locked.
 */
static void drop_unasked(struct gpuvm_exec *exec)
{
	exec->unasked = exec->locked[0];
	exec->locked[0] = exec->locked[--exec->nr];
	gpuvm_resv_unlock(exec->unasked->resv);
}

static void begin(struct gpuvm_exec *exec)
{
	exec->locked = NULL;
	exec->nr = exec->room = 0;
	exec->contended = exec->unasked = NULL;
}

static int lock_all(struct gpuvm_exec *exec, const struct want *want)
{
	int err;

	begin(exec);
	do {
		err = lock_wanted(exec, want);
		if (!is_contended(exec))
			break;
		err = begin_again(exec);
	} while (!err);
	if (exec->contended && !err)
		drop_unasked(exec);
	exec->contended = NULL;
	if (err)
		gpuvm_exec_unlock(exec);
	return err;
}

int gpuvm_exec_lock(struct gpuvm_exec *exec)
{
	return lock_all(exec, &(struct want){ .nr = 0 });
}

int gpuvm_exec_lock_array(struct gpuvm_exec *exec, struct gpuvm_object *const objs[],
			  unsigned int nr)
{
	return lock_all(exec, &(struct want){ .objs = objs, .nr = nr });
}

int gpuvm_exec_lock_range(struct gpuvm_exec *exec, uint64_t addr, uint64_t range)
{
	if (range > 0)
		return lock_all(exec, &(struct want){ .addr = addr, .range = range });
	begin(exec);
	return 0;
}

void gpuvm_exec_unlock(struct gpuvm_exec *exec)
{
	unlock_all(exec);
	gpuvm_object_put(exec->unasked);
	smr_heap_free(exec->locked);
	begin(exec);
}

/* ---- With all locked ---- */

/*
 * Returns true if the transaction has not locked the pair's object: an external pair may have come,
 * and have been evicted, since all were locked. A thread that evicts one holds the object's resv,
 * and need not hold the VM's.
 */
static bool is_pair_unlocked(const struct gpuvm_bo *vm_bo)
{
	return !gpuvm_resv_protected(vm_bo->vm) && !gpuvm_resv_is_held(vm_bo->obj->resv);
}

/*
 * Validates one pair. With GPUVM_RESV_PROTECTED an external pair leaves the list only here, where
 * its VM's resv is held as well as its own.
 */
static int validate_pair(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec)
{
	int err;

	if (is_pair_unlocked(vm_bo))
		return 0;
	err = vm_bo->vm->ops->vm_bo_validate(vm_bo, exec);
	if (!err && gpuvm_resv_protected(vm_bo->vm) && !vm_bo->evicted)
		smr_list_remove(&vm_bo->list.evict);
	return err;
}

int gpuvm_validate(struct gpuvm *vm, struct gpuvm_exec *exec)
{
	struct gpuvm_bo *vm_bo;
	struct smri_walk walk;
	int err = 0;

	if (!vm->ops->vm_bo_validate)
		return -EOPNOTSUPP;
	gpuvm_resv_assert_held(vm);
	smri_walk_begin(&walk, vm, true);
	while (!err && (vm_bo = smri_walk_next(&walk)) != NULL)
		err = validate_pair(vm_bo, exec);
	smri_walk_end(&walk);
	return err;
}

void gpuvm_resv_add_fence(struct gpuvm *vm, struct gpuvm_exec *exec, struct fence *f,
			  enum gpuvm_usage usage, enum gpuvm_usage ext_usage)
{
	for (unsigned int i = 0; i < exec->nr; i++) {
		struct gpuvm_object *obj = exec->locked[i];

		gpuvm_resv_add(obj->resv, f, gpuvm_is_extobj(vm, obj) ? ext_usage : usage);
	}
}
