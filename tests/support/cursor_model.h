/* SPDX-License-Identifier: MIT */
/*
 * What a cursor does, written down as the transition tables have it, over the model of the ranges.
 * It holds for one cursor on a tree that nobody else changes.
 */
#ifndef TESTS_SUPPORT_CURSOR_MODEL_H
#define TESTS_SUPPORT_CURSOR_MODEL_H

#include "model/range_model.h"
#include <samara/maple_tree.h>

/* A tree without nodes answers differently, and whether it has nodes depends on its past. */
enum tree_form { FORM_EMPTY, FORM_COMPACT, FORM_NODES };

/* The form after a change that led from @before to @model. */
enum tree_form form_after(enum tree_form before, const struct range_model *model);

enum cursor_move {
	MOVE_WALK,
	MOVE_NEXT,
	MOVE_NEXT_RANGE,
	MOVE_PREV,
	MOVE_PREV_RANGE,
	MOVE_FIND,
	MOVE_FIND_RANGE,
	MOVE_FIND_REV,
	MOVE_FIND_RANGE_REV,
	NR_MOVES,
};

struct cursor_model {
	const struct range_model *ranges;
	enum tree_form form;
	unsigned long index, last;
	enum maple_status status;
	bool vague; /* the tables do not say where the last move ended, only what it returned */
};

void *cursor_model_move(struct cursor_model *c, enum cursor_move move, unsigned long limit);

#endif
