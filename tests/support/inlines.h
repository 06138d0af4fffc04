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

/* What mas_for_each() calls. */
static inline void *find_inline(struct ma_state *mas, unsigned long max)
{
	let_inlines(mas);
	return mas_find_inline_(mas, max);
}

#endif
