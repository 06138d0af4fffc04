/* SPDX-License-Identifier: MIT */
/* The operations c.x(). */
#include "interp_internal.h"

static void show_cursor(struct world *w, struct call *c)
{
	text_cursor(&w->out, c->mas);
}

static void show_entry(struct world *w, struct call *c, const void *entry)
{
	text_entry(&w->out, entry);
	text_add(&w->out, " ");
	show_cursor(w, c);
}

static void show_code(struct world *w, struct call *c, int code)
{
	text_code(&w->out, code);
	text_add(&w->out, " ");
	show_cursor(w, c);
}

#define RUN_MOVE(name, limit)                                       \
	static void run_mas_##name(struct world *w, struct call *c) \
	{                                                           \
		unsigned long to = c->keys ? c->key[0] : (limit);   \
		show_entry(w, c, mas_##name(c->mas, to));           \
	}

RUN_MOVE(find, ULONG_MAX)
RUN_MOVE(find_range, ULONG_MAX)
RUN_MOVE(next, ULONG_MAX)
RUN_MOVE(next_range, ULONG_MAX)
RUN_MOVE(find_rev, 0)
RUN_MOVE(find_range_rev, 0)
RUN_MOVE(prev, 0)
RUN_MOVE(prev_range, 0)

static void run_mas_walk(struct world *w, struct call *c)
{
	show_entry(w, c, mas_walk(c->mas));
}

static void run_mas_set(struct world *w, struct call *c)
{
	(void)w;
	if (c->keys == 2)
		mas_set_range(c->mas, c->key[0], c->key[1]);
	else
		mas_set(c->mas, c->key[0]);
}

static void run_mas_keep_set(struct world *w, struct call *c)
{
	(void)w;
	__mas_set_range(c->mas, c->key[0], c->key[1]);
}

static void run_mas_pause(struct world *w, struct call *c)
{
	(void)w;
	mas_pause(c->mas);
}

static void run_mas_reset(struct world *w, struct call *c)
{
	(void)w;
	mas_reset(c->mas);
}

/* Overwrites the status, for those that a caller cannot bring about, and leaves the rest alone. */
static void run_mas_force(struct world *w, struct call *c)
{
	(void)w;
	c->mas->status = c->status;
	if (c->status == ma_error)
		c->mas->node = MA_ERROR(-12);
}

static void run_mas_state(struct world *w, struct call *c)
{
	show_cursor(w, c);
}

static void run_mas_destroy(struct world *w, struct call *c)
{
	(void)w;
	mas_destroy(c->mas);
}

static void run_mas_store(struct world *w, struct call *c)
{
	show_entry(w, c, mas_store(c->mas, c->entry));
}

static void run_mas_store_gfp(struct world *w, struct call *c)
{
	int code = mas_store_gfp(c->mas, c->entry, c->gfp);

	show_code(w, c, code);
}

static void run_mas_erase(struct world *w, struct call *c)
{
	show_entry(w, c, mas_erase(c->mas));
}

static void run_mas_nomem(struct world *w, struct call *c)
{
	bool again = mas_nomem(c->mas, c->gfp);

	text_add(&w->out, "%s ", again ? "true" : "false");
	show_cursor(w, c);
}

static void run_mas_preallocate(struct world *w, struct call *c)
{
	text_code(&w->out, mas_preallocate(c->mas, c->entry, c->gfp));
}

static void run_mas_store_prealloc(struct world *w, struct call *c)
{
	mas_store_prealloc(c->mas, c->entry);
	if (mas_allocated(c->mas) != 0)
		w->fault = "mas_store_prealloc() kept nodes";
	show_cursor(w, c);
}

static void show_area(struct world *w, struct call *c, int code)
{
	if (code)
		text_code(&w->out, code);
	else
		show_code(w, c, code);
}

static void run_mas_empty_area(struct world *w, struct call *c)
{
	show_area(w, c, mas_empty_area(c->mas, c->key[0], c->key[1], c->key[2]));
}

static void run_mas_empty_area_rev(struct world *w, struct call *c)
{
	show_area(w, c, mas_empty_area_rev(c->mas, c->key[0], c->key[1], c->key[2]));
}

static void run_mas_expected(struct world *w, struct call *c)
{
	text_code(&w->out, mas_expected_entries(c->mas, c->key[0]));
}

static void run_mas_alloc_cyclic(struct world *w, struct call *c)
{
	unsigned long start = UNTOUCHED, next = c->key[2];
	int code = mas_alloc_cyclic(c->mas, &start, c->entry, c->key[0], c->key[1], &next, c->gfp);

	world_show_start(w, code, start);
	world_show_next(w, code, next, c->key[2]);
	if (code >= 0) {
		text_add(&w->out, " ");
		text_cursor(&w->out, c->mas);
	}
}

const struct op cursor_ops[] = {
	{ "walk", "", OP_READS, false, run_mas_walk },
	{ "find", "?k", OP_READS, false, run_mas_find },
	{ "find_range", "?k", OP_READS, false, run_mas_find_range },
	{ "find_rev", "?k", OP_READS, false, run_mas_find_rev },
	{ "find_range_rev", "?k", OP_READS, false, run_mas_find_range_rev },
	{ "next", "?k", OP_READS, false, run_mas_next },
	{ "next_range", "?k", OP_READS, false, run_mas_next_range },
	{ "prev", "?k", OP_READS, false, run_mas_prev },
	{ "prev_range", "?k", OP_READS, false, run_mas_prev_range },
	{ "set", "k?k", OP_ANY, true, run_mas_set },
	{ "_set", "kk", OP_ANY, true, run_mas_keep_set },
	{ "pause", "", OP_ANY, true, run_mas_pause },
	{ "reset", "", OP_ANY, true, run_mas_reset },
	{ "force", "s", OP_ANY, true, run_mas_force },
	{ "state", "", OP_ANY, false, run_mas_state },
	{ "destroy", "", OP_HOLDS, true, run_mas_destroy },
	{ "store", "e", OP_HOLDS, false, run_mas_store },
	{ "store_gfp", "eg", OP_HOLDS, false, run_mas_store_gfp },
	{ "erase", "", OP_HOLDS, false, run_mas_erase },
	{ "nomem", "g", OP_HOLDS, false, run_mas_nomem },
	{ "preallocate", "eg", OP_HOLDS, false, run_mas_preallocate },
	{ "store_prealloc", "e", OP_HOLDS, false, run_mas_store_prealloc },
	{ "empty_area", "kkk", OP_HOLDS, false, run_mas_empty_area },
	{ "empty_area_rev", "kkk", OP_HOLDS, false, run_mas_empty_area_rev },
	{ "alloc_cyclic", "ekkkg", OP_HOLDS, false, run_mas_alloc_cyclic },
	{ "expected_entries", "k", OP_HOLDS, false, run_mas_expected },
	{ NULL, NULL, OP_ANY, false, NULL },
};
