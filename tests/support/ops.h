/* SPDX-License-Identifier: MIT */
/*
 * One step of a random test, as plain numbers, so that it can be kept, left out, written to a file
 * and run again. rig.c and rig_cursor.c say what each kind does with its numbers.
 *
 * As text, a step is one line: its name, "atomic" or "nowait" if that is how it allocates, and up
 * to five hexadecimal numbers, without trailing zeros. A file of steps begins with a line "tree
 * FLAGS", the flags to make the tree with; # begins a comment.
 */
#ifndef TESTS_SUPPORT_OPS_H
#define TESTS_SUPPORT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* clang-format off */
#define OP_KINDS(X)                                                                            \
	X(store) X(insert) X(erase) X(alloc) X(alloc_rev) X(alloc_cyclic) X(reserve)           \
	X(release) X(load) X(find) X(find_after) X(next) X(prev) X(cur_set) X(cur_pause)       \
	X(cur_reset) X(cur_move) X(cur_store) X(cur_store_gfp) X(cur_prealloc) X(cur_abandon)  \
	X(cur_erase) X(area) X(area_rev) X(cur_cyclic) X(each) X(each_rev) X(dup) X(bulk)      \
	X(fill) X(rcu) X(destroy) X(check) X(cur_stay) X(cur_part) X(cur_fail)
/* clang-format on */

enum op_kind {
#define X(name) OP_##name,
	OP_KINDS(X)
#undef X
		NR_OPS,
};

#define OP_NUMBERS 5

struct op {
	enum op_kind kind;
	unsigned int gfp; /* index into op_gfps[] */
	unsigned long n[OP_NUMBERS];
};

#define NR_GFPS 3u
extern const unsigned int op_gfps[NR_GFPS]; /* GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT */

const char *op_name(enum op_kind kind);
void op_print(const struct op *op, FILE *out);
/* Returns false if the line cannot be parsed. Blank lines and comments set *@nothing to true. */
bool op_parse(const char *line, struct op *op, bool *nothing);

struct op_list {
	struct op *ops;
	size_t count;
	size_t room;
	unsigned int flags; /* of the tree */
};

void op_list_print(const struct op_list *list, FILE *out);
/*
 * Returns 0, or the number of the line at fault (the last one read if memory ran out). Free with
 * op_list_free().
 */
unsigned int op_list_read(struct op_list *list, FILE *in);
void op_list_free(struct op_list *list);

#endif
