/* SPDX-License-Identifier: MIT */
#include "gpuvm_toy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct toy *toy_of(struct gpuvm *vm)
{
	return (struct toy *)vm;
}

/* ---- Text ---- */

static void add(char *text, size_t size, size_t *len, const char *format, ...)
{
	va_list args;
	int n;

	if (*len >= size)
		return;
	va_start(args, format);
	n = vsnprintf(text + *len, size - *len, format, args);
	va_end(args);
	*len += (size_t)n;
}

static char letter(struct toy *toy, const struct gpuvm_object *obj)
{
	return obj ? (char)('A' + (obj - toy->objs)) : '-';
}

static void add_map(struct toy *toy, char *text, size_t size, size_t *len, uint64_t addr,
		    uint64_t range, const struct gpuvm_object *obj, uint64_t offset)
{
	add(text, size, len, "%" PRIx64 "+%" PRIx64 "=%c@%" PRIx64, addr, range, letter(toy, obj),
	    offset);
}

static void add_va(struct toy *toy, char *text, size_t size, size_t *len, const struct gpuva *va)
{
	add_map(toy, text, size, len, va->va.addr, va->va.range, va->gem.obj, va->gem.offset);
}

static void log_map(struct toy *toy, const struct gpuva_op_map *map)
{
	add_map(toy, toy->log, TOY_TEXT, &toy->log_len, map->va.addr, map->va.range, map->gem.obj,
		map->gem.offset);
}

static void log_unmap(struct toy *toy, const struct gpuva_op_unmap *unmap)
{
	add_va(toy, toy->log, TOY_TEXT, &toy->log_len, unmap->va);
	add(toy->log, TOY_TEXT, &toy->log_len, " k%d", unmap->keep);
}

void toy_log_op(struct toy *toy, const struct gpuva_op *op)
{
	add(toy->log, TOY_TEXT, &toy->log_len, "%s%c(", toy->log_len ? " " : "", "MRUP"[op->op]);
	switch (op->op) {
	case GPUVA_OP_MAP:
		log_map(toy, &op->map);
		break;
	case GPUVA_OP_UNMAP:
		log_unmap(toy, &op->unmap);
		break;
	case GPUVA_OP_REMAP:
		log_unmap(toy, op->remap.unmap);
		if (op->remap.prev) {
			add(toy->log, TOY_TEXT, &toy->log_len, " p:");
			log_map(toy, op->remap.prev);
		}
		if (op->remap.next) {
			add(toy->log, TOY_TEXT, &toy->log_len, " n:");
			log_map(toy, op->remap.next);
		}
		break;
	case GPUVA_OP_PREFETCH:
		add_va(toy, toy->log, TOY_TEXT, &toy->log_len, op->prefetch.va);
		break;
	}
	add(toy->log, TOY_TEXT, &toy->log_len, ")");
}

const char *toy_log(struct toy *toy)
{
	return toy->log_len ? toy->log : "(none)";
}

void toy_clear_log(struct toy *toy)
{
	toy->log_len = 0;
	toy->log[0] = 0;
	toy->steps = 0;
}

bool toy_markers_counted(const struct gpuvm *vm)
{
	MA_STATE(mas, (struct maple_tree *)(uintptr_t)&vm->tree, 0, 0);
	unsigned long nr = 0;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX)
		nr += xa_is_zero(entry);
	return nr == vm->markers;
}

void toy_dump(struct toy *toy, char *text, size_t size)
{
	struct gpuva *va;
	size_t len = 0;

	add(text, size, &len, "[");
	gpuvm_for_each_va(va, &toy->vm)
	{
		add(text, size, &len, len > 1 ? " " : "");
		add_va(toy, text, size, &len, va);
	}
	add(text, size, &len, "]");
}

void toy_print_va(struct toy *toy, const struct gpuva *va, char *text, size_t size)
{
	size_t len = 0;

	if (!va || va == &toy->vm.kernel_alloc_node)
		snprintf(text, size, "%s", va ? "K" : "NULL");
	else
		add_va(toy, text, size, &len, va);
}

/* ---- Mappings ---- */

struct gpuva *toy_new_va(struct toy *toy)
{
	struct toy_va *va = calloc(1, sizeof(*va));

	if (!va)
		exit(99);
	va->magic = TOY_ALIVE;
	va->born = ++toy->born;
	toy->live++;
	return &va->va;
}

void toy_bury(struct toy *toy, struct gpuva *va)
{
	struct toy_va *mine = (struct toy_va *)va;

	if (mine->magic != TOY_ALIVE)
		abort();
	mine->dead = toy->dead;
	toy->dead = mine;
}

void toy_reap(struct toy *toy)
{
	struct toy_va *va = toy->dead, *next;

	if (!va)
		return;
	gpuvm_synchronize(&toy->vm);
	toy->dead = NULL;
	for (; va; va = next) {
		next = va->dead;
		va->magic = TOY_DEAD;
		free(va);
		toy->live--;
	}
}

struct gpuvm_object *toy_obj(struct toy *toy, int index)
{
	return index < 0 ? NULL : &toy->objs[index];
}

/* ---- Steps ---- */

static void link_to(struct gpuva *va, struct gpuvm_bo *vm_bo)
{
	if (!va->gem.obj)
		return;
	gpuvm_object_lock(va->gem.obj);
	gpuva_link(va, vm_bo);
	gpuvm_object_unlock(va->gem.obj);
}

static void unlink_va(struct gpuva *va)
{
	struct gpuvm_object *obj = va->gem.obj;

	if (!obj)
		return;
	gpuvm_object_lock(obj);
	gpuva_unlink(va);
	gpuvm_object_unlock(obj);
}

static int insert_op(struct toy *toy, const struct gpuva_op_map *map)
{
	struct gpuva *va = toy_new_va(toy);
	struct gpuvm_bo *vm_bo = NULL;
	int err = 0;

	if (map->gem.obj) {
		vm_bo = gpuvm_bo_obtain(&toy->vm, map->gem.obj);
		err = vm_bo ? 0 : -ENOMEM;
	}
	if (!err)
		err = gpuva_map(&toy->vm, va, map);
	if (!err) {
		link_to(va, vm_bo);
		if (vm_bo)
			gpuvm_bo_extobj_add(vm_bo);
	} else {
		toy_bury(toy, va);
	}
	gpuvm_bo_put(vm_bo);
	return err;
}

static int remap_op(struct toy *toy, const struct gpuva_op_remap *remap)
{
	struct gpuva *prev = remap->prev ? toy_new_va(toy) : NULL;
	struct gpuva *next = remap->next ? toy_new_va(toy) : NULL;
	struct gpuva *old = remap->unmap->va;
	int err = gpuva_remap(prev, next, remap);

	if (err) {
		if (prev)
			toy_bury(toy, prev);
		if (next)
			toy_bury(toy, next);
		return err;
	}
	if (prev)
		link_to(prev, old->vm_bo);
	if (next)
		link_to(next, old->vm_bo);
	unlink_va(old);
	toy_bury(toy, old);
	return 0;
}

int toy_apply(struct toy *toy, const struct gpuva_op *op)
{
	switch (op->op) {
	case GPUVA_OP_MAP:
		return insert_op(toy, &op->map);
	case GPUVA_OP_REMAP:
		return remap_op(toy, &op->remap);
	case GPUVA_OP_UNMAP:
		gpuva_unmap(&op->unmap);
		unlink_va(op->unmap.va);
		toy_bury(toy, op->unmap.va);
		return 0;
	default:
		return 0;
	}
}

static int step(struct gpuva_op *op, void *priv)
{
	struct toy *toy = priv;

	if (toy->watch)
		toy->watch(toy, op);
	else
		toy_log_op(toy, op);
	toy->steps++;
	if (toy->fail_step && toy->steps == (unsigned int)toy->fail_step)
		return -EIO;
	return toy->apply ? toy_apply(toy, op) : 0;
}

int toy_apply_list(struct toy *toy, struct gpuva_ops *ops)
{
	struct gpuva_op *op;
	int err = 0;

	gpuva_for_each_op(op, ops)
	{
		err = step(op, toy);
		if (err)
			break;
	}
	return err;
}

int toy_insert(struct toy *toy, uint64_t addr, uint64_t range, int obj, uint64_t offset)
{
	struct gpuva_op_map map = { { addr, range }, { toy_obj(toy, obj), offset } };

	return insert_op(toy, &map);
}

void toy_clear(struct toy *toy)
{
	struct gpuva *va, *next;

	gpuvm_for_each_va_safe(va, next, &toy->vm)
	{
		struct gpuva_op_unmap unmap = { va, false };
		struct gpuva_op op = { .op = GPUVA_OP_UNMAP, .unmap = unmap };

		toy_apply(toy, &op);
	}
}

/* ---- The VM ---- */

static void vm_free(struct gpuvm *vm)
{
	toy_of(vm)->freed++;
}

const struct gpuvm_ops toy_ops = {
	.vm_free = vm_free,
	.sm_step_map = step,
	.sm_step_remap = step,
	.sm_step_unmap = step,
};

int toy_init(struct toy *toy, const struct toy_config *config)
{
	int err;

	memset(toy, 0, sizeof(*toy));
	toy->apply = true;
	gpuvm_object_init(&toy->r_obj, 0, NULL, NULL);
	err = gpuvm_init(&toy->vm, "toy", config->flags, NULL, &toy->r_obj, config->start,
			 config->range, config->reserve_start, config->reserve_range, &toy_ops);
	if (!err && config->mem)
		err = gpuvm_set_mem(&toy->vm, config->mem);
	for (unsigned int i = 0; i < TOY_OBJECTS; i++)
		gpuvm_object_init(&toy->objs[i], 0, config->external ? NULL : toy->r_obj.resv,
				  NULL);
	return err;
}

bool toy_destroy(struct toy *toy)
{
	bool clean = true;

	gpuvm_lock(&toy->vm);
	toy_clear(toy);
	gpuvm_unlock(&toy->vm);
	toy_reap(toy);
	clean &= toy->live == 0 && toy->vm.refs == 1;
	for (unsigned int i = 0; i < TOY_OBJECTS; i++) {
		clean &= toy->objs[i].refs == 1;
		gpuvm_object_put(&toy->objs[i]);
	}
	gpuvm_put(&toy->vm);
	clean &= toy->freed == 1 && toy->r_obj.refs == 1;
	gpuvm_object_put(&toy->r_obj);
	return clean;
}
