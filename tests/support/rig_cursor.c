/* SPDX-License-Identifier: MIT */
/* Steps through a cursor, mostly the one that lives on from step to step. */
#include "inlines.h"
#include "rig_internal.h"

#include <errno.h>

static void lock_to_read(struct rig *rig)
{
	rig->mas.guard = 0; /* as in rig_lock() */
	if (mt_in_rcu(&rig->tree))
		mt_rcu_read_lock(&rig->tree);
	else
		rig_lock(rig);
}

static void unlock_read(struct rig *rig)
{
	if (mt_in_rcu(&rig->tree))
		mt_rcu_read_unlock(&rig->tree);
	else
		rig_unlock(rig);
}

static bool same_place(struct rig *rig, const char *what)
{
	const struct ma_state *mas = &rig->mas;
	const struct cursor_model *c = &rig->cursor;

	if (mas->index == c->index && mas->last == c->last && mas->status == c->status)
		return true;
	return rig_fault(rig, "%s: cursor on %#lx..%#lx status %d, should be %#lx..%#lx status %d",
			 what, mas->index, mas->last, (int)mas->status, c->index, c->last,
			 (int)c->status);
}

static void set_cursor(struct rig *rig, unsigned long first, unsigned long last)
{
	mas_set_range(&rig->mas, first, last);
	rig->cursor.index = first;
	rig->cursor.last = last;
	rig->cursor.status = ma_start;
	rig->stale = rig->part = false;
}

/* With an odd third number the fields are assigned, as users may do, which resets nothing else. */
static bool step_set(struct rig *rig, const struct op *op)
{
	struct ma_state *mas = &rig->mas;

	if (op->n[0] > op->n[1])
		return true;
	if (op->n[2] & 1) {
		mas->status = ma_start;
		mas->index = op->n[0];
		mas->last = op->n[1];
	} else {
		mas_set_range(mas, op->n[0], op->n[1]);
	}
	rig->cursor.index = op->n[0];
	rig->cursor.last = op->n[1];
	rig->cursor.status = ma_start;
	rig->stale = rig->part = false;
	return true;
}

/* Narrows the cursor's range to a part of it; the cursor keeps its position. */
static bool step_part(struct rig *rig, const struct op *op)
{
	struct cursor_model *c = &rig->cursor;
	unsigned long span = c->last - c->index, from = op->n[0], to = op->n[1];

	if (c->form != FORM_NODES || c->status != ma_active || rig->stale)
		return true;
	if (span < ULONG_MAX) {
		from %= span + 1;
		to %= span + 1;
	}
	__mas_set_range(&rig->mas, c->index + (from < to ? from : to),
			c->index + (from < to ? to : from));
	c->index = rig->mas.index;
	c->last = rig->mas.last;
	rig->part = true;
	return true;
}

/* Makes a store through the cursor fail, then points the cursor to another range. */
static bool step_fail(struct rig *rig, const struct op *op)
{
	struct ma_state *mas = &rig->mas;
	int err;

	if (rig->cursor.form != FORM_NODES || op->n[0] > op->n[1] || rig->cursor.status == ma_error)
		return true;
	rig_lock(rig);
	mas->index = 1;
	mas->last = 0;
	err = mas_store_gfp(mas, xa_mk_value(1), GFP_KERNEL);
	rig_unlock(rig);
	mas->index = rig->cursor.index = op->n[0];
	mas->last = rig->cursor.last = op->n[1];
	rig->cursor.status = ma_error;
	rig->stale = rig->part = false;
	return (err == -EINVAL && mas_is_err(mas)) ||
	       rig_fault(rig, "a store of [1..0]: %d, status %d", err, (int)mas->status);
}

static bool step_pause(struct rig *rig, const struct op *op)
{
	(void)op;
	mas_pause(&rig->mas);
	rig->cursor.status = ma_pause;
	rig->stale = rig->part = false;
	return true;
}

/* Chooses whether other writes pause the cursor from now on. */
static bool step_stay(struct rig *rig, const struct op *op)
{
	rig->stay = op->n[0] & 1;
	return true;
}

static bool step_reset(struct rig *rig, const struct op *op)
{
	(void)op;
	mas_reset(&rig->mas);
	rig->stale = rig->part = false;
	rig->cursor.status = ma_start;
	return true;
}

/* Takes the fast path every other time, where possible. */
static void *move(struct rig *rig, enum cursor_move how, unsigned long limit)
{
	struct ma_state *mas = &rig->mas;

	if (rig->moves++ & 1)
		let_inlines(mas);
	switch (how) {
	case MOVE_NEXT:
		return mas_next(mas, limit);
	case MOVE_NEXT_RANGE:
		return mas_next_range(mas, limit);
	case MOVE_PREV:
		return mas_prev(mas, limit);
	case MOVE_PREV_RANGE:
		return mas_prev_range(mas, limit);
	case MOVE_FIND:
		return mas_find(mas, limit);
	case MOVE_FIND_RANGE:
		return mas_find_range(mas, limit);
	case MOVE_FIND_REV:
		return mas_find_rev(mas, limit);
	case MOVE_FIND_RANGE_REV:
		return mas_find_range_rev(mas, limit);
	default:
		return mas_walk(mas);
	}
}

static const char *const move_names[NR_MOVES] = { "walk",       "next",       "next_range",
						  "prev",       "prev_range", "find",
						  "find_range", "find_rev",   "find_range_rev" };

/*
 * A cursor whose tree was changed under it notices: a move under the lock takes it to a range of
 * the current tree, and an active one beyond the range where it was.
 */
static bool stale_move(struct rig *rig, enum cursor_move how, unsigned long limit)
{
	const struct ma_state *mas = &rig->mas;
	unsigned long index = mas->index, last = mas->last, first, end;
	bool active = mas->status == ma_active, good;
	void *got, *want;

	rig_lock(rig);
	got = move(rig, how, limit);
	rig_unlock(rig);
	rm_range(&rig->model, mas->index, &first, &end, &want);
	good = !got || (got == want && mas->index == first && mas->last == end);
	if (good && got && how == MOVE_WALK)
		good = first <= index && end >= index;
	else if (good && got && active)
		good = how == MOVE_NEXT || how == MOVE_NEXT_RANGE || how == MOVE_FIND ||
				       how == MOVE_FIND_RANGE
			       ? first > last
			       : end < index;
	if (!good)
		return rig_fault(
			rig, "stale %s from %#lx..%#lx: %p at %#lx..%#lx, the range is %#lx..%#lx",
			move_names[how], index, last, got, mas->index, mas->last, first, end);
	set_cursor(rig, index, index);
	return true;
}

static bool step_move(struct rig *rig, const struct op *op)
{
	enum cursor_move how = (enum cursor_move)(op->n[0] % NR_MOVES);
	struct cursor_model before = rig->cursor;
	void *want, *got;

	if (rig->stale)
		return stale_move(rig, how, op->n[1]);
	want = cursor_model_move(&rig->cursor, how, op->n[1]);
	lock_to_read(rig);
	got = move(rig, how, op->n[1]);
	unlock_read(rig);
	if (got != want)
		return rig_fault(rig, "%s from %#lx..%#lx status %d: %p, should be %p",
				 move_names[how], before.index, before.last, (int)before.status,
				 got, want);
	if (rig->cursor.vague) {
		set_cursor(rig, before.index, before.index);
		return true;
	}
	if (!same_place(rig, move_names[how]))
		return false;
	/* What a limit leaves of a partial range is unspecified. */
	if (rig->part && rig->cursor.status != ma_active)
		set_cursor(rig, before.index, before.index);
	rig->part = rig->part && rig->cursor.index == before.index;
	return true;
}

/* ---- Writing */

/* Sets the range to write; keeps the cursor's position if @keep asks for it and that is allowed. */
static void aim(struct rig *rig, unsigned long first, unsigned long last, bool keep)
{
	enum maple_status status = rig->cursor.status;

	if (!keep || status == ma_root || status == ma_error ||
	    (status == ma_active && first < rig->cursor.index)) {
		set_cursor(rig, first, last);
		return;
	}
	rig->mas.index = rig->cursor.index = first;
	rig->mas.last = rig->cursor.last = last;
}

/* Checks where a store left the cursor, after the model has done the same store. */
static bool after_store(struct rig *rig, const char *what, enum tree_form before, const void *entry)
{
	struct cursor_model *c = &rig->cursor;
	unsigned long index = c->index;

	if (!rig_changed(rig))
		return false;
	if (c->form == FORM_NODES) {
		c->status = ma_active;
		rm_range(&rig->model, index, &c->index, &c->last, NULL);
	} else if (entry) {
		c->status = c->status == ma_root ? ma_root : ma_start;
	} else if (before == FORM_NODES) {
		c->status = ma_start;
		c->index = 0;
		c->last = ULONG_MAX;
	} else {
		c->status = before == FORM_EMPTY ? ma_none : ma_root;
	}
	if (!same_place(rig, what))
		return false;
	rig->stale = rig->part = false;
	/* Not a position to go on from. */
	if (before != FORM_NODES && !entry)
		set_cursor(rig, c->index, c->last);
	return true;
}

static bool refuse(struct rig *rig, const char *what, const struct op *op, int err)
{
	int want = op->n[0] > op->n[1] ? -EINVAL : 0;
	bool legal = err == want || rig_refused(op, err, want);

	set_cursor(rig, 0, 0);
	return legal || rig_fault(rig, "%s: %d, should be %d", what, err, want);
}

static bool store_in_model(struct rig *rig, const char *what, const struct op *op, void *entry)
{
	enum tree_form before = rig->cursor.form;

	if (rm_store(&rig->model, op->n[0], op->n[1], entry) != 0)
		return rig_fault(rig, "%s was not refused", what);
	return after_store(rig, what, before, entry);
}

static bool step_cur_store(struct rig *rig, const struct op *op)
{
	void *entry = rig_entry(op->n[2]), *got, *want = rm_load(&rig->model, op->n[0]);
	unsigned int tries = 0;

	rig_lock(rig);
	do {
		aim(rig, op->n[0], op->n[1], (op->n[3] & 1) && tries == 0);
		got = mas_store(&rig->mas, entry);
	} while (mas_nomem(&rig->mas, GFP_KERNEL) && tries++ < 10);
	mas_destroy(&rig->mas);
	rig_unlock(rig);
	if (mas_is_err(&rig->mas))
		return refuse(rig, "cur_store", op, xa_err(rig->mas.node));
	if (got != want)
		return rig_fault(rig, "mas_store: %p, should be %p", got, want);
	return store_in_model(rig, "mas_store", op, entry);
}

static bool step_cur_store_gfp(struct rig *rig, const struct op *op)
{
	void *entry = rig_entry(op->n[2]);
	int err;

	rig_lock(rig);
	aim(rig, op->n[0], op->n[1], op->n[3] & 1);
	err = mas_store_gfp(&rig->mas, entry, op_gfps[op->gfp]);
	rig_unlock(rig);
	if (err)
		return refuse(rig, "mas_store_gfp", op, err);
	return store_in_model(rig, "mas_store_gfp", op, entry);
}

/* Returns the status in which mas_preallocate() leaves the cursor. */
static enum maple_status prepared(enum tree_form form)
{
	return form == FORM_NODES ? ma_active : form == FORM_EMPTY ? ma_none : ma_root;
}

static bool step_prealloc(struct rig *rig, const struct op *op)
{
	unsigned long nodes, built;
	void *entry = rig_entry(op->n[2]);
	bool stands = true;
	int err;

	rig_lock(rig);
	aim(rig, op->n[0], op->n[1], op->n[3] & 1);
	err = mas_preallocate(&rig->mas, entry, op_gfps[op->gfp]);
	nodes = mas_allocated(&rig->mas);
	built = rig->tree.ma_nodes_built;
	if (!err) {
		rig->cursor.status = prepared(rig->cursor.form);
		stands = rig->mas.status == rig->cursor.status;
	}
	if (!err && op->kind == OP_cur_prealloc)
		mas_store_prealloc(&rig->mas, entry);
	else
		mas_destroy(&rig->mas);
	built = rig->tree.ma_nodes_built - built;
	rig_unlock(rig);
	if (mas_allocated(&rig->mas) != 0)
		return rig_fault(rig, "%s: the cursor still owns nodes", op_name(op->kind));
	if (err)
		return refuse(rig, "mas_preallocate", op, err);
	if (!stands)
		return rig_fault(rig, "mas_preallocate: wrong status in form %d",
				 (int)rig->cursor.form);
	if (op->kind == OP_cur_abandon) {
		set_cursor(rig, op->n[0], op->n[1]);
		return built == 0 || rig_fault(rig, "built %lu nodes for nothing", built);
	}
	if (built != nodes)
		return rig_fault(rig, "preallocated %lu nodes, built %lu", nodes, built);
	return store_in_model(rig, "mas_store_prealloc", op, entry);
}

static bool step_cur_erase(struct rig *rig, const struct op *op)
{
	enum tree_form before = rig->cursor.form;
	void *got, *want = rm_erase(&rig->model, op->n[0]);

	rig_lock(rig);
	aim(rig, op->n[0], op->n[0], op->n[1] & 1);
	got = mas_erase(&rig->mas);
	rig_unlock(rig);
	if (got != want)
		return rig_fault(rig, "mas_erase: %p, should be %p", got, want);
	return after_store(rig, "mas_erase", before, NULL);
}

/* ---- Gaps */

static bool step_area(struct rig *rig, const struct op *op)
{
	unsigned long min = op->n[0], max = op->n[1], size = op->n[2], start;
	struct cursor_model *c = &rig->cursor;
	bool low = op->kind == OP_area;
	int got, want;

	if (!(rig->tree.ma_flags & MT_FLAGS_ALLOC_RANGE))
		return true;
	rig_lock(rig);
	got = (low ? mas_empty_area : mas_empty_area_rev)(&rig->mas, min, max, size);
	rig_unlock(rig);
	want = (low ? rm_gap_first : rm_gap_last)(&rig->model, size, min, max, &start);
	if (got != want)
		return rig_fault(rig, "%s: %d, should be %d", op_name(op->kind), got, want);
	if (want != 0)
		return same_place(rig, "a gap search in vain");
	c->index = start;
	c->last = start + size - 1;
	c->status = prepared(c->form);
	if (!same_place(rig, op_name(op->kind)))
		return false;
	if (op->n[3]) {
		struct op store = { OP_cur_store_gfp, 0, { start, c->last, op->n[3], 0, 0 } };
		int err;

		rig_lock(rig);
		err = mas_store_gfp(&rig->mas, rig_entry(op->n[3]), GFP_KERNEL);
		rig_unlock(rig);
		c->status = ma_start; /* on the root of a compact tree it is unspecified */
		return (err == 0 || rig_fault(rig, "store into a gap: %d", err)) &&
		       store_in_model(rig, "store into a gap", &store, rig_entry(op->n[3]));
	}
	if (c->form == FORM_NODES) {
		rig->stale = false;
		rig->part = true;
	} else {
		set_cursor(rig, start, start);
	}
	return true;
}

/* A model of the cyclic allocator. Returns 0, 1 if it must report a wrap, or an error. */
static int want_cyclic(struct rig *rig, const struct op *op, unsigned long *start,
		       unsigned long *next)
{
	unsigned long lo = op->n[0], hi = op->n[1], from = *next > lo ? *next : lo;
	int ret = 0;

	if (lo > hi)
		return -EINVAL;
	if (from > hi || rm_gap_first(&rig->model, 1, from, hi, start) != 0) {
		if (*next <= lo || rm_gap_first(&rig->model, 1, lo, hi, start) != 0)
			return -EBUSY;
		ret = 1;
	}
	*next = *start + 1;
	return ret;
}

static int take_wrap_mark(struct rig *rig, int ret, unsigned long start)
{
	if (ret == 0 && rig->wrapped) {
		rig->wrapped = false;
		ret = 1;
	}
	if (start == ULONG_MAX)
		rig->wrapped = true;
	return ret;
}

static bool step_cyclic(struct rig *rig, const struct op *op)
{
	unsigned long got_start = 0x5a, got_next = op->n[2], want_start = 0x5a,
		      want_next = op->n[2];
	bool normal = op->kind == OP_alloc_cyclic;
	bool tracks = rig->tree.ma_flags & MT_FLAGS_ALLOC_RANGE;
	void *entry = rig_entry(op->n[3]);
	bool bad = (xa_is_internal(entry) && (unsigned long)entry < MAPLE_RESERVED_RANGE) ||
		   !tracks;
	int got, want;

	if ((normal && mt_external_lock(&rig->tree)) || (!normal && (bad || op->n[0] > op->n[1])))
		return true;
	if (normal) {
		got = mtree_alloc_cyclic(&rig->tree, &got_start, entry, op->n[0], op->n[1],
					 &got_next, op_gfps[op->gfp]);
	} else {
		rig_lock(rig);
		got = mas_alloc_cyclic(&rig->mas, &got_start, entry, op->n[0], op->n[1], &got_next,
				       op_gfps[op->gfp]);
		rig_unlock(rig);
	}
	set_cursor(rig, op->n[0], op->n[0]);
	want = bad ? -EINVAL : want_cyclic(rig, op, &want_start, &want_next);
	if (rig_refused(op, got, want)) {
		want_start = 0x5a;
		want_next = op->n[2];
	} else {
		if (want >= 0) {
			want = take_wrap_mark(rig, want, want_start);
			if (rm_store(&rig->model, want_start, want_start, entry) != 0)
				return rig_fault(rig, "the model refused");
		}
		if (got != want)
			return rig_fault(rig, "%s: %d, should be %d", op_name(op->kind), got, want);
	}
	if (got_start != want_start || got_next != want_next)
		return rig_fault(rig, "%s: at %#lx next %#lx, should be %#lx next %#lx",
				 op_name(op->kind), got_start, got_next, want_start, want_next);
	if (!(rig->tree.ma_flags & MT_FLAGS_ALLOC_WRAPPED) != !rig->wrapped)
		return rig_fault(rig, "the wrap mark");
	return rig_changed(rig);
}

/* ---- Loops */

static bool step_each(struct rig *rig, const struct op *op)
{
	unsigned long first, last, max = op->n[1], key = op->n[0];
	MA_STATE(mas, &rig->tree, key, key);
	bool good = true, more;
	void *got, *want;

	rm_range(&rig->model, key, &first, &last, &want);
	more = key <= max && (want || rm_next(&rig->model, key, &first, &last, &want)) &&
	       first <= max;
	lock_to_read(rig);
	mas_for_each(&mas, got, max) {
		good = more && got == want && mas.index == first && mas.last == last;
		if (!good)
			break;
		more = rm_next(&rig->model, last, &first, &last, &want) && first <= max;
	}
	unlock_read(rig);
	return (good && !more) || rig_fault(rig, "each: at %#lx..%#lx, model at %#lx..%#lx",
					    mas.index, mas.last, first, last);
}

static bool step_each_rev(struct rig *rig, const struct op *op)
{
	unsigned long first, last, min = op->n[1], key = op->n[0];
	MA_STATE(mas, &rig->tree, key, key);
	bool good = true, more;
	void *got, *want;

	rm_range(&rig->model, key, &first, &last, &want);
	more = key >= min && (want || rm_prev(&rig->model, key, &first, &last, &want)) &&
	       last >= min;
	lock_to_read(rig);
	mas_for_each_rev(&mas, got, min) {
		good = more && got == want && mas.index == first && mas.last == last;
		if (!good)
			break;
		more = rm_prev(&rig->model, first, &first, &last, &want) && last >= min;
		let_inlines(&mas);
	}
	unlock_read(rig);
	return (good && !more) || rig_fault(rig, "each_rev: at %#lx..%#lx, model at %#lx..%#lx",
					    mas.index, mas.last, first, last);
}

bool rig_cursor_step(struct rig *rig, const struct op *op)
{
	switch (op->kind) {
	case OP_cur_set:
		return step_set(rig, op);
	case OP_cur_pause:
		return step_pause(rig, op);
	case OP_cur_reset:
		return step_reset(rig, op);
	case OP_cur_stay:
		return step_stay(rig, op);
	case OP_cur_part:
		return step_part(rig, op);
	case OP_cur_fail:
		return step_fail(rig, op);
	case OP_cur_move:
		return step_move(rig, op);
	case OP_cur_store:
		return step_cur_store(rig, op);
	case OP_cur_store_gfp:
		return step_cur_store_gfp(rig, op);
	case OP_cur_prealloc:
	case OP_cur_abandon:
		return step_prealloc(rig, op);
	case OP_cur_erase:
		return step_cur_erase(rig, op);
	case OP_area:
	case OP_area_rev:
		return step_area(rig, op);
	case OP_alloc_cyclic:
	case OP_cur_cyclic:
		return step_cyclic(rig, op);
	case OP_each:
		return step_each(rig, op);
	case OP_each_rev:
		return step_each_rev(rig, op);
	default:
		return rig_fault(rig, "%s is no step", op_name(op->kind));
	}
}
