/* SPDX-License-Identifier: MIT */
/*
 * In the library under test the checker sees each step of a cursor, so the header's inlines and the
 * library's own fast paths are never taken. Here a test allows them for the next step.
 */
#ifndef TESTS_SUPPORT_INLINES_H
#define TESTS_SUPPORT_INLINES_H

#include <samara/maple_tree.h>

static inline void let_inlines(struct ma_state *mas)
{
	if (mas->status == ma_active && mas->node)
		mas->reach = mas->end;
}

/* What a mas_for_each() loop that has reached the cursor's position may know of its leaf. */
static inline struct mt_each_ each_from(const struct ma_state *mas)
{
	void *const *slots = (void *const *)((unsigned long)mas->node & ~7UL); /* tree/node.h */
	struct mt_each_ each = MT_EACH_;
	unsigned long left = 0;

	if (mas->status != ma_active || !mas->node ||
	    mas->seq != __atomic_load_n(&mas->tree->ma_seq, __ATOMIC_ACQUIRE))
		return each;
	for (unsigned long i = mas->offset + 1; i <= mas->end; i++)
		if (__atomic_load_n(&slots[i], __ATOMIC_RELAXED))
			left |= 1UL << i;
	mt_each_at_(&each, mas, left);
	return each;
}

/*
 * Called by mas_for_each() in place of the library's function. For a leaf without reach the library
 * does not say what is left of it, so that is filled in here.
 */
static inline void *each_inline(struct ma_state *mas, unsigned long max, struct mt_each_ *each)
{
	if (!mas->reach && !each->left && each->last == mas->last && each->seq == mas->seq &&
	    each->tree == mas->tree)
		*each = each_from(mas);
	let_inlines(mas);
	return mas_each_(mas, max, each);
}

/* The same, for a loop that begins at the cursor's position. */
static inline void *find_inline(struct ma_state *mas, unsigned long max)
{
	struct mt_each_ each = each_from(mas);

	return each_inline(mas, max, &each);
}

#define mas_each_ each_inline

#endif
