/* SPDX-License-Identifier: MIT */
/* Checks every invariant of node.h, by other means than the code that maintains them. */
#include "tree/gap.h"
#include "tree/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct check {
	const struct maple_tree *mt;
	char *why;
	size_t size;
	unsigned int height;
	bool was_gap; /* whether the last range seen was a gap */
};

__attribute__((format(printf, 2, 3))) static int fault(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (c->why && c->size)
		vsnprintf(c->why, c->size, format, args);
	va_end(args);
	return -EUCLEAN;
}

static bool is_known_kind(enum smr_kind kind)
{
	switch (kind) {
	case SMR_SLEAF:
	case SMR_NINNER:
	case SMR_NLEAF:
	case SMR_WINNER:
	case SMR_WLEAF:
		return true;
	}
	return false;
}

/* Checks the fill and shape of one node at @level. */
static int check_shape(struct check *c, const void *enode, unsigned int level)
{
	const struct smr_node *node = smr_node_of(enode);
	enum smr_kind kind = smr_enode_kind(enode);
	bool top = level + 1 == c->height;
	bool few = top || node->mark == SMR_PIECES; /* a leaf may have any number then */
	unsigned int least = level ? (top ? 2 : SMR_INNER_MIN) : few ? 1 : SMR_LEAF_MIN;

	if (!is_known_kind(kind))
		return fault(c, "node %p: unknown bits in its pointer", enode);
	if (smr_kind_leaf(kind) != (level == 0))
		return fault(c, "node %p: a %s at level %u", enode,
			     smr_kind_leaf(kind) ? "leaf" : "inner node", level);
	if (node->dead & SMR_DEAD)
		return fault(c, "node %p: in the tree, but marked dead", enode);
	if (node->count < least || node->count > smr_kind_cap(kind))
		return fault(c, "node %p: %u items at level %u, of %u to %u", enode, node->count,
			     level, least, smr_kind_cap(kind));
	return 0;
}

/* Whether all keys of a short leaf are in its block, before the last unit. */
static bool is_in_block(const struct smr_node *leaf, unsigned long min, unsigned long max)
{
	unsigned long half, end;

	if (leaf->shift >= 64 - SMR_SHORT_BITS)
		return false;
	half = 1UL << (SMR_SHORT_BITS - 1 + leaf->shift);
	end = leaf->base + half - (1UL << leaf->shift);
	return (leaf->base & (2 * half - 1)) == half && min >= leaf->base - half && max < end;
}

/* Checks that bounds strictly ascend within (min..max], and that unused ones hold the padding. */
static int check_bounds(struct check *c, const void *enode, unsigned long min, unsigned long max)
{
	const struct smr_node *node = smr_node_of(enode);
	enum smr_kind kind = smr_enode_kind(enode);
	unsigned long before = min, start;

	if (smr_kind_short(kind) && !is_in_block(node, min, max))
		return fault(c, "node %p [%#lx..%#lx]: not in the block around %#lx", enode, min,
			     max, node->base);
	for (unsigned int i = 1; i < node->count; i++) {
		start = smr_start(enode, i);
		if (start <= before || start > max)
			return fault(c, "node %p [%#lx..%#lx]: item %u starts at %#lx, behind %#lx",
				     enode, min, max, i, start, before);
		if (smr_kind_narrow(kind) &&
		    (node->b32[i - 1] < 0 || node->b32[i - 1] == INT32_MAX))
			return fault(c, "node %p: bound %u out of range", enode, i - 1);
		before = start;
	}
	for (unsigned int i = node->count - 1u; i < smr_kind_bounds(kind); i++)
		if (smr_kind_bound(node, kind, i) != smr_kind_padding(kind))
			return fault(c, "node %p: unused bound %u is not padding", enode, i);
	return 0;
}

/* Checks gaps, which may be in pieces. *@figure: the largest one's, to check the stored one by. */
static int check_leaf(struct check *c, const void *enode, unsigned long min, unsigned long max,
		      uint32_t *figure)
{
	unsigned int end = smr_count(enode) - 1, pieces = 0;
	unsigned long first = min, last, begin = min;

	*figure = 0;
	for (unsigned int i = 0; i <= end; i++, first = last + 1) {
		last = i < end ? smr_start(enode, i + 1) - 1 : max;
		if (smr_is_joined(smr_slots(enode)[i]) && (i == 0 || !smr_has_joined(enode)))
			return fault(c, "node %p: range %u is joined to none", enode, i);
		if (smr_value(smr_slots(enode), i)) {
			c->was_gap = false;
			pieces = 0;
			continue;
		}
		if (pieces++ == 0)
			begin = first;
		if (c->was_gap && pieces == 1)
			return fault(c, "node %p: two gaps meet at %#lx", enode, first);
		if (pieces > smr_run_max(c->mt))
			return fault(c, "node %p: the gap at %#lx is in more than %u pieces", enode,
				     begin, smr_run_max(c->mt));
		if (pieces > 1 && pieces == end + 1)
			return fault(c, "node %p: it has no entry", enode);
		if (pieces > 1 && smr_node_of(enode)->mark != SMR_PIECES)
			return fault(c, "node %p: has pieces, and is not marked so", enode);
		if (smr_gap_figure(last - begin) > *figure)
			*figure = smr_gap_figure(last - begin);
		c->was_gap = true;
	}
	return 0;
}

static int check_node(struct check *c, const void *enode, unsigned int level, unsigned long min,
		      unsigned long max, uint32_t *figure);

static int check_children(struct check *c, const void *enode, unsigned int level, unsigned long min,
			  unsigned long max, uint32_t *figure)
{
	unsigned int end = smr_count(enode) - 1;
	unsigned long first = min, last;
	uint32_t below;
	int err;

	*figure = 0;
	for (unsigned int i = 0; i <= end; i++) {
		const void *child = smr_slots(enode)[i];

		last = i < end ? smr_start(enode, i + 1) - 1 : max;
		if (!smr_is_enode(child))
			return fault(c, "node %p: slot %u holds %p, no node", enode, i, child);
		err = check_node(c, child, level - 1, first, last, &below);
		if (err)
			return err;
		if ((c->mt->ma_flags & MT_FLAGS_ALLOC_RANGE) && smr_gaps(enode)[i] != below)
			return fault(c, "node %p: gap figure %u is %u, should be %u", enode, i,
				     smr_gaps(enode)[i], below);
		if (below > *figure)
			*figure = below;
		first = last + 1;
	}
	for (unsigned int i = end + 1; i < smr_nr_gaps(enode); i++)
		if (smr_gaps(enode)[i])
			return fault(c, "node %p: unused gap figure %u is not 0", enode, i);
	return 0;
}

static int check_node(struct check *c, const void *enode, unsigned int level, unsigned long min,
		      unsigned long max, uint32_t *figure)
{
	int err = check_shape(c, enode, level);

	if (!err)
		err = check_bounds(c, enode, min, max);
	if (err)
		return err;
	return level ? check_children(c, enode, level, min, max, figure)
		     : check_leaf(c, enode, min, max, figure);
}

int mt_check(const struct maple_tree *mt, char *why, size_t size)
{
	struct check c = { .mt = mt, .why = why, .size = size, .height = mt_height(mt) };
	const void *root = mt->ma_root;
	uint32_t figure;
	int err;

	if (!smr_is_enode(root)) {
		if (c.height)
			return fault(&c, "a tree without nodes has height %u", c.height);
		return 0;
	}
	if (c.height == 0 || c.height > MT_PATH_MAX)
		return fault(&c, "a tree with nodes has height %u", c.height);
	err = check_node(&c, root, c.height - 1, 0, ULONG_MAX, &figure);
	if (!err && c.was_gap && smr_enode_leaf(root) && smr_count(root) == 1)
		return fault(&c, "an empty tree has a node");
	return err;
}

int mt_validate(struct maple_tree *mt)
{
	char why[160];
	int err = mt_check(mt, why, sizeof(why));

	if (err)
		fprintf(stderr, "samara: tree %p: %s\n", (void *)mt, why);
	return err;
}
