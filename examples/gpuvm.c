/* SPDX-License-Identifier: MIT */
/*
 * A GPU address space driven by its user. Buffers are mapped over each other; the library works out
 * the steps, which carry the change out and tell the (here imaginary) page tables. A fault handler
 * looks up addresses without a lock.
 */
#include <samara/gpuvm.h>
#include <stdlib.h>

#include "expect.h"

/* What a driver keeps with each mapping. */
struct mapping {
	struct gpuva va; /* first */
	struct mapping *gone;
};

static struct address_space {
	struct gpuvm vm; /* first */
	struct mapping *gone;
	unsigned long written, cleared; /* in pages of the page tables */
} as;

static struct gpuva *new_mapping(void)
{
	struct mapping *mapping = calloc(1, sizeof(*mapping));

	EXPECT(mapping);
	return &mapping->va;
}

/*
 * Defers the freeing of a mapping that has left the VM: a fault handler may still be looking at it.
 */
static void retire(struct gpuva *va)
{
	struct mapping *mapping = (struct mapping *)va;

	mapping->gone = as.gone;
	as.gone = mapping;
}

static void free_retired(void)
{
	gpuvm_synchronize(&as.vm);
	while (as.gone) {
		struct mapping *next = as.gone->gone;

		free(as.gone);
		as.gone = next;
	}
}

static void link_to(struct gpuva *va, struct gpuvm_bo *pair)
{
	gpuvm_object_lock(va->gem.obj);
	gpuva_link(va, pair);
	gpuvm_object_unlock(va->gem.obj);
}

static void unlink_it(struct gpuva *va)
{
	gpuvm_object_lock(va->gem.obj);
	gpuva_unlink(va);
	gpuvm_object_unlock(va->gem.obj);
}

/* ---- The steps ---- */

static int step_map(struct gpuva_op *op, void *priv)
{
	struct gpuvm_bo *pair = priv;
	struct gpuva *va = new_mapping();
	int err = gpuva_map(&as.vm, va, &op->map);

	if (err) {
		free(va);
		return err;
	}
	link_to(va, pair);
	as.written += op->map.va.range;
	return 0;
}

static int step_unmap(struct gpuva_op *op, void *priv)
{
	struct gpuva *va = op->unmap.va;

	(void)priv;
	gpuva_unmap(&op->unmap);
	unlink_it(va);
	if (!op->unmap.keep)
		as.cleared += va->va.range;
	retire(va);
	return 0;
}

/*
 * New mappings take over what is left of the old one. They are linked before the old one goes,
 * since the VM/object pair would otherwise go with it.
 */
static int step_remap(struct gpuva_op *op, void *priv)
{
	struct gpuva *old = op->remap.unmap->va;
	struct gpuva *prev = op->remap.prev ? new_mapping() : NULL;
	struct gpuva *next = op->remap.next ? new_mapping() : NULL;
	int err = gpuva_remap(prev, next, &op->remap);
	uint64_t range;

	(void)priv;
	if (err) {
		free(prev);
		free(next);
		return err;
	}
	if (prev)
		link_to(prev, old->vm_bo);
	if (next)
		link_to(next, old->vm_bo);
	unlink_it(old);
	gpuva_op_remap_to_unmap_range(&op->remap, NULL, &range);
	if (!op->remap.unmap->keep)
		as.cleared += range;
	retire(old);
	return 0;
}

static void vm_free(struct gpuvm *vm)
{
	(void)vm; /* it is static */
}

static const struct gpuvm_ops ops = {
	.vm_free = vm_free,
	.sm_step_map = step_map,
	.sm_step_remap = step_remap,
	.sm_step_unmap = step_unmap,
};

/* ---- Use ---- */

static int map(uint64_t page, uint64_t pages, struct gpuvm_object *buffer, uint64_t offset)
{
	struct gpuvm_bo *pair = gpuvm_bo_obtain(&as.vm, buffer);
	int err;

	EXPECT(pair);
	gpuvm_lock(&as.vm);
	err = gpuvm_sm_map(&as.vm, pair, page, pages, buffer, offset);
	gpuvm_unlock(&as.vm);
	gpuvm_bo_put(pair);
	return err;
}

/*
 * Answers a fault with the buffer and the page in it. Any thread, no lock. The mapping holds the
 * buffer until the section ends; to use it after that, take a reference.
 */
static struct gpuvm_object *fault(uint64_t page, uint64_t *offset)
{
	struct gpuvm_object *buffer = NULL;
	struct gpuva *va;

	gpuvm_read_lock(&as.vm);
	va = gpuvm_find(&as.vm, page);
	if (va) {
		buffer = gpuvm_object_get(va->gem.obj);
		*offset = va->gem.offset + (page - va->va.addr);
	}
	gpuvm_read_unlock(&as.vm);
	return buffer;
}

/* Whether a fault at @page leads to page @offset of @buffer. */
static bool faults_in(uint64_t page, const struct gpuvm_object *buffer, uint64_t offset)
{
	uint64_t at = 0;
	struct gpuvm_object *found = fault(page, &at);

	gpuvm_object_put(found);
	return found == buffer && at == offset;
}

int main(void)
{
	struct gpuvm_object root, texture, vertices;

	gpuvm_object_init(&root, 0, NULL, NULL);
	gpuvm_object_init(&texture, 0x100, root.resv, NULL);
	gpuvm_object_init(&vertices, 0x10, root.resv, NULL);
	/* 2^36 pages, of which the first 16 are the kernel's. */
	EXPECT(gpuvm_init(&as.vm, "example", 0, NULL, &root, 0, UINT64_C(1) << 36, 0, 0x10, &ops) ==
	       0);
	EXPECT(map(0x8, 0x10, &texture, 0) < 0);
	EXPECT(map(0x100, 0x40, &texture, 0) == 0);
	/* Into the middle of the texture, which is cut in two. */
	EXPECT(map(0x110, 0x10, &vertices, 0) == 0);
	EXPECT(faults_in(0x10f, &texture, 0xf));
	EXPECT(faults_in(0x118, &vertices, 0x8));
	EXPECT(faults_in(0x120, &texture, 0x20));
	EXPECT(as.cleared == 0x10);
	/* The texture as it was before: the parts that it continues are kept. */
	EXPECT(map(0x100, 0x40, &texture, 0) == 0);
	EXPECT(as.cleared == 0x20 && faults_in(0x118, &texture, 0x18));

	gpuvm_lock(&as.vm);
	EXPECT(gpuvm_sm_unmap(&as.vm, NULL, 0x10, 0x1000) == 0);
	EXPECT(gpuvm_interval_empty(&as.vm, 0x10, 0x1000));
	gpuvm_unlock(&as.vm);
	free_retired();
	gpuvm_put(&as.vm);
	gpuvm_object_put(&texture);
	gpuvm_object_put(&vertices);
	gpuvm_object_put(&root);
	printf("%lu pages written, %lu cleared\n", as.written, as.cleared);
	return 0;
}
