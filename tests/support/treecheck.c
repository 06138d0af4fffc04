/* SPDX-License-Identifier: MIT */
#include "treecheck.h"

#include <stdarg.h>
#include <stdio.h>

static bool __attribute__((format(printf, 2, 3))) fault(char why[WHY_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, WHY_SIZE, format, args);
	va_end(args);
	return false;
}

bool tree_sound(struct maple_tree *mt, char why[WHY_SIZE])
{
	char reason[WHY_SIZE - 32] = "no reason given";

	if (mt_check(mt, reason, sizeof(reason)) == 0)
		return true;
	return fault(why, "mt_check: %s", reason);
}

/* Whether the cursor and @entry match the range that the model has around @key. */
static bool same_range(const struct ma_state *mas, const void *entry,
		       const struct range_model *model, unsigned long key, char why[WHY_SIZE])
{
	unsigned long first, last;
	void *want;

	rm_range(model, key, &first, &last, &want);
	if (mas->index == first && mas->last == last && entry == want)
		return true;
	return fault(why, "at %#lx: %#lx..%#lx = %p, should be %#lx..%#lx = %p", key, mas->index,
		     mas->last, entry, first, last, want);
}

static bool equal_forward(struct maple_tree *mt, const struct range_model *model,
			  char why[WHY_SIZE])
{
	MA_STATE(mas, mt, 0, 0);
	void *entry = mas_walk(&mas);

	for (;;) {
		if (!same_range(&mas, entry, model, mas.index, why))
			return false;
		if (mas.last == ULONG_MAX)
			return true;
		entry = mas_next_range(&mas, ULONG_MAX);
		if (mas.status != ma_active && mas.status != ma_none)
			return fault(why, "next range ends with status %d at %#lx..%#lx",
				     mas.status, mas.index, mas.last);
	}
}

static bool equal_backward(struct maple_tree *mt, const struct range_model *model,
			   char why[WHY_SIZE])
{
	MA_STATE(mas, mt, ULONG_MAX, ULONG_MAX);
	void *entry = mas_walk(&mas);

	for (;;) {
		if (!same_range(&mas, entry, model, mas.last, why))
			return false;
		if (mas.index == 0)
			return true;
		entry = mas_prev_range(&mas, 0);
		if (mas.status != ma_active && mas.status != ma_root)
			return fault(why, "previous range ends with status %d at %#lx..%#lx",
				     mas.status, mas.index, mas.last);
	}
}

bool tree_equal(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE])
{
	if (mtree_empty(mt) != (rm_count(model) == 0))
		return fault(why, "mtree_empty() with %zu ranges", rm_count(model));
	if (rm_count(model) == 0 && mt_height(mt) != 0)
		return fault(why, "an empty tree of height %u", mt_height(mt));
	return equal_forward(mt, model, why) && equal_backward(mt, model, why);
}

bool tree_good(struct maple_tree *mt, const struct range_model *model, char why[WHY_SIZE])
{
	return tree_sound(mt, why) && tree_equal(mt, model, why);
}

void *model_load(const struct range_model *model, unsigned long key)
{
	void *entry = rm_load(model, key);

	return xa_is_zero(entry) ? NULL : entry;
}

void *model_find(const struct range_model *model, unsigned long *index, unsigned long max)
{
	unsigned long first, last;
	void *entry;

	if (*index > max)
		return NULL;
	rm_range(model, *index, &first, &last, &entry);
	while (!entry || xa_is_zero(entry)) {
		if (!rm_next(model, last, &first, &last, &entry) || first > max)
			return NULL;
	}
	*index = last + 1;
	return entry;
}

unsigned long nodes_in_use(struct mt_mem *mem)
{
	struct mt_mem_stats stats;

	mt_mem_stats(mem, &stats);
	return stats.nodes_used;
}
