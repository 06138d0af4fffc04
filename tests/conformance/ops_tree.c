/* SPDX-License-Identifier: MIT */
/* The operations t.x() and u.x(). */
#include "interp_internal.h"

#include "support/memfault.h"

static void run_load(struct world *w, struct call *c)
{
	text_entry(&w->out, mtree_load(c->mt, c->key[0]));
}

static void run_store(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_store(c->mt, c->key[0], c->entry, c->gfp));
}

static void run_store_range(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_store_range(c->mt, c->key[0], c->key[1], c->entry, c->gfp));
}

static void run_insert(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_insert(c->mt, c->key[0], c->entry, c->gfp));
}

static void run_insert_range(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_insert_range(c->mt, c->key[0], c->key[1], c->entry, c->gfp));
}

static void run_reserve(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_reserve(c->mt, c->key[0], c->key[1], c->gfp));
}

static void run_release(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_release(c->mt, c->key[0], c->key[1]));
}

static void run_erase(struct world *w, struct call *c)
{
	text_entry(&w->out, mtree_erase(c->mt, c->key[0]));
}

void world_show_start(struct world *w, int code, unsigned long start)
{
	text_code(&w->out, code);
	if (code >= 0) {
		text_add(&w->out, " @");
		text_key(&w->out, start);
	} else if (start != UNTOUCHED) {
		w->fault = "a failed allocation touched *startp";
	}
}

static void run_alloc_range(struct world *w, struct call *c)
{
	unsigned long start = UNTOUCHED;
	int code = mtree_alloc_range(c->mt, &start, c->entry, c->key[0], c->key[1], c->key[2],
				     c->gfp);

	world_show_start(w, code, start);
}

static void run_alloc_rrange(struct world *w, struct call *c)
{
	unsigned long start = UNTOUCHED;
	int code = mtree_alloc_rrange(c->mt, &start, c->entry, c->key[0], c->key[1], c->key[2],
				      c->gfp);

	world_show_start(w, code, start);
}

void world_show_next(struct world *w, int code, unsigned long next, unsigned long before)
{
	if (code >= 0) {
		text_add(&w->out, " next=");
		text_key(&w->out, next);
	} else if (next != before) {
		w->fault = "a failed allocation touched *next";
	}
}

static void run_alloc_cyclic(struct world *w, struct call *c)
{
	unsigned long start = UNTOUCHED, next = c->key[2];
	int code = mtree_alloc_cyclic(c->mt, &start, c->entry, c->key[0], c->key[1], &next, c->gfp);

	world_show_start(w, code, start);
	world_show_next(w, code, next, c->key[2]);
}

static void show_found(struct world *w, void *entry, unsigned long index)
{
	text_entry(&w->out, entry);
	text_add(&w->out, ", index=");
	text_key(&w->out, index);
}

static void run_find(struct world *w, struct call *c)
{
	unsigned long index = c->key[0];
	void *entry = mt_find(c->mt, &index, c->key[1]);

	show_found(w, entry, index);
}

static void run_find_after(struct world *w, struct call *c)
{
	unsigned long index = c->key[0];
	void *entry = mt_find_after(c->mt, &index, c->key[1]);

	show_found(w, entry, index);
}

static void run_next(struct world *w, struct call *c)
{
	text_entry(&w->out, mt_next(c->mt, c->key[0], c->key[1]));
}

static void run_prev(struct world *w, struct call *c)
{
	text_entry(&w->out, mt_prev(c->mt, c->key[0], c->key[1]));
}

static void run_empty(struct world *w, struct call *c)
{
	text_add(&w->out, "%s", mtree_empty(c->mt) ? "true" : "false");
}

static void run_height(struct world *w, struct call *c)
{
	text_add(&w->out, "%u", mt_height(c->mt));
}

static void run_flags(struct world *w, struct call *c)
{
	text_add(&w->out, "%#x", c->mt->ma_flags);
}

/* {5..9:A 20:B} */
static void run_ranges(struct world *w, struct call *c)
{
	MA_STATE(mas, c->mt, 0, 0);
	const char *gap = "";
	void *entry;

	text_add(&w->out, "{");
	mas_for_each(&mas, entry, ULONG_MAX) {
		text_add(&w->out, "%s", gap);
		if (mas.index == mas.last)
			text_key(&w->out, mas.index);
		else
			text_range(&w->out, mas.index, mas.last);
		text_add(&w->out, ":");
		text_entry(&w->out, entry);
		gap = " ";
	}
	text_add(&w->out, "}");
}

static void run_destroy(struct world *w, struct call *c)
{
	(void)w;
	mtree_destroy(c->mt);
}

static void run_dup(struct world *w, struct call *c)
{
	text_code(&w->out, mtree_dup(c->mt, &w->trees[1], c->gfp));
}

static void run_new(struct world *w, struct call *c)
{
	mtree_destroy(c->mt);
	if (!world_make_tree(w, c->mt, c->words))
		w->fault = "new(): cannot make that tree";
}

static void run_fill(struct world *w, struct call *c)
{
	for (unsigned long i = 0; i < c->key[0]; i++) {
		unsigned long first = i * c->key[1];

		if (mtree_store_range(c->mt, first, first + c->key[2] - 1, xa_mk_value(i),
				      GFP_KERNEL))
			w->fault = "fill(): a store failed";
	}
}

static void run_mem(struct world *w, struct call *c)
{
	const char *p = c->words;
	char name[8];

	if (!take_name(&p, name, sizeof(name)) || !memfault_named(name))
		w->fault = "mem(): ok, none or nowait";
}

const struct op tree_ops[] = {
	{ "load", "k", OP_ANY, false, run_load },
	{ "store", "keg", OP_TAKES, false, run_store },
	{ "store_range", "kkeg", OP_TAKES, false, run_store_range },
	{ "insert", "keg", OP_TAKES, false, run_insert },
	{ "insert_range", "kkeg", OP_TAKES, false, run_insert_range },
	{ "reserve", "kkg", OP_TAKES, false, run_reserve },
	{ "release", "kk", OP_TAKES, false, run_release },
	{ "erase", "k", OP_TAKES, false, run_erase },
	{ "alloc_range", "ekkkg", OP_TAKES, false, run_alloc_range },
	{ "alloc_rrange", "ekkkg", OP_TAKES, false, run_alloc_rrange },
	{ "alloc_cyclic", "ekkkg", OP_TAKES, false, run_alloc_cyclic },
	{ "find", "kk", OP_ANY, false, run_find },
	{ "find_after", "kk", OP_ANY, false, run_find_after },
	{ "next", "kk", OP_ANY, false, run_next },
	{ "prev", "kk", OP_ANY, false, run_prev },
	{ "empty", "", OP_ANY, false, run_empty },
	{ "height", "", OP_ANY, false, run_height },
	{ "flags", "", OP_ANY, false, run_flags },
	{ "ranges", "", OP_ANY, false, run_ranges },
	{ "destroy", "", OP_TAKES, true, run_destroy },
	{ "dup", "g", OP_TAKES, false, run_dup },
	{ "new", "w", OP_TAKES, true, run_new },
	{ "fill", "kkk", OP_TAKES, true, run_fill },
	{ "mem", "w", OP_ANY, true, run_mem },
	{ NULL, NULL, OP_ANY, false, NULL },
};
