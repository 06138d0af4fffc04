/* SPDX-License-Identifier: MIT */
/*
 * Changes the index, a VM's tree.
 *
 * Each change is one store. That includes a remap: it takes what is vacated out of the middle, and
 * gives the edges that are left of the old mapping to the new ones (tree/edges.h).
 *
 * A removal that finds no node replaces the entry instead, by an empty marker over exactly the same
 * range: that is one slot of a leaf, and needs no node. Until gpuvm_sweep() or a change over the
 * same place, gaps beside the marker are not merged, which costs a slot. vm->markers is exactly how
 * many there are: a store subtracts those that it covers.
 */
#include "gpuvm/batch.h"
#include "gpuvm/change.h"
#include "gpuvm/split.h"
#include "lock/section.h"
#include "tree/credits.h"
#include "tree/store.h"

#include <errno.h>

void smr_gpuvm_count(struct gpuvm *vm, unsigned long in, unsigned long out)
{
	struct smri_batch *b = smri_batch_of(vm);

	smr_store(&vm->nr_vas, vm->nr_vas + in - out, RELAXED);
	if (b) {
		/*
		 * Most often about as many come as go. The end of the walk makes up for the
		 * difference.
		 */
		b->in += in;
		b->out += out;
		return;
	}
	for (; in > out; in--)
		gpuvm_get(vm);
	for (; out > in; out--)
		gpuvm_put(vm);
}

/* ---- One store ---- */

static int store_unpaid(struct ma_state *mas, uint64_t first, uint64_t last, void *entry,
			struct smr_edges edges)
{
	int err;

	__mas_set_range(mas, first, last);
	err = smr_store_in_place(mas, entry, edges, GFP_NOWAIT | __GFP_NOWARN);
	if (err != -ENOMEM || smr_in_section())
		return err;
	return smr_store_in_place(mas, entry, edges, GFP_KERNEL);
}

int smri_gpuvm_clear_unpaid(struct gpuvm *vm, struct ma_state *mas, uint64_t first, uint64_t last,
			    struct smr_edges edges)
{
	long markers = smr_gpuvm_markers_under(vm, &vm->tree, first, last);
	int err = store_unpaid(mas, first, last, NULL, edges);

	if (!err)
		vm->markers -= (unsigned long)markers;
	return err;
}

bool smri_gpuvm_is_paid(const struct gpuvm *vm)
{
	return vm->credits.begun > 0 && vm->credits.left > 0;
}

int smri_gpuvm_store(struct gpuvm *vm, struct ma_state *mas, uint64_t first, uint64_t last,
		     void *entry, struct smr_edges edges)
{
	long markers = smr_gpuvm_markers_under(vm, &vm->tree, first, last);
	int err;

	if (smri_gpuvm_is_paid(vm)) {
		__mas_set_range(mas, first, last);
		err = smr_store_credit(mas, entry, edges, &vm->credits);
	} else {
		err = store_unpaid(mas, first, last, entry, edges);
	}
	if (!err)
		vm->markers -= (unsigned long)markers;
	return err;
}

/* ---- Mappings ---- */

void gpuva_init(struct gpuva *va, uint64_t addr, uint64_t range, struct gpuvm_object *obj,
		uint64_t offset)
{
	va->va.addr = addr;
	va->va.range = range;
	va->gem.obj = obj;
	va->gem.offset = offset;
}

void gpuva_init_from_op(struct gpuva *va, const struct gpuva_op_map *op)
{
	gpuva_init(va, op->va.addr, op->va.range, op->gem.obj, op->gem.offset);
}

/* Inserts into a free place: 0, -EINVAL, -EEXIST, -ENOMEM. */
static int insert_unbatched(struct gpuvm *vm, struct gpuva *va)
{
	struct ma_state mas;
	int err = smr_gpuvm_check(vm, va->va.addr, va->va.range, va->gem.obj, va->gem.offset);

	if (err)
		return err;
	if (smr_gpuvm_first(vm, va->va.addr, smr_va_last(va)))
		return -EEXIST;
	mas_init(&mas, &vm->tree, va->va.addr);
	return smri_gpuvm_store(vm, &mas, va->va.addr, smr_va_last(va), va, SMR_NO_EDGES);
}

int gpuva_insert(struct gpuvm *vm, struct gpuva *va)
{
	struct gpuvm *before = va->vm;
	int err;

	smr_gpuvm_check_user(vm);
	va->vm = vm;
	err = smri_batch_map(vm, va);
	if (err == 0)
		err = insert_unbatched(vm, va);
	if (err < 0) {
		va->vm = before;
		return err;
	}
	smr_gpuvm_count(vm, 1, 0);
	return 0;
}

void smr_gpuvm_leave_marker(struct gpuvm *vm, uint64_t first, uint64_t last)
{
	struct ma_state mas;
	int err;

	smr_assert(gpuvm_is_locked(vm));
	mas_init(&mas, &vm->tree, first);
	mas.last = last;
	err = mas_store_gfp(&mas, XA_ZERO_ENTRY, GFP_NOWAIT | __GFP_NOWARN);
	smr_assert(!err);
	(void)err;
	vm->markers++;
}

void smr_gpuvm_leave_markers(struct gpuvm *vm, uint64_t first, uint64_t last)
{
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &vm->tree, first);
	while ((entry = mas_find(&mas, last)))
		if (!xa_is_zero(entry))
			smr_gpuvm_leave_marker(vm, mas.index, mas.last);
}

/* Never uses what was reserved: that is for changes whose number is bounded. */
static void remove_unbatched(struct gpuvm *vm, uint64_t first, uint64_t last)
{
	struct ma_state mas;

	mas_init(&mas, &vm->tree, first);
	if (smri_gpuvm_clear_unpaid(vm, &mas, first, last, SMR_NO_EDGES))
		smr_gpuvm_leave_marker(vm, first, last);
}

void gpuva_remove(struct gpuva *va)
{
	struct gpuvm *vm = va->vm;

	smr_gpuvm_check_user(vm);
	smr_assert(va != &vm->kernel_alloc_node);
	if (va == &vm->kernel_alloc_node)
		return;
	if (!smri_batch_unmap(va))
		remove_unbatched(vm, va->va.addr, smr_va_last(va));
	smr_gpuvm_count(vm, 0, 1);
}

int gpuva_map(struct gpuvm *vm, struct gpuva *va, const struct gpuva_op_map *op)
{
	gpuva_init_from_op(va, op);
	return gpuva_insert(vm, va);
}

/* Makes all of a remap in one store: 0 or -ENOMEM. */
static int remap_unbatched(struct gpuvm *vm, struct gpuva *prev, struct gpuva *next,
			   const struct gpuva_op_remap *op)
{
	struct smr_edges edges = { op->prev ? prev : NULL, op->next ? next : NULL };
	uint64_t start, range;
	struct ma_state mas;

	gpuva_op_remap_to_unmap_range(op, &start, &range);
	mas_init(&mas, &vm->tree, start);
	return smri_gpuvm_store(vm, &mas, start, start + (range - 1), NULL, edges);
}

static void init_part(struct gpuva *va, const struct gpuva_op_map *part, struct gpuvm *vm)
{
	if (!part)
		return;
	gpuva_init_from_op(va, part);
	va->vm = vm;
}

int gpuva_remap(struct gpuva *prev, struct gpuva *next, const struct gpuva_op_remap *op)
{
	struct gpuvm *vm = op->unmap->va->vm;
	struct gpuvm *prev_vm = op->prev ? prev->vm : NULL;
	struct gpuvm *next_vm = op->next ? next->vm : NULL;
	int err;

	smr_gpuvm_check_user(vm);
	smr_assert(op->prev || op->next);
	init_part(prev, op->prev, vm);
	init_part(next, op->next, vm);
	err = smri_batch_remap(prev, next, op);
	if (err == 0)
		err = remap_unbatched(vm, prev, next, op);
	if (err < 0) {
		if (op->prev)
			prev->vm = prev_vm;
		if (op->next)
			next->vm = next_vm;
		return err;
	}
	smr_gpuvm_count(vm, (op->prev != NULL) + (op->next != NULL), 1);
	return 0;
}

void gpuva_unmap(const struct gpuva_op_unmap *op)
{
	gpuva_remove(op->va);
}

/* ---- Markers ---- */

long smri_gpuvm_count_markers(struct maple_tree *mt, uint64_t first, uint64_t last)
{
	struct ma_state mas;
	void *entry;
	long nr = 0;

	mas_init(&mas, mt, first);
	while ((entry = mas_find(&mas, last)) != NULL) {
		if (!xa_is_zero(entry))
			continue;
		/* A marker that reaches beyond both ends leaves two, beyond one end one. */
		nr += mas.index >= first && mas.last <= last;
		nr -= mas.index < first && mas.last > last;
	}
	return nr;
}

int gpuvm_sweep(struct gpuvm *vm)
{
	struct ma_state mas, clear;
	void *entry;
	int err = 0;

	smr_gpuvm_check_user(vm);
	smr_gpuvm_flush_batch(vm);
	mas_init(&mas, &vm->tree, 0);
	while (!err && vm->markers > 0 && (entry = mas_find(&mas, UINT64_MAX)) != NULL)
		if (xa_is_zero(entry)) {
			mas_init(&clear, &vm->tree, mas.index);
			err = smri_gpuvm_clear_unpaid(vm, &clear, mas.index, mas.last,
						      SMR_NO_EDGES);
		}
	return err;
}
