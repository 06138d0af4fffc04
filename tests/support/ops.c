/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <samara/mem.h>
#include <stdlib.h>
#include <string.h>

const unsigned int op_gfps[NR_GFPS] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT };

static const char *const gfp_names[NR_GFPS] = { "kernel", "atomic", "nowait" };

static const char *const names[NR_OPS] = {
#define X(name) [OP_##name] = #name,
	OP_KINDS(X)
#undef X
};

const char *op_name(enum op_kind kind)
{
	return kind < NR_OPS ? names[kind] : "?";
}

void op_print(const struct op *op, FILE *out)
{
	unsigned int used = OP_NUMBERS;

	fprintf(out, "%s", op_name(op->kind));
	if (op->gfp)
		fprintf(out, " %s", gfp_names[op->gfp]);
	while (used > 0 && op->n[used - 1] == 0)
		used--;
	for (unsigned int i = 0; i < used; i++)
		fprintf(out, " %#lx", op->n[i]);
	fputc('\n', out);
}

static bool parse_gfp(const char *word, struct op *op)
{
	for (unsigned int i = 0; i < NR_GFPS; i++) {
		if (strcmp(word, gfp_names[i]) == 0) {
			op->gfp = i;
			return true;
		}
	}
	return false;
}

static bool parse_kind(const char *word, struct op *op)
{
	for (unsigned int i = 0; i < NR_OPS; i++) {
		if (strcmp(word, names[i]) == 0) {
			op->kind = (enum op_kind)i;
			return true;
		}
	}
	return false;
}

bool op_parse(const char *line, struct op *op, bool *nothing)
{
	char text[256], *save = NULL, *word, *end;
	unsigned int n = 0;

	memset(op, 0, sizeof(*op));
	*nothing = false;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "#\n"), line);
	word = strtok_r(text, " \t", &save);
	if (!word) {
		*nothing = true;
		return true;
	}
	if (!parse_kind(word, op))
		return false;
	while ((word = strtok_r(NULL, " \t", &save)) != NULL) {
		if (n == 0 && parse_gfp(word, op))
			continue;
		if (n == OP_NUMBERS)
			return false;
		op->n[n++] = strtoul(word, &end, 0);
		if (*end)
			return false;
	}
	return true;
}

void op_list_print(const struct op_list *list, FILE *out)
{
	fprintf(out, "tree %#x\n", list->flags);
	for (size_t i = 0; i < list->count; i++)
		op_print(&list->ops[i], out);
}

static bool append(struct op_list *list, const struct op *op)
{
	struct op *ops = list->ops;

	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 64;
		ops = realloc(ops, list->room * sizeof(*ops));
		if (!ops)
			return false;
		list->ops = ops;
	}
	ops[list->count++] = *op;
	return true;
}

unsigned int op_list_read(struct op_list *list, FILE *in)
{
	char line[512];
	struct op op;
	unsigned int nr = 0;
	bool nothing;

	memset(list, 0, sizeof(*list));
	while (fgets(line, sizeof(line), in)) {
		nr++;
		if (sscanf(line, " tree %i", (int *)&list->flags) == 1)
			continue;
		if (!op_parse(line, &op, &nothing) || (!nothing && !append(list, &op)))
			return nr;
	}
	return 0;
}

void op_list_free(struct op_list *list)
{
	free(list->ops);
	memset(list, 0, sizeof(*list));
}
