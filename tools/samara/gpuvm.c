/* SPDX-License-Identifier: MIT */
/* samara gpuvm: drives a GPU VA space from a script and prints every step. */
#include "samara.h"

#include <errno.h>
#include <inttypes.h>
#include <samara/gpuvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpuvm_script.h"
#include "options.h"
#include "output.h"

struct object {
	struct gpuvm_object obj; /* first */
	struct object *next;
	char name[SCRIPT_NAME];
};

struct mapping {
	struct gpuva va; /* first */
	struct mapping *next;
};

struct machine {
	struct gpuvm vm; /* first */
	bool up;
	struct gpuvm_object r_obj;
	struct object *objects;
	struct mapping *gone; /* out of the VM, to be freed when the command is over */
	unsigned long alive;  /* calls of vm_free still to come */
};

/* ---- Printing ---- */

static const char *name_of(const struct gpuvm_object *obj)
{
	return obj ? ((const struct object *)obj)->name : "-";
}

static void print_range(uint64_t addr, uint64_t range, const struct gpuvm_object *obj,
			uint64_t offset)
{
	printf("%" PRIx64 "+%" PRIx64 "=%s@%" PRIx64, addr, range, name_of(obj), offset);
}

static void print_op_map(const struct gpuva_op_map *map)
{
	print_range(map->va.addr, map->va.range, map->gem.obj, map->gem.offset);
}

static void print_va(const struct gpuva *va)
{
	print_range(va->va.addr, va->va.range, va->gem.obj, va->gem.offset);
}

static void print_unmap(const struct gpuva_op_unmap *unmap)
{
	print_va(unmap->va);
	printf(" k%d", unmap->keep);
}

static void print_step(const struct gpuva_op *op)
{
	printf("  %c(", "MRUP"[op->op]);
	switch (op->op) {
	case GPUVA_OP_MAP:
		print_op_map(&op->map);
		break;
	case GPUVA_OP_UNMAP:
		print_unmap(&op->unmap);
		break;
	case GPUVA_OP_PREFETCH:
		print_va(op->prefetch.va);
		break;
	case GPUVA_OP_REMAP:
		print_unmap(op->remap.unmap);
		if (op->remap.prev) {
			printf(" p:");
			print_op_map(op->remap.prev);
		}
		if (op->remap.next) {
			printf(" n:");
			print_op_map(op->remap.next);
		}
		break;
	}
	printf(")\n");
}

static const char *error_name(int err)
{
	switch (err) {
	case -EINVAL:
		return "-EINVAL";
	case -EEXIST:
		return "-EEXIST";
	case -ENOENT:
		return "-ENOENT";
	case -ENOSPC:
		return "-ENOSPC";
	case -ENOMEM:
		return "-ENOMEM";
	default:
		return strerror(-err);
	}
}

static void print_result(int err)
{
	if (err)
		printf("  %s\n", error_name(err));
}

static void print_answer(const struct gpuvm *vm, const struct gpuva *va)
{
	if (!va) {
		printf("  none\n");
	} else if (va == &vm->kernel_alloc_node) {
		printf("  reserved\n");
	} else {
		printf("  ");
		print_va(va);
		printf("\n");
	}
}

/* ---- Steps ---- */

static struct gpuva *new_mapping(void)
{
	return calloc(1, sizeof(struct mapping));
}

static void defer_free(struct machine *m, struct gpuva *va)
{
	struct mapping *mapping = (struct mapping *)va;

	if (!mapping)
		return;
	mapping->next = m->gone;
	m->gone = mapping;
}

static void free_gone(struct machine *m)
{
	while (m->gone) {
		struct mapping *next = m->gone->next;

		free(m->gone);
		m->gone = next;
	}
}

static void link_va(struct gpuva *va, struct gpuvm_bo *vm_bo)
{
	if (!va || !va->gem.obj)
		return;
	gpuvm_object_lock(va->gem.obj);
	gpuva_link(va, vm_bo);
	gpuvm_object_unlock(va->gem.obj);
}

static void unlink_va(struct gpuva *va)
{
	if (!va->gem.obj)
		return;
	gpuvm_object_lock(va->gem.obj);
	gpuva_unlink(va);
	gpuvm_object_unlock(va->gem.obj);
}

static int insert(struct machine *m, const struct gpuva_op_map *map)
{
	struct gpuva *va = new_mapping();
	struct gpuvm_bo *vm_bo = NULL;
	int err = va ? 0 : -ENOMEM;

	if (!err && map->gem.obj) {
		vm_bo = gpuvm_bo_obtain(&m->vm, map->gem.obj);
		err = vm_bo ? 0 : -ENOMEM;
	}
	if (!err)
		err = gpuva_map(&m->vm, va, map);
	if (err) {
		defer_free(m, va);
	} else if (vm_bo) {
		link_va(va, vm_bo);
		gpuvm_bo_extobj_add(vm_bo);
	}
	gpuvm_bo_put(vm_bo);
	return err;
}

static int remap(struct machine *m, const struct gpuva_op_remap *op)
{
	struct gpuva *prev = op->prev ? new_mapping() : NULL;
	struct gpuva *next = op->next ? new_mapping() : NULL;
	struct gpuva *old = op->unmap->va;
	int err = (op->prev && !prev) || (op->next && !next) ? -ENOMEM : 0;

	if (!err)
		err = gpuva_remap(prev, next, op);
	if (err) {
		defer_free(m, prev);
		defer_free(m, next);
		return err;
	}
	link_va(prev, old->vm_bo);
	link_va(next, old->vm_bo);
	unlink_va(old);
	defer_free(m, old);
	return 0;
}

static void take_out(struct machine *m, struct gpuva *va)
{
	gpuva_remove(va);
	unlink_va(va);
	defer_free(m, va);
}

static int step(struct gpuva_op *op, void *priv)
{
	struct machine *m = priv;

	print_step(op);
	switch (op->op) {
	case GPUVA_OP_MAP:
		return insert(m, &op->map);
	case GPUVA_OP_REMAP:
		return remap(m, &op->remap);
	case GPUVA_OP_UNMAP:
		take_out(m, op->unmap.va);
		return 0;
	default:
		return 0;
	}
}

static int run_ops(struct machine *m, struct gpuva_ops *ops, int err)
{
	struct gpuva_op *op;

	if (!ops)
		return err;
	gpuva_for_each_op(op, ops)
	{
		err = step(op, m);
		if (err)
			break;
	}
	gpuva_ops_free(&m->vm, ops);
	return err;
}

static int validate(struct gpuvm_bo *vm_bo, struct gpuvm_exec *exec)
{
	(void)exec;
	printf("  V(%s)\n", name_of(vm_bo->obj));
	gpuvm_bo_evict(vm_bo, false);
	return 0;
}

static void vm_free(struct gpuvm *vm)
{
	((struct machine *)vm)->alive--;
}

static const struct gpuvm_ops vm_ops = {
	.vm_free = vm_free,
	.vm_bo_validate = validate,
	.sm_step_map = step,
	.sm_step_remap = step,
	.sm_step_unmap = step,
};

/* ---- The VM and its objects ---- */

static struct object *find_object(struct machine *m, const char *name)
{
	struct object *o = m->objects;

	while (o && strcmp(o->name, name))
		o = o->next;
	return o;
}

static void free_object(struct gpuvm_object *obj)
{
	free(obj);
}

static struct object *make_object(struct machine *m, const char *name, uint64_t size)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	gpuvm_object_init(&o->obj, size, NULL, free_object);
	memcpy(o->name, name, sizeof(o->name));
	o->next = m->objects;
	m->objects = o;
	return o;
}

static void close_vm(struct machine *m)
{
	struct gpuva *va, *next;

	if (!m->up)
		return;
	gpuvm_lock(&m->vm);
	gpuvm_for_each_va_safe(va, next, &m->vm) take_out(m, va);
	gpuvm_unlock(&m->vm);
	free_gone(m);
	gpuvm_put(&m->vm);
	m->up = false;
}

static void close_machine(struct machine *m)
{
	close_vm(m);
	while (m->objects) {
		struct object *next = m->objects->next;

		gpuvm_object_put(&m->objects->obj);
		m->objects = next;
	}
	gpuvm_object_put(&m->r_obj);
}

static int open_vm(struct machine *m, const struct script_line *line)
{
	int err;

	close_vm(m);
	err = gpuvm_init(&m->vm, "script", 0, NULL, &m->r_obj, line->addr, line->range,
			 line->reserve_addr, line->reserve_range, &vm_ops);
	if (err)
		return err;
	m->up = true;
	m->alive++;
	err = line->aligns ? gpuvm_set_align(&m->vm, line->align) : 0;
	if (err)
		close_vm(m);
	return err;
}

/* ---- Commands ---- */

static int unmap_all(struct machine *m, struct gpuvm_object *obj)
{
	struct gpuva_ops *ops = NULL;
	struct gpuvm_bo *vm_bo;
	int err = 0;

	gpuvm_object_lock(obj);
	vm_bo = gpuvm_bo_find(&m->vm, obj);
	if (vm_bo)
		ops = gpuvm_bo_unmap_ops_create(vm_bo, &err);
	gpuvm_object_unlock(obj);
	err = run_ops(m, ops, err);
	gpuvm_bo_put(vm_bo);
	return err;
}

static int evict(struct gpuvm_object *obj)
{
	gpuvm_resv_lock(obj->resv);
	gpuvm_bo_gem_evict(obj, true);
	gpuvm_resv_unlock(obj->resv);
	return 0;
}

static int validate_all(struct machine *m)
{
	struct gpuvm_exec exec = { .vm = &m->vm };
	int err = gpuvm_exec_lock(&exec);

	if (err)
		return err;
	err = gpuvm_exec_validate(&exec);
	gpuvm_exec_unlock(&exec);
	return err;
}

static int find_hole(struct machine *m, const struct script_line *line)
{
	uint64_t end = line->addr + line->range, addr;
	int err;

	if (!line->range || end < line->addr)
		end = UINT64_MAX;
	err = gpuvm_find_hole(&m->vm, &addr, line->size, line->align, line->addr, end,
			      line->high ? GPUVM_HOLE_HIGH : GPUVM_HOLE_LOW);
	if (!err)
		printf("  %" PRIx64 "\n", addr);
	return err;
}

static void dump(struct gpuvm *vm)
{
	struct gpuva *va;

	gpuvm_for_each_va(va, vm) print_answer(vm, va);
}

static int remove_va(struct machine *m, const struct script_line *line)
{
	struct gpuva *va = gpuva_find(&m->vm, line->addr, line->range);

	if (!va || va == &m->vm.kernel_alloc_node)
		return -ENOENT;
	take_out(m, va);
	return 0;
}

static int change(struct machine *m, const struct script_line *line, struct gpuvm_object *obj)
{
	const struct gpuva_op_map map = { { line->addr, line->range }, { obj, line->offset } };
	struct gpuvm *vm = &m->vm;
	struct gpuva_ops *ops;
	int err = 0;

	switch (line->verb) {
	case SCRIPT_MAP:
		return gpuvm_sm_map(vm, m, line->addr, line->range, obj, line->offset);
	case SCRIPT_UNMAP:
		return gpuvm_sm_unmap(vm, m, line->addr, line->range);
	case SCRIPT_OPS_MAP:
		ops = gpuvm_sm_map_ops_create(vm, line->addr, line->range, obj, line->offset, &err);
		return run_ops(m, ops, err);
	case SCRIPT_OPS_UNMAP:
		ops = gpuvm_sm_unmap_ops_create(vm, line->addr, line->range, &err);
		return run_ops(m, ops, err);
	case SCRIPT_PREFETCH:
		ops = gpuvm_prefetch_ops_create(vm, line->addr, line->range, &err);
		return run_ops(m, ops, err);
	case SCRIPT_UNMAP_ALL:
		return unmap_all(m, obj);
	case SCRIPT_INSERT:
		return insert(m, &map);
	default:
		return remove_va(m, line);
	}
}

static void look(struct machine *m, const struct script_line *line)
{
	struct gpuvm *vm = &m->vm;

	switch (line->verb) {
	case SCRIPT_FIND:
		print_answer(vm, line->ranged ? gpuva_find(vm, line->addr, line->range)
					      : gpuvm_find(vm, line->addr));
		break;
	case SCRIPT_FIND_FIRST:
		print_answer(vm, gpuva_find_first(vm, line->addr, line->range));
		break;
	case SCRIPT_PREV:
		print_answer(vm, gpuva_find_prev(vm, line->addr));
		break;
	case SCRIPT_NEXT:
		print_answer(vm, gpuva_find_next(vm, line->addr));
		break;
	case SCRIPT_EMPTY:
		printf("  %s\n", gpuvm_interval_empty(vm, line->addr, line->range) ? "yes" : "no");
		break;
	case SCRIPT_VALID:
		printf("  %s\n", gpuvm_range_valid(vm, line->addr, line->range) ? "yes" : "no");
		break;
	default:
		dump(vm);
	}
}

/*
 * Runs one line, and prints what the library refuses. Returns false, with the reason in *@why, if
 * the line makes no sense here.
 */
static bool run_line(struct machine *m, const struct script_line *line, const char **why)
{
	struct object *o = *line->object ? find_object(m, line->object) : NULL;
	int err = 0;

	if (line->verb == SCRIPT_OBJECT && o) {
		*why = "there is such an object already";
		return false;
	}
	if (line->verb != SCRIPT_VM && line->verb != SCRIPT_OBJECT && !m->up) {
		*why = "there is no VM yet";
		return false;
	}
	if (*line->object && !o)
		o = make_object(m, line->object, line->size);
	if (*line->object && !o)
		err = -ENOMEM;
	else if (line->verb == SCRIPT_VM)
		err = open_vm(m, line);
	else if (line->verb == SCRIPT_EVICT)
		err = evict(&o->obj);
	else if (line->verb == SCRIPT_VALIDATE)
		err = validate_all(m);
	else if (line->verb != SCRIPT_OBJECT) {
		gpuvm_lock(&m->vm);
		if (line->verb == SCRIPT_HOLE)
			err = find_hole(m, line);
		else if (line->verb >= SCRIPT_MAP && line->verb <= SCRIPT_REMOVE)
			err = change(m, line, o ? &o->obj : NULL);
		else
			look(m, line);
		gpuvm_unlock(&m->vm);
	}
	print_result(err);
	free_gone(m);
	return true;
}

struct lines {
	FILE *in;
	char text[SCRIPT_LINE];
	unsigned long number; /* of the line that was read last */
};

/*
 * Reads the next line, without its line feed. Returns 1, 0 at the end, or -1 with the reason in
 * *@why.
 */
static int next_line(struct lines *lines, const char **why)
{
	size_t length = 0;
	int c;

	while ((c = getc(lines->in)) != EOF && c != '\n' && length < SCRIPT_LINE - 1)
		lines->text[length++] = (char)c;
	if (c == EOF && (!length || ferror(lines->in)))
		return 0;
	lines->number++;
	lines->text[length] = 0;
	if (length > SCRIPT_LINE - 2)
		*why = "the line is too long";
	else if (strlen(lines->text) < length)
		*why = "the line contains a NUL byte";
	return *why ? -1 : 1;
}

static int run_script(FILE *in, const char *file)
{
	char text[SCRIPT_LINE];
	struct script_line line;
	struct lines lines = { .in = in };
	struct machine m = { .up = false };
	const char *why = NULL;
	int err = 0;

	gpuvm_object_init(&m.r_obj, 0, NULL, NULL);
	/* A script may be endless: stop when the output is no longer read. */
	while (!why && !ferror(stdout) && next_line(&lines, &why) > 0) {
		if (script_parse(lines.text, &line, &why) <= 0)
			continue;
		script_print(&line, text, sizeof(text));
		printf("%s\n", text);
		run_line(&m, &line, &why);
	}
	if (ferror(stdout))
		output_flush();
	else if (!why && !feof(in))
		err = errno;
	close_machine(&m);
	if (why) {
		output_flush();
		return complain_at(file, lines.number, "%s", why);
	}
	if (err)
		return complain("%s: %s", file, strerror(err));
	if (m.alive)
		return complain("%s: a VM has outlived its mappings", file);
	return EXIT_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
	const char *script = NULL;
	const struct option options[] = {
		{ "script", OPTION_TEXT, &script, 0, 0 },
		{ .name = NULL },
	};
	int operands, status;
	FILE *in = stdin;

	status = parse_options(command, argc, argv, options, &operands);
	if (status || operands < 0)
		return status;
	if (!script || operands > 0)
		return complain_usage(
			command, "expected --script=FILE and nothing else ('-' is standard input)");
	if (!strcmp(script, "-")) {
		script = "<stdin>";
	} else {
		in = fopen(script, "r");
		if (!in)
			return complain("%s: %s", script, strerror(errno));
	}
	status = run_script(in, script);
	if (in != stdin)
		fclose(in);
	return status;
}

const struct command command_gpuvm = {
	.name = "gpuvm",
	.summary = "map and unmap in a GPU address space, step by step",
	.synopsis = "--script=FILE",
	.help = "Runs a script ('-': standard input) against a GPU address space and prints each command with\n"
		"the steps it comes to: M map, R remap, U unmap, P prefetch. Numbers are hexadecimal, '#' begins\n"
		"a comment. OBJECT is a name, or - for none. But for objects a script begins with vm.\n"
		"\n"
		"  vm ADDR+RANGE[/ADDR+RANGE] [align=N]  a new, empty VM, and what of it is reserved\n"
		"  object NAME [SIZE]                    an object; others come into being when they are named\n"
		"  map ADDR+RANGE=OBJECT[@OFFSET]        ops-map: the same, as a list that is then worked off\n"
		"  unmap ADDR+RANGE                      ops-unmap: likewise\n"
		"  prefetch ADDR+RANGE\n"
		"  unmap-all OBJECT\n"
		"  insert ADDR+RANGE=OBJECT[@OFFSET]     where nothing is mapped\n"
		"  remove ADDR+RANGE                     the mapping of exactly that\n"
		"  find ADDR | find ADDR+RANGE | find-first ADDR+RANGE | prev ADDR | next ADDR\n"
		"  empty ADDR+RANGE | valid ADDR+RANGE\n"
		"  hole SIZE [align=N] [in=ADDR+RANGE] [high]\n"
		"  evict OBJECT | validate | dump\n"
		"\n"
		"Example:\n"
		"  printf 'vm 0+1000\\nmap 10+10=A\\nunmap 14+4\\ndump\\n' | samara gpuvm --script=-\n",
	.run = run,
};
