/* SPDX-License-Identifier: MIT */
/*
 * Runs gpuvm.txt, whose head explains the lines: requests by callbacks, applied as they come, and
 * as lists.
 */
#include "gpuvm_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { FORM_CALLBACKS, FORM_DRY_CALLBACKS, FORM_LIST, FORMS };

static struct toy toy;

static uint64_t number(const char **at)
{
	char *end;
	uint64_t value = strtoull(*at, &end, 16);

	if (end == *at)
		broken(*at, "a number is missing");
	*at = end;
	return value;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* Parses ADDR, followed by nothing or by all or part of +RANGE=OBJECT@OFFSET. */
static struct gpuva_op_map parse_map(const char **at)
{
	struct gpuva_op_map map = { { 0, 0 }, { NULL, 0 } };

	map.va.addr = number(at);
	if (skip(at, '+'))
		map.va.range = number(at);
	if (skip(at, '=')) {
		map.gem.obj = **at == '-' ? NULL : &toy.objs[**at - 'A'];
		(*at)++;
	}
	if (skip(at, '@'))
		map.gem.offset = number(at);
	return map;
}

/* Sets up the VM and its mappings, up to and including the closing bracket. */
static const char *set_up(const char *line)
{
	struct toy_config config;
	const char *at = parse_vm(line, &config);
	struct gpuva_op_map map;

	if (toy_init(&toy, &config) || !skip(&at, '['))
		broken(line, "no VM");
	gpuvm_lock(&toy.vm);
	while (!skip(&at, ']')) {
		at += strspn(at, " ");
		map = parse_map(&at);
		if (toy_insert(&toy, map.va.addr, map.va.range,
			       map.gem.obj ? (int)(map.gem.obj - toy.objs) : -1, map.gem.offset))
			broken(line, "cannot be set up");
	}
	return at + strspn(at, " ");
}

static int request_list(const char *verb, const struct gpuva_op_map *map)
{
	struct gpuva_ops *ops;
	struct gpuvm_bo *vm_bo;
	int err = 0;

	if (strcmp(verb, "map") == 0) {
		ops = gpuvm_sm_map_ops_create(&toy.vm, map->va.addr, map->va.range, map->gem.obj,
					      map->gem.offset, &err);
	} else if (strcmp(verb, "unmap") == 0) {
		ops = gpuvm_sm_unmap_ops_create(&toy.vm, map->va.addr, map->va.range, &err);
	} else if (strcmp(verb, "prefetch") == 0) {
		ops = gpuvm_prefetch_ops_create(&toy.vm, map->va.addr, map->va.range, &err);
	} else {
		gpuvm_object_lock(map->gem.obj);
		vm_bo = gpuvm_bo_find(&toy.vm, map->gem.obj);
		ops = gpuvm_bo_unmap_ops_create(vm_bo, &err);
		gpuvm_object_unlock(map->gem.obj);
		gpuvm_bo_put(vm_bo);
	}
	if (!ops)
		return err;
	err = toy_apply_list(&toy, ops);
	gpuva_ops_free(&toy.vm, ops);
	return err;
}

static int request_callbacks(const char *verb, const struct gpuva_op_map *map)
{
	if (strcmp(verb, "map") == 0)
		return gpuvm_sm_map(&toy.vm, &toy, map->va.addr, map->va.range, map->gem.obj,
				    map->gem.offset);
	return gpuvm_sm_unmap(&toy.vm, &toy, map->va.addr, map->va.range);
}

/* Makes the request and writes "STEPS => [AFTER]" to @result. */
static void run_request(char *result, const char *verb, const struct gpuva_op_map *map,
			enum form form)
{
	char after[TOY_TEXT];
	int err;

	toy_clear_log(&toy);
	toy.apply = form != FORM_DRY_CALLBACKS;
	err = form == FORM_LIST ? request_list(verb, map) : request_callbacks(verb, map);
	toy.apply = true;
	toy_dump(&toy, after, sizeof(after));
	if (err)
		snprintf(result, 2 * TOY_TEXT, "%s => %s", err == -EINVAL ? "-EINVAL" : "error",
			 after);
	else
		snprintf(result, 2 * TOY_TEXT, "%s => %s", toy_log(&toy), after);
}

static void run_query(char *result, const char *verb, const struct gpuva_op_map *map)
{
	struct gpuvm *vm = &toy.vm;
	struct gpuva *va = NULL;
	int err;

	if (strcmp(verb, "insert") == 0) {
		err = toy_insert(&toy, map->va.addr, map->va.range, -1, 0);
		sprintf(result, "%s", err == -EEXIST ? "-EEXIST" : err ? "-EINVAL" : "0");
		return;
	}
	if (strcmp(verb, "empty") == 0 || strcmp(verb, "valid") == 0) {
		sprintf(result, "%d",
			*verb == 'e' ? gpuvm_interval_empty(vm, map->va.addr, map->va.range)
				     : gpuvm_range_valid(vm, map->va.addr, map->va.range));
		return;
	}
	if (strcmp(verb, "find") == 0)
		va = gpuva_find(vm, map->va.addr, map->va.range);
	else if (strcmp(verb, "first") == 0)
		va = gpuva_find_first(vm, map->va.addr, map->va.range);
	else if (strcmp(verb, "prev") == 0)
		va = gpuva_find_prev(vm, map->va.addr);
	else if (strcmp(verb, "next") == 0)
		va = gpuva_find_next(vm, map->va.addr);
	else
		broken(verb, "not a query");
	toy_print_va(&toy, va, result, TOY_TEXT);
}

static bool is_request(const char *verb)
{
	return strcmp(verb, "map") == 0 || strcmp(verb, "unmap") == 0 ||
	       strcmp(verb, "prefetch") == 0 || strcmp(verb, "unmap_all") == 0;
}

/* Runs a line. Returns false if the result is another. */
static bool run_form(const char *line, enum form form)
{
	static char result[2 * TOY_TEXT];
	struct gpuva_op_map map = { { 0, 0 }, { NULL, 0 } };
	const char *at = set_up(line), *want = strstr(line, " => ");
	char verb[16];
	bool list_only, dry = form == FORM_DRY_CALLBACKS, good;

	if (!want || sscanf(at, "%15s", verb) != 1)
		broken(line, "not understood");
	at += strlen(verb) + 1;
	list_only = strcmp(verb, "prefetch") == 0 || strcmp(verb, "unmap_all") == 0;
	if (strcmp(verb, "unmap_all") == 0)
		map.gem.obj = &toy.objs[*at - 'A'];
	else
		map = parse_map(&at);
	want += 4;
	if (!is_request(verb))
		run_query(result, verb, &map);
	else
		run_request(result, verb, &map, list_only ? FORM_LIST : form);
	/* Callbacks that change nothing must see the same steps. */
	if (dry && is_request(verb) && !list_only)
		good = strncmp(result, want, (size_t)(strstr(want, " => ") - want)) == 0;
	else
		good = strcmp(result, want) == 0;
	gpuvm_unlock(&toy.vm);
	if (!good)
		fprintf(stderr, "%s\n  form %d gave: %s\n", line, form, result);
	if (!toy_destroy(&toy)) {
		fprintf(stderr, "%s\n  something is left\n", line);
		good = false;
	}
	return good;
}

static bool run_line(char *line)
{
	bool good = true;

	for (enum form form = 0; form < FORMS; form++)
		good &= run_form(line, form);
	return good;
}

int main(int argc, char **argv)
{
	return run_lines(argc, argv, "EF", run_line, 100);
}
