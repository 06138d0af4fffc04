/* SPDX-License-Identifier: MIT */
/*
 * A model of a cursor over the model of the ranges, written after the transition tables. It holds
 * for one cursor on a tree that nothing else changes.
 */
#ifndef TESTS_SUPPORT_CURSOR_MODEL_H
#define TESTS_SUPPORT_CURSOR_MODEL_H

#include "model/range_model.h"
#include <samara/maple_tree.h>

/* A tree without nodes answers differently, and whether it has nodes depends on its history. */
enum tree_form { FORM_EMPTY, FORM_COMPACT, FORM_NODES };

/* Returns the tree's form after a change from the form @before to the ranges of @model. */
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
	bool vague; /* the tables give only the last move's result, not its position */
};

void *cursor_model_move(struct cursor_model *c, enum cursor_move move, unsigned long limit);

#endif
