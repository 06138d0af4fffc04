/* SPDX-License-Identifier: MIT */
#include "interp_internal.h"

#include "interp.h"
#include "support/memfault.h"
#include "support/treecheck.h"

#include <string.h>

void world_lock(struct world *w)
{
	if (!w->locked)
		mtree_lock(&w->trees[0]);
	/*
	 * There are no other users: the cursor may be kept from one hold of the lock to the next.
	 */
	w->cursor.guard = 0;
	w->locked = true;
}

void world_unlock(struct world *w)
{
	if (w->locked)
		mtree_unlock(&w->trees[0]);
	w->locked = false;
}

/* "5..9:A" */
static bool take_range(const char **at, unsigned long *first, unsigned long *last, void **entry)
{
	if (!take_key(at, first))
		return false;
	*last = *first;
	if (**at == '.' && !(take_char(at, '.') && take_char(at, '.') && take_key(at, last)))
		return false;
	return take_char(at, ':') && take_entry(at, entry);
}

static bool take_flags(const char **at, unsigned int *flags)
{
	const char *p = *at;
	char name[8];

	if (take_char(at, '-'))
		return true;
	if (!take_name(&p, name, sizeof(name)))
		return false;
	if (strcmp(name, "alloc") == 0)
		*flags |= MT_FLAGS_ALLOC_RANGE;
	else if (strcmp(name, "rcu") == 0)
		*flags |= MT_FLAGS_USE_RCU;
	else
		return false;
	*at = p;
	return true;
}

bool world_make_tree(struct world *w, struct maple_tree *mt, const char *setup)
{
	unsigned int flags = 0;
	unsigned long first, last;
	void *entry;

	while (take_flags(&setup, &flags))
		;
	if (w->variant & INTERP_RCU)
		flags |= MT_FLAGS_USE_RCU;
	if (w->variant & INTERP_ALLOC)
		flags |= MT_FLAGS_ALLOC_RANGE;
	mt_init_flags(mt, flags);
	while (take_range(&setup, &first, &last, &entry)) {
		if (mtree_store_range(mt, first, last, entry, GFP_KERNEL))
			return false;
	}
	skip_blanks(&setup);
	return *setup == '\0' || *setup == ')';
}

static bool take_arg(const char **at, char kind, struct call *call)
{
	switch (kind) {
	case 'k':
		return take_key(at, &call->key[call->keys++]);
	case 'e':
		return take_entry(at, &call->entry);
	case 's':
		return take_status(at, &call->status);
	case 'g':
		return take_gfp(at, &call->gfp);
	default: /* 'w' */
		call->words = *at;
		*at += strcspn(*at, ")");
		return true;
	}
}

/* Reads the arguments that @signature asks for, up to and including the closing bracket. */
static bool take_args(const char **at, const char *signature, struct call *call)
{
	bool optional = false, any = false;

	call->gfp = GFP_KERNEL;
	if (!take_char(at, '('))
		return *signature == '\0' || *signature == '?' || *signature == 'g';
	for (const char *s = signature; *s; s++) {
		optional |= *s == '?' || *s == 'g';
		if (*s == '?')
			continue;
		skip_blanks(at);
		if (optional && **at == ')')
			break;
		if ((any && !take_char(at, ',')) || !take_arg(at, *s, call))
			return false;
		any = true;
	}
	return take_char(at, ')');
}

static const struct op *find_op(const struct op *ops, const char *name)
{
	while (ops->name && strcmp(ops->name, name) != 0)
		ops++;
	return ops->name ? ops : NULL;
}

/* "t.name", "u.name", "c.name", "fill", "mem" */
static const struct op *take_op(struct world *w, const char **at, struct call *call)
{
	const struct op *table = tree_ops;
	char name[32];

	call->mt = &w->trees[0];
	call->mas = &w->cursor;
	skip_blanks(at);
	if ((*at)[0] && (*at)[1] == '.') {
		if (**at == 'u')
			call->mt = &w->trees[1];
		else if (**at == 'c')
			table = cursor_ops;
		else if (**at != 't')
			return NULL;
		*at += 2;
	}
	if (!take_name(at, name, sizeof(name)))
		return NULL;
	return find_op(table, name);
}

static void get_lock(struct world *w, const struct op *op)
{
	if (op->lock == OP_TAKES)
		world_unlock(w);
	else if (op->lock == OP_HOLDS || (op->lock == OP_READS && !w->rcu))
		world_lock(w);
}

/* Whether both trees are sound. The lock of t may be held already. */
static bool check_trees(struct world *w, char why[WHY_SIZE])
{
	bool locked = w->locked, good;

	world_lock(w);
	good = tree_sound(&w->trees[0], why);
	if (!locked)
		world_unlock(w);
	if (!good)
		return false;
	mtree_lock_nested(&w->trees[1], 1); /* the lock of t may be held */
	good = tree_sound(&w->trees[1], why);
	mtree_unlock(&w->trees[1]);
	return good;
}

static bool run_op(struct world *w, const char **at)
{
	struct call call = { 0 };
	const char *start = *at;
	const struct op *op = take_op(w, at, &call);
	char why[WHY_SIZE];

	if (!op || !take_args(at, op->signature, &call)) {
		text_add(&w->out, " NOT UNDERSTOOD: %s", start);
		return false;
	}
	if (!op->quiet && w->any)
		text_add(&w->out, "; ");
	get_lock(w, op);
	op->run(w, &call);
	w->any |= !op->quiet;
	if (w->fault) {
		text_add(&w->out, " FAULT: %s", w->fault);
		return false;
	}
	if (!check_trees(w, why)) {
		text_add(&w->out, " FAULT after %s: %s", op->name, why);
		return false;
	}
	return true;
}

static bool run_all(struct world *w, const char *operations)
{
	const char *at = operations;

	skip_blanks(&at);
	while (*at) {
		if (!run_op(w, &at))
			return false;
		if (!take_char(&at, ';') && *at) {
			text_add(&w->out, " NOT UNDERSTOOD: %s", at);
			return false;
		}
		skip_blanks(&at);
	}
	return true;
}

/* Frees everything. Returns false unless every node has come back. */
static bool finish(struct world *w, unsigned long nodes_before)
{
	unsigned long nodes;

	memfault_ok();
	world_lock(w);
	mas_destroy(&w->cursor);
	world_unlock(w);
	if (w->rcu)
		mt_rcu_read_unlock(&w->trees[0]);
	mtree_destroy(&w->trees[0]);
	mtree_destroy(&w->trees[1]);
	nodes = nodes_in_use(mt_mem_default());
	if (nodes == nodes_before)
		return true;
	text_add(&w->out, " FAULT: %lu nodes in use, %lu before", nodes, nodes_before);
	return false;
}

bool interp_run(const char *setup, const char *operations, unsigned int variant, char *out,
		size_t size)
{
	struct world w = { .variant = variant, .out = { .at = out, .room = size } };
	unsigned long nodes = nodes_in_use(mt_mem_default());
	bool good;

	*out = '\0';
	memfault_ok();
	mt_init(&w.trees[1]);
	if (!world_make_tree(&w, &w.trees[0], setup)) {
		text_add(&w.out, " NOT UNDERSTOOD: %s", setup);
		mtree_destroy(&w.trees[0]);
		return false;
	}
	mas_init(&w.cursor, &w.trees[0], 0);
	w.rcu = mt_in_rcu(&w.trees[0]);
	if (w.rcu)
		mt_rcu_read_lock(&w.trees[0]);
	good = run_all(&w, operations);
	return finish(&w, nodes) && good && !w.out.full;
}
