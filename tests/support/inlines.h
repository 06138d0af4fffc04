/* SPDX-License-Identifier: MIT */
/*
 * The library under test has its checker see each step of a cursor, so neither the header's inlines
 * nor the library's own short ways are ever taken. A test lets them, for the next step.
 */
#ifndef TESTS_SUPPORT_INLINES_H
#define TESTS_SUPPORT_INLINES_H

#include <samara/maple_tree.h>

static inline void let_inlines(struct ma_state *mas)
{
	if (mas->status == ma_active && mas->node)
		mas->reach = mas->end;
}

/* What a loop of mas_for_each() that has come to where the cursor stands may know of its leaf. */
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

/* What mas_for_each() calls here. Of a leaf without reach the library does not say what is left. */
static inline void *each_inline(struct ma_state *mas, unsigned long max, struct mt_each_ *each)
{
	if (!mas->reach && !each->left && each->last == mas->last && each->seq == mas->seq &&
	    each->tree == mas->tree)
		*each = each_from(mas);
	let_inlines(mas);
	return mas_each_(mas, max, each);
}

/* The same, for a loop that begins where the cursor stands. */
static inline void *find_inline(struct ma_state *mas, unsigned long max)
{
	struct mt_each_ each = each_from(mas);

	return each_inline(mas, max, &each);
}

#define mas_each_ each_inline

#endif
