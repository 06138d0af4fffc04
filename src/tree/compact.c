/* SPDX-License-Identifier: MIT */
#include "tree/compact.h"

#include "tree/walk.h"

static void *set_cursor(struct ma_state *mas, enum maple_status status, unsigned long index,
			unsigned long last, void *entry)
{
	smr_cursor_off(mas);
	mas->status = status;
	mas->index = index;
	mas->last = last;
	return entry;
}

static void *on_root(struct ma_state *mas, void *root)
{
	return set_cursor(mas, ma_root, 0, 0, root);
}

static void *behind_root(struct ma_state *mas)
{
	return set_cursor(mas, ma_none, 1, ULONG_MAX, NULL);
}

void *smr_compact_walk(struct ma_state *mas, void *root)
{
	if (!root)
		return set_cursor(mas, ma_none, 0, ULONG_MAX, NULL);
	return mas->index == 0 ? on_root(mas, root) : behind_root(mas);
}

void *smr_compact_next(struct ma_state *mas, void *root, enum maple_status before)
{
	if (before == ma_underflow)
		return smr_compact_walk(mas, root);
	if (before == ma_root)
		return behind_root(mas);
	if (!root)
		return smr_compact_walk(mas, root);
	/* A cursor that comes back from below the entry first stops in front of it. */
	if (before == ma_none && mas->index == 0) {
		on_root(mas, root);
		return NULL;
	}
	return behind_root(mas);
}

void *smr_compact_prev(struct ma_state *mas, void *root, unsigned long min)
{
	if (!root)
		return smr_compact_walk(mas, root);
	return min == 0 ? on_root(mas, root) : set_cursor(mas, ma_underflow, 1, ULONG_MAX, NULL);
}

bool smr_find_begin(struct ma_state *mas, unsigned long max)
{
	switch (mas->status) {
	case ma_start:
		return mas->index <= max;
	case ma_active:
	case ma_pause:
		if (mas->last >= max)
			return false;
		mas->index = mas->last = mas->last + 1;
		return true;
	case ma_none:
		if (mas->last >= max)
			return false;
		mas->index = mas->last;
		return true;
	case ma_underflow:
		if (mas->index < max)
			return true;
		mas->status = ma_overflow;
		return false;
	case ma_error:
		return false;
	default:
		return mas->last < max;
	}
}

void *smr_compact_find(struct ma_state *mas, void *root, unsigned long max)
{
	if (mas->status == ma_root)
		return behind_root(mas);
	return smr_find_begin(mas, max) ? smr_compact_walk(mas, root) : NULL;
}

void *smr_compact_find_rev(struct ma_state *mas, void *root, unsigned long min)
{
	switch (mas->status) {
	case ma_error:
		return NULL;
	case ma_root:
		if (mas->index > 0) /* a write or a search for free space has come to the gap */
			break;
		return set_cursor(mas, ma_none, 0, 0, NULL);
	case ma_start:
		if (mas->index < min)
			return NULL;
		break;
	case ma_none:
	case ma_underflow:
		if (mas->index <= min)
			return NULL;
		break;
	default:
		if (mas->index <= min) {
			mas->status = ma_underflow;
			return NULL;
		}
		break;
	}
	/* The entry may lie below the limit: then the search ends on the gap above it. */
	if (root && min > 0)
		return set_cursor(mas, ma_underflow, 1, ULONG_MAX, NULL);
	return on_root(mas, root);
}
