/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <stdio.h>

/* Walks both from @first until one mapping beyond @last, or to the end. */
static int compare(struct space *space, const struct address_space *model, uint64_t first,
		   uint64_t last, char *why, size_t size)
{
	MA_STATE(mas, &space->tree, first, first);
	const struct as_mapping *expected;
	const struct mapping *mapping;
	char is[128], should[128];
	struct as_pos pos;

	expected = as_from(model, first, &pos);
	for (;;) {
		mapping = mas_find(&mas, ULONG_MAX);
		if (!mapping || !expected || !as_equal(&mapping->what, expected))
			break;
		if (mas.index != mapping->what.first || mas.last != mapping->what.last) {
			snprintf(why, size, "the tree has %s at %lx-%lx",
				 as_text(&mapping->what, is, sizeof(is)), mas.index, mas.last);
			return -EUCLEAN;
		}
		if (expected->first > last)
			return 0;
		expected = as_next(model, &pos);
	}
	if (!mapping && !expected)
		return 0;
	snprintf(why, size, "the tree has %s where there should be %s",
		 as_text(mapping ? &mapping->what : NULL, is, sizeof(is)),
		 as_text(expected, should, sizeof(should)));
	return -EUCLEAN;
}

int check_all(struct space *space, const struct address_space *model, char *why, size_t size)
{
	int err;

	mtree_lock(&space->tree);
	err = compare(space, model, 0, UINT64_MAX, why, size);
	if (!err)
		err = mt_check(&space->tree, why, size);
	mtree_unlock(&space->tree);
	if (!err && space->live != model->count) {
		snprintf(why, size, "%zu mappings are alive, %zu should be", space->live,
			 model->count);
		err = -EUCLEAN;
	}
	return err;
}

/* Like compare(), but starts with the mapping below the range. */
static int compare_around(struct space *space, const struct address_space *model, uint64_t first,
			  uint64_t last, char *why, size_t size)
{
	const struct as_mapping *below;
	struct as_pos pos;

	as_from(model, first, &pos);
	below = as_prev(model, &pos);
	return compare(space, model, below ? below->first : 0, last, why, size);
}

int check_around(struct space *space, const struct address_space *model, const struct trace_op *op,
		 char *why, size_t size)
{
	int err;

	mtree_lock(&space->tree);
	err = compare_around(space, model, op->addr, trace_op_last(op), why, size);
	if (!err && op->verb == TRACE_MOVE)
		err = compare_around(space, model, op->new_addr,
				     op->new_addr + (op->new_length - 1), why, size);
	mtree_unlock(&space->tree);
	return err;
}
