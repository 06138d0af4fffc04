/* SPDX-License-Identifier: MIT */
/*
 * Compares the space in the tree with the model. CONTEXT: the writer's thread, between
 * operations.
 */
#ifndef SAMARA_TOOL_CHECK_H
#define SAMARA_TOOL_CHECK_H

#include "model/address_space.h"
#include "space.h"

/*
 * Compares everything: each entry's range and record, and the tree's own invariants. Returns 0, or
 * -EUCLEAN with the first difference in @why of @size bytes.
 */
int check_all(struct space *space, const struct address_space *model, char *why, size_t size);
/* Compares the ranges that @op touched, with the mapping on either side. */
int check_around(struct space *space, const struct address_space *model, const struct trace_op *op,
		 char *why, size_t size);

#endif
