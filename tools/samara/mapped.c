/* SPDX-License-Identifier: MIT */
#include "mapped.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "array.h"

/* ---- Objects ---- */

/*
 * Stores the distinct ids of @trace and 0, ascending, in *@ids, which the caller frees. Returns 0
 * or -ENOMEM.
 */
static int find_ids(const struct trace *trace, uint64_t **ids, size_t *nr)
{
	size_t all = 0;

	*ids = malloc((trace->count + 1) * sizeof(**ids));
	if (!*ids)
		return -ENOMEM;
	(*ids)[all++] = 0;
	for (size_t i = 0; i < trace->count; i++) {
		if (trace->ops[i].verb == TRACE_MAP)
			(*ids)[all++] = trace->ops[i].object;
	}
	*nr = array_sort_unique(*ids, all);
	return 0;
}

/* The structures are freed all together. */
static void free_name(struct gpuvm_object *obj)
{
	(void)obj;
}

static void free_memory(struct gpuvm_object *obj)
{
	sg_object_fini((struct sg_object *)obj);
}

static void init_object(struct vm_object *object, uint64_t id, struct sg_pool *frames)
{
	object->id = id;
	if (frames)
		sg_object_init(&object->base, frames, SG_VA_END, free_memory);
	else
		gpuvm_object_init(&object->base.base, 0, NULL, free_name);
}

int vm_objects_init(struct vm_objects *objects, const struct trace *trace, struct sg_pool *frames)
{
	uint64_t *ids;
	size_t nr;

	*objects = (struct vm_objects){ NULL, 0 };
	if (find_ids(trace, &ids, &nr))
		return -ENOMEM;
	objects->object = calloc(nr, sizeof(*objects->object));
	if (objects->object) {
		for (size_t i = 0; i < nr; i++)
			init_object(&objects->object[i], ids[i], frames);
		objects->nr = nr;
	}
	free(ids);
	return objects->object ? 0 : -ENOMEM;
}

void vm_objects_destroy(struct vm_objects *objects)
{
	for (size_t i = 0; i < objects->nr; i++)
		gpuvm_object_put(&objects->object[i].base.base);
	free(objects->object);
	*objects = (struct vm_objects){ NULL, 0 };
}

struct gpuvm_object *vm_objects_find(const struct vm_objects *objects, uint64_t id)
{
	size_t low = 0, high = objects->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (objects->object[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < objects->nr ? &objects->object[low].base.base : NULL;
}

/* ---- Reading ---- */

/* Reads the mapping @va in the terms of the model. */
static void mapped_read(const struct gpuva *va, struct as_mapping *what)
{
	const struct vm_object *object = (const struct vm_object *)va->gem.obj;
	unsigned int flags = __atomic_load_n(&va->flags, __ATOMIC_RELAXED);

	*what = (struct as_mapping){
		.first = va->va.addr,
		.last = va->va.addr + (va->va.range - 1),
		.object = object->id,
		/* 0 for anonymous memory, as in the model, unless something is wrong. */
		.offset = object->id ? va->gem.offset : va->gem.offset - va->va.addr,
		.flags = flags / GPUVA_USERBITS,
	};
}

static struct content content_of(const struct as_mapping *what, uint64_t addr)
{
	return (struct content){
		.mapped = true,
		.flags = what->flags,
		.object = what->object,
		.offset = what->object ? what->offset + (addr - what->first) : what->offset,
	};
}

struct content content_read(const struct gpuva *va, uint64_t addr)
{
	struct as_mapping what;

	if (!va)
		return (struct content){ .mapped = false };
	mapped_read(va, &what);
	return content_of(&what, addr);
}

struct content content_expected(const struct address_space *model, uint64_t addr)
{
	const struct as_mapping *what = as_at(model, addr);

	return what ? content_of(what, addr) : (struct content){ .mapped = false };
}

bool content_equal(const struct content *a, const struct content *b)
{
	if (!a->mapped || !b->mapped)
		return a->mapped == b->mapped;
	return a->object == b->object && a->offset == b->offset && a->flags == b->flags;
}

const char *content_text(const struct content *content, char *text, size_t size)
{
	char flags[TRACE_FLAGS_SIZE];

	if (!content->mapped)
		snprintf(text, size, "nothing");
	else
		snprintf(text, size, "object %" PRIu64 " offset %" PRIx64 " %s", content->object,
			 content->offset, trace_flags_text(content->flags, flags));
	return text;
}

/* ---- Comparing ---- */

/* Compares @is and @should, which must be the same mapping; NULL stands for nothing. */
static int differ(const struct as_mapping *is, const struct as_mapping *should, char *why,
		  size_t size)
{
	char has[128], wanted[128];

	if (is == should || (is && should && as_equal(is, should)))
		return 0;
	snprintf(why, size, "the VM has %s where there should be %s", as_text(is, has, sizeof(has)),
		 as_text(should, wanted, sizeof(wanted)));
	return -EUCLEAN;
}

int vm_check_all(struct gpuvm *vm, const struct address_space *model, char *why, size_t size)
{
	const struct as_mapping *expected;
	struct as_mapping is;
	struct as_pos pos;
	struct gpuva *va;
	int err = 0;

	expected = as_from(model, 0, &pos);
	gpuvm_read_lock(vm);
	gpuvm_for_each_va(va, vm)
	{
		mapped_read(va, &is);
		err = differ(&is, expected, why, size);
		if (err)
			break;
		expected = as_next(model, &pos);
	}
	if (!err)
		err = differ(NULL, expected, why, size);
	gpuvm_read_unlock(vm);
	return err;
}

int vm_check_range(struct gpuvm *vm, uint64_t first, uint64_t last, const struct as_mapping *pieces,
		   size_t nr, char *why, size_t size)
{
	struct as_mapping is, should;
	struct gpuva *va;
	size_t i = 0;
	int err = 0;

	gpuvm_read_lock(vm);
	gpuvm_for_each_va_range(va, vm, first, last + 1)
	{
		mapped_read(va, &is);
		as_clip(&is, first, last);
		if (i < nr) {
			should = pieces[i];
			as_clip(&should, first, last);
		}
		err = differ(&is, i < nr ? &should : NULL, why, size);
		if (err)
			break;
		i++;
	}
	if (!err && i < nr)
		err = differ(NULL, &pieces[i], why, size);
	gpuvm_read_unlock(vm);
	return err;
}

size_t vm_write_runs(void *arg, FILE *out)
{
	struct gpuvm *vm = arg;
	struct as_mapping what;
	struct as_runs runs;
	struct gpuva *va;

	as_runs_begin(&runs, out);
	gpuvm_read_lock(vm);
	gpuvm_for_each_va(va, vm)
	{
		mapped_read(va, &what);
		as_runs_add(&runs, &what);
	}
	gpuvm_read_unlock(vm);
	as_runs_end(&runs);
	return as_runs_count(&runs);
}
