/* SPDX-License-Identifier: MIT */
#include "cursor_model.h"

enum tree_form form_after(enum tree_form before, const struct range_model *model)
{
	const struct rm_range *only = model->ranges;

	if (rm_count(model) == 0)
		return FORM_EMPTY;
	if (before == FORM_NODES || rm_count(model) > 1 || only->last != 0 ||
	    xa_is_internal(only->entry))
		return FORM_NODES;
	return FORM_COMPACT;
}

static void *stop(struct cursor_model *c, enum maple_status status)
{
	c->status = status;
	return NULL;
}

static void *stand(struct cursor_model *c, unsigned long index, unsigned long last,
		   enum maple_status status, void *entry)
{
	c->index = index;
	c->last = last;
	c->status = status;
	return entry;
}

static void *walk(struct cursor_model *c)
{
	unsigned long first, last;
	void *entry;

	if (c->form == FORM_EMPTY)
		return stand(c, 0, ULONG_MAX, ma_none, NULL);
	rm_range(c->ranges, c->index, &first, &last, &entry);
	if (c->form == FORM_NODES)
		return stand(c, first, last, ma_active, entry);
	return stand(c, first, last, first ? ma_none : ma_root, entry);
}

/* ---- Trees with nodes: from the range that is, or contains, the cursor's */

static void *step_up(struct cursor_model *c, unsigned long max, bool gaps)
{
	unsigned long first, last;
	void *entry;

	do {
		rm_range(c->ranges, c->index, &first, &last, NULL);
		if (last >= max)
			return stop(c, ma_overflow);
		c->index = last + 1;
		entry = walk(c);
	} while (!entry && !gaps);
	return entry;
}

static void *step_down(struct cursor_model *c, unsigned long min, bool gaps)
{
	unsigned long first, last;
	void *entry;

	do {
		rm_range(c->ranges, c->index, &first, &last, NULL);
		if (first <= min)
			return stop(c, ma_underflow);
		c->index = first - 1;
		entry = walk(c);
	} while (!entry && !gaps);
	return entry;
}

static void *next(struct cursor_model *c, unsigned long max, bool gaps)
{
	void *entry;

	if (c->last >= max)
		return stop(c, ma_overflow);
	if (c->status == ma_error)
		return NULL;
	if (c->status == ma_active)
		return step_up(c, max, gaps);
	entry = c->status == ma_underflow ? walk(c) : (walk(c), NULL);
	return entry ? entry : step_up(c, max, gaps);
}

static void *prev(struct cursor_model *c, unsigned long min, bool gaps)
{
	void *entry;

	if (c->index <= min)
		return stop(c, ma_underflow);
	if (c->status == ma_error)
		return NULL;
	if (c->status == ma_active)
		return step_down(c, min, gaps);
	entry = c->status == ma_overflow ? walk(c) : (walk(c), NULL);
	return entry ? entry : step_down(c, min, gaps);
}

/* mas_find() leaves the status active at the upper limit. */
static void *find_step(struct cursor_model *c, unsigned long max, bool gaps)
{
	void *entry = step_up(c, max, gaps);

	if (!gaps && c->status == ma_overflow)
		c->status = ma_active;
	return entry;
}

static void *find_start(struct cursor_model *c, unsigned long max, bool gaps)
{
	void *entry;

	if (c->index > max)
		return NULL;
	entry = walk(c);
	if (entry || c->index == max)
		return entry;
	return find_step(c, max, gaps);
}

static void *find(struct cursor_model *c, unsigned long max, bool gaps)
{
	void *entry;

	switch (c->status) {
	case ma_start:
		return find_start(c, max, gaps);
	case ma_active:
		return c->last >= max ? NULL : find_step(c, max, gaps);
	case ma_pause:
		if (c->last >= max)
			return NULL;
		c->index = ++c->last;
		c->status = ma_start;
		return find_start(c, max, gaps);
	case ma_none:
		if (c->last >= max)
			return NULL;
		c->index = c->last;
		return find_start(c, max, gaps);
	case ma_overflow:
		if (c->last >= max)
			return NULL;
		break;
	case ma_underflow:
		if (c->index >= max)
			return stop(c, ma_overflow);
		break;
	default:
		return NULL;
	}
	entry = walk(c);
	return entry ? entry : find_step(c, max, gaps);
}

static void *find_rev_start(struct cursor_model *c, unsigned long min, bool gaps)
{
	void *entry;

	if (c->index < min)
		return NULL;
	entry = walk(c);
	if (entry || c->index < min)
		return entry;
	return step_down(c, min, gaps);
}

static void *find_rev(struct cursor_model *c, unsigned long min, bool gaps)
{
	switch (c->status) {
	case ma_start:
		return find_rev_start(c, min, gaps);
	case ma_active:
		return c->index < min ? NULL : step_down(c, min, gaps);
	case ma_pause:
		if (c->index <= min)
			return stop(c, ma_underflow);
		c->last = --c->index;
		c->status = ma_start;
		return find_rev_start(c, min, gaps);
	case ma_none:
		if (c->index <= min)
			return NULL;
		c->last = c->index;
		return find_rev_start(c, min, gaps);
	case ma_overflow:
		if (c->index <= min)
			return stop(c, ma_underflow);
		break;
	case ma_underflow:
		if (c->index <= min)
			return NULL;
		break;
	default:
		return NULL;
	}
	walk(c);
	return step_down(c, min, gaps);
}

/* ---- Trees without nodes */

static void *beyond(struct cursor_model *c)
{
	return stand(c, c->form == FORM_COMPACT ? 1 : 0, ULONG_MAX, ma_none, NULL);
}

static void *flat_next(struct cursor_model *c, unsigned long max)
{
	if (c->last >= max)
		return stop(c, ma_overflow);
	if (c->status == ma_error)
		return NULL;
	if (c->status == ma_root)
		return stand(c, 1, ULONG_MAX, ma_none, NULL);
	if (c->status == ma_none && c->form == FORM_COMPACT)
		return stand(c, 0, 0, ma_root, NULL);
	c->vague = c->status == ma_none;
	if (c->status == ma_underflow && c->index == 0 && c->form == FORM_COMPACT)
		return walk(c);
	return beyond(c);
}

static void *flat_prev(struct cursor_model *c, unsigned long min)
{
	if (c->index <= min)
		return stop(c, ma_underflow);
	if (c->status == ma_error)
		return NULL;
	if (c->form == FORM_EMPTY)
		return beyond(c);
	if (min > 0)
		return stand(c, 1, ULONG_MAX, ma_underflow, NULL);
	c->index = 0;
	return walk(c);
}

static void *flat_find(struct cursor_model *c, unsigned long max)
{
	switch (c->status) {
	case ma_start:
		if (c->index > max)
			return NULL;
		break;
	case ma_pause:
	case ma_none:
		if (c->last >= max)
			return NULL;
		c->index = c->last + (c->status == ma_pause);
		break;
	case ma_root:
		return stand(c, 1, ULONG_MAX, ma_none, NULL);
	case ma_overflow:
		if (c->last >= max)
			return NULL;
		break;
	case ma_underflow:
		if (c->index >= max)
			return stop(c, ma_overflow);
		break;
	default:
		return NULL;
	}
	return walk(c);
}

/* Moves down from the cursor's index, wherever it is. */
static void *flat_down(struct cursor_model *c, unsigned long min)
{
	if (c->form == FORM_EMPTY) {
		c->vague = min > 0 || c->status == ma_overflow || c->status == ma_underflow ||
			   c->status == ma_none;
		return stand(c, 0, 0, ma_root, NULL);
	}
	if (c->index > 0 && min > 0)
		return stand(c, 1, ULONG_MAX, ma_underflow, NULL);
	c->index = 0;
	return walk(c);
}

static void *flat_find_rev(struct cursor_model *c, unsigned long min)
{
	switch (c->status) {
	case ma_start:
		return c->index < min ? NULL : flat_down(c, min);
	case ma_pause:
		if (c->index <= min)
			return stop(c, ma_underflow);
		c->index--;
		return flat_down(c, min);
	case ma_root:
		return stand(c, 0, 0, ma_none, NULL);
	case ma_overflow:
		return c->index <= min ? stop(c, ma_underflow) : flat_down(c, min);
	case ma_none:
	case ma_underflow:
		return c->index <= min ? NULL : flat_down(c, min);
	default:
		return NULL;
	}
}

static void *flat_move(struct cursor_model *c, enum cursor_move move, unsigned long limit)
{
	switch (move) {
	case MOVE_NEXT:
	case MOVE_NEXT_RANGE:
		return flat_next(c, limit);
	case MOVE_PREV:
	case MOVE_PREV_RANGE:
		return flat_prev(c, limit);
	case MOVE_FIND:
	case MOVE_FIND_RANGE:
		return flat_find(c, limit);
	default:
		return flat_find_rev(c, limit);
	}
}

void *cursor_model_move(struct cursor_model *c, enum cursor_move move, unsigned long limit)
{
	c->vague = false;
	if (move == MOVE_WALK)
		return walk(c);
	if (c->form != FORM_NODES)
		return flat_move(c, move, limit);
	switch (move) {
	case MOVE_NEXT:
	case MOVE_NEXT_RANGE:
		return next(c, limit, move == MOVE_NEXT_RANGE);
	case MOVE_PREV:
	case MOVE_PREV_RANGE:
		return prev(c, limit, move == MOVE_PREV_RANGE);
	case MOVE_FIND:
	case MOVE_FIND_RANGE:
		return find(c, limit, move == MOVE_FIND_RANGE);
	default:
		return find_rev(c, limit, move == MOVE_FIND_RANGE_REV);
	}
}
