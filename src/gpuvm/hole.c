/* SPDX-License-Identifier: MIT */
/*
 * Finds free places. The tree knows its largest gaps, so the search goes from one gap that is large
 * enough to the next, until one holds an aligned place. After one that holds none it goes on from
 * the next multiple of the alignment, whatever gaps are in between. A gap is a place without an
 * entry, so markers are swept first. If there is no memory to sweep them, the search goes from
 * mapping to mapping, and what lies between is free.
 */
#include "gpuvm/batch.h"

#include <errno.h>

struct want {
	uint64_t size, align; /* align is a power of two */
	uint64_t min, last;   /* where the place may be */
	enum gpuvm_hole where;
};

/* Finds the lowest (or highest) aligned place in the free range [first, last]; false: none. */
static bool place_in(const struct want *w, uint64_t first, uint64_t last, uint64_t *addr)
{
	uint64_t mask = w->align - 1, hi;

	first = first > w->min ? first : w->min;
	last = last < w->last ? last : w->last;
	if (first > last || last - first < w->size - 1)
		return false;
	hi = (last - (w->size - 1)) & ~mask;
	if (hi < first)
		return false;
	*addr = w->where == GPUVM_HOLE_HIGH ? hi : first + (-first & mask);
	return true;
}

/* Moves @w past the gap [first, last], to the next aligned place; false: none is left. */
static bool skip_gap(struct want *w, uint64_t first, uint64_t last)
{
	uint64_t mask = w->align - 1, from = last + 1;

	if (w->where == GPUVM_HOLE_HIGH) {
		if (first <= w->min || first < w->size)
			return false;
		w->last = ((first - w->size) & ~mask) + (w->size - 1);
		return true;
	}
	if (last >= w->last)
		return false;
	w->min = from + (-from & mask);
	return w->min >= from;
}

static int search_gaps(struct maple_tree *mt, struct want *w, uint64_t *addr)
{
	bool high = w->where == GPUVM_HOLE_HIGH;
	struct ma_state mas;

	while (w->min <= w->last && w->last - w->min >= w->size - 1) {
		mas_init(&mas, mt, w->min);
		if (high ? mas_empty_area_rev(&mas, w->min, w->last, w->size)
			 : mas_empty_area(&mas, w->min, w->last, w->size))
			return -ENOSPC;
		/* Finds all of the gap: that was only its lowest or highest place. */
		mas_walk(&mas);
		if (place_in(w, mas.index, mas.last, addr))
			return 0;
		if (!skip_gap(w, mas.index, mas.last))
			return -ENOSPC;
	}
	return -ENOSPC;
}

static int search_mappings(struct gpuvm *vm, const struct want *w, uint64_t *addr)
{
	uint64_t from = w->min;
	const struct gpuva *va;
	int err = -ENOSPC;

	for (; from <= w->last; from = smr_va_last(va) + 1) {
		va = smr_gpuvm_first(vm, from, w->last);
		if ((!va || va->va.addr > from) &&
		    place_in(w, from, va ? va->va.addr - 1 : w->last, addr)) {
			err = 0;
			if (w->where == GPUVM_HOLE_LOW)
				break;
		}
		if (!va)
			break;
	}
	return err;
}

/*
 * Returns true if no marker is left. Sweeps, which may block, only where no queues take the lock in
 * their sections.
 */
static bool sweep_markers(struct gpuvm *vm)
{
	return vm->markers == 0 || (!vm->queues && !gpuvm_sweep(vm));
}

int gpuvm_find_hole(struct gpuvm *vm, uint64_t *addr, uint64_t size, uint64_t align, uint64_t start,
		    uint64_t end, enum gpuvm_hole where)
{
	uint64_t mm_end = vm->mm_start + vm->mm_range;
	struct want w = { size, align > vm->align ? align : vm->align, start, 0, where };
	bool lock = vm->queues && !gpuvm_is_locked(vm);
	int err;

	if (size == 0 || (align & (align - 1)))
		return -EINVAL;
	w.min = start > vm->mm_start ? start : vm->mm_start;
	end = end < mm_end ? end : mm_end;
	if (end <= w.min || end - w.min < size)
		return -ENOSPC;
	w.last = end - 1;
	if (lock)
		gpuvm_lock(vm);
	smr_assert(gpuvm_is_locked(vm));
	smr_gpuvm_flush_batch(vm);
	err = sweep_markers(vm) ? search_gaps(&vm->tree, &w, addr) : search_mappings(vm, &w, addr);
	if (lock)
		gpuvm_unlock(vm);
	return err;
}
