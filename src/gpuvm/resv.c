/* SPDX-License-Identifier: MIT */
/*
 * Reservation locks. The fences are in an array, in no order; signalled ones are dropped when room
 * is wanted. A promised slot is room in the array that no other thread gets; the promise ends when
 * the lock is released.
 */
#include "base/base.h"
#include "base/park.h"
#include "lock/rank.h"
#include "mem/heap.h"

#include <errno.h>
#include <samara/fence.h>
#include <samara/gpuvm.h>
#include <string.h>

void gpuvm_resv_init(struct gpuvm_resv *resv)
{
	*resv = (struct gpuvm_resv){ .lock = SMR_LOCK_INIT(RESV) };
}

void gpuvm_resv_fini(struct gpuvm_resv *resv)
{
	for (unsigned int i = 0; i < resv->nr; i++)
		fence_put(resv->fence[i].fence);
	smr_heap_free(resv->fence);
	resv->fence = NULL;
	resv->nr = resv->room = 0;
}

void gpuvm_resv_lock(struct gpuvm_resv *resv)
{
	mt_lock_acquire(&resv->lock);
}

bool gpuvm_resv_trylock(struct gpuvm_resv *resv)
{
	return mt_lock_try(&resv->lock);
}

void gpuvm_resv_unlock(struct gpuvm_resv *resv)
{
	resv->reserved = 0;
	mt_lock_release(&resv->lock);
}

bool gpuvm_resv_is_held(const struct gpuvm_resv *resv)
{
	return mt_lock_held(&resv->lock);
}

static void drop_signaled(struct gpuvm_resv *resv)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < resv->nr; i++) {
		if (fence_is_signaled(resv->fence[i].fence))
			fence_put(resv->fence[i].fence);
		else
			resv->fence[kept++] = resv->fence[i];
	}
	resv->nr = kept;
}

static int grow(struct gpuvm_resv *resv, unsigned int room)
{
	struct gpuvm_resv_fence *fence = smr_heap_alloc(room * sizeof(*fence));

	if (!fence)
		return -ENOMEM;
	if (resv->nr > 0)
		memcpy(fence, resv->fence, resv->nr * sizeof(*fence));
	smr_heap_free(resv->fence);
	resv->fence = fence;
	resv->room = room;
	return 0;
}

/* Returns true if there is room for @nr more, and then for @spare. */
static bool has_room(const struct gpuvm_resv *resv, unsigned int nr, unsigned int spare)
{
	unsigned int left = resv->room - resv->nr - resv->reserved;

	return left >= nr && left - nr >= spare;
}

int gpuvm_resv_reserve(struct gpuvm_resv *resv, unsigned int nr)
{
	unsigned int want;

	smr_assert(gpuvm_resv_is_held(resv));
	if (!has_room(resv, nr, 0)) {
		drop_signaled(resv);
		want = resv->nr + resv->reserved;
		if (__builtin_add_overflow(want, nr, &want) || want > UINT32_MAX / 2)
			return -ENOMEM;
		/* With some room to spare, or all fences would soon be looked at again. */
		if (!has_room(resv, nr, resv->room / 4) &&
		    grow(resv, want < 4 ? 4 : want + want / 2) && !has_room(resv, nr, 0))
			return -ENOMEM;
	}
	resv->reserved += nr;
	return 0;
}

void gpuvm_resv_add(struct gpuvm_resv *resv, struct fence *f, enum gpuvm_usage usage)
{
	smr_assert(gpuvm_resv_is_held(resv) && resv->reserved > 0);
	resv->reserved--;
	resv->fence[resv->nr++] = (struct gpuvm_resv_fence){ fence_get(f), usage };
}

/*
 * Returns a fence to wait for, with a reference, or NULL. Looks from *@at on, and then at those
 * before it: most often they are signalled in order, so a wait for many looks at each once or
 * twice.
 */
static struct fence *next_fence(struct gpuvm_resv *resv, enum gpuvm_usage usage, unsigned int *at)
{
	bool held = gpuvm_resv_is_held(resv);
	struct fence *f = NULL;

	if (!held)
		mt_lock_acquire(&resv->lock);
	for (unsigned int i = 0; i < resv->nr && !f; i++) {
		const struct gpuvm_resv_fence *slot;

		*at = *at < resv->nr ? *at : 0;
		slot = &resv->fence[(*at)++];
		if (slot->usage <= usage && !fence_is_signaled(slot->fence))
			f = fence_get(slot->fence);
	}
	if (!held)
		mt_lock_release(&resv->lock);
	return f;
}

/*
 * Also waits for fences that come while it waits: to note those there at first would take memory.
 */
int gpuvm_resv_wait(struct gpuvm_resv *resv, enum gpuvm_usage usage, int64_t timeout_ns)
{
	uint64_t begin = smr_now(), gone;
	int64_t left = timeout_ns;
	unsigned int at = 0;
	struct fence *f;
	int err = 0;

	while (!err && (f = next_fence(resv, usage, &at)) != NULL) {
		if (timeout_ns > 0) {
			gone = smr_now() - begin;
			left = gone < (uint64_t)timeout_ns ? timeout_ns - (int64_t)gone : 0;
		}
		err = fence_wait(f, left);
		fence_put(f);
	}
	return err;
}
